"""Time as a parameter.

Deadlines are kept on a clock that counts suspend: a laptop that slept past its
lease must not wake up believing in it. On Linux that is ``CLOCK_BOOTTIME``
(``CLOCK_MONOTONIC`` stops in suspend); on macOS ``CLOCK_MONOTONIC`` counts it.
Wall-clock time is for people to read. It decides nothing about who may have a lock; only
how old something is that was kept before this process began.
"""

import time
from pathlib import Path
from typing import Final, Protocol

_SUSPEND_COUNTING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


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


def boot_id() -> str:
    """Return which boot of this machine it is: what is kept of ``now`` holds for one alone.

    Empty where the system does not tell, and then it may be any.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
