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
from scoord.ids import AgentId, FencingToken, ProjectId, SessionId
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
class Asked:
    """How a place was asked for, as far as is known."""

    worktree: str = ""
    """Root of the worktree whose branch it goes by; empty where it goes by none."""
    claim_s: float = 0.0
    """For how long the file is kept once its turn has come; 0 is not known."""
    promised: bool = False
    """Whether its holder was told that it will hear of its turn: no command alone waits there."""


NOT_KNOWN = Asked()


@dataclass(frozen=True, slots=True)
class Queued:
    """How a refusal gave a place: the path as it is shown, and when it was asked for."""

    path: str
    revision: int = 0
    """Of the store; 0 is not known."""
    branch: str = ""
    """That of the place."""
    asked: Asked = NOT_KNOWN


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
    is_unseen: bool = False
    """Whether nobody here saw how it went: the turn may have come, and passed."""
    shared: bool = False
    """Whether it waited to share the file, and not to edit it."""
    asked: Asked = NOT_KNOWN
    """How its place was asked for."""


class Turns:
    """The places whose turn has come, the commands that wait for one, and who is to be told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._come: dict[Place, None] = {}
        self._untold: dict[Place, Turn] = {}
        self._queued: dict[Place, Queued] = {}
        """The places that refusals gave."""
        self._seen: dict[ProjectId, tuple[int, frozenset[Place]]] = {}
        """The places of this machine that stood at the latest revision that was seen whole."""
        self._ended: dict[Place, int] = {}
        """Places that are gone, until asked for again, and by which revision."""
        self._waiting: dict[Place, list[asyncio.Event]] = {}
        self.changed: Callable[[], None] | None = None
        """Is called when ``unheard`` would say something else of a session."""

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

    def queued(
        self, place: Place, path: str, revision: int = 0, asked: Asked | None = None
    ) -> None:
        """A refusal gave it this place; answers may come in another order than questions.

        A snapshot, which shows it too, does not tell how it was asked for.
        """
        is_new, before = place not in self._queued, self._asked(place)
        known = replace(asked, promised=asked.promised or before.promised) if asked else before
        revision = max(revision, self.revision(place))
        self._queued[place] = Queued(path, revision, place.branch, known)
        if is_new or known != before:
            self._change()

    def take_up(self, places: Mapping[Place, Queued]) -> None:
        """The agent before us was given these: the next snapshot tells which of them stand."""
        self._queued.update(places)

    def unheard(self, session: SessionId) -> dict[Place, Queued]:
        """Where it is yet to hear of its turn, or that it waits no more: its next agent tells it.

        Also where a command waits, which may not ask that one again: an edit that was refused
        the file was promised its turn by the same place.
        """
        found = {place: it for place, it in self._queued.items() if place not in self._come}
        for place, turn in self._untold.items():
            found[place] = Queued(turn.path, self.revision(place), place.branch, turn.asked)
        return {place: it for place, it in found.items() if place.session == session}

    def seen(self, project: ProjectId, revision: int, places: Iterable[Place]) -> None:
        """These stood at a revision; of a store that was wiped it is lower than before.

        A coordinator that is behind does not undo what was seen of those that are known here.
        """
        for place, queued in self._queued.items():
            if place.project == project and self.is_gone(place, queued.revision):
                self.ended(place, queued.revision)
        self._seen[project] = revision, frozenset(places)

    def ended(self, place: Place, revision: int) -> None:
        """A place is gone that was last asked for at ``revision``, or before."""
        self._ended[place] = max(revision, self._ended.get(place, revision))

    def missed(self, session: SessionId) -> list[Place]:
        """Its places that were gone when all were seen: one that was asked for since stands."""
        mine = {place: it for place, it in self._queued.items() if place.session == session}
        gone = [place for place, it in mine.items() if self.is_gone(place, it.revision)]
        return [place for place in gone if place not in self._waiting]

    def is_gone(self, place: Place, revision: int) -> bool:
        """Whether a place that was last asked for at a revision was gone when all were seen."""
        seen, places = self._seen.get(place.project, (-1, ()))
        is_missed = revision <= seen and place not in places
        return is_missed or revision <= self._ended.get(place, -1)

    def revision(self, place: Place) -> int:
        """When a place was last asked for, as far as an answer told; else 0."""
        return self._queued[place].revision if place in self._queued else 0

    def _asked(self, place: Place) -> Asked:
        """Also of one that is gone, until that is told: what it was promised goes on anew."""
        known = self._queued.get(place) or self._untold.get(place)
        return known.asked if known else NOT_KNOWN

    def had(self, place: Place) -> None:
        """It was granted, or given up: there is no such place any more."""
        queued, turn = self._queued.pop(place, None), self._untold.pop(place, None)
        self._come.pop(place, None)
        if queued:
            self.ended(place, queued.revision)
        if queued or turn:
            self._change()

    def had_on_every_branch(self, place: Place, token: FencingToken) -> None:
        """It was granted on each: with that the store ended its holder's places on all of them.

        One that was asked for since stands: the answer that tells of the grant may be late.
        """
        known = dict.fromkeys((*self._queued, *self._come, *self._untold))
        for one in known:
            if replace(one, branch="") == place and self.revision(one) <= token:
                self.had(one)

    def used(self, place: Place) -> None:
        """Its place is gone and its holder has nothing: an untold turn is told as over.

        Who has not heard of its turn otherwise hears that it waits no more.
        """
        if place in self._come and place not in self._untold:
            self.had(place)
        else:
            self._gone(place, is_unseen=True)

    def _gone(self, place: Place, *, is_unseen: bool = False, never_came: bool = False) -> None:
        """A command that waits asks for its place again, and is told by its answer.

        Who was promised its turn is told all the same: the command may be killed before that.
        """
        queued, turn, now = self._queued.get(place), self._untold.get(place), self._clock.now()
        self.had(place)
        if turn:
            self._untold[place] = replace(turn, is_over=True)
        elif queued and (queued.asked.promised or place not in self._waiting):
            gone = Turn(queued.path, now, place.branch, is_over=True, asked=queued.asked)
            self._untold[place] = replace(gone, is_unseen=is_unseen, never_came=never_came)
        self._change()

    def refused_anew(self, place: Place) -> None:
        """It was given its place by a refusal just now: that one before is gone is no news."""
        turn = self._untold.get(place)
        if turn and turn.is_over:
            del self._untold[place]

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

    def confined(self, session: SessionId) -> dict[Place, str]:
        """Its places that go by what is checked out in a worktree, and which: its root.

        Also where it is yet to be told that its turn has come, or is over.
        """
        known = self._untold | self._queued
        mine = {place: it.asked for place, it in known.items() if place.session == session}
        return {place: asked.worktree for place, asked in mine.items() if asked.worktree}

    def is_promised(self, place: Place) -> bool:
        """Whether its holder waits to be told of its turn, whatever becomes of commands."""
        return self._asked(place).promised

    def pass_on(self, place: Place) -> None:
        """A command that waited there is gone: a turn that may have woken it alone is told."""
        if place in self._come and place in self._queued and place not in self._untold:
            self.keep(place, self._queued[place].path)

    def promised(self, places: Collection[Place]) -> list[str]:
        """The paths at which a session is to be told of its turn: not only a command waits.

        Also that it is over: who has left the branch hears of it no other way.
        """
        known = self._untold | self._queued
        told = (at for at in known if self.is_promised(at) or at not in self._waiting)
        return [known[place].path for place in told if place in places]

    def lapse(self, session: SessionId) -> None:
        """Its places went with its lease; of what it was to be told of, it hears so."""
        # In the order they came: that of a set differs from run to run.
        for place in dict.fromkeys((*self._queued, *self._untold, *self._come)):
            if place.session != session:
                continue
            if self.is_gone(place, self.revision(place)):
                self.used(place)
            else:
                self._gone(place, never_came=True)

    def waits(self, project: ProjectId, key: str, session: SessionId) -> bool:
        """Whether any holder of the session has a place at this path, as far as is known."""
        own = (p for p in self._queued if (p.project, p.key, p.session) == (project, key, session))
        return any(not self.is_gone(place, self.revision(place)) for place in own)

    def is_queued(self, place: Place) -> bool:
        """Whether it has this place, and its turn has not come."""
        return place in self._queued and place not in self._come

    def over(self, place: Place) -> None:
        """It is asked for anew: that its turn has come is old, or that it is gone."""
        self._come.pop(place, None)
        self._ended.pop(place, None)

    def keep(self, place: Place, path: str, *, shared: bool = False) -> None:
        """Its turn has come, and it is to be told so: its holder asks when it has time."""
        now, asked = self._clock.now(), self._asked(place)
        self._untold[place] = Turn(path, now, place.branch, shared=shared, asked=asked)
        self._change()

    def untold(self, places: Iterable[Place], *, waits: bool = False) -> dict[Place, Turn]:
        """The turns at ``places`` that nobody was told of, and an answer tells who asks.

        Where that is a command that ``waits``, who was promised its turn does not hear that it
        is over: until there is a place anew, that is yet to be told.
        """
        found = {place: self._untold[place] for place in places if place in self._untold}
        kept = {at for at, turn in found.items() if waits and turn.is_over and turn.asked.promised}
        return {place: turn for place, turn in found.items() if place not in kept}

    def settled(self, turns: Mapping[Place, Turn]) -> None:
        """What became of the places is known to who asked; a turn that came since is news."""
        for place, turn in turns.items():
            if self._untold.get(place) == turn:
                del self._untold[place]
                self._change()

    def take(
        self, session: SessionId, agent: AgentId, most: int, delivery: Delivery | None = None
    ) -> list[Turn]:
        """What this holder is to be told now, and then no more, unless the ``delivery`` fails."""
        mine = [p for p in self._untold if (p.session, p.agent) == (session, agent)]
        taken = {place: self._untold.pop(place) for place in mine[: max(0, most)]}
        if taken:
            (delivery or Delivery()).takes(partial(self._put_back, taken))
            self._change()
        return list(taken.values())

    def _put_back(self, taken: Mapping[Place, Turn]) -> None:
        """A turn at one of these places that has come since is the one to be told.

        That one is over is old where a refusal has given it its place anew meanwhile.
        """
        old = [place for place, turn in taken.items() if turn.is_over and place in self._queued]
        again = {place: turn for place, turn in taken.items() if place not in old}
        self._untold = {**again, **self._untold}
        self._change()

    def keep_only(self, sessions: Container[SessionId]) -> None:
        """Forget what has come to sessions that have ended."""
        for place in {*self._queued, *self._come, *self._untold, *self._ended}:
            if place.session not in sessions:
                self.had(place)
                self._ended.pop(place, None)

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

    def _change(self) -> None:
        if self.changed:
            self.changed()
