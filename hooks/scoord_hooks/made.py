"""Which folders were made for our settings, so that they go with them."""

import contextlib
import json
from pathlib import Path
from typing import Final

from scoord.local import atomic_write, state_dir, writable

_MADE: Final = "made-folders.json"


def note(folder: Path) -> None:
    """Remember that a folder was made for our settings."""
    _write(sorted({*_read(), str(folder)}))


def take_back(folder: Path) -> None:
    """Remove a folder if it was made for our settings and nothing is in it."""
    noted = _read()
    if str(folder) not in noted:
        return
    with contextlib.suppress(OSError):  # it is not empty, or gone
        folder.rmdir()
    _write([each for each in noted if each != str(folder)])


def _file() -> Path:
    return state_dir() / "hooks" / _MADE


def _read() -> list[str]:
    """Return what was noted; what cannot be read was not, and no folder goes."""
    try:
        noted = json.loads(_file().read_bytes())
    except (OSError, ValueError):
        return []
    return [each for each in noted if isinstance(each, str)] if isinstance(noted, list) else []


def _write(folders: list[str]) -> None:
    with writable(_file()):
        atomic_write(_file(), json.dumps(folders).encode())
