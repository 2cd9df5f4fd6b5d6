"""Whether a file is still the one that was read, for the price of one stat."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What changes when a file is written, replaced or touched."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def stamp(path: str | os.PathLike[str]) -> FileStamp | None:
    """Return the stamp of ``path``; None if there is no file, or none that can be seen.

    Take it before reading: a write in between then shows at the next comparison.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  # takes strings, on the way of every edit
    except OSError:
        return None
    return FileStamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
