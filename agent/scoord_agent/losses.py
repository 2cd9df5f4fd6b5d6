"""Locks that were lost, for as long as nobody knows what became of each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from scoord.ids import SessionId
from scoord_agent.held_lock import HeldLock

_KEEPS_BACK = 2
"""How often the question for one lock may fail before others wait for it no more."""


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
    """Those of all sessions of this machine."""

    def __init__(self) -> None:
        self._lost: dict[HeldLock, _Loss] = {}

    def note(self, lock: HeldLock, stood_at: float, *, replaced: bool) -> None:
        """It is lost, and its session's lease was known to stand then."""
        self._lost[lock] = _Loss(stood_at, replaced=replaced)

    def note_replaced(self, lock: HeldLock) -> None:
        """Its holder has more now, and misses nothing but how it ended: it may have been broken."""
        self._lost[lock] = replace(self._lost.pop(lock), replaced=True)

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
        return self._lost.pop(lock, None) is not None

    def of(self, session: SessionId) -> list[HeldLock]:
        """What a session has lost."""
        return [lock for lock in self if lock.session == session]

    def stood_at(self, session: SessionId) -> list[float]:
        """When each of these was last known to stand."""
        return [self._lost[lock].stood_at for lock in self.of(session)]

    def away_s(self, lock: HeldLock, now: float) -> float:
        """How long ago its lease was known to stand."""
        return now - self._lost[lock].stood_at if lock in self._lost else 0.0

    def went_with_lease(self, lock: HeldLock) -> bool:
        """Whether its lease is over; else it was taken away while that stood."""
        return lock in self._lost and self._lost[lock].with_lease

    def was_replaced(self, lock: HeldLock) -> bool:
        """Whether its holder was granted more in place of it, and wants it no more."""
        return lock in self._lost and self._lost[lock].replaced

    def __iter__(self) -> Iterator[HeldLock]:
        return iter(tuple(self._lost))
