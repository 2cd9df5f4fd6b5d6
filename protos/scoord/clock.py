"""Time as a parameter.

Deadlines are kept on a clock that counts suspend: a laptop that slept past its
lease must not wake up believing in it. On Linux that is ``CLOCK_BOOTTIME``
(``CLOCK_MONOTONIC`` stops in suspend); on macOS ``CLOCK_MONOTONIC`` counts it.
Wall-clock time is for people to read. It decides nothing about who may have a lock; only
how old something is that was kept before this process began.
"""

import time
from typing import Protocol

_SUSPEND_COUNTING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What time it is."""

    def now(self) -> float:
        """Seconds on a clock that never steps back and counts suspend."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970, for display and for the age of what is kept."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Seconds since boot, suspend included."""
        return time.clock_gettime(_SUSPEND_COUNTING)

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, now: float = 1_000.0, wall_ms: int = 1_700_000_000_000) -> None:
        self._now = now
        self._wall_ms = wall_ms

    def now(self) -> float:
        """Seconds, as set."""
        return self._now

    def wall_ms(self) -> int:
        """Milliseconds, as set."""
        return self._wall_ms

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._now += seconds
        self._wall_ms += round(seconds * 1000)
