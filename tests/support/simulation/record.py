"""What happened in one history: a log, counts, and violations."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from support.simulation.loop import VirtualLoop

CRASH = "C0"
"""The check that says that something failed in a way nobody foresaw."""

CHECKS = {
    CRASH: "nothing fails in a way nobody foresaw",
    "C1": "who may edit believes so rightly, and nobody else does",
    "C2": "tokens rise",
    "C3": "the store changes as locks allow, and answers are what it did",
    "C4": "what is lost, and nothing else, is told, and comes back only if nobody else had it",
    "C5": "everybody hears what concerns it, and is served",
    "C6": "what a session has ends with it",
    "C7": "each end is written down, once",
    "C8": "nobody is overtaken",
    "C9": "what slips past is reported, and both sides are told",
    "C10": "who holds what others wait for is told so",
}
"""What the checks are there for."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    check: str
    at_s: float
    what: str

    def __str__(self) -> str:
        return f"{self.check} at {self.at_s:.3f} s: {self.what}"


@dataclass
class Record:
    """The log is kept as tuples; most histories are never printed."""

    loop: VirtualLoop
    lines: list[tuple[object, ...]] = field(default_factory=list)
    counts: "Counter[str]" = field(default_factory=Counter)
    faults: "Counter[str]" = field(default_factory=Counter)
    """Those that did anything."""
    gaps: "Counter[str]" = field(default_factory=Counter)
    """Promises that are known not to be kept yet."""
    violations: list[Violation] = field(default_factory=list)
    is_calm: bool = False
    """Whether the time of trouble is over."""

    def count_in_trouble(self, what: str, times: int) -> None:
        """Count what comes of chance; when all is calm it is done for the checks."""
        if times and not self.is_calm:
            self.counts[what] += times

    def say(self, *words: object) -> None:
        """Add a line."""
        self.lines.append((self.loop.true_s, *words))

    def violate(self, check: str, what: str) -> None:
        """A promise is broken now."""
        self.violations.append(Violation(check, self.loop.true_s, what))
        self.say("VIOLATION", check, what)

    def text(self) -> str:
        """The whole log."""
        return "\n".join(f"{line[0]:10.4f} " + " ".join(map(str, line[1:])) for line in self.lines)

    def digest(self) -> str:
        """The log, in short: the same seed has the same."""
        return hashlib.sha256(self.text().encode()).hexdigest()
