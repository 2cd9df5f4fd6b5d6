import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoord.errors import InvalidRequest
from scoord.ids import AgentId
from scoord_hooks import claude_code
from scoord_hooks.adapters import adapter
from scoord_hooks.neutral import ALLOW, Decision, EventKind, HookEvent, Verdict

COMMON = {"session_id": "0f6b", "cwd": "/repo/src", "transcript_path": "/home/a/t.jsonl"}


def event(name: str, **fields: object) -> dict[str, object]:
    return {**COMMON, "hook_event_name": name, **fields}


def tool_event(name: str, tool: str, **arguments: object) -> dict[str, object]:
    return event(name, tool_name=tool, tool_input=arguments, tool_use_id="toolu_1")


EDITS = [
    ("Edit", "file_path"),
    ("Write", "file_path"),
    ("MultiEdit", "file_path"),
    ("NotebookEdit", "notebook_path"),
]
KINDS = [("PreToolUse", EventKind.BEFORE_EDIT), ("PostToolUse", EventKind.AFTER_EDIT)]


@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("path", ["/repo/auth.py", "auth.py", "../a b/ü.py", "-rf", "$(touch x)"])
@pytest.mark.parametrize("agent_id", ["", "a4d2c8"])
def test_every_edit_names_its_file_as_the_tool_got_it(
    name: str, kind: EventKind, edit: tuple[str, str], path: str, agent_id: str
) -> None:
    tool, field = edit
    body = tool_event(name, tool, **{field: path}) | ({"agent_id": agent_id} if agent_id else {})
    assert claude_code.parse(name, body) == HookEvent(
        client="claude-code",
        kind=kind,
        name=name,
        client_session_id="0f6b",
        cwd="/repo/src",
        agent_id=AgentId(agent_id),
        paths=(path,),
    )


@pytest.mark.parametrize("tool", ["Bash", "Read", "mcp__memory__write", "Edits", "TaskCreate"])
def test_a_tool_that_edits_no_file_gives_an_event_without_paths(tool: str) -> None:
    parsed = claude_code.parse("PreToolUse", tool_event("PreToolUse", tool, file_path="/repo/a"))
    assert (parsed.kind, parsed.paths) == (EventKind.OTHER, ())


@pytest.mark.parametrize(
    ("name", "fields", "kind", "prompt", "reason"),
    [
        ("SessionStart", {"source": "clear"}, EventKind.SESSION_START, "", "clear"),
        ("SessionEnd", {"reason": "other"}, EventKind.SESSION_END, "", "other"),
        ("UserPromptSubmit", {"prompt": "Fix\nit"}, EventKind.PROMPT, "Fix\nit", ""),
        ("UserPromptSubmit", {"prompt": "/sc:session-unlock a"}, EventKind.PROMPT, "", ""),
        ("Stop", {"stop_hook_active": False}, EventKind.TURN_END, "", ""),
        ("StopFailure", {"error": "rate_limit"}, EventKind.TURN_END, "", ""),
        ("StopFailure", {"agent_id": "a4"}, EventKind.SUBAGENT_END, "", ""),
        ("SubagentStop", {"agent_id": "a4"}, EventKind.SUBAGENT_END, "", ""),
        ("Notification", {"message": "hi"}, EventKind.OTHER, "", ""),
        ("SomethingOfNextYear", {}, EventKind.OTHER, "", ""),
    ],
)
def test_every_other_event_is_told_by_its_kind(
    name: str, fields: dict[str, object], kind: EventKind, prompt: str, reason: str
) -> None:
    parsed = claude_code.parse(name, event(name, **fields))
    assert (parsed.kind, parsed.prompt, parsed.reason) == (kind, prompt, reason)
    assert parsed.agent_id == fields.get("agent_id", "")


@pytest.mark.parametrize(
    ("name", "fields", "is_alone"),
    [
        ("Stop", {"background_tasks": []}, True),
        ("Stop", {"background_tasks": [{"id": "t1", "type": "subagent"}]}, False),
        ("Stop", {"background_tasks": None}, False),
        ("Stop", {"background_tasks": [], "agent_id": "a4"}, False),
        ("Stop", {}, False),
        ("SubagentStop", {"background_tasks": [], "agent_id": "a4"}, False),
    ],
)
def test_it_is_alone_only_where_it_says_so(
    name: str, fields: dict[str, object], *, is_alone: bool
) -> None:
    assert is_alone == claude_code.parse(name, event(name, **fields)).is_alone


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "session_id is missing or empty"),
        (event("PreToolUse", session_id=""), "tool_name is missing or empty"),
        (tool_event("PreToolUse", "Edit", file_path="/a") | {"session_id": ""}, "session_id is"),
        (tool_event("PreToolUse", "Edit", file_path="/a") | {"cwd": 7}, "cwd must be a string"),
        (tool_event("PreToolUse", "Edit", file_path="/a") | {"cwd": "repo"}, "an absolute path"),
        (tool_event("PreToolUse", "Edit"), "tool_input.file_path is missing or empty"),
        (tool_event("PreToolUse", "Edit", file_path=["/a"]), "tool_input.file_path must be a str"),
        (tool_event("PreToolUse", "NotebookEdit", file_path="/a"), "tool_input.notebook_path is"),
        (event("PreToolUse", tool_name="Edit", tool_input="x"), "tool_input must be an object"),
        (event("PreToolUse", tool_name=3), "tool_name must be a string, not int"),
        (tool_event("PreToolUse", "Edit", file_path="/a") | {"agent_id": {}}, "agent_id must be"),
        (tool_event("PostToolUse", "Edit", file_path="/a"), "hook_event_name is 'PostToolUse'"),
    ],
)
def test_a_body_that_is_wrong_is_refused_with_the_name_of_the_field(
    body: dict[str, object], complaint: str
) -> None:
    if not body:
        body = {"tool_name": "Read"}
    with pytest.raises(InvalidRequest) as refused:
        claude_code.parse("PreToolUse", body)
    assert complaint in refused.value.message
    assert "claude-code PreToolUse event" in refused.value.message
    assert "\n" not in refused.value.message


