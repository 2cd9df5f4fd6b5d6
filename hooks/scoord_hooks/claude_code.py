"""Claude Code's dialect: its events to ``HookEvent``, a ``Decision`` to its answers. Pure.

Field names follow https://code.claude.com/docs/en/hooks. The adapter looks at the
events that the coordinator acts on; every other one passes as ``EventKind.OTHER``.
"""

import posixpath
from collections.abc import Mapping
from typing import Final

from scoord.errors import InvalidRequest
from scoord.ids import AgentId
from scoord_hooks.claude_tasks import steps_of
from scoord_hooks.neutral import Decision, EventKind, HookEvent, Verdict

CLIENT: Final = "claude-code"

EDIT_TOOLS: Final[Mapping[str, str]] = {
    "Edit": "file_path",
    "Write": "file_path",
    "MultiEdit": "file_path",  # gone from today's tool list, still sent by older versions
    "NotebookEdit": "notebook_path",
}
"""Tools that write a file, each with the input field that names it."""

_KINDS: Final[Mapping[str, EventKind]] = {
    "SessionStart": EventKind.SESSION_START,
    "SessionEnd": EventKind.SESSION_END,
    "UserPromptSubmit": EventKind.PROMPT,
    "Stop": EventKind.TURN_END,
    "StopFailure": EventKind.TURN_END,  # by an error of its API, then without Stop
    "SubagentStop": EventKind.SUBAGENT_END,
}
_TOOL_KINDS: Final[Mapping[str, EventKind]] = {
    "PreToolUse": EventKind.BEFORE_EDIT,
    "PostToolUse": EventKind.AFTER_EDIT,
}
_REASON_FIELDS: Final[Mapping[str, str]] = {"SessionStart": "source", "SessionEnd": "reason"}

_CONTEXT_EVENTS: Final = frozenset(
    {"SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse"}
)
# Stop could be blocked as well, but there it means "go on working", again and again.
_BLOCK_EVENTS: Final = frozenset({"UserPromptSubmit", "PostToolUse"})

_OWN_COMMANDS: Final = "/sc:session-"
_MOST_ID: Final = 200  # characters; Claude Code's have 36
_MOST_UNITS: Final = 10_000  # of one text; Claude Code puts the rest in a file


def parse(name: str, body: Mapping[str, object]) -> HookEvent:
    """Read one event as Claude Code posts it.

    Raises InvalidRequest, naming the field, if one is missing or has the wrong type.
    """
    fields = _Fields(name, body)
    fields.expect_event_name()
    tool = fields.text("tool_name") if name in _TOOL_KINDS else ""
    edits = tool in EDIT_TOOLS
    agent_id = AgentId(fields.identifier("agent_id", fields.optional_text("agent_id")))
    steps = steps_of(tool, body) if name == "PostToolUse" else None
    return HookEvent(
        client=CLIENT,
        kind=EventKind.PROGRESS if steps else _kind(name, agent_id, edits=edits),
        name=name,
        client_session_id=fields.identifier("session_id", fields.text("session_id")),
        cwd=fields.absolute_path("cwd"),
        agent_id=agent_id,
        paths=(fields.inside("tool_input").text(EDIT_TOOLS[tool]),) if edits else (),
        prompt=_prompt(fields) if name == "UserPromptSubmit" else "",
        reason=fields.optional_text(_REASON_FIELDS[name]) if name in _REASON_FIELDS else "",
        steps=steps,
        is_alone=name == "Stop" and not agent_id and body.get("background_tasks") == [],
    )


def _kind(name: str, agent_id: AgentId, *, edits: bool) -> EventKind:
    kind = _TOOL_KINDS[name] if edits else _KINDS.get(name, EventKind.OTHER)
    # An error of the API may end a subagent, too; its main thread's turn goes on.
    return EventKind.SUBAGENT_END if agent_id and kind is EventKind.TURN_END else kind


def _prompt(fields: "_Fields") -> str:
    """What a person wrote; a slash command of ours is no work that others should read of."""
    prompt = fields.optional_text("prompt")
    return "" if prompt.startswith(_OWN_COMMANDS) else prompt


def render(event_name: str, decision: Decision) -> dict[str, object]:
    """Return the JSON that tells Claude Code the decision; ``{}`` when there is nothing to say.

    An allowed edit is never answered with ``permissionDecision: "allow"``: that
    would skip the permission prompt its user is entitled to. ``additionalContext``
    alone reaches the model and leaves the prompt to the user. What an event has no
    place for is dropped: context at Stop, say, would make the model go on.
    """
    answer, specific = _verdict(event_name, decision)
    if decision.context and event_name in _CONTEXT_EVENTS:
        specific["additionalContext"] = _cut(decision.context)
    if specific:
        answer["hookSpecificOutput"] = {"hookEventName": event_name, **specific}
    if decision.notice:
        answer["systemMessage"] = _cut(decision.notice)
    return answer


def _verdict(event_name: str, decision: Decision) -> tuple[dict[str, object], dict[str, object]]:
    """Return the verdict's fields: for the top level, and for the event's own part."""
    if decision.verdict is not Verdict.DENY:
        return {}, {}
    reason = _cut(decision.reason)
    if event_name == "PreToolUse":
        return {}, {"permissionDecision": "deny", "permissionDecisionReason": reason}
    if event_name in _BLOCK_EVENTS:
        return {"decision": "block", "reason": reason}, {}
    return {"systemMessage": reason}, {}


def refusal(event_name: str, message: str) -> dict[str, object]:
    """Return the answer to an event that could not be read.

    An edit that nobody can judge is denied. Anything else goes on, and the person
    is told: losing a prompt would help nobody.
    """
    if event_name == "PreToolUse":
        return render(event_name, Decision(Verdict.DENY, reason=message, notice=message))
    return render(event_name, Decision(notice=message))


class _Fields:
    """Typed reading of one JSON object; every complaint names event and field."""

    def __init__(self, name: str, values: Mapping[str, object], prefix: str = "") -> None:
        self._name = name
        self._values = values
        self._prefix = prefix

    def expect_event_name(self) -> None:
        told = self.optional_text("hook_event_name")
        if told and told != self._name:
            raise self._complaint("hook_event_name", f"is {told!r}; the hook is wired wrongly")

    def text(self, field: str) -> str:
        value = self.optional_text(field)
        if not value:
            raise self._complaint(field, "is missing or empty")
        return value

    def optional_text(self, field: str) -> str:
        value = self._values.get(field)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._complaint(field, f"must be a string, not {type(value).__name__}")
        return value

    def identifier(self, field: str, value: str) -> str:
        if len(value) > _MOST_ID or not value.isprintable():
            raise self._complaint(field, f"must be at most {_MOST_ID} printable characters")
        return value

    def absolute_path(self, field: str) -> str:
        value = self.text(field)
        if not posixpath.isabs(value):
            raise self._complaint(field, f"must be an absolute path, not {value[:200]!r}")
        return value

    def inside(self, field: str) -> "_Fields":
        value = self._values.get(field)
        if not isinstance(value, Mapping):
            raise self._complaint(field, "must be an object")
        return _Fields(self._name, value, f"{self._prefix}{field}.")

    def _complaint(self, field: str, what: str) -> InvalidRequest:
        return InvalidRequest(f"{CLIENT} {self._name} event: {self._prefix}{field} {what}")


def _cut(text: str) -> str:
    """Bound a text by Claude Code's own count, which is in UTF-16 units."""
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * _MOST_UNITS:
        return text
    return units[: 2 * (_MOST_UNITS - 1)].decode("utf-16-le", "ignore") + "…"
