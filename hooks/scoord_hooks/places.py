"""Where Claude Code's settings and our installed shim are on this machine."""

import os
import shutil
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from scoord.errors import InvalidPath
from scoord.local import atomic_write, here, state_dir, user_home
from scoord_hooks.git_exclude import worktree_root

_MANAGED: Final = (
    Path("/etc/claude-code/managed-settings.json"),
    Path("/Library/Application Support/ClaudeCode/managed-settings.json"),
)


class Scope(StrEnum):
    """Whose sessions are coordinated: all of this user's, or those in one checkout."""

    USER = "user"
    PROJECT = "project"


def settings_path(scope: Scope) -> Path:
    """Return the settings file of a scope; a project's is the one that stays on this machine."""
    if scope is Scope.PROJECT:
        return _project_dir() / "settings.local.json"
    named = os.environ.get("CLAUDE_CONFIG_DIR")
    return (Path(named).absolute() if named else user_home() / ".claude") / "settings.json"


def other_settings_paths(scope: Scope) -> tuple[Path, ...]:
    """Return the further settings that Claude Code merges with those of this scope."""
    everywhere = (*_MANAGED, settings_path(Scope.USER))
    if scope is Scope.USER:
        return _MANAGED
    return (*everywhere, _project_dir() / "settings.json")


def all_settings_paths() -> tuple[Path, ...]:
    """Return every settings file that Claude Code reads in the current directory, each once."""
    if Scope.PROJECT not in scopes():
        return (*other_settings_paths(Scope.USER), settings_path(Scope.USER))
    found = (*other_settings_paths(Scope.PROJECT), settings_path(Scope.PROJECT))
    return tuple(dict.fromkeys(found))


def scopes() -> tuple[Scope, ...]:
    """Return the scopes there are here: where the current directory is gone, the user's alone."""
    try:
        here()
    except InvalidPath:
        return (Scope.USER,)
    return tuple(Scope)


def plugin_path(scope: Scope) -> Path:
    """Return where the plugin lies when it is installed: Claude Code loads it from there."""
    return settings_path(scope).parent / "skills" / "sc"


def scope_option(path: Path) -> str:
    """Return what says to a command the scope of settings, or of a plugin's folder."""
    is_users = settings_path(Scope.USER).parent in path.parents
    return "" if is_users else f" --scope {Scope.PROJECT}"


def shim_path() -> Path:
    """Return where the installed shim is: a place that outlives a moved checkout."""
    return state_dir() / "hooks" / "shim.sh"


def plugin_resource() -> Traversable:
    """Return where the plugin is in this version's package."""
    return files("scoord_hooks") / "plugin"


def shim_resource() -> Traversable:
    """Return where the shim is in this version's package."""
    return plugin_resource() / "hooks" / "shim.sh"


def packaged_shim() -> bytes:
    """Return the shim as this version has it."""
    return shim_resource().read_bytes()


def copy_shim() -> None:
    """Write the shim where our entries expect it."""
    path = shim_path()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists() or path.read_bytes() != packaged_shim():
        atomic_write(path, packaged_shim())
    path.chmod(0o755)


def bash_path() -> str:
    """Return the bash that runs the shim: the system's own, which no update moves."""
    system = "/bin/bash"
    return system if os.access(system, os.X_OK) else shutil.which("bash") or system


def _project_dir() -> Path:
    where = here()
    return (worktree_root(where) or where) / ".claude"
