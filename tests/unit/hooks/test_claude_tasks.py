"""Claude Code's task list, read from the events of its tools as they were recorded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoord_hooks import claude_code
from scoord_hooks.claude_tasks import MOST_STEPS, TASK_TOOLS, steps_of
from scoord_hooks.neutral import EventKind, HookEvent, Step, Steps, StepState

COMMON = {"session_id": "0f6b", "cwd": "/repo", "hook_event_name": "PostToolUse"}


def parse(tool: str, asked: object, answer: object = None, **more: object) -> HookEvent:
    body = {**COMMON, "tool_name": tool, "tool_input": asked, "tool_response": answer, **more}
    return claude_code.parse("PostToolUse", body)


def todo(content: str, status: str, doing: str = "") -> dict[str, str]:
    return {"content": content, "status": status, "activeForm": doing}


def test_a_written_list_is_all_there_is() -> None:
    todos = [
        todo("Write", "completed"),
        todo("Test", "in_progress", "Testing"),
        todo("x", "pending"),
    ]
    event = parse("TodoWrite", {"todos": todos})

    assert EventKind.PROGRESS == event.kind
    assert event.steps == Steps(
        (
            Step("0", StepState.DONE, "Write"),
            Step("1", StepState.ACTIVE, "Test", "Testing"),
            Step("2", StepState.PENDING, "x"),
        ),
        whole=True,
    )


def test_an_empty_list_is_a_list() -> None:
    assert parse("TodoWrite", {"todos": []}).steps == Steps((), whole=True)


def test_a_subagents_written_list_is_its_own() -> None:
    todos = {"todos": [todo("Write", "completed")]}

    assert EventKind.OTHER == parse("TodoWrite", todos, agent_id="a1").kind


def test_a_created_task_is_a_step_to_do() -> None:
    asked = {"subject": "one", "description": "d1", "activeForm": "doing one"}
    event = parse("TaskCreate", asked, {"task": {"id": "1", "subject": "one"}})

    assert event.steps == Steps((Step("1", StepState.PENDING, "one", "doing one"),))


@pytest.mark.parametrize(
    ("asked", "step"),
    [
        ({"taskId": "1", "status": "in_progress"}, Step("1", StepState.ACTIVE)),
        ({"taskId": "1", "status": "completed"}, Step("1", StepState.DONE)),
        ({"taskId": "2", "status": "deleted"}, Step("2", StepState.GONE)),
        ({"taskId": 3, "subject": "new"}, Step("3", None, "new")),
    ],
)
def test_an_updated_task_says_what_changed(asked: dict[str, object], step: Step) -> None:
    assert parse("TaskUpdate", asked, {"success": True}, agent_id="a1").steps == Steps((step,))


def test_an_update_that_failed_says_nothing() -> None:
    asked = {"taskId": "9", "status": "completed"}

    assert parse("TaskUpdate", asked, {"success": False, "error": "Task not found"}).steps is None


def test_a_listing_tells_every_task() -> None:
    tasks = [
        {"id": "1", "subject": "one", "status": "completed", "blockedBy": []},
        {"id": "2", "subject": "two", "status": "in_progress", "blockedBy": []},
    ]
    event = parse("TaskList", {}, {"tasks": tasks})

    assert event.steps == Steps(
        (Step("1", StepState.DONE, "one"), Step("2", StepState.ACTIVE, "two")), whole=True
    )


@pytest.mark.parametrize("tool", TASK_TOOLS)
def test_before_it_is_done_a_task_tool_says_nothing(tool: str) -> None:
    body = {**COMMON, "hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": {}}

    assert EventKind.OTHER == claude_code.parse("PreToolUse", body).kind


@pytest.mark.parametrize(
    ("tool", "asked", "answer"),
    [
        ("TodoWrite", None, None),
        ("TodoWrite", {"todos": "all"}, None),
        ("TodoWrite", {"todos": [todo("a", "completed"), "b"]}, None),
        ("TodoWrite", {"todos": [todo("a", "someday")]}, None),
        ("TodoWrite", {"todos": [{"content": 7, "status": "pending"}]}, None),
        ("TodoWrite", {"todos": [todo("a", "pending")] * (MOST_STEPS + 1)}, None),
        ("TaskCreate", {"subject": "one"}, None),
        ("TaskCreate", {"subject": "one"}, {"task": {"id": "1" * 500}}),
        ("TaskUpdate", {"status": "completed"}, {"success": True}),
        ("TaskUpdate", {"taskId": True, "status": "completed"}, {}),
        ("TaskUpdate", {"taskId": "1\ud83d", "status": "completed"}, {}),
        ("TaskUpdate", {"taskId": "1", "status": ["completed"]}, {}),
        ("TaskList", {}, {"tasks": [{"id": "1", "status": 3}]}),
        ("TaskList", {}, "2 tasks"),
    ],
)
def test_what_has_another_form_is_passed_over(tool: str, asked: object, answer: object) -> None:
    event = parse(tool, asked, answer)

    assert (EventKind.OTHER, None) == (event.kind, event.steps)


def test_a_text_that_is_huge_is_cut() -> None:
    event = parse("TodoWrite", {"todos": [todo("x" * 100_000, "pending", "y" * 100_000)]})

    assert event.steps is not None
    (step,) = event.steps.steps
    assert len(step.subject) + len(step.doing) <= 1_000


def test_half_a_character_is_one_that_can_be_written_down() -> None:
    event = parse("TodoWrite", {"todos": [todo("do \ud83d", "pending", "doing \udd00")]})

    assert event.steps == Steps((Step("0", StepState.PENDING, "do ?", "doing ?"),), whole=True)


ANY_TEXT = st.text(st.characters(codec=None), max_size=5)
"""Halves of surrogate pairs, too."""

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["todos", "tasks", "task", "id", "taskId", "status", "subject"]),
            inner | st.sampled_from(["completed", "pending"]),
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(TASK_TOOLS), ANY, ANY)
def test_nothing_that_a_task_tool_sends_is_refused(
    tool: str, asked: object, answer: object
) -> None:
    said = steps_of(tool, {"tool_input": asked, "tool_response": answer})

    assert said is None or len(said.steps) <= MOST_STEPS
    for step in said.steps if said else ():
        assert f"{step.key}{step.subject}{step.doing}".encode()
