"""What others did in a project while nobody worked in a worktree, from lines of history. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from scoord.happenings import Kind
from scoord.v1.history_pb2 import HistoryEvent, ReadHistoryResponse
from scoord.v1.locks_pb2 import Holder

KINDS: Final = (
    Kind.GRANTED,
    Kind.RESERVED,
    Kind.RECLAIMED,
    Kind.UNASKED,
    Kind.UNPROTECTED,
    Kind.OVERLAP,
    Kind.ENDED,
    Kind.EXPIRED,
)
"""What tells that somebody worked on something, or does not any more."""

_OVER: Final = frozenset({Kind.ENDED, Kind.EXPIRED})


@dataclass(frozen=True, slots=True)
class Missed:
    """What one session did: the files it had, and how long ago it did the last of it."""

    holder: Holder
    paths: tuple[str, ...]
    ago_s: float
    ended: bool


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What others did while nobody worked there."""

    sessions: Sequence[Missed] = ()
    """The latest first."""
    is_all: bool = True
    """Whether nothing else happened; False where there was more than is read."""


def meanwhile(answer: ReadHistoryResponse, own: Collection[str]) -> Meanwhile:
    """What a page of history tells of other sessions than ``own``."""
    return Meanwhile(missed(answer.events, own), is_all=not answer.before)


def missed(events: Iterable[HistoryEvent], own: Collection[str]) -> list[Missed]:
    """What other sessions than ``own`` did, the latest first; ``events`` are newest first."""
    found: dict[str, list[HistoryEvent]] = {}
    for event in events:
        if event.kind in KINDS and event.session.session_id not in own:
            found.setdefault(event.session.session_id, []).append(event)
    told = (_of_one(events_of_one) for events_of_one in found.values())
    return [each for each in told if each.paths]


def _of_one(events: list[HistoryEvent]) -> Missed:
    paths = dict.fromkeys(path for event in events for path in event.paths)
    return Missed(
        holder=events[0].session,
        paths=tuple(paths),
        ago_s=events[0].ago.ToMilliseconds() / 1000,
        ended=any(event.kind in _OVER for event in events),
    )
