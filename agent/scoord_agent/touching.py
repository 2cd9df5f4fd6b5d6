"""Where the work of one session touches what another one is changing. Pure.

It looks at names alone: nothing here opens a file or asks anybody.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from scoord.names import path_key
from scoord.patterns import matches
from scoord.v1.locks_pb2 import Lock
from scoord.v1.sessions_pb2 import Session, SessionStatus
from scoord_agent.suggest import counterparts

_MOST_READ: Final = 20_000
_WORD: Final = re.compile(r"[^\s`\"'<>()\[\]{},;:!?*|=]+")
_LEAST_NAME: Final = 3
"""A shorter word is seldom meant as the name of a file or an area."""


Held = Mapping[str, Mapping[int, Lock]]
"""Grants of paths, by path key and token."""


class How(StrEnum):
    """Why two sessions' work belongs together."""

    NAMED = "named"
    """The prompt names a file that the other holds."""
    BELONGS = "belongs"
    """An edited file and one that the other holds are test and source."""
    IMPORTS = "imports"
    """An edited file imports one that the other holds."""
    AREA = "area"
    """Both are in one area."""


@dataclass(frozen=True, slots=True)
class Touch:
    """One thing that another session is changing, and why it matters here."""

    session: str
    how: How
    thing: str
    """A path, as shown; or the name of an area."""


def words_of(text: str) -> set[str]:
    """The words of a text that may name files or areas, as they are compared."""
    words = _WORD.findall(text[:_MOST_READ])
    named = (path_key(word.removeprefix("./").rstrip("./")) for word in words)
    return {word for word in named if len(word) >= _LEAST_NAME}


def named_in(
    prompt: str, locks: Iterable[Lock], sessions: Iterable[Session], own: str
) -> list[Touch]:
    """What a prompt names of what others hold and work on."""
    words = words_of(prompt)
    paths = [word for word in words if "/" in word or "." in word]
    return [
        Touch(lock.holder.session_id, How.NAMED, lock.path)
        for lock in locks
        if lock.holder.session_id != own and _is_named(lock, words, paths)
    ] + list(_in_areas(words, sessions, own))


def touched_by(
    shown: str, area: str, held: Held, sessions: Iterable[Session], own: str
) -> list[Touch]:
    """What an edit of the file ``shown`` touches of what others hold and work on."""
    found = dict.fromkeys(map(path_key, counterparts(shown)))
    belonging = [
        Touch(lock.holder.session_id, How.BELONGS, lock.path)
        for key in found
        for lock in held.get(key, {}).values()
        if lock.holder.session_id != own and key != path_key(shown)
    ]
    return belonging + list(_in_areas({area.casefold()} if area else set(), sessions, own))


def _is_named(lock: Lock, words: set[str], paths: Iterable[str]) -> bool:
    """Whether a path is named: whole, by its end, or by its file's name."""
    if lock.is_pattern:
        return any(matches(lock.path, path) for path in paths)
    parts = path_key(lock.path).split("/")
    return any("/".join(parts[start:]) in words for start in range(len(parts)))


def _in_areas(areas: set[str], sessions: Iterable[Session], own: str) -> Iterator[Touch]:
    for session in sessions:
        resting = session.status == SessionStatus.SESSION_STATUS_IDLE
        if session.session_id != own and not resting:
            for area in session.areas:
                if area.casefold() in areas:
                    yield Touch(session.session_id, How.AREA, area)
