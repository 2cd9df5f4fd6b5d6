"""How long the start of a session takes, and how much it is told, among many others.

    .venv/bin/python bench/welcome.py [--sessions 200] [--tasks 300] [--rounds 20] [--json]

A real coordinator on its embedded store, a real agent, and starts posted as a hook does,
in a clone of this repository with its history, of which areas and tasks are suggested.
Every round takes one of another clone as well, where nobody else is: that is the floor.
The first start is timed apart: no work is named before the repository is read.
Exit code 1 when a start takes more than 4 times its floor at p50, is told more than 20
lines, or when none is suggested any work.
"""

import asyncio
import json
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from measure import Ratio, Samples  # noqa: E402 (found only now)
from support.crowd import gather_crowd  # noqa: E402
from support.machines import Machine, clone  # noqa: E402
from support.pair import ORIGIN, pair  # noqa: E402

MOST_TIMES = 4.0
"""Of what a start takes where nobody else is."""
MOST_LINES = 20


def main() -> int:
    """Measure, print, judge."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        starts, alone, told = measure(
            Path(directory), options.sessions, options.rounds, tasks=options.tasks
        )
    lines = max(len(text.splitlines()) for text in told)
    suggested = sum("Suggestion, " in text for text in told[1:])
    first_s = starts.values.pop(0)
    ratio = Ratio("start among others / alone", starts.p50_ms, alone.p50_ms, MOST_TIMES)
    found = {
        "sessions": options.sessions,
        "tasks": options.tasks,
        "rounds": options.rounds,
        "first_ms": round(first_s * 1000, 1),
        "p50_ms": round(starts.p50_ms, 1),
        "p95_ms": round(starts.p95_ms, 1),
        "slowest_ms": round(max(starts.values) * 1000, 1),
        "alone_p50_ms": round(alone.p50_ms, 1),
        "ratio": round(ratio.value, 2),
        "allowed": ratio.allowed,
        "lines": lines,
        "suggested": suggested,
    }
    if options.json:
        print(json.dumps(found))
    else:
        print("  ".join(f"{name} {value}" for name, value in found.items()))
    return 0 if ratio.kept and lines <= MOST_LINES and suggested else 1


def measure(
    directory: Path, sessions: int, rounds: int, *, tasks: int
) -> tuple[Samples, Samples, list[str]]:
    """Start one session after the other among ``sessions`` others, with a backlog of ``tasks``.

    Times there, one more than ``rounds``, as the first finds nothing read; times of as many
    where nobody else is; and what those there read.
    """
    starts, alone = Samples("start"), Samples("start alone")
    with pair(directory) as two:
        shop, empty = (_clone(directory, name) for name in ("welcome", "alone"))
        project = two.alice.status(shop)["project"]["id"]
        asyncio.run(gather_crowd(two.coordinator.address, project, sessions))
        titles = [f"round the prices of shelf {number} in the cart" for number in range(tasks)]
        for some in batched(titles):
            added = two.alice.scoord("task", "add", "--each", *some, cwd=shop)
            assert added.returncode == 0, added.stderr
        told = [_start(two.alice, shop, starts)]
        for root in (shop, empty):
            two.alice.scoord("suggest", cwd=root)  # waits until the repository is read
        for _ in range(rounds):
            _start(two.alice, empty, alone)
            told.append(_start(two.alice, shop, starts))
    return starts, alone, told


def _clone(directory: Path, name: str) -> Path:
    return clone(HERE.parent, directory / name, f"{ORIGIN}/{name}")


def _start(machine: Machine, root: Path, samples: Samples) -> str:
    """Time one; what it is told."""
    session, told = machine.session(root), list[str]()
    samples.time(lambda: told.append(session.start()))
    session.end()
    session.kill()
    return told[0]


def batched(titles: list[str]) -> list[list[str]]:
    """As many at once as can be added."""
    return [titles[start : start + 100] for start in range(0, len(titles), 100)]


if __name__ == "__main__":
    sys.exit(main())
