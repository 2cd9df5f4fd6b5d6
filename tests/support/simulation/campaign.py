"""Many histories: run, summed up, and spread over processes."""

import gc
import multiprocessing
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field

from support.simulation import noted
from support.simulation.faults import FAULTS
from support.simulation.history import Result, simulate
from support.simulation.mutants import BY_NAME, Mutant
from support.simulation.record import CRASH, Violation

CHUNK = 10

WITHIN_SEEDS = 800
"""In how many histories a planted mistake is to be found."""

FOUND = "found:"
"""What the command line begins its line with where a planted mistake is found."""

NOT_FOUND = 3
"""What the command line ends with when none of them shows it; 1 is a crash, too."""


FLOORS: Mapping[str, float] = {
    "hooks": 100,
    "contended": 15,
    "grants": 10,
    "allowed by lock": 10,
    "waits": 5,
    "served in turn": 1,
    "reports": 1,
    "shared": 0.5,
    "patterns": 0.3,
    "reclaims": 0.05,
    "command: unlock": 8,
    "command: lock": 1.5,
    "command: break": 1.5,
    "command: wait": 0.8,
    "command: leave": 0.2,
    "second project: edits": 1.5,
    "second project: edits of both": 0.4,
    "second project: sessions": 0.7,
    "second project: one lease": 0.7,
    **{f"fault: {fault.name}": 0.1 for fault in FAULTS},
}
"""How often each happens in a valid history, on average and at least: about a third of what it
does. What is broken for good, so that it never does anything, is not to vanish unseen."""

TELLING = 300
"""In so many valid histories it is no chance when something hardly ever happens."""


@dataclass
class Totals:
    """What many histories came to; the valid ones, where nothing else is said."""

    histories: int = 0
    counts: "Counter[str]" = field(default_factory=Counter)
    faults: "Counter[str]" = field(default_factory=Counter)
    gaps: "Counter[str]" = field(default_factory=Counter)
    invalid: dict[int, str] = field(default_factory=dict)
    """By seed: why the history proves nothing."""
    violations: dict[int, list[str]] = field(default_factory=dict)
    """By seed: the promises that were broken."""

    @property
    def valid(self) -> int:
        """How many of them prove something."""
        return self.histories - len(self.invalid)

    @property
    def too_seldom(self) -> dict[str, int]:
        """What hardly ever happened: it proves nothing of that."""
        faults = {f"fault: {name}": times for name, times in self.faults.items()}
        times = self.counts | Counter(faults)
        return {
            what: times[what] for what, least in FLOORS.items() if times[what] < least * self.valid
        }

    def add(self, result: Result) -> None:
        """Count one history."""
        record = result.record
        self.histories += 1
        if result.invalid and not record.violations:
            self.invalid[result.seed] = result.invalid
            return
        self.counts += record.counts
        self.faults += record.faults
        self.gaps += record.gaps
        if record.violations:
            self.violations[result.seed] = [str(found) for found in record.violations]

    def merge(self, other: "Totals") -> None:
        """Count what another process has counted."""
        self.histories += other.histories
        self.counts += other.counts
        self.faults += other.faults
        self.gaps += other.gaps
        self.invalid |= other.invalid
        self.violations |= other.violations


def run_seeds(seeds: Sequence[int], mutant: str = "") -> Totals:
    """Run the histories of ``seeds`` here, with a planted mistake if one is named."""
    totals = Totals()
    _set_modules_aside()
    with BY_NAME[mutant].plant() if mutant else nullcontext():
        for seed in seeds:
            totals.add(simulate(seed))
    return totals


def _set_modules_aside() -> None:
    """What the modules are made of stays: it is not looked at after each history.

    Once only: what a history leaves behind would be kept for ever.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


def run_parallel(seeds: Sequence[int], jobs: int, mutant: str = "") -> Iterator[Totals]:
    """Run them in ``jobs`` processes; yields what each part came to, as it is done."""
    parts = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    with processes(jobs) as pool:
        yield from pool.map(run_seeds, parts, [mutant] * len(parts))


def processes(jobs: int) -> ProcessPoolExecutor:
    """Processes that run histories."""
    # Not a fork: this process may have threads of gRPC.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, _ignore_interrupts)


def run_valid(first: int, wanted: int, jobs: int, mutant: str = "") -> Iterator[Totals]:
    """Run the seeds from ``first`` on until ``wanted`` histories were valid, as ``run_parallel``.

    Where most are not, something else is wrong: it ends after twice as many.
    """
    begin, valid = first, 0
    while valid < wanted and begin < first + 2 * wanted:
        seeds = range(begin, begin + wanted - valid)
        begin = seeds.stop
        for part in run_parallel(seeds, jobs, mutant):
            valid += part.valid
            yield part


def _ignore_interrupts() -> None:
    """Whoever started the processes ends them, when it has what they have done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(frozen=True, slots=True)
class Finding:
    """The history that shows a planted mistake, and what a check said of it."""

    seed: int
    violation: Violation

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.violation.check}"


def first_finding(mutant: str, seeds: Iterable[int] | None = None) -> Finding | None:
    """The first history in which a check that is there for ``mutant`` sees it; None in none.

    Nothing is proved by one that a crash has spoilt, or that breaks a promise without it.
    Without ``seeds`` the one is tried first that showed it when they were last noted.
    """
    _set_modules_aside()
    planted = BY_NAME[mutant]
    for seed in noted.first(mutant, WITHIN_SEEDS) if seeds is None else seeds:
        with planted.plant():
            seen = _seen(simulate(seed), planted)
        if seen and simulate(seed).passed:
            return Finding(seed, seen)
    return None


def _seen(result: Result, mutant: Mutant) -> Violation | None:
    found = result.record.violations
    if any(violation.check == CRASH for violation in found):
        return None
    return next((violation for violation in found if violation.check in mutant.found_by), None)


def unproved(totals: Totals, wanted: int) -> str:
    """Why so many histories do not prove what they are there for; empty when they do."""
    if totals.violations:
        return f"promises are broken in {len(totals.violations)} histories"
    if totals.valid < max(wanted, 1):
        return f"only {totals.valid} of {wanted} histories are valid"
    if totals.valid >= TELLING and totals.too_seldom:
        return f"hardly ever happened: {', '.join(totals.too_seldom)}"
    return ""


def _reasons(totals: Totals) -> list[tuple[str, int]]:
    """Why histories were invalid, without the figures, the most frequent reason first."""
    return Counter(re.sub(r"\d+ ", "", why) for why in totals.invalid.values()).most_common()


def table(totals: Totals, say: Callable[[str], None]) -> None:
    """Say what it all came to."""
    rows = [
        ("valid histories", totals.valid),
        ("besides them, invalid ones", len(totals.invalid)),
        *((f"invalid: {why}", count) for why, count in _reasons(totals)),
        ("operations", totals.counts["hooks"] + totals.counts["commands"]),
        ("grants", totals.counts["grants"]),
        ("edits allowed by a lock", totals.counts["allowed by lock"]),
        ("refusals", totals.counts["contended"]),
        *((f"too seldom: {what}", count) for what, count in totals.too_seldom.items()),
        *((f"fault: {name}", count) for name, count in sorted(totals.faults.items())),
        *((f"known gap: {name}", count) for name, count in sorted(totals.gaps.items())),
        ("violations", len(totals.violations)),
    ]
    for name, count in rows:
        say(f"{name:<48} {count:>9}")
