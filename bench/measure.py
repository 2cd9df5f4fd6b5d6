"""Samples, percentiles, ratios, and the table of them."""

import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass
class Samples:
    """Durations of one thing, in seconds."""

    name: str
    values: list[float] = field(default_factory=list)

    def time(self, call: Callable[[], object]) -> None:
        """Add one sample."""
        begun = time.perf_counter()
        call()
        self.values.append(time.perf_counter() - begun)

    async def time_async(self, call: Callable[[], Awaitable[object]]) -> None:
        """Add one sample."""
        begun = time.perf_counter()
        await call()
        self.values.append(time.perf_counter() - begun)

    @property
    def p50_ms(self) -> float:
        """The median."""
        return statistics.median(self.values) * 1000

    @property
    def p95_ms(self) -> float:
        """What 95 of 100 stay under."""
        return statistics.quantiles(self.values, n=20)[-1] * 1000


@dataclass(frozen=True)
class Ratio:
    """One promise: what was measured, over its floor, and what is allowed."""

    name: str
    p50_ms: float
    floor_ms: float
    allowed: float

    @property
    def value(self) -> float:
        """How many times the floor."""
        return self.p50_ms / self.floor_ms

    @property
    def kept(self) -> bool:
        """Whether the promise holds."""
        return self.value <= self.allowed


def show(samples: list[Samples], ratios: list[Ratio], *, as_json: bool) -> None:
    """Print everything that was measured."""
    if as_json:
        print(json.dumps(_plain(samples, ratios), indent=2))
        return
    times = Table("what", "n", "p50 ms", "p95 ms", title="One call at a time")
    for sample in samples:
        count = str(len(sample.values))
        times.add_row(sample.name, count, f"{sample.p50_ms:.2f}", f"{sample.p95_ms:.2f}")
    promises = Table("what", "p50 ms", "floor ms", "ratio", "allowed", "", title="Against floors")
    for ratio in ratios:
        numbers = (ratio.p50_ms, ratio.floor_ms, ratio.value, ratio.allowed)
        verdict = "[green]kept[/]" if ratio.kept else "[red]missed[/]"
        promises.add_row(ratio.name, *(f"{number:.2f}" for number in numbers), verdict)
    Console().print(times, promises)


def _plain(samples: list[Samples], ratios: list[Ratio]) -> dict[str, object]:
    return {
        "samples": [
            {"name": s.name, "n": len(s.values), "p50_ms": s.p50_ms, "p95_ms": s.p95_ms}
            for s in samples
        ],
        "ratios": [
            {"name": r.name, "value": r.value, "allowed": r.allowed, "kept": r.kept} for r in ratios
        ],
    }
