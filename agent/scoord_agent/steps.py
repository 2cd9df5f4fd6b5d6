"""A session's task list, as its coding CLI tells it bit by bit. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from scoord_hooks.neutral import Step, Steps, StepState

MOST_STEPS: Final = 1_000
"""A list that goes on for ever is followed so far."""


@dataclass(frozen=True, slots=True)
class TaskList:
    """The steps that are known, in the order in which they were told."""

    steps: tuple[Step, ...] = ()

    def told(self, said: Steps) -> "TaskList":
        """The list after an event that says so of it."""
        known = {step.key: step for step in self.steps}
        if said.whole:
            return TaskList(tuple(_merged(known.get(step.key), step) for step in said.steps))
        for step in said.steps:
            known[step.key] = _merged(known.get(step.key), step)
        return TaskList(tuple(_standing(known.values()))[:MOST_STEPS])

    @property
    def total(self) -> int:
        """How many steps there are."""
        return len(self.steps)

    @property
    def done(self) -> int:
        """How many of them are done."""
        return sum(step.state is StepState.DONE for step in self.steps)

    @property
    def current(self) -> str:
        """What is done now, in its own words; empty when nothing is."""
        active = (step for step in self.steps if step.state is StepState.ACTIVE)
        step = next(active, None)
        return (step.doing or step.subject) if step else ""


def _merged(known: Step | None, said: Step) -> Step:
    """What is said, and what was known of the rest. Lists are told without what is doing."""
    if known is None:
        return said if said.state else replace(said, state=StepState.PENDING)
    same = not said.subject or said.subject == known.subject
    return Step(
        said.key,
        said.state or known.state,
        said.subject or known.subject,
        said.doing or (known.doing if same else ""),
    )


def _standing(steps: Iterable[Step]) -> Iterable[Step]:
    return (step for step in steps if step.state is not StepState.GONE)
