"""The plugin as a folder beside Claude Code's settings, which loads it from there.

Knows files. Does not know what is in them, but for whose they are.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from scoord.errors import NotAllowed
from scoord_hooks.places import plugin_resource
from scoord_hooks.settings_file import name_aside

_MANIFEST: Final = ".claude-plugin/plugin.json"
_LOADED: Final = (_MANIFEST, "SKILL.md")
"""What Claude Code loads such a folder by, as a plugin or as a skill."""
_LIST: Final = ".put-by-scoord.json"
"""Names and digests of what we put there. It goes where the folder goes, and cannot outlive it."""
_PROGRAMS: Final = frozenset({"bin/scoord", "hooks/shim.sh"})
_MADE_BY_OTHERS: Final = frozenset({".DS_Store", "__pycache__"})

Files = dict[str, bytes]
"""What a folder holds, by path below it."""


class State(StrEnum):
    """What lies where the plugin belongs."""

    MISSING = "missing"
    """Nothing, or a folder that Claude Code loads nothing from: what others left in ours."""
    CURRENT = "current"
    """Ours, whatever else lies in it."""
    OUTDATED = "outdated"
    """Ours, but of another version, or changed by somebody."""
    FOREIGN = "foreign"
    """Something else of that name."""


@dataclass(frozen=True, slots=True)
class Became:
    """What became of the folder."""

    changed: bool
    notes: tuple[str, ...] = ()
    """What of others, or changed by them, was kept, and where."""


def packaged() -> Files:
    """Return the plugin as this version has it."""
    return dict(_walk(plugin_resource(), ""))


def version() -> str:
    """Return the version that the packaged plugin says it has."""
    return str(json.loads(packaged()[_MANIFEST])["version"])


def state(folder: Path) -> State:
    """Tell what lies there. Raises NotAllowed if it cannot be read."""
    if not os.path.lexists(folder):
        return State.MISSING
    try:
        found = _found(folder)
        is_loaded = folder.is_symlink() or any(os.path.lexists(folder / each) for each in _LOADED)
    except OSError as failure:
        mend = "see that you may read all that is in it"
        raise NotAllowed(f"{folder}: cannot be read: {failure.strerror}; {mend}") from failure
    if found == packaged():
        return State.CURRENT
    if _are_ours(found):
        return State.OUTDATED
    return State.FOREIGN if is_loaded or not folder.is_dir() else State.MISSING


def is_ours(folder: Path) -> bool:
    """Tell whether the plugin lies there, of whatever version."""
    return state(folder) in (State.CURRENT, State.OUTDATED)


def put(folder: Path) -> Became:
    """See that the plugin lies there, whole and of this version.

    Raises NotAllowed if something else lies there, or it cannot be written.
    """
    now = state(folder)
    if now is State.CURRENT:
        return Became(changed=False)
    if now is State.FOREIGN:
        raise NotAllowed(f"{folder} is not ours; move it away, or use --as settings")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        kept = _swap(folder, _listed(packaged()))
    except OSError as failure:
        mend = f"see that you may write to {folder.parent}, or use --as settings"
        raise NotAllowed(f"{folder}: cannot be written: {failure.strerror}; {mend}") from failure
    return Became(changed=True, notes=kept)


def take(folder: Path) -> Became:
    """Remove the plugin, and the folder above if that leaves it empty.

    Raises NotAllowed if it cannot be removed. What is not ours stays.
    """
    if not is_ours(folder):
        return Became(changed=False)
    try:
        kept = _swap(folder, {})
    except OSError as failure:
        mend = f"see that you may write to {folder.parent}"
        raise NotAllowed(f"{folder}: cannot be removed: {failure.strerror}; {mend}") from failure
    if folder.exists():
        return Became(changed=True, notes=(*kept, f"what is not ours stays in {folder}"))
    with contextlib.suppress(OSError):  # it is not empty, or not ours to remove
        folder.parent.rmdir()
    return Became(changed=True)


def _swap(folder: Path, ours: Files) -> tuple[str, ...]:
    """Have these files of ours there, and no others of ours; return where edited ones are now.

    It is made beside its place and moved there, so that a session sees it whole or not.
    """
    kept: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".sc-", suffix=".tmp") as beside:
        new = Path(beside, "new")
        new.mkdir()
        _write(new, ours)
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            kept = _keep(folder, new)
            folder.rename(Path(beside, "old"))
        if any(new.iterdir()):
            new.rename(folder)
    return kept


def _write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755 if name in _PROGRAMS else 0o644)


def _keep(folder: Path, new: Path) -> tuple[str, ...]:
    """Copy what is not as we put it; what was ours, and is edited, under another name."""
    as_put = _as_put(folder)
    ours = {name for name, _ in as_put}
    notes = []
    for file in _leaves(folder):
        name = file.relative_to(folder).as_posix()
        is_ours = name in ours
        if name == _LIST or (is_ours and (name, _digest_at(file)) in as_put):
            continue
        place = name_aside(new / name) if is_ours else new / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place, follow_symlinks=False)
        if is_ours:
            notes.append(f"{file} was edited: as it was, it is {file.with_name(place.name)}")
    return tuple(notes)


def _as_put(folder: Path) -> frozenset[tuple[str, str]]:
    """Return name and digest of what this version puts there, and of what another one did."""
    return frozenset(_digests(packaged()).items()).union(_in_list(folder).items())


def _in_list(folder: Path) -> dict[str, str]:
    """Return what is listed in the folder; of what cannot be read nothing is as it was put."""
    try:
        listed = json.loads((folder / _LIST).read_bytes())
    except (OSError, ValueError):
        return {}
    entries = listed.items() if isinstance(listed, dict) else ()
    return {name: digest for name, digest in entries if isinstance(digest, str)}


def _listed(files: Files) -> Files:
    """Return files of ours with the list of them."""
    return {**files, _LIST: json.dumps(_digests(files), indent=1).encode()}


def _digests(files: Files) -> dict[str, str]:
    return {name: _digest(content) for name, content in files.items()}


def _digest_at(file: Path) -> str:
    """Return a file's digest; none of a link, which is never ours."""
    return "" if file.is_symlink() else _digest(file.read_bytes())


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _leaves(folder: Path) -> Iterator[Path]:
    """Return all that is below a folder but folders; a link is not followed."""
    for entry in folder.iterdir():
        if entry.name in _MADE_BY_OTHERS:
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _leaves(entry)
        else:
            yield entry


def _found(folder: Path) -> Files:
    """Return what lies there under the names of our files."""
    names = (name for name in packaged() if (folder / name).is_file())
    return {name: (folder / name).read_bytes() for name in names}


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
