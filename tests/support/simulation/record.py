"""What happened in one history: a log, counts, and violations."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from support.simulation.loop import VirtualLoop


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
