"""Reads files that others may have made.

Those of a repository only if they are regular, and never waiting for one.
"""

import os
import stat
from functools import partial
from pathlib import Path


def read_regular(
    path: Path | str, most: int = -1, *, follow: bool = True, end: bool = False
) -> bytes | None:
    """Return a file, or its first ``most`` bytes, or its last ones if it is about its ``end``.

    None if it is something else than a file. Raises OSError; also for a link, if ``follow``
    says not to go where it leads.
    """
    opener = partial(_without_waiting, extra=0 if follow else os.O_NOFOLLOW)
    with open(path, "rb", opener=opener) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        if end:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
        return file.read(most)


def why_unreadable(path: Path) -> str:
    """Return what keeps us from reading a file that a user named; empty if nothing does."""
    try:
        path.open("rb").close()
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    return ""


def _without_waiting(path: str, flags: int, extra: int) -> int:
    # A repository may hold a link to a device or a pipe: it must not hold us up.
    return os.open(path, flags | os.O_NONBLOCK | extra)
