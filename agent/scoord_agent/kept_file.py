"""A file of the state directory: what an agent that is started after this one begins with."""

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from scoord.local import atomic_write, read_lines

_log = logging.getLogger(__name__)


class KeptFile:
    """One file, which is always written as a whole; of two writes the later one counts."""

    def __init__(self, path: Path | None, content: Callable[[], bytes]) -> None:
        """Without a ``path`` nothing is kept."""
        self._path = path
        self._content = content
        self.changed: Callable[[], None] = self.save
        """Is called when it is to be written: at once, unless it is written behind."""
        self._writing = Lock()
        self._made = itertools.count(1)
        self._last_written = 0

    def lines(self) -> list[bytes]:
        """What an agent before this one has written, line by line."""
        return read_lines(self._path) if self._path else []

    def save(self) -> None:
        """Write it now, and wait for the disk."""
        self.write(self.written())

    def written(self) -> "Written":
        """What is to be in it now."""
        return Written(next(self._made), self._content())

    def write(self, written: "Written") -> None:
        """Write it, unless something newer is; from any thread. The agent works without."""
        if self._path is None:
            return
        with self._writing:
            if written.number < self._last_written:
                return
            self._last_written = written.number
            try:
                atomic_write(self._path, written.data)
            except OSError as error:
                _log.warning("cannot write %s: %s; a restart would lose it", self._path, error)


@dataclass(frozen=True, slots=True)
class Written:
    """All of it as it was at one moment; a higher number is a later one."""

    number: int
    data: bytes
