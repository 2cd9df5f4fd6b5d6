"""What the plugin's ``hooks/hooks.json`` says, and what the plugin is called. Pure.

It wires the events of ``claude_wiring`` by command: an http hook needs a token, and
a plugin has no settings of its own to keep one in. Its commands go through a shell,
since a Claude Code that does not know the form without one would give the event's
JSON to a bare ``bash``, to run as a script.
"""

import json
import sys
from collections.abc import Mapping
from typing import Final

from scoord_hooks.claude_code import CLIENT
from scoord_hooks.claude_wiring import (
    GIVES_UP_S,
    Transport,
    UnreachableAction,
    Wiring,
    entries_of,
)

NAME: Final = "sc"
MARKETPLACE: Final = "session-coordinator"
ID: Final = f"{NAME}@{MARKETPLACE}"
"""What Claude Code's settings call the plugin, where it came from our marketplace file."""
FOLDER_ID: Final = f"{NAME}@skills-dir"
"""The same, where it is a folder beside the settings."""

EXPANSION: Final = "UserPromptExpansion"
"""The event by which the slash commands work; none of what it says goes to the agent."""

_ROOT: Final = "${CLAUDE_PLUGIN_ROOT}"
_SLASH_SECONDS: Final = 30


def hooks_document() -> dict[str, object]:
    """Return what ``hooks/hooks.json`` has to be."""
    settings = Wiring(
        transport=Transport.COMMAND,
        port=0,
        token="",
        shim="",
        bash="bash",
        exec_form=False,
        unreachable=UnreachableAction.WARN,
    )
    hooks = {event: [_group(event, group)] for event, group in entries_of(settings).groups}
    # Its output becomes context; the arguments come as JSON, so no shell ever reads them.
    line = f'bash -p "{_ROOT}/bin/scoord" hooks slash 2>&1 || true'
    handler = {"type": "command", "command": line, "timeout": _SLASH_SECONDS}
    slash: dict[str, object] = {"matcher": f"^{NAME}:session-[a-z]+$", "hooks": [handler]}
    return {
        "description": "Session Coordinator",
        "hooks": {**hooks, EXPANSION: [slash]},
    }


def _group(event: str, in_settings: Mapping[str, object]) -> dict[str, object]:
    # Without a last word, the shim does what the user's settings say of unreachable_action.
    line = f'exec bash -p "{_ROOT}/hooks/shim.sh" {CLIENT} {event}'
    handler = {"type": "command", "command": line, "timeout": GIVES_UP_S[Transport.COMMAND]}
    return {**in_settings, "hooks": [handler]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(hooks_document(), indent=2) + "\n")
