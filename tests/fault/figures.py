"""How long the promises take, often enough for a 99th percentile.

``make figures`` runs it, as root, on a quiet machine: about 15 minutes. It says each
measurement as it is made, ends with a table, and writes all of it to a JSON file. The
exit code is 1 where a 99th percentile is above its goal.
"""

import argparse
import contextlib
import json
import math
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from support.lab.faults import FAULTS
from support.lab.figures import Figures
from support.lab.lab import Lab, lab
from support.lab.network import missing
from support.lab.promises import PROMISES, Promise
from support.lab.run import run
from support.processes import end_on_signals

HOOK_GOAL_S = 2.5
_SAY_EVERY_S = 0.2
_SAY_EVERY = 20
"""What takes less than that is said only so often."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One promise, and the seconds that its occurrences took."""

    name: str
    goal_s: float
    seconds: tuple[float, ...]

    def percentile(self, share: float) -> float:
        """The smallest that so many were not above (nearest rank)."""
        return sorted(self.seconds)[max(0, math.ceil(share * len(self.seconds)) - 1)]

    @property
    def is_kept(self) -> bool:
        """Whether the 99th percentile is within the goal."""
        return self.percentile(0.99) <= self.goal_s

    def cells(self) -> tuple[str, ...]:
        """It as a row of the table."""
        shown = (f"{self.percentile(share):.3f}" for share in (0.5, 0.99, 1.0))
        return (self.name, str(len(self.seconds)), *shown, f"{self.goal_s:g}")

    def as_json(self) -> dict[str, object]:
        """It as a value for programs."""
        shares = {"p50_s": 0.5, "p99_s": 0.99, "max_s": 1.0}
        shown = {name: round(self.percentile(share), 4) for name, share in shares.items()}
        samples = [round(value, 4) for value in self.seconds]
        head = {"name": self.name, "goal_s": self.goal_s, "kept": self.is_kept}
        return head | {"runs": len(samples)} | shown | {"seconds": samples}


@contextlib.contextmanager
def a_lab() -> Iterator[Lab]:
    """A lab of its own, so that no measurement meets what another left."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="scoord-figures-"))
        running = stack.enter_context(lab(Path(folder)))
        running.check_health()
        yield running


def measure(promise: Promise, scale: float) -> Measured:
    """One promise, in as many runs as it wants."""
    runs = max(1, round(promise.runs * scale))
    seconds: list[float] = []
    with a_lab() as running, contextlib.closing(promise.measure(running)) as measured:
        for took_s in islice(measured, runs):
            seconds.append(took_s)
            if took_s > _SAY_EVERY_S or len(seconds) % _SAY_EVERY == 0:
                say(f"{promise.name}: {len(seconds)} of {runs}: {took_s:.3f} s")
    return Measured(promise.name, promise.goal_s, tuple(seconds))


def measure_hooks() -> Measured:
    """Every hook of a load under every fault, one fault after the other."""
    seconds: list[float] = []
    with a_lab() as running:
        for number, fault in enumerate(FAULTS, 1):
            if reason := fault.available():
                say(f"left out: {fault.name}: {reason}")
                continue
            hooks = run(running, fault, Figures()).hooks
            seconds += [hook.took_s for hook in hooks]
            longest_s = max(hook.took_s for hook in hooks)
            say(f"{number} of {len(FAULTS)}, {fault.name}: {len(hooks)} hooks, {longest_s:.3f} s")
    return Measured("a hook, under every fault", HOOK_GOAL_S, tuple(seconds))


def say(what: str) -> None:
    """Say where it stands."""
    print(what, flush=True)


def write(found: Sequence[Measured], to: Path) -> None:
    """Print the table; keep all of it in a file."""
    head = ("promise", "runs", "p50 s", "p99 s", "max s", "goal s")
    for cells in (head, ("---",) * len(head), *(one.cells() for one in found)):
        say(f"| {' | '.join(cells)} |")
    promises = [one.as_json() for one in found]
    to.write_text(json.dumps({"machine": platform.platform(), "promises": promises}, indent=1))
    say(f"all of it: {to}")


def main() -> int:
    """Measure everything, or what was named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="promises whose name holds this")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the runs")
    parser.add_argument("--json", type=Path, default=Path("figures.json"))
    given = parser.parse_args()
    end_on_signals()
    if reason := missing():
        sys.exit(f"error: {reason}")
    found = [measure(promise, given.scale) for promise in PROMISES if given.only in promise.name]
    if given.only in "a hook, under every fault":
        found.append(measure_hooks())
    write(found, given.json)
    return 0 if all(one.is_kept for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
