"""What a run measured, for the one who reads it."""

from dataclasses import dataclass, field

_FAULT_HEAD = ("fault", "longest hook s", "healed after s", "free after end s", "hooks meanwhile")


@dataclass
class Figures:
    """Rows of two tables: by fault, and by promise."""

    faults: list[tuple[str, ...]] = field(default_factory=list)
    promises: list[tuple[str, ...]] = field(default_factory=list)

    def fault(
        self, name: str, longest_s: float, healed_s: float, freed_s: float, hooks: int
    ) -> None:
        """What one fault cost."""
        seconds = (f"{value:.2f}" for value in (longest_s, healed_s, freed_s))
        self.faults.append((name, *seconds, str(hooks)))

    def promise(self, name: str, measured: list[float], goal_s: float) -> None:
        """What was measured for a promise: all samples are seconds."""
        ordered = sorted(measured)
        shown = (f"{ordered[len(ordered) // 2]:.3f}", f"{ordered[-1]:.3f}")
        self.promises.append((name, str(len(ordered)), *shown, f"{goal_s:g}"))

    def lines(self) -> list[str]:
        """Both tables, as Markdown."""
        return [
            *_table(("promise", "runs", "median s", "longest s", "goal s"), self.promises),
            *_table(_FAULT_HEAD, self.faults),
        ]


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    lines = [head, tuple("---" for _ in head), *rows]
    return ["", *(f"| {' | '.join(cells)} |" for cells in lines)]
