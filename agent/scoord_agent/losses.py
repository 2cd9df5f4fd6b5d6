"""Locks that were lost, for as long as nobody knows what became of each."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from scoord.ids import ProjectId, SessionId
from scoord_agent.held_lock import HeldLock, LockPath

_KEEPS_BACK = 2
"""How often the question for one lock may fail before others wait for it no more."""


_Group = SessionId | LockPath | tuple[SessionId, bool]
"""Whose they are, where they are, and which of a session's are patterns."""


@dataclass(frozen=True, slots=True)
class _Loss:
    """What is known of the end of a lock that is lost."""

    stood_at: float
    """When its session's lease was last renewed."""
    with_lease: bool = False
    """Whether that lease is over. If not, somebody took the lock away."""
    replaced: bool = False
    """Whether its holder was granted more since."""
    asked: int = 0
    """How often it was asked for on its session's lease; none of the answers has come."""


class Losses:
    """Those of all sessions of this machine, in the order in which they came.

    With a lease thousands go at once, and of each it is asked what else was lost where it was.
    """

    def __init__(self) -> None:
        self._lost: dict[HeldLock, _Loss] = {}
        self._came: dict[HeldLock, int] = {}
        """Their order, for those that are found in several groups."""
        self._groups: dict[_Group, dict[HeldLock, None]] = {}
        self._replaced: dict[HeldLock, None] = {}
        """Those of them in place of which their holders were granted more."""
        self._numbers = itertools.count()

    def note(self, lock: HeldLock, stood_at: float, *, replaced: bool) -> None:
        """It is lost, and its session's lease was known to stand then."""
        self._add(lock, _Loss(stood_at, replaced=replaced))

    def note_replaced(self, lock: HeldLock) -> None:
        """Its holder has more now, and misses nothing but how it ended: it may have been broken."""
        loss = self._lost[lock]
        self._remove(lock)
        self._add(lock, replace(loss, replaced=True))

    def note_lapse(self, session: SessionId) -> None:
        """The lease of a session is over."""
        for lock in self.of(session):
            self._lost[lock] = replace(self._lost[lock], with_lease=True, asked=0)

    def note_asked(self, lock: HeldLock) -> None:
        """It is asked for."""
        self._lost[lock] = replace(self._lost[lock], asked=self._lost[lock].asked + 1)

    def keeps_back(self, lock: HeldLock) -> bool:
        """Whether what would be in its way is not to be asked for before it.

        A question that fails again and again keeps nothing back for ever.
        """
        return lock in self._lost and self._lost[lock].asked < _KEEPS_BACK

    def settle(self, lock: HeldLock) -> bool:
        """It is known what became of it; False when it was known before."""
        was_lost = lock in self._lost
        if was_lost:
            self._remove(lock)
        return was_lost

    def _add(self, lock: HeldLock, loss: _Loss) -> None:
        """One that is there already keeps its place."""
        self._lost[lock] = loss
        self._came.setdefault(lock, next(self._numbers))
        for group in _groups_of(lock):
            self._groups.setdefault(group, {}).setdefault(lock)
        if loss.replaced:
            self._replaced[lock] = None
        else:
            self._replaced.pop(lock, None)

    def _remove(self, lock: HeldLock) -> None:
        del self._lost[lock], self._came[lock]
        self._replaced.pop(lock, None)
        for group in _groups_of(lock):
            del self._groups[group][lock]
            if not self._groups[group]:
                del self._groups[group]

    def of(self, session: SessionId) -> list[HeldLock]:
        """What a session has lost."""
        return list(self._groups.get(session, ()))

    def at(self, path: LockPath) -> list[HeldLock]:
        """What was lost of a path, by whomever."""
        return list(self._groups.get(path, ()))

    def is_at(self, session: SessionId, project: ProjectId, key: str) -> bool:
        """Whether a session has lost a path, or the pattern that is written like it."""
        found = (*self.at((project, key, False)), *self.at((project, key, True)))
        return any(lock.session == session for lock in found)

    def covering(self, session: SessionId, project: ProjectId, key: str) -> list[HeldLock]:
        """What a session has lost that held a path, by itself or by its pattern."""
        files = (lock for lock in self.at((project, key, False)) if lock.session == session)
        patterns = self._groups.get((session, True), ())
        return self._in_order(k for k in (*files, *patterns) if k.covers(project, key))

    def perhaps_replaced(self, path: LockPath) -> list[HeldLock]:
        """In place of which their holders may have more, with a grant of a path.

        Of other paths only those of which that is known.
        """
        return self._in_order({**self._groups.get(path, {}), **self._replaced})

    def _in_order(self, locks: Iterable[HeldLock]) -> list[HeldLock]:
        return sorted(locks, key=self._came.__getitem__)

    def stood_at(self, session: SessionId) -> list[float]:
        """When each of these was last known to stand."""
        return [self._lost[lock].stood_at for lock in self.of(session)]

    def away_s(self, lock: HeldLock, now: float) -> float:
        """How long ago its lease was known to stand."""
        return now - self._lost[lock].stood_at if lock in self._lost else 0.0

    def went_with_lease(self, lock: HeldLock) -> bool:
        """Whether its lease is over; else it was taken away while that stood."""
        return lock in self._lost and self._lost[lock].with_lease

    def is_asked_for(self, lock: HeldLock) -> bool:
        """Whether a grant is one that was lost, of which is asked what became of it."""
        lost = (one for one in self.at(lock.path) if one.session == lock.session)
        return any(one.token == lock.token for one in lost)

    def was_replaced(self, lock: HeldLock) -> bool:
        """Whether its holder was granted more in place of it, and wants it no more."""
        return lock in self._lost and self._lost[lock].replaced

    def __contains__(self, lock: HeldLock) -> bool:
        return lock in self._lost

    def __iter__(self) -> Iterator[HeldLock]:
        return iter(tuple(self._lost))


def _groups_of(lock: HeldLock) -> tuple[_Group, ...]:
    return lock.session, lock.path, (lock.session, lock.is_pattern)
