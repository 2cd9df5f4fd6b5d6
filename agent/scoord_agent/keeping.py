"""Writes the sessions down behind what changes them: no hook waits for a disk."""

import asyncio

from scoord_agent.background import Background
from scoord_agent.sessions import Sessions


class Keeping:
    """One write after the other; what changes during one is in the next."""

    def __init__(self, sessions: Sessions, background: Background) -> None:
        self._sessions = sessions
        self._background = background
        self._now: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Something has changed that an agent after us is to know."""
        if self._next is None:
            self._next = self._background.start(self._write())

    async def kept(self) -> None:
        """Wait until all that has changed by now is written down, or could not be."""
        if last := self._next or self._now:
            await asyncio.wait({last})

    async def _write(self) -> None:
        if self._now is not None:
            await asyncio.wait({self._now})
        self._now, self._next = self._next, None
        await asyncio.to_thread(self._sessions.write, self._sessions.written())
