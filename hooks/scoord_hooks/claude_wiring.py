"""What our entries in Claude Code's settings are, and how they are recognised. Pure.

The fields are those of https://code.claude.com/docs/en/hooks. Where the entries
go in a settings file is known to ``claude_settings``.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from scoord.addresses import is_loopback
from scoord_hooks.claude_code import CLIENT, EDIT_TOOLS
from scoord_hooks.claude_tasks import TASK_TOOLS

STOP_FAILURE: Final = "StopFailure"
EVENTS: Final = (
    "SessionStart",
    "SessionEnd",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "Stop",
    STOP_FAILURE,
    "SubagentStop",
)
TOKEN_NAME: Final = "SCOORD_TOKEN"  # noqa: S105 (a variable's name)

_URL_PATH: Final = f"/v1/hooks/{CLIENT}/"
_MATCHED_TOOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "PreToolUse": tuple(EDIT_TOOLS),
    "PostToolUse": (*EDIT_TOOLS, *TASK_TOOLS),
}
"""The tools that an event is sent for; an event that is not here is sent always."""


_BY_COMMAND: Final = frozenset({"SessionStart", "UserPromptSubmit"})
"""Claude Code never sends SessionStart by http, and only a command can start the agent: one
that was killed is back at the next prompt of any session at the latest."""


class Transport(StrEnum):
    """How an event reaches the agent."""

    HTTP = "http"
    COMMAND = "command"


GIVES_UP_S: Final[Mapping[Transport, int]] = {Transport.HTTP: 2, Transport.COMMAND: 3}
"""When Claude Code stops waiting. A hook answers within 2.5 s: the agent in 1.9 if it can, and
the shim in its place in 2.5. Said for every event: else all SessionEnd hooks together get 1.5 s.
"""


class UnreachableAction(StrEnum):
    """What becomes of an edit when the agent cannot be asked."""

    BLOCK = "block"
    WARN = "warn"
    PROCEED = "proceed"


@dataclass(frozen=True, slots=True)
class Wiring:
    """Everything our entries say."""

    transport: Transport
    port: int
    token: str
    shim: str
    bash: str
    exec_form: bool
    """Program and arguments apart, so that no shell reads them; not known to old versions."""
    unreachable: UnreachableAction
    tells_failures: bool = True
    """Whether Claude Code has StopFailure: before 2.1.101 it leaves a settings file with an
    event that it does not know out, the whole of it."""


@dataclass(frozen=True, slots=True)
class Entries:
    """All that is ours in a document: matcher groups by event, and the token (or empty)."""

    groups: tuple[tuple[str, Mapping[str, object]], ...]
    token: str

    def same_as(self, other: "Entries") -> bool:
        """Tell whether both say the same, in whatever order of events."""
        return self.token == other.token and _by_event(self) == _by_event(other)


def _by_event(entries: Entries) -> dict[str, list[Mapping[str, object]]]:
    found: dict[str, list[Mapping[str, object]]] = {}
    for event, group in entries.groups:
        found.setdefault(event, []).append(group)
    return found


def entries_of(wiring: Wiring) -> Entries:
    """Return the entries that a wiring stands for."""
    known = (event for event in EVENTS if wiring.tells_failures or event != STOP_FAILURE)
    groups = tuple((event, _group(wiring, event)) for event in known)
    return Entries(groups, wiring.token if wiring.transport is Transport.HTTP else "")


def _group(wiring: Wiring, event: str) -> dict[str, object]:
    group: dict[str, object] = {"hooks": [_handler(wiring, event)]}
    tools = _MATCHED_TOOLS.get(event)
    return {"matcher": "|".join(tools), **group} if tools else group


def _handler(wiring: Wiring, event: str) -> dict[str, object]:
    transport = _transport(wiring, event)
    handler: dict[str, object] = {"timeout": GIVES_UP_S[transport]}
    if wiring.unreachable is UnreachableAction.BLOCK and event == "PreToolUse":
        # Only for edits: on a prompt it would lock the person out of the session.
        handler["onFailure"] = "block"
    if transport is Transport.COMMAND:
        return {"type": "command", **_command(wiring, event), **handler}
    headers = {"Authorization": f"Bearer ${TOKEN_NAME}"}
    http = {"url": url(wiring, event), "headers": headers, "allowedEnvVars": [TOKEN_NAME]}
    return {"type": "http", **http, **handler}


def _transport(wiring: Wiring, event: str) -> Transport:
    """Return how an event is sent: some go by command in any case."""
    return Transport.COMMAND if event in _BY_COMMAND else wiring.transport


def _command(wiring: Wiring, event: str) -> dict[str, object]:
    # -p: neither BASH_ENV nor exported functions, which cost time and change meanings.
    line = [wiring.bash, "-p", wiring.shim, CLIENT, event, wiring.unreachable.value]
    if wiring.exec_form:
        return {"command": line[0], "args": line[1:]}
    return {"command": shlex.join(line)}


def url(wiring: Wiring, event: str) -> str:
    """Return where an event is posted to."""
    return f"http://127.0.0.1:{wiring.port}{_URL_PATH}{event}"


def is_ours(handler: Mapping[str, object], shim: str) -> bool:
    """Tell a handler of ours by the agent's URL on loopback, or by the call of the shim."""
    if handler.get("type") == Transport.HTTP:
        return _posts_to_an_agent(str(handler.get("url")))
    words = words_of(handler)
    usual = any(word == shim or word.endswith("/scoord/hooks/shim.sh") for word in words)
    return usual or _calls_a_shim(words)


def _posts_to_an_agent(target: str) -> bool:
    try:
        parts = urlsplit(target)
        parts.port  # noqa: B018 (read now: it may be none)
    except ValueError:
        return False  # e.g. a variable in its place; ours never has one
    return is_loopback(parts.hostname or "") and parts.path.startswith(_URL_PATH)


def _calls_a_shim(words: Sequence[str]) -> bool:
    """Whether an install wrote this line, whatever its state directory: by the whole of it."""
    match words:
        case [_, "-p", shim, client, event, action]:
            known = client == CLIENT and event in EVENTS and action in set(UnreachableAction)
            return known and shim.endswith("/hooks/shim.sh")
    return False


def action_of(handler: Mapping[str, object]) -> UnreachableAction | None:
    """Return what a command of ours was told to do when the agent cannot be asked."""
    word = next(reversed(words_of(handler)), "")
    return UnreachableAction(word) if word in set(UnreachableAction) else None


def is_exec_form(handler: Mapping[str, object]) -> bool:
    """Tell whether a command of ours has its arguments apart."""
    return "args" in handler


def words_of(handler: Mapping[str, object]) -> list[str]:
    """Return a command and its arguments, as a shell reads them; none where it cannot."""
    arguments = handler.get("args")
    command = str(handler.get("command"))
    if isinstance(arguments, list):
        return [command, *map(str, arguments)]
    try:
        return shlex.split(command)
    except ValueError:
        return []  # unbalanced quotes; ours never has them
