"""What becomes of an edit when the agent cannot be asked, by the settings that hold here."""

import os

from scoord.config import load
from scoord.errors import InvalidConfig
from scoord.local import config_dir, here
from scoord_hooks.claude_wiring import UnreachableAction
from scoord_hooks.git_exclude import worktree_root
from scoord_hooks.places import Scope


def of_settings(scope: Scope) -> UnreachableAction:
    """Return what the settings say, those of the repository too where hooks are for it alone."""
    root = worktree_root(here()) if scope is Scope.PROJECT else None
    settings = load(root, config_dir(), os.environ)
    return UnreachableAction(settings.session_coordination.unreachable_action)


def difference(scope: Scope, installed: UnreachableAction) -> str:
    """Return how what is installed differs from the settings; empty if it does not."""
    try:
        said = of_settings(scope)
    except InvalidConfig:
        return ""  # what they say is not known; who looks at them tells why
    if said is installed:
        return ""
    does = "blocks edits" if installed is UnreachableAction.BLOCK else "lets edits through"
    return f"PreToolUse {does} when the agent is gone ({installed}); your settings say {said}"
