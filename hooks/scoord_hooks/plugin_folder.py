"""The plugin as a folder beside Claude Code's settings, which loads it from there.

Knows files. Does not know what is in them, but for whose they are.
"""

import contextlib
import json
import shutil
import tempfile
from enum import StrEnum
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from scoord.errors import NotAllowed
from scoord_hooks.places import plugin_resource

_MANIFEST: Final = ".claude-plugin/plugin.json"
_PROGRAMS: Final = frozenset({"bin/scoord", "hooks/shim.sh"})
_MADE_BY_OTHERS: Final = frozenset({".DS_Store", "__pycache__"})

Files = dict[str, bytes]
"""What a folder holds, by path below it."""


class State(StrEnum):
    """What lies where the plugin belongs."""

    MISSING = "missing"
    CURRENT = "current"
    OUTDATED = "outdated"
    """Ours, but of another version, or changed by somebody."""
    FOREIGN = "foreign"
    """Something else of that name."""


def packaged() -> Files:
    """Return the plugin as this version has it."""
    return dict(_walk(plugin_resource(), ""))


def version() -> str:
    """Return the version that the packaged plugin says it has."""
    return str(json.loads(packaged()[_MANIFEST])["version"])


def state(folder: Path) -> State:
    """Tell what lies there. Raises NotAllowed if it cannot be read."""
    if not folder.exists():
        return State.FOREIGN if folder.is_symlink() else State.MISSING
    try:
        found = dict(_walk(folder, "")) if folder.is_dir() else {}
    except OSError as failure:
        mend = "see that you may read all that is in it"
        raise NotAllowed(f"{folder}: cannot be read: {failure.strerror}; {mend}") from failure
    if found == packaged():
        return State.CURRENT
    return State.OUTDATED if _are_ours(found) else State.FOREIGN


def is_ours(folder: Path) -> bool:
    """Tell whether the plugin lies there, of whatever version."""
    return state(folder) in (State.CURRENT, State.OUTDATED)


def put(folder: Path) -> bool:
    """See that the plugin lies there, whole and of this version; tell whether it did not.

    Raises NotAllowed if something else lies there, or it cannot be written.
    """
    now = state(folder)
    if now is State.CURRENT:
        return False
    if now is State.FOREIGN:
        raise NotAllowed(f"{folder} is not ours; move it away, or use --as settings")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _replace(folder)
    except OSError as failure:
        mend = f"see that you may write to {folder.parent}, or use --as settings"
        raise NotAllowed(f"{folder}: cannot be written: {failure.strerror}; {mend}") from failure
    return True


def take(folder: Path) -> bool:
    """Remove the plugin, and the folder above if that leaves it empty; tell whether it was there.

    Raises NotAllowed if it cannot be removed. What is not ours stays.
    """
    if not is_ours(folder):
        return False
    try:
        if folder.is_symlink():
            folder.unlink()
        else:
            _remove(folder)
    except OSError as failure:
        mend = f"see that you may write to {folder.parent}"
        raise NotAllowed(f"{folder}: cannot be removed: {failure.strerror}; {mend}") from failure
    with contextlib.suppress(OSError):  # it is not empty, or not ours to remove
        folder.parent.rmdir()
    return True


def _replace(folder: Path) -> None:
    """Make it beside its place and move it there, so that a session sees it whole or not."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".sc-", suffix=".tmp") as beside:
        new = Path(beside, "new")
        for name, content in packaged().items():
            file = new / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(0o755 if name in _PROGRAMS else 0o644)
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            folder.rename(Path(beside, "old"))
        new.rename(folder)


def _remove(folder: Path) -> None:
    """Move it away in one step, then delete what was moved."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".sc-", suffix=".tmp") as beside:
        old = Path(beside, "old")
        folder.rename(old)
        shutil.rmtree(old)


def _are_ours(files: Files) -> bool:
    try:
        manifest = json.loads(files.get(_MANIFEST, b""))
    except ValueError:
        return False
    wanted = {"name": "sc", "displayName": "Session Coordinator"}
    return isinstance(manifest, dict) and wanted.items() <= manifest.items()


def _walk(folder: Traversable | Path, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.name in _MADE_BY_OTHERS:
            continue
        if entry.is_dir():
            found += _walk(entry, f"{name}/")
        else:
            found.append((name, entry.read_bytes()))
    return found
