"""Whose turn has come at a file it waited for, and who is to be woken or told of it.

The coordinator tells only the first in a queue that nothing is in its way any more. That
a turn was not used in time it tells nobody: whoever is told late is told for how long.
"""

import asyncio
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from scoord.claimant import Claimant
from scoord.clock import Clock
from scoord.ids import AgentId, ProjectId, SessionId
from scoord_agent.delivery import Delivery


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the queue of one path."""

    project: ProjectId
    key: str
    session: SessionId
    agent: AgentId
    branch: str = ""
    """The branch it is confined to; empty when it is for every branch."""

    @property
    def claimant(self) -> Claimant:
        """Who waits there, as far as is known: whether to share it nobody tells."""
        return Claimant(self.session, self.agent, branch=self.branch)


@dataclass(frozen=True, slots=True)
class Queued:
    """How a refusal gave a place: the path as it is shown, and when it was asked for."""

    path: str
    revision: int = 0
    """Of the store; 0 is not known."""
    branch: str = ""
    """That of the place."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that nobody was told of yet: at which path and branch, and when it came."""

    path: str
    came_at: float
    branch: str = ""
    is_over: bool = False
    """Whether it is known that the place is gone."""
    never_came: bool = False
    """Whether it went with its lease while others were before it: its session still waits."""
    shared: bool = False
    """Whether it waited to share the file, and not to edit it."""


class Turns:
    """The places whose turn has come, the commands that wait for one, and who is to be told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._come: dict[Place, None] = {}
        self._untold: dict[Place, Turn] = {}
        self._queued: dict[Place, Queued] = {}
        """The places that refusals gave."""
        self._waiting: dict[Place, list[asyncio.Event]] = {}

    def come(self, place: Place) -> bool:
        """Its turn has come: wake who waits for it. Whether there was one."""
        self._come[place] = None
        return self._wake(place)

    def _wake(self, place: Place) -> bool:
        waiting = self._waiting.pop(place, [])
        for event in waiting:
            event.set()
        return bool(waiting)

    def has_come(self, place: Place) -> bool:
        """Whether its turn has come since it was last asked for."""
        return place in self._come

    def queued(self, place: Place, path: str, revision: int = 0) -> None:
        """A refusal gave it this place; answers may come in another order than questions."""
        revision = max(revision, self.revision(place))
        self._queued[place] = Queued(path, revision, place.branch)

    def revision(self, place: Place) -> int:
        """When a place was last asked for, as far as an answer told; else 0."""
        return self._queued[place].revision if place in self._queued else 0

    def had(self, place: Place) -> None:
        """It was granted, or given up: there is no such place any more."""
        self._queued.pop(place, None)
        self._come.pop(place, None)
        self._untold.pop(place, None)

    def used(self, place: Place) -> None:
        """Its place is gone and its holder has nothing: an untold turn is told as over."""
        turn = self._untold.get(place)
        self.had(place)
        if turn:
            self._untold[place] = replace(turn, is_over=True)

    def leave(self, is_left: Callable[[Place], bool]) -> dict[Place, Queued]:
        """Nothing is wanted at these places any more: those that are to be given up.

        A command that waits at one finds out what it wants now.
        """
        left = {*filter(is_left, (*self._queued, *self._come, *self._untold))}
        queued = {place: it for place, it in self._queued.items() if place in left}
        for place in left:
            self.had(place)
            self._wake(place)
        return queued

    def promised(self, session: SessionId, branch: str) -> list[str]:
        """The paths at which a session is to be told of its turn there: no command waits."""
        untold = {place: turn.path for place, turn in self._untold.items() if not turn.is_over}
        paths = {place: queued.path for place, queued in self._queued.items()} | untold
        mine = (place for place in paths if (place.session, place.branch) == (session, branch))
        return [paths[place] for place in mine if place not in self._waiting]

    def lapse(self, session: SessionId) -> None:
        """Its places went with its lease; of what it was to be told of, it hears so.

        A command that waits asks for its place again, and is told by its answer.
        """
        # In the order they came: that of a set differs from run to run.
        for place in dict.fromkeys((*self._queued, *self._untold, *self._come)):
            if place.session == session:
                self._lapse(place)

    def _lapse(self, place: Place) -> None:
        queued, now = self._queued.get(place), self._clock.now()
        self.used(place)
        if queued and place not in self._waiting:
            gone = Turn(queued.path, now, place.branch, is_over=True, never_came=True)
            self._untold.setdefault(place, gone)

    def waits(self, project: ProjectId, key: str, session: SessionId) -> bool:
        """Whether any holder of the session has a place at this path."""
        return any((p.project, p.key, p.session) == (project, key, session) for p in self._queued)

    def is_queued(self, place: Place) -> bool:
        """Whether it has this place, and its turn has not come."""
        return place in self._queued and place not in self._come

    def over(self, place: Place) -> None:
        """It is asked for anew: that its turn has come is old."""
        self._come.pop(place, None)

    def keep(self, place: Place, path: str, *, shared: bool = False) -> None:
        """Its turn has come, and it is to be told so: its holder asks when it has time."""
        self._untold[place] = Turn(path, self._clock.now(), place.branch, shared=shared)

    def untold(self, places: Iterable[Place]) -> dict[Place, Turn]:
        """The turns at ``places`` that nobody was told of."""
        return {place: self._untold[place] for place in places if place in self._untold}

    def settled(self, turns: Mapping[Place, Turn]) -> None:
        """What became of the places is known to who asked; a turn that came since is news."""
        for place, turn in turns.items():
            if self._untold.get(place) == turn:
                del self._untold[place]

    def take(
        self, session: SessionId, agent: AgentId, most: int, delivery: Delivery | None = None
    ) -> list[Turn]:
        """What this holder is to be told now, and then no more, unless the ``delivery`` fails."""
        mine = [p for p in self._untold if (p.session, p.agent) == (session, agent)]
        taken = {place: self._untold.pop(place) for place in mine[: max(0, most)]}
        if taken and delivery:
            delivery.takes(partial(self._put_back, taken))
        return list(taken.values())

    def _put_back(self, taken: Mapping[Place, Turn]) -> None:
        """A turn at one of these places that has come since is the one to be told."""
        self._untold = {**taken, **self._untold}

    def keep_only(self, sessions: Container[SessionId]) -> None:
        """Forget what has come to sessions that have ended."""
        for place in {*self._queued, *self._come, *self._untold}:
            if place.session not in sessions:
                self.had(place)

    async def wait(self, places: Collection[Place], within_s: float) -> bool:
        """Wait until the turn of one of ``places`` has come, or it is given up; False if not."""
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
