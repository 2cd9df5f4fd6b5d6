"""A session's work as it is written down for an agent that is restarted. Pure.

Times are left out: they are of a clock that may have begun anew, and so the pace is too.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from scoord.ids import ProjectId, SessionId
from scoord.names import path_key
from scoord_agent.pursuit import Given, Pursuit
from scoord_agent.steps import MOST_STEPS, TaskList
from scoord_agent.work import SAID, TASKS, On, Work
from scoord_hooks.neutral import Step, StepState

_Count = Annotated[int, Field(ge=0, lt=2**31)]


class KeptWork(BaseModel):
    """What is written down. A full disk or a crash may have left anything."""

    model_config = ConfigDict(strict=True, extra="ignore")

    steps: Annotated[list[tuple[str, str, str, str]], Field(max_length=MOST_STEPS)] = []
    percent: Annotated[int, Field(ge=0, le=100)] = 0
    step: str = ""
    source: str = ""
    edits: _Count = 0
    commits: _Count = 0
    edited: list[tuple[str, str]] = []
    areas: list[str] = []
    depends: list[tuple[str, str]] = []
    pursuit: tuple[str, str, str] | None = None


def to_json(work: Work) -> dict[str, Any]:
    """What is to be known of it again."""
    return {
        "steps": [[s.key, s.state, s.subject, s.doing] for s in work.tasks.steps],
        "percent": work.percent,
        "step": work.step,
        "source": work.source,
        "edits": work.edits,
        "commits": work.commits,
        "edited": [[project, shown] for (project, _), shown in work.edited.items()],
        "areas": list(work.areas),
        "depends": [[on.session, on.alias] for on in work.depends.values()],
        "pursuit": _pursued(work.pursuit),
    }


def from_kept(kept: KeptWork) -> Work:
    """The work as far as it was written down."""
    work = Work(percent=kept.percent, step=kept.step, edits=kept.edits, commits=kept.commits)
    work.tasks = TaskList(tuple(_step(*each) for each in kept.steps if each[1] in set(StepState)))
    if kept.source == SAID or (kept.source == TASKS and work.tasks.steps):
        work.source = kept.source
    for project, shown in kept.edited:
        work.edited[ProjectId(project), path_key(shown)] = shown
    for area in kept.areas:
        work.areas[area] = None
    for session, alias in kept.depends:
        work.depends[SessionId(session)] = On(SessionId(session), alias)
    if kept.pursuit:
        project, task_id, title = kept.pursuit
        work.given = (Given(ProjectId(project), task_id, title),)
        work.pursuit = Pursuit(*work.given)
    return work


def _pursued(pursuit: Pursuit | None) -> list[str] | None:
    task = pursuit.task if pursuit else None
    return [task.project, task.task_id, task.title] if task else None


def _step(key: str, state: str, subject: str, doing: str) -> Step:
    return Step(key, StepState(state), subject, doing)
