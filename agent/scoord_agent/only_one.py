"""There is one agent of a user: the lock that it has, and what becomes of it.

The lock is a file's, and ends with the process, however that ends: there is no stale pid
file. It says nothing once its file is removed, as with the whole directory: whoever looks
there next finds none, and may start another agent.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scoord import local
from scoord.errors import NotAllowed, ScoordError
from scoord_agent.processes import mark

_log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""How often is looked whether the lock's file is there."""


class OnlyOne:
    """The lock of the one agent."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None
        self._lacks = False
        """Whether what was beside it is still to be put back."""

    @contextmanager
    def hold(self) -> Iterator[int | None]:
        """Hold it; yields None, or the pid of the one who has it (0: not known).

        Raises NotAllowed if it cannot be used.
        """
        try:
            if not self._take():
                text = self._file.read_text(encoding="ascii", errors="replace")
                pid = text.partition(" ")[0].strip()
                yield int(pid) if pid.isdigit() else 0
                return
            with self._ended_by_itself():
                yield None
        finally:
            self._let_go()

    async def stay(self, stop: asyncio.Event, put_back: Callable[[], None]) -> None:
        """Take it anew whenever its file was removed; tell to ``stop`` where another came first.

        Both would answer hooks, and neither knows what the other's sessions hold. What else was
        in its directory, ``put_back`` sees to.
        """
        is_said = False
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if not self._see_to(put_back):
                    break
                is_said = False
            except (OSError, ScoordError) as error:
                # It cannot be looked at, or there is no place for it: for nobody.
                if not is_said:
                    _log.warning("cannot look after %s, tried again: %s", self._file, error)
                is_said = True
        _log.warning("%s was removed, and another agent has begun: this one ends", self._file)
        stop.set()

    def _see_to(self, put_back: Callable[[], None]) -> bool:
        """Have all there that was; False where another came first. Raises OSError, ScoordError."""
        if not self._is_there():
            if not self._take_anew():
                return False
            self._lacks = True
        if self._lacks:
            put_back()
            self._lacks = False
            _log.warning("%s was removed; it is there again", self._file)
        return True

    def _is_there(self) -> bool:
        """Whether the lock that is held is the one that others find."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(self._file.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _take_anew(self) -> bool:
        """Whether no other agent has begun meanwhile. Raises OSError, NotAllowed."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._take()

    def _take(self) -> bool:
        """Whether no other has it. Raises NotAllowed if its file cannot be used."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with local.writable(self._file):
                os.truncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()} {mark(os.getpid())}".encode())
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._let_go()
        self._descriptor = descriptor
        return True

    def _open(self) -> int:
        try:
            return os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NotAllowed(
                f"cannot use {self._file}: {error.strerror}; see that it is a file that you may"
                " write"
            ) from error

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextmanager
    def _ended_by_itself(self) -> Iterator[None]:
        """Take the pid out again, unless it is killed or breaks: hooks start another in its place.

        One that was stopped, or said what keeps it from running, would not be wanted back.
        """
        try:
            yield
        except ScoordError:
            self._empty()
            raise
        self._empty()

    def _empty(self) -> None:
        if self._descriptor is not None:
            os.truncate(self._descriptor, 0)
