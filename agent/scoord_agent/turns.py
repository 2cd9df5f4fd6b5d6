"""Whose turn has come at a file it waited for, and who is to be woken or told of it.

The coordinator tells only the first in a queue that nothing is in its way any more. That
a turn was not used in time it tells nobody: whoever is told late is told for how long.
"""

import asyncio
from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass

from scoord.clock import Clock
from scoord.ids import AgentId, ProjectId, SessionId


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the queue of one path."""

    project: ProjectId
    key: str
    session: SessionId
    agent: AgentId


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that nobody was told of yet: at which path, and when it came."""

    path: str
    came_at: float


class Turns:
    """The places whose turn has come, the commands that wait for one, and who is to be told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._come: dict[Place, None] = {}
        self._untold: dict[Place, Turn] = {}
        self._queued: dict[Place, str] = {}
        """The places that refusals gave, with the paths as they are shown."""
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

    def queued(self, place: Place, path: str) -> None:
        """A refusal gave it this place."""
        self._queued[place] = path

    def had(self, place: Place) -> None:
        """It was granted, or given up: there is no such place any more."""
        self._queued.pop(place, None)
        self._come.pop(place, None)
        self._untold.pop(place, None)

    def leave(self, session: SessionId, agent: AgentId) -> dict[Place, str]:
        """This holder wants nothing any more: the places it has to give up."""
        known = dict.fromkeys((*self._queued, *self._come, *self._untold))
        mine = [place for place in known if (place.session, place.agent) == (session, agent)]
        queued = {place: self._queued[place] for place in mine if place in self._queued}
        for place in mine:
            self.had(place)
        return queued

    def waits(self, project: ProjectId, key: str, session: SessionId) -> bool:
        """Whether any holder of the session has a place at this path."""
        return any((p.project, p.key, p.session) == (project, key, session) for p in self._queued)

    def over(self, place: Place) -> None:
        """It is asked for anew: that its turn has come is old."""
        self._come.pop(place, None)

    def keep(self, place: Place, path: str) -> None:
        """Its turn has come, and it is to be told so: its holder asks when it has time."""
        self._untold[place] = Turn(path, self._clock.now())

    def untold(self, places: Iterable[Place]) -> dict[Place, Turn]:
        """The turns at ``places`` that nobody was told of."""
        return {place: self._untold[place] for place in places if place in self._untold}

    def settled(self, turns: Mapping[Place, Turn]) -> None:
        """What became of the places is known to who asked; a turn that came since is news."""
        for place, turn in turns.items():
            if self._untold.get(place) == turn:
                del self._untold[place]

    def take(self, session: SessionId, agent: AgentId, most: int) -> list[Turn]:
        """What this holder is to be told now, and then no more."""
        mine = [p for p in self._untold if (p.session, p.agent) == (session, agent)]
        return [self._untold.pop(place) for place in mine[: max(0, most)]]

    def keep_only(self, sessions: Container[SessionId]) -> None:
        """Forget what has come to sessions that have ended."""
        for place in {*self._queued, *self._come, *self._untold}:
            if place.session not in sessions:
                self.had(place)

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
