"""How long work will take yet, by the pace of what is done of it. Pure.

It rests on when steps were finished, in seconds of work: time in which a session waits
for its person does not count. With less than two such times nobody can tell.
"""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LEAST_SAMPLES: Final = 2
MOST_MARKS: Final = 50


@dataclass(frozen=True, slots=True)
class Mark:
    """So much was done then. The first of a series is where it began."""

    worked_s: float
    done: int


@dataclass(frozen=True, slots=True)
class Left:
    """What is left: in the middle, and if it goes as one time in four; and what that rests on."""

    middle_s: float
    low_s: float
    high_s: float
    samples: int


def marked(marks: Sequence[Mark], worked_s: float, done: int) -> tuple[Mark, ...]:
    """``marks`` with so much done now. Where less is done than before, it is another work."""
    new = Mark(worked_s, done)
    if not marks or done < marks[-1].done:
        return (new,)
    if done == marks[-1].done:
        return tuple(marks)
    return (*marks[-MOST_MARKS + 1 :], new)


def left(marks: Sequence[Mark], total: int, worked_s: float) -> Left | None:
    """What is left of ``total``; None when it cannot be told, all is done, or it is overdue."""
    paces = _paces(marks)
    if len(paces) < LEAST_SAMPLES or marks[-1].done >= total:
        return None
    open_steps = total - marks[-1].done
    since_s = max(0.0, worked_s - marks[-1].worked_s)
    if since_s > max(paces):
        # The step that is under way takes longer than any before it: it is a sample, too.
        paces.append(since_s)
    low, middle, high = statistics.quantiles(paces, n=4, method="inclusive")
    if _remaining(open_steps, middle, since_s) <= 0.0:
        return None
    return Left(
        middle_s=_remaining(open_steps, middle, since_s),
        low_s=_remaining(open_steps, low, since_s),
        high_s=_remaining(open_steps, high, since_s),
        samples=len(paces),
    )


def _paces(marks: Sequence[Mark]) -> list[float]:
    """Seconds for one step, between each two marks; steps finished at once share the time."""
    return [
        (now.worked_s - before.worked_s) / (now.done - before.done)
        for before, now in itertools.pairwise(marks)
    ]


def _remaining(open_steps: int, pace_s: float, since_s: float) -> float:
    """Of the step that is under way, what it takes less what it has taken."""
    return open_steps * pace_s - min(since_s, pace_s)
