"""How long the start of a session takes, and how much it is told, among many others.

    .venv/bin/python bench/welcome.py [--sessions 200] [--tasks 300] [--rounds 20] [--json]

A real coordinator on its embedded store, a real agent, and starts posted as a hook does,
in a clone of this repository with its history, of which areas and tasks are suggested.
The first start there is timed apart: no work is named before the repository is read.
Exit code 1 when a start takes longer than 500 ms or is told more than 20 lines, or when
none is suggested any work.
"""

import asyncio
import json
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from measure import Samples  # noqa: E402 (found only now)
from support.crowd import gather_crowd  # noqa: E402
from support.machines import Machine, clone  # noqa: E402
from support.pair import ORIGIN, pair  # noqa: E402

MOST_MS = 500.0
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
        starts, told = measure(
            Path(directory), options.sessions, options.rounds, tasks=options.tasks
        )
    lines = max(len(text.splitlines()) for text in told)
    suggested = sum("Suggestion, " in text for text in told[1:])
    first_s = starts.values.pop(0)
    slowest_ms = max(first_s, *starts.values) * 1000
    found = {
        "sessions": options.sessions,
        "tasks": options.tasks,
        "rounds": options.rounds,
        "first_ms": round(first_s * 1000, 1),
        "p50_ms": round(starts.p50_ms, 1),
        "p95_ms": round(starts.p95_ms, 1),
        "slowest_ms": round(slowest_ms, 1),
        "lines": lines,
        "suggested": suggested,
    }
    if options.json:
        print(json.dumps(found))
    else:
        print("  ".join(f"{name} {value}" for name, value in found.items()))
    return 0 if slowest_ms <= MOST_MS and lines <= MOST_LINES and suggested else 1


def measure(
    directory: Path, sessions: int, rounds: int, *, tasks: int
) -> tuple[Samples, list[str]]:
    """Start one session after the other among ``sessions`` others, with a backlog of ``tasks``.

    Times, and what they read; one more than ``rounds``, as the first finds nothing read.
    """
    samples, told = Samples("start"), list[str]()
    with pair(directory) as two:
        shop = clone(HERE.parent, directory / "shop", f"{ORIGIN}/welcome")
        project = two.alice.status(shop)["project"]["id"]
        asyncio.run(gather_crowd(two.coordinator.address, project, sessions))
        titles = [f"round the prices of shelf {number} in the cart" for number in range(tasks)]
        for some in batched(titles):
            added = two.alice.scoord("task", "add", "--each", *some, cwd=shop)
            assert added.returncode == 0, added.stderr
        _start(two.alice, shop, samples, told)
        two.alice.scoord("suggest", cwd=shop)  # waits until the repository is read
        for _ in range(rounds):
            _start(two.alice, shop, samples, told)
    return samples, told


def _start(machine: Machine, root: Path, samples: Samples, told: list[str]) -> None:
    session = machine.session(root)
    begun = time.perf_counter()
    told.append(session.start())
    samples.values.append(time.perf_counter() - begun)
    session.end()
    session.kill()


def batched(titles: list[str]) -> list[list[str]]:
    """As many at once as can be added."""
    return [titles[start : start + 100] for start in range(0, len(titles), 100)]


if __name__ == "__main__":
    sys.exit(main())
