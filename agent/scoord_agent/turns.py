"""Whose turn has come at a file it waited for, and who is to be woken for it.

The coordinator tells only the first in a queue that nothing is in its way any more.
"""

import asyncio
from collections.abc import Collection, Container
from dataclasses import dataclass

from scoord.ids import AgentId, ProjectId, SessionId


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the queue of one path."""

    project: ProjectId
    key: str
    session: SessionId
    agent: AgentId


class Turns:
    """The places whose turn has come, and the commands that wait for one."""

    def __init__(self) -> None:
        self._come: dict[Place, None] = {}
        self._waiting: dict[Place, list[asyncio.Event]] = {}

    def come(self, place: Place) -> bool:
        """Its turn has come: wake who waits for it. Whether there was one."""
        self._come[place] = None
        waiting = self._waiting.pop(place, [])
        for event in waiting:
            event.set()
        return bool(waiting)

    def has_come(self, place: Place) -> bool:
        """Whether its turn has come since it was last asked for."""
        return place in self._come

    def over(self, place: Place) -> None:
        """It was granted, or refused anew: what was known of it is old."""
        self._come.pop(place, None)

    def keep_only(self, sessions: Container[SessionId]) -> None:
        """Forget what has come to sessions that have ended."""
        for place in [place for place in self._come if place.session not in sessions]:
            del self._come[place]

    async def wait(self, places: Collection[Place], within_s: float) -> bool:
        """Wait until the turn of one of ``places`` has come; False when none did in time."""
        if any(map(self.has_come, places)):
            return True
        event = asyncio.Event()
        for place in places:
            self._waiting.setdefault(place, []).append(event)
        try:
            async with asyncio.timeout(within_s):
                return await event.wait()
        except TimeoutError:
            return False
        finally:
            for place in places:
                self._wait_no_more(place, event)

    def _wait_no_more(self, place: Place, event: asyncio.Event) -> None:
        left = [one for one in self._waiting.pop(place, []) if one is not event]
        if left:
            self._waiting[place] = left
