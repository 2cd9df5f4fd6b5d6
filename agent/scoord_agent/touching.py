"""Where the work of one session touches what another one is changing. Pure.

It looks at names alone: nothing here opens a file or asks anybody.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """A file of one's own work and one that the other holds are test and source."""
    IMPORTS = "imports"
    """A file of one's own work imports one that the other holds."""
    AREA = "area"
    """Both are in one area."""


@dataclass(frozen=True, slots=True)
class Touch:
    """One thing that another session is changing, and why it matters here."""

    session: str
    how: How
    thing: str
    """A path, as shown; or the name of an area."""
    path: str = ""
    """The file of one's own work that it belongs to, that imports it, or that is in the area."""
    lock: Lock | None = None
    """The grant of the path; None of an area."""

    @property
    def on(self) -> tuple[str, str]:
        """Whose it is, and what: as it is compared."""
        return self.session, path_key(self.thing)

    @property
    def token(self) -> int:
        """That of the grant; an area has none, and is the same again and again."""
        return self.lock.token if self.lock else 0


def words_of(text: str) -> set[str]:
    """The words of a text that may name files or areas, as they are compared."""
    return set(_written(text))


def paths_of(text: str) -> dict[str, str]:
    """Those of them that name files if they name anything; as written, by what is compared."""
    return _paths(_written(text))


def named_in(
    prompt: str, locks: Iterable[Lock], sessions: Iterable[Session], own: str
) -> list[Touch]:
    """What a prompt names of what others hold and work on."""
    words = _written(prompt)
    paths = _paths(words)
    return [
        Touch(lock.holder.session_id, How.NAMED, lock.path, lock=lock)
        for lock in locks
        if lock.holder.session_id != own and _is_named(lock, words, paths)
    ] + list(_in_areas(words, sessions, own))


def belonging_to(shown: str, known: Sequence[str] = ()) -> tuple[str, ...]:
    """The keys of the tests of the file ``shown``, or of the sources of a test.

    ``known`` are those that its repository has, as far as it was read; else it is those that
    they would have where such files usually are.
    """
    keys = dict.fromkeys(map(path_key, known or counterparts(shown)))
    return tuple(key for key in keys if key != path_key(shown))


def belongings(shown: str, keys: Iterable[str], held: Held, own: str) -> list[Touch]:
    """What others hold of the files with these keys, which belong to the file ``shown``."""
    return [
        Touch(lock.holder.session_id, How.BELONGS, lock.path, shown, lock)
        for key in keys
        for lock in held.get(key, {}).values()
        if lock.holder.session_id != own
    ]


def in_area(area: str, shown: str, sessions: Iterable[Session], own: str) -> list[Touch]:
    """Who else works in an area, that of the file ``shown``."""
    found = _in_areas({area.casefold()} if area else set(), sessions, own)
    return [replace(touch, path=shown) for touch in found]


def _written(text: str) -> dict[str, str]:
    words = (w.removeprefix("./").rstrip("./") for w in _WORD.findall(text[:_MOST_READ]))
    return {path_key(word): word for word in words if len(word) >= _LEAST_NAME}


def _paths(words: Mapping[str, str]) -> dict[str, str]:
    return {key: word for key, word in words.items() if "/" in key or "." in key}


def _is_named(lock: Lock, words: Container[str], paths: Iterable[str]) -> bool:
    """Whether a path is named: whole, by its end, or by its file's name."""
    if lock.is_pattern:
        return any(matches(lock.path, path) for path in paths)
    parts = path_key(lock.path).split("/")
    return any("/".join(parts[start:]) in words for start in range(len(parts)))


def _in_areas(areas: Container[str], sessions: Iterable[Session], own: str) -> Iterator[Touch]:
    for session in sessions:
        resting = session.status == SessionStatus.SESSION_STATUS_IDLE
        if session.session_id != own and not resting:
            for area in session.areas:
                if area.casefold() in areas:
                    yield Touch(session.session_id, How.AREA, area)
