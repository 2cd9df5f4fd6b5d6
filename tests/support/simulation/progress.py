"""How far a long run is: a line that is written over on a terminal, else one a minute."""

import sys
import time
from dataclasses import dataclass, field

from support.simulation.campaign import Totals

EVERY_S = 60.0
"""How often a run that is written to a file says how far it is."""


def say(line: str) -> None:
    """Print at once: whoever follows a file sees it."""
    print(line, flush=True)


@dataclass
class Progress:
    """Of how many valid histories, and since when."""

    wanted: int
    begun_at: float = field(default_factory=time.monotonic)
    _said_at: float = 0.0

    def show(self, totals: Totals) -> None:
        """Say how far it is, if it is time."""
        now = time.monotonic()
        if sys.stdout.isatty():
            print(f"\r{self.line(totals)}", end="", flush=True)
        elif now - self._said_at >= EVERY_S:
            self._said_at = now
            say(self.line(totals))

    def line(self, totals: Totals) -> str:
        """How many are done, how fast, and what was found."""
        rate = totals.histories / (time.monotonic() - self.begun_at)
        done = f"{totals.valid}/{self.wanted} valid histories, {rate:.1f} a second"
        return (
            f"{done}, {len(totals.invalid)} invalid ones, {len(totals.violations)} with violations"
        )
