"""What Claude Code's task list tools say of a session's progress. Pure.

``TodoWrite`` writes the whole list each time; the task tools of later versions change
one task, or tell all. Nothing depends on these events, so what does not have the form
that is known says nothing: it is passed over, never refused.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from scoord_hooks.neutral import Step, Steps, StepState

TASK_TOOLS: Final = ("TodoWrite", "TaskCreate", "TaskUpdate", "TaskList")
"""Tools that change or tell the task list, of any version."""

MOST_STEPS: Final = 500

_MOST_ID: Final = 100
_MOST_TEXT: Final = 500
_STATES: Final[Mapping[object, StepState]] = {
    "pending": StepState.PENDING,
    "in_progress": StepState.ACTIVE,
    "completed": StepState.DONE,
    "deleted": StepState.GONE,
}

_Object = Mapping[str, object]


def steps_of(tool: str, body: _Object) -> Steps | None:
    """Return what a PostToolUse of one of ``TASK_TOOLS`` says; None when it says nothing."""
    asked, answer = _object(body.get("tool_input")), _object(body.get("tool_response"))
    match tool:
        case "TodoWrite":
            # A subagent's list is its own; the later tools share the session's.
            return None if body.get("agent_id") else _whole(_todos(asked.get("todos")))
        case "TaskList":
            return _whole(_tasks(answer.get("tasks")))
        case "TaskCreate":
            return _changed(_created(asked, _object(answer.get("task"))))
        case "TaskUpdate":
            return None if answer.get("success") is False else _changed(_updated(asked))
    return None


def _whole(steps: Iterator[Step | None] | None) -> Steps | None:
    """Say what the list is now; nothing if any of it cannot be read, for its count were wrong."""
    found = list(steps) if steps is not None else [None]
    known = tuple(step for step in found if step is not None)
    return Steps(known, whole=True) if len(known) == len(found) <= MOST_STEPS else None


def _changed(step: Step | None) -> Steps | None:
    return Steps((step,)) if step else None


def _todos(todos: object) -> Iterator[Step | None] | None:
    if not isinstance(todos, list):
        return None
    return (_todo(str(place), _object(todo)) for place, todo in enumerate(todos[: MOST_STEPS + 1]))


def _todo(place: str, todo: _Object) -> Step | None:
    state, subject = _state(todo.get("status")), _text(todo.get("content"))
    if state is None or not subject:
        return None
    return Step(place, state, subject, _text(todo.get("activeForm")))


def _tasks(tasks: object) -> Iterator[Step | None] | None:
    if not isinstance(tasks, list):
        return None
    return (_task(_object(task)) for task in tasks[: MOST_STEPS + 1])


def _task(task: _Object) -> Step | None:
    key, state = _identifier(task.get("id")), _state(task.get("status"))
    return Step(key, state, _text(task.get("subject"))) if key and state else None


def _created(asked: _Object, task: _Object) -> Step | None:
    key, subject = _identifier(task.get("id")), _text(asked.get("subject"))
    if not key or not subject:
        return None
    return Step(key, StepState.PENDING, subject, _text(asked.get("activeForm")))


def _updated(asked: _Object) -> Step | None:
    key, status = _identifier(asked.get("taskId")), asked.get("status")
    state = _state(status)
    if not key or (status is not None and state is None):
        return None
    return Step(key, state, _text(asked.get("subject")), _text(asked.get("activeForm")))


def _object(value: object) -> _Object:
    return value if isinstance(value, Mapping) else {}


def _state(value: object) -> StepState | None:
    return _STATES.get(value) if isinstance(value, str) else None


def _identifier(value: object) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if len(text) <= _MOST_ID and text.isprintable() else ""


def _text(value: object) -> str:
    """A text as it can be written down and sent: half a surrogate pair is no character."""
    return value[:_MOST_TEXT].encode(errors="replace").decode() if isinstance(value, str) else ""