JSON: st.SearchStrategy[object] = st.sampled_from(
    [None, True, 0, 1.5, "", "x", "/a", "Edit", [], ["Edit"], {}, {"file_path": 1}, {"x": {}}]
)
FIELDS = st.sampled_from(
    ["session_id", "cwd", "tool_name", "tool_input", "agent_id", "prompt", "source", "reason"]
)


@given(
    st.sampled_from(["PreToolUse", "PostToolUse", "SessionStart", "UserPromptSubmit", "Other"]),
    st.dictionaries(FIELDS, JSON),
)
def test_any_json_is_either_read_or_refused(name: str, fields: dict[str, object]) -> None:
    try:
        parsed = claude_code.parse(name, event(name) | fields)
    except InvalidRequest:
        return
    assert parsed.client_session_id
    assert parsed.cwd.startswith("/")


def test_a_refused_edit_is_denied_and_the_model_told_why() -> None:
    decision = Decision(Verdict.DENY, reason="auth.py is locked", notice="Edit blocked")
    assert claude_code.render("PreToolUse", decision) == {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": "auth.py is locked",
        },
        "systemMessage": "Edit blocked",
    }


EVENTS = ["SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop", "SubagentStop"]


@pytest.mark.parametrize("name", [*EVENTS, "SessionEnd", "Notification"])
def test_an_allowed_event_with_nothing_to_say_is_answered_with_nothing(name: str) -> None:
    assert claude_code.render(name, ALLOW) == {}


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("context", ["", "3 other sessions"])
@pytest.mark.parametrize("notice", ["", "hello"])
def test_no_answer_skips_the_permission_prompt(name: str, context: str, notice: str) -> None:
    answer = claude_code.render(name, Decision(context=context, notice=notice))
    assert "permissionDecision" not in json.dumps(answer)


@pytest.mark.parametrize("name", EVENTS[:4])
def test_context_reaches_the_model_from_events_that_have_a_place_for_it(name: str) -> None:
    assert claude_code.render(name, Decision(context="3 other sessions")) == {
        "hookSpecificOutput": {"hookEventName": name, "additionalContext": "3 other sessions"}
    }


@pytest.mark.parametrize("name", ["Stop", "SubagentStop", "SessionEnd"])
def test_the_end_of_a_turn_is_never_made_a_reason_to_go_on(name: str) -> None:
    decision = Decision(Verdict.DENY, reason="locks are held", context="locks are held")
    assert claude_code.render(name, decision) == {"systemMessage": "locks are held"}


@pytest.mark.parametrize("name", ["UserPromptSubmit", "PostToolUse"])
def test_other_events_that_can_be_refused_are_blocked(name: str) -> None:
    answer = claude_code.render(name, Decision(Verdict.DENY, reason="no"))
    assert answer == {"decision": "block", "reason": "no"}


@pytest.mark.parametrize("letter", ["x", "ü", "😀"])
def test_a_long_text_is_cut_at_what_the_cli_takes(letter: str) -> None:
    answer = claude_code.render("PreToolUse", Decision(context=letter * 20_000))
    specific = answer["hookSpecificOutput"]
    assert isinstance(specific, dict)
    told = specific["additionalContext"]
    assert 9_998 <= len(told.encode("utf-16-le")) // 2 <= 10_000
    assert told == letter * (len(told) - 1) + "…"


def test_a_text_that_just_fits_is_not_cut() -> None:
    answer = claude_code.render("SessionEnd", Decision(notice="x" * 10_000))
    assert answer == {"systemMessage": "x" * 10_000}


def test_an_edit_that_cannot_be_read_is_denied() -> None:
    answer = claude_code.refusal("PreToolUse", "cwd is missing")
    specific = answer["hookSpecificOutput"]
    assert isinstance(specific, dict)
    assert specific["permissionDecision"] == "deny"
    assert specific["permissionDecisionReason"] == "cwd is missing"


def test_a_prompt_that_cannot_be_read_goes_on_and_the_person_is_told() -> None:
    answer = claude_code.refusal("UserPromptSubmit", "cwd is missing")
    assert answer == {"systemMessage": "cwd is missing"}


def test_an_adapter_is_found_by_the_name_of_its_cli() -> None:
    body = event("SessionStart", source="startup")
    assert adapter("claude-code").parse("SessionStart", body).client == "claude-code"


def test_an_unknown_cli_is_refused_with_the_names_of_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match=r"'vim'.*known are: claude-code"):
        adapter("vim")
