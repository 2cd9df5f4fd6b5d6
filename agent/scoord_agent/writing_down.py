"""Writes the files of the state directory behind what changes them.

The loop never waits for a disk. A hook does where its answer is to outlive this agent, and
only as long as it can: it has an answer in time also where the disk is slow.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from scoord.ids import AgentId, FencingToken, SessionId
from scoord_agent.background import Background
from scoord_agent.kept_file import KeptFile
from scoord_agent.sessions import Sessions

KEEP_S = 2.0
"""How old what is written down of locks may be: the loss of a later grant is told by nobody,
should the agent die."""

IN_TIME_S: Final = 0.5
"""How long a hook waits for a disk; what it asks others has the rest of its time."""

_FILES: Final = 3

_Known = tuple[SessionId, AgentId, FencingToken, str, bool]
"""A lock, and at which commit and how far it was used: what the agent after us is to know."""


def disk_threads() -> ThreadPoolExecutor:
    """Threads for the state directory alone: those of all else may hang on another disk."""
    return ThreadPoolExecutor(_FILES, "state")


class WritingDown:
    """Writes one file: one write after the other; what changes during one is in the next."""

    def __init__(
        self, file: KeptFile, background: Background, threads: ThreadPoolExecutor | None = None
    ) -> None:
        """From now on ``file`` is written behind what changes it."""
        self._file = file
        self._background = background
        self._threads = threads
        self._now: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        file.changed = self.soon

    def soon(self) -> None:
        """Something has changed that an agent after us is to know."""
        if self._next is None:
            self._next = self._background.start(self._write())

    async def written(self) -> None:
        """Wait until all that has changed by now is written down, or could not be."""
        if last := self._last():
            await asyncio.wait({last})

    async def in_time(self, within_s: float = IN_TIME_S) -> None:
        """The same, as long as a hook can: what is not written then is so later."""
        if last := self._last():
            await asyncio.wait({last}, timeout=within_s)

    def _last(self) -> asyncio.Task[None] | None:
        last = self._next or self._now
        return last if last and not last.done() else None

    async def _write(self) -> None:
        if self._now is not None:
            await asyncio.wait({self._now})
        self._now, self._next = self._next, None
        loop, file = asyncio.get_running_loop(), self._file
        await loop.run_in_executor(self._threads, file.write, file.written())


async def follow_locks(sessions: Sessions, changed: Callable[[], None]) -> None:
    """Write down what is held whenever that has changed: behind the edits, not on their way."""
    known = frozenset[_Known]()
    while True:
        await asyncio.sleep(KEEP_S)
        locks = frozenset(_all_locks(sessions))
        if locks != known:
            known = locks
            changed()


def _all_locks(sessions: Sessions) -> Iterator[_Known]:
    for session in sessions:
        for lock in sessions.held(session.session_id):
            yield lock.session, lock.agent, lock.token, lock.commit, lock.in_several
