"""What people and models read of when something will be done. As ``wording``: pure."""

from typing import Final

from scoord.duration_limits import HEALTHY_AGE_S
from scoord.text import ALL_DONE, age, remaining
from scoord_agent.estimates import Completion, Like

NOT_KNOWN = "not known"
_STALE_S: Final = 2.0
"""A picture that is older than this says so."""

_OF = {
    Like.FILE: "holds of this file",
    Like.ALIKE: "holds of files like it",
    Like.PROJECT: "holds in this project",
}


def completed(found: Completion | None) -> str:
    """``9 min (60 % done)``, ``about 4 min (median of 12 holds of this file, 2 to 9 min)``."""
    basis = basis_of(found)
    return _left(found) + (f" ({basis})" if basis else "")


def how_old(view_age_s: float | None) -> str:
    """That what a coordinator shows is old, and whether that is too old; empty if it is not."""
    if view_age_s is None or view_age_s <= _STALE_S:
        return ""
    cannot = "it cannot read its store: " if view_age_s >= HEALTHY_AGE_S else ""
    return f"{cannot}this picture is {age(view_age_s)} old"


def _left(found: Completion | None) -> str:
    if found is None or found.left_s is None:
        return NOT_KNOWN
    left = remaining(found.left_s)
    return left.removeprefix("about ") if found.like is Like.PROGRESS else left


def basis_of(found: Completion | None) -> str:
    """What an estimate rests on, and how sure it is; how far the holder is, where it tells."""
    if found is None:
        return ""
    if found.like is not Like.PROGRESS:
        spread = _spread(found.low_s, found.high_s)
        by = f"median of {found.samples} {_OF[found.like]}, {spread}"
        return f"{by}; {_far(found)}" if found.percent or found.total else by
    if found.left_s is None:
        return _far(found)
    if found.is_all_done:
        return ALL_DONE
    return f"{found.percent} % done" if found.percent else "by its progress"


def _far(found: Completion) -> str:
    """``2 of 4 steps done``, ``60 % done``."""
    if found.total:
        return f"{found.done} of {found.total} steps done"
    return f"{found.percent} % done"


def _spread(low_s: float, high_s: float) -> str:
    """``2 to 9 min``: the unit once, where both have the same."""
    low, high = age(low_s), age(high_s)
    if low == high:
        return low
    number, _, unit = low.partition(" ")
    return f"{number} to {high}" if high.endswith(f" {unit}") else f"{low} to {high}"
