"""What was made, or closed to others, for our settings, so that it goes with them."""

import contextlib
import json
from pathlib import Path
from typing import Final

from scoord.local import atomic_write, state_dir, writable

_MADE: Final = "made-folders.json"
_CLOSED: Final = "closed-files.json"


def note(folder: Path) -> None:
    """Remember that a folder was made for our settings."""
    _write(_MADE, sorted({*_folders(), str(folder)}))


def take_back(folder: Path) -> None:
    """Remove a folder if it was made for our settings and nothing is in it."""
    noted = _folders()
    if str(folder) not in noted:
        return
    with contextlib.suppress(OSError):  # it is not empty, or gone
        folder.rmdir()
    _write(_MADE, [each for each in noted if each != str(folder)])


def note_closed(file: Path, mode: int) -> None:
    """Remember the ``mode`` of a file that was closed to others for the sake of our token."""
    _write(_CLOSED, {**_modes(), str(file): mode})


def open_again(file: Path) -> None:
    """Give a file back the mode that it was closed from, unless somebody has set another."""
    noted = _modes()
    mode = noted.pop(str(file), None)
    if mode is None:
        return
    with contextlib.suppress(OSError):  # it is gone, or not ours any more
        if file.stat().st_mode & 0o777 == mode & 0o700:
            file.chmod(mode)
    _write(_CLOSED, noted)


def _folders() -> list[str]:
    """Return what was noted; what cannot be read was not, and no folder goes."""
    noted = _read(_MADE)
    return [each for each in noted if isinstance(each, str)] if isinstance(noted, list) else []


def _modes() -> dict[str, int]:
    """Return the modes that were noted; what cannot be read was not, and no file is opened."""
    noted = _read(_CLOSED)
    modes = noted.items() if isinstance(noted, dict) else ()
    return {file: mode for file, mode in modes if isinstance(mode, int) and not mode & ~0o777}


def _file(name: str) -> Path:
    return state_dir() / "hooks" / name


def _read(name: str) -> object:
    try:
        return json.loads(_file(name).read_bytes())
    except (OSError, ValueError):
        return None


def _write(name: str, noted: list[str] | dict[str, int]) -> None:
    with writable(_file(name)):
        atomic_write(_file(name), json.dumps(noted).encode())
