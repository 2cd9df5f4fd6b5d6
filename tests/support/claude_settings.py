"""A user's Claude Code settings, for tests that install hooks into them."""

import json
import stat
from pathlib import Path

NEWEST = (2, 1, 330)
FOREIGN = {
    "model": "opus",
    "hooks": {
        "PreToolUse": [
            {"matcher": "Bash", "hooks": [{"type": "command", "command": "guard.sh"}]},
            {"matcher": "Edit|Write", "hooks": [{"type": "http", "url": "http://127.0.0.1:9/x"}]},
        ],
        "Notification": [{"hooks": [{"type": "command", "command": "beep; shim.sh"}]}],
    },
    "permissions": {"allow": ["Bash(ls:*)"], "deny": []},
    "env": {"EDITOR": "vi"},
}


def handlers(file: Path) -> dict[str, list[dict[str, object]]]:
    """Return all handlers in the file, by event."""
    groups = json.loads(file.read_text(encoding="utf-8-sig"))["hooks"]
    return {event: [h for g in groups[event] for h in g["hooks"]] for event in groups}


def backups(file: Path) -> list[Path]:
    """Return what was kept aside of the file."""
    return sorted(file.parent.glob(f"{file.name}.*"))


def mode(path: Path) -> int:
    """Return who may do what with the file."""
    return stat.S_IMODE(path.stat().st_mode)
