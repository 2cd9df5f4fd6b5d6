"""The real coordinator, days later or with its sweeps far apart. A program: it is told both.

History is kept for days, which no test can wait for: only what the calendar says is another
day, leases go on by the clock that they are kept on. And a coordinator sweeps so often that
nobody would find anything stale.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from scoord.clock import SystemClock
from scoord_server import main, reaper
from support.ports import free_port
from support.processes import CoordinatorProcess, coordinator

_DAY_MS = 24 * 3600 * 1000


class LaterClock(SystemClock):
    """The clock of this machine, with the calendar so many days later."""

    def __init__(self, days: float) -> None:
        self._later_ms = round(days * _DAY_MS)

    def wall_ms(self) -> int:
        """Milliseconds since 1970, on that day."""
        return super().wall_ms() + self._later_ms


@contextmanager
def odd_coordinator(
    directory: Path,
    *store: str,
    port: int | None = None,
    days: float = 0.0,
    sweep_s: float = reaper.INTERVAL_S,
) -> Iterator[CoordinatorProcess]:
    """A running coordinator, so many days later, with so many seconds between its sweeps."""
    program = ("support.odd_coordinator", str(days), str(sweep_s))
    env = {"PYTHONPATH": str(Path(__file__).parents[1])}
    with coordinator(
        directory, *store, port=port or free_port(), env=env, program=program
    ) as running:
        yield running


if __name__ == "__main__":
    later, sweep_s = LaterClock(float(sys.argv.pop(1))), float(sys.argv.pop(1))
    with (
        patch.object(main, "SystemClock", lambda: later),
        patch.object(reaper, "INTERVAL_S", sweep_s),
    ):
        main.server()
