"""``python -m support.simulation``: many histories, or one to look at."""

import argparse
import os
import signal
import sys

from support.simulation import noted
from support.simulation.campaign import (
    FOUND,
    NOT_FOUND,
    WITHIN_SEEDS,
    Totals,
    first_finding,
    run_valid,
    table,
    unproved,
)
from support.simulation.history import simulate
from support.simulation.mutants import BY_NAME
from support.simulation.progress import Progress, say

INTERRUPTED = 130
"""What the command line ends with when it was stopped, as a shell has it."""


def main() -> int:
    """Run what the command line asks for; of many histories 0 only if they are proof."""
    parser = argparse.ArgumentParser(prog="python -m support.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many valid histories")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--mutant", choices=sorted(BY_NAME), default="", help="plant a mistake")
    parser.add_argument("--find", choices=sorted(BY_NAME), help="the first seed that shows it")
    parser.add_argument("--note", action="store_true", help="note the seed that --find finds")
    parser.add_argument("--log", action="store_true", help="print the first seed's history")
    given = parser.parse_args()
    if given.find:
        return _find(given.find, keep=given.note)
    if given.log:
        return _show(given.first, given.mutant)
    return _run(given.first, given.seeds, given.jobs, given.mutant)


def _show(seed: int, mutant: str) -> int:
    if mutant:
        BY_NAME[mutant].plant().__enter__()
    result = simulate(seed)
    print(result.record.text())
    print(f"\nseed {seed}: {len(result.record.violations)} violations; {result.invalid or 'valid'}")
    return 0 if result.passed else 1


def _find(mutant: str, *, keep: bool) -> int:
    """Look for a planted mistake, and print in one line what shows it."""
    finding = first_finding(mutant)
    if finding is None:
        print(f"none of {WITHIN_SEEDS} histories shows that {BY_NAME[mutant].breaks}")
        return NOT_FOUND
    if keep:
        noted.note(mutant, finding.seed)
    print(FOUND, finding)
    return 0


def _run(first: int, wanted: int, jobs: int, mutant: str) -> int:
    """Run them all, whatever is found. Interrupted, sum up what there is."""
    totals, progress = Totals(), Progress(wanted)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    interrupted = False
    try:
        for part in run_valid(first, wanted, jobs, mutant):
            totals.merge(part)
            _show_violations(part, mutant)
            progress.show(totals)
    except KeyboardInterrupt:
        interrupted = True
        say("interrupted; so far:")
    say("")
    table(totals, say)
    say(progress.line(totals))
    if missing := unproved(totals, wanted):
        say(f"not proved: {missing}")
    return INTERRUPTED if interrupted else int(bool(missing))


def _show_violations(part: Totals, mutant: str) -> None:
    for seed, found in sorted(part.violations.items()):
        say("\n  ".join((f"\nseed {seed}:", *found[:3])))
        say(f"replay: {_replay(seed, mutant)}")


def _replay(seed: int, mutant: str) -> str:
    if not mutant:
        return f"make simulate FROM={seed} LOG=1"
    return f"cd tests && python -m support.simulation --log --from {seed} --mutant '{mutant}'"


if __name__ == "__main__":
    sys.exit(main())
