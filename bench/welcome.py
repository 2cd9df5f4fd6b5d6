"""How long the start of a session takes, and how much it is told, among many others.

    python bench/welcome.py [--sessions 200] [--rounds 20] [--json]

A real coordinator on its embedded store, a real agent, and starts posted as a hook does.
Exit code 1 when a start takes longer than 500 ms or is told more than 20 lines.
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
from support.pair import clones, pair  # noqa: E402

MOST_MS = 500.0
MOST_LINES = 20


def main() -> int:
    """Measure, print, judge."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        starts, lines = measure(Path(directory), options.sessions, options.rounds)
    slowest_ms = max(starts.values) * 1000
    found = {
        "sessions": options.sessions,
        "p50_ms": round(starts.p50_ms, 1),
        "p95_ms": round(starts.p95_ms, 1),
        "slowest_ms": round(slowest_ms, 1),
        "lines": lines,
    }
    if options.json:
        print(json.dumps(found))
    else:
        print("  ".join(f"{name} {value}" for name, value in found.items()))
    return 0 if slowest_ms <= MOST_MS and lines <= MOST_LINES else 1


def measure(directory: Path, sessions: int, rounds: int) -> tuple[Samples, int]:
    """Start one session after the other among ``sessions`` others; times, and the most lines."""
    samples, most = Samples("start"), 0
    with pair(directory) as two:
        team = clones(directory, {"a.py": "pass\n"})
        project = two.alice.status(team.alices)["project"]["id"]
        asyncio.run(gather_crowd(two.coordinator.address, project, sessions))
        for _ in range(rounds):
            session = two.alice.session(team.alices)
            begun = time.perf_counter()
            told = session.start()
            samples.values.append(time.perf_counter() - begun)
            most = max(most, len(told.splitlines()))
            session.end()
            session.kill()
    return samples, most


if __name__ == "__main__":
    sys.exit(main())
