"""When a lock will be free, from how long similar ones were held. Pure.

Its holder's own progress says it best: by its pace, or that all is done. Else the
project's holds that are over do: of this file, of files like it, of any. What is held
already longer than all of those has no basis left, and neither has a project that is new:
then nothing is said but how far the holder is.
"""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median, quantiles

from scoord.names import path_key
from scoord.v1.locks_pb2 import Lock
from scoord.v1.sessions_pb2 import Session, WorkProgress


class Like(StrEnum):
    """What an estimate rests on."""

    PROGRESS = "progress"
    """Of the holder's work."""
    FILE = "file"
    """Holds of the same file."""
    ALIKE = "alike"
    """Holds of files in the same folder, of the same kind."""
    PROJECT = "project"
    """Holds of any file."""


LEAST = ((Like.FILE, 3), (Like.ALIKE, 3), (Like.PROJECT, 5))
"""How many holds say something, the most similar ones first."""


@dataclass(frozen=True, slots=True)
class PastHold:
    """One hold that is over: of which file, by its key, for how long."""

    key: str
    held_s: float


@dataclass(frozen=True, slots=True)
class Completion:
    """What is left of a hold, as far as anybody can tell."""

    like: Like
    left_s: float | None
    """The middle of what is likely; None when nobody can tell."""
    low_s: float = 0.0
    """If it goes as fast as one time in four."""
    high_s: float = 0.0
    """If it goes as slowly as one time in four."""
    samples: int = 0
    """How many holds it rests on."""
    percent: int = 0
    """How far the holder's work is."""
    done: int = 0
    total: int = 0
    """Its steps, if it tells of any."""

    @property
    def is_all_done(self) -> bool:
        """Whether the holder says that nothing is left to do."""
        return self.percent >= _ALL


_ALL = 100


def completion(lock: Lock, holder: Session | None, holds: Sequence[PastHold]) -> Completion | None:
    """When ``lock`` will be free; None when there is no basis to say, and no progress either."""
    told = _by_progress(holder) if holder is not None else None
    if told is not None and (told.left_s is not None or lock.is_pattern):
        return told
    if lock.is_pattern:
        return None
    found = by_similar(holds, path_key(lock.path), lock.held_for.ToMilliseconds() / 1000)
    if found is None or told is None:
        return found or told
    return replace(found, percent=told.percent, done=told.done, total=told.total)


def by_similar(holds: Iterable[PastHold], key: str, held_s: float) -> Completion | None:
    """What holds that are over say of one that has lasted for ``held_s``.

    Only those that lasted longer than that say how much longer it may be.
    """
    known = tuple(holds)
    for like, least in LEAST:
        similar = [hold.held_s for hold in known if _is_similar(like, hold.key, key)]
        if len(similar) >= least:
            left = [seconds - held_s for seconds in similar if seconds > held_s]
            return _middle(like, left) if len(left) >= least else None
    return None


def _middle(like: Like, left: Sequence[float]) -> Completion:
    low, _, high = quantiles(left, n=4, method="inclusive")
    return Completion(like, median(left), low, high, len(left))


def _is_similar(like: Like, one: str, other: str) -> bool:
    match like:
        case Like.FILE:
            return one == other
        case Like.ALIKE:
            return _kind(one) == _kind(other)
    return True


def _kind(key: str) -> tuple[str, str]:
    folder, name = posixpath.split(key)
    return folder, posixpath.splitext(name)[1]


def percent_of(progress: WorkProgress) -> int:
    """How far somebody is, who may tell of steps alone."""
    if not progress.percent and progress.total:
        return _ALL * progress.done // progress.total
    return progress.percent


def _by_progress(holder: Session) -> Completion | None:
    estimate, progress = holder.estimate, holder.progress
    percent = percent_of(progress)
    if not estimate.HasField("left"):
        if not holder.HasField("progress"):
            return None
        left_s = 0.0 if percent >= _ALL else None
        far = Completion(Like.PROGRESS, left_s, percent=percent)
        return replace(far, done=progress.done, total=progress.total)
    return Completion(
        Like.PROGRESS,
        estimate.left.ToMilliseconds() / 1000,
        estimate.low.ToMilliseconds() / 1000,
        estimate.high.ToMilliseconds() / 1000,
        estimate.samples,
        percent,
        progress.done,
        progress.total,
    )
