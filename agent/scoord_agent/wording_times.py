"""What people and models read of when something will be done. As ``wording``: pure."""

from scoord.text import age, remaining
from scoord_agent.estimates import Completion, Like

NOT_KNOWN = "not known"

_OF = {
    Like.FILE: "holds of this file",
    Like.ALIKE: "holds of files like it",
    Like.PROJECT: "holds in this project",
}


def completed(found: Completion | None) -> str:
    """``9 min (60 % done)``, ``about 4 min (median of 12 holds of this file, 2 to 9 min)``."""
    if found is None:
        return NOT_KNOWN
    left = remaining(found.left_s)
    exact = left.removeprefix("about ") if found.like is Like.PROGRESS else left
    basis = basis_of(found)
    return exact + (f" ({basis})" if basis else "")


def basis_of(found: Completion | None) -> str:
    """What an estimate rests on, and how sure it is."""
    if found is None:
        return ""
    if found.like is Like.PROGRESS:
        return f"{found.percent} % done" if found.percent else "by its progress"
    spread = _spread(found.low_s, found.high_s)
    return f"median of {found.samples} {_OF[found.like]}, {spread}"


def _spread(low_s: float, high_s: float) -> str:
    """``2 to 9 min``: the unit once, where both have the same."""
    low, high = age(low_s), age(high_s)
    if low == high:
        return low
    number, _, unit = low.partition(" ")
    return f"{number} to {high}" if high.endswith(f" {unit}") else f"{low} to {high}"
