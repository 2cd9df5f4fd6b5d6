"""Writes the sessions down behind what changes them: no hook waits for a disk."""

import asyncio
from collections.abc import Iterator

from scoord_agent.background import Background
from scoord_agent.sessions import Sessions

KEEP_S = 2.0
"""How old what is written down of locks may be: the loss of a later grant is told by nobody,
should the agent die."""


class WritingDown:
    """One write after the other; what changes during one is in the next."""

    def __init__(self, sessions: Sessions, background: Background) -> None:
        self._sessions = sessions
        self._background = background
        self._locks: frozenset[tuple[str, str, int]] = frozenset()
        self._now: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Something has changed that an agent after us is to know."""
        if self._next is None:
            self._next = self._background.start(self._write())

    async def follow(self) -> None:
        """Write down what is held whenever that has changed: behind the edits, not on their way."""
        while True:
            await asyncio.sleep(KEEP_S)
            locks = frozenset(self._all_locks())
            if locks != self._locks:
                self._locks = locks
                self.soon()

    def _all_locks(self) -> Iterator[tuple[str, str, int]]:
        for session in self._sessions:
            for lock in self._sessions.held(session.session_id):
                yield lock.session, lock.agent, lock.token

    async def written(self) -> None:
        """Wait until all that has changed by now is written down, or could not be."""
        if last := self._next or self._now:
            await asyncio.wait({last})

    async def _write(self) -> None:
        if self._now is not None:
            await asyncio.wait({self._now})
        self._now, self._next = self._next, None
        await asyncio.to_thread(self._sessions.write, self._sessions.written())
