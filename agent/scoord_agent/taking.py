"""Takes locks and gives them back, and sees through what was cut off on the way.

It knows nothing of hooks: what a refusal means for an edit is ``edits.py``'s to say.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from scoord.clock import Clock
from scoord.errors import Contended, InvalidRequest, ScoordError, SessionEnded, SessionNotFound
from scoord.names import path_key
from scoord.v1.locks_pb2 import (
    AcquireRequest,
    AcquireResponse,
    Conflict,
    Granted,
)
from scoord_agent import crossings, wording_losses
from scoord_agent.asking import (
    acquire_message,
    granted_locks,
    reserve_message,
    told_of,
    without_places,
)
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.leaving import Leaving
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.overlaps import Overlaps
from scoord_agent.owed import Owed, batches, is_given_back
from scoord_agent.reclaiming import Reclaiming
from scoord_agent.registration import Registration
from scoord_agent.request import Request
from scoord_agent.turns import Place, Turn, Turns
from scoord_agent.unsettled import Cut, Message, Unsettled, send
from scoord_agent.waits import Waits

_log = logging.getLogger(__name__)

PATIENCE_S = 1.2
"""How long an edit waits for a coordinator that has just gone away to be replaced."""


class _Answer(NamedTuple):
    """What was asked, and when; what came back, and what that grants."""

    message: Message
    asked_at: float
    response: AcquireResponse
    granted: list[HeldLock]


class Taking:
    """Acquires and releases for the sessions of this machine."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        registration: Registration,
        held: HeldLocks,
        neighbours: Neighbours,
        turns: Turns,
        reclaiming: Reclaiming,
        owed: Owed,
        clock: Clock,
        background: Background,
        waits: Waits,
    ) -> None:
        self._client = client
        self._registration = registration
        self._held = held
        self._neighbours = neighbours
        self._turns = turns
        self._reclaiming = reclaiming
        self._clock = clock
        self._background = background
        self.unsettled = Unsettled(
            client=client,
            clock=clock,
            background=background,
            registration=registration,
            heard=self._heard,
            settled=self._settled,
        )
        self._owed = owed
        self.leaving = Leaving(
            client=client, turns=turns, waits=waits, is_open=self.unsettled.is_open
        )
        self._overlaps = Overlaps(client, neighbours, background)
        self._waits = waits

    def let_through(self, request: Request) -> None:
        """An edit goes on without an outcome: what is granted yet is to be held."""
        if not _is_in_vain(request):
            cuts = self.unsettled.let_through(request)
            for cut in cuts:
                self._hold_heard(cut, cuts)

    def _hold_heard(self, cut: Cut, cuts: Iterable[Cut]) -> None:
        """What is known to be granted is held at once: none of its ``cuts`` has to find it out.

        Its lease may run out before anybody answers: then it was lost, and is asked for again.
        """
        for lock in cut.granted:
            if lock.key in cut.wanted and self._is_news(cut, lock):
                self._note_granted(cut.request, lock)
                for one in cuts:
                    one.open.discard(lock.key)

    async def settle(self) -> None:
        """Send again the releases that were not answered. Raises what the coordinator says."""
        await self._owed.settle()

    async def enter(self, request: Request) -> None:
        """Have its session live where it asks, and know what it has there. Raises as below."""
        await self._registration.enter(
            request.session, request.project, request.settings, PATIENCE_S
        )

    async def acquire(self, request: Request) -> Granted | list[Conflict]:
        """Take the files of one project, all or none; or a pattern.

        Raises Unknown and Refused errors.
        """
        refused = list[Conflict]()
        with suppress(SessionEnded, SessionNotFound):
            return await self._ask_on_lease(request, refused)
        # The lease ran out since the last heartbeat.
        try:
            return await self._ask_on_lease(request, refused)
        except ScoordError:
            # It is another's, on whatever lease it was asked for.
            if refused and request.conflict_action == "block":
                return refused
            raise

    async def release(self, session: LocalSession, locks: Sequence[HeldLock]) -> None:
        """Give ``locks`` back. Raises what the coordinator says; they are not held any more.

        Neither are they taken up from the agent before us, or asked for again.
        """
        for lock in locks:
            self.unsettled.give_back(lock)
        await self._give_back(session, [lock for lock in locks if self._lets_go(session, lock)])

    def _lets_go(self, session: LocalSession, lock: HeldLock) -> bool:
        """Whether it may stand. Of what went with its lease that is told, and is all."""
        was_held, was_had = self._held.drop(lock) is not None, session.disown(lock)
        if self._held.losses.went_with_lease(lock) and self._held.losses.settle(lock):
            session.tell_loss(wording_losses.lost_before([lock.shown]), lock.agent)
        return was_held or was_had

    async def _give_back(self, session: LocalSession, locks: Sequence[HeldLock]) -> None:
        """All at once: what is not answered is owed, whichever of them fails first."""
        stood = self._held.believes(session.session_id, self._clock.now())
        owed = [self._owed.owe(session, *batch, stood=stood) for batch in batches(locks)]
        await asyncio.gather(*(self._owed.send(owing, PATIENCE_S) for owing in owed))

    def is_known(self, session: LocalSession, lock: HeldLock) -> bool:
        """Whether a grant is held, lost or given back here, or may yet be answered."""
        return (
            self._held.holds(lock)
            or self._held.losses.is_at(session.session_id, *lock.name)
            or is_given_back(session, lock)
            or self.unsettled.is_open(lock)
        )

    def is_open(self, place: Place) -> bool:
        """Whether it is asked for or given up just now, or its last outcome was not heard."""
        return self.unsettled.is_open(place) or self.leaving.is_leaving(place)

    async def give_back_unasked(self, session: LocalSession, lock: HeldLock) -> None:
        """Give back a grant that nobody asked for. Raises what the coordinator says."""
        self._turns.used(_place_of(lock))
        await self._owed.give_back(session, lock.project, [lock], tells=False)

    async def _ask_on_lease(
        self, request: Request, refused: list[Conflict]
    ) -> Granted | list[Conflict]:
        """Register its session, if need be, and ask.

        Into ``refused`` goes what was in the way on a lease that is over by the answer.
        """
        await self.enter(request)
        with self._registration.noticing(request.session):
            return await self._ask(request, refused)

    async def _ask(self, request: Request, refused: list[Conflict]) -> Granted | list[Conflict]:
        await self.unsettled.make_way(request)
        session = request.session
        await self._reclaiming.first(request)
        message, _, response, granted = await self._ask_until_news(request)
        if session.lease != message.lease_id:
            refused[:] = without_places(response.held)
            raise SessionEnded(f"{session.session_id} got a new lease meanwhile")
        if response.WhichOneof("outcome") == "held":
            conflicts = list(response.held.conflicts)
            told = isinstance(message, AcquireRequest) and message.overlaps
            if not self._overlaps.note(request, conflicts, told=told):
                return await self._ask(request, refused)
            self._waits.refused(session, request.project, conflicts)
            self._note_queued(request, conflicts)
            return conflicts
        await self._refuse_in_vain(request, granted)
        for lock in granted:
            self._note_granted(request, lock)
        return response.granted

    async def _refuse_in_vain(self, request: Request, granted: Sequence[HeldLock]) -> None:
        """Raises InvalidRequest where a subagent has ended while it asked: nobody edits."""
        if _is_in_vain(request):
            await self._give_up(request, granted)
            shown = ", ".join(request.shown)
            raise InvalidRequest(f"{shown}: the subagent that asked for it has ended meanwhile")

    def _heard(self, cut: Cut, response: AcquireResponse) -> None:
        """It is known now what became of an acquire that was cut off."""
        granted = self._granted(cut.request, response)
        self._renew(cut, granted)
        self._pass_on(self._standing(cut.request.session, granted))

    def _renew(self, cut: Cut, granted: Iterable[HeldLock]) -> None:
        """What a later command of its holder was granted may be over, and this in place of it.

        The one that was cut off was carried out when that had been taken away.
        """
        session = cut.request.session
        for lock in granted:
            if cut.tells_of(lock) or not self._held.is_renewed_by(lock):
                continue
            if not self._is_over(session, lock):
                self._note_granted(cut.request, lock)

    def _pass_on(self, granted: Iterable[HeldLock]) -> None:
        """Nobody else has what is granted, whatever becomes of it."""
        for lock in granted:
            self._held.pass_on(lock)

    def _standing(self, session: LocalSession, locks: Iterable[HeldLock]) -> list[HeldLock]:
        """Those of which it is not known that they are over."""
        return [lock for lock in locks if not self._is_over(session, lock)]

    async def _settled(self, cut: Cut, response: AcquireResponse) -> None:
        """Nothing is under way any more that may tell of the same grant."""
        request = cut.request
        if response.WhichOneof("outcome") == "held":
            if cut.stands:
                self._note_queued(request, response.held.conflicts)
            return
        granted = self._granted(request, response)
        self._renew(cut, granted)
        new = [lock for lock in granted if self._is_news(cut, lock)]
        for lock in new:
            if lock.key in cut.wanted:
                self._note_granted(request, lock)
        cut.giving_back = True
        await self._turn_down(request, [lock for lock in new if lock.key not in cut.wanted])

    async def _turn_down(self, request: Request, new: Sequence[HeldLock]) -> None:
        """Give back at once what is granted and not wanted. Raises what the coordinator says."""
        if passed := [lock.shown for lock in new if self._held.turn_down(lock)]:
            told = wording_losses.went_with_subagent(passed, has_ended=_is_in_vain(request))
            request.session.tell_loss(told)
        for lock in new:
            for place in _places_of(request, lock):
                self._turns.used(place)
        await self._give_back(request.session, new)

    def _is_news(self, cut: Cut, lock: HeldLock) -> bool:
        """Whether nobody else tells of this grant: no later acquire, nor one under way.

        Of one that was had before, and was lost since, the question tells what became of it.
        """
        if not cut.tells_of(lock) or self.unsettled.is_asked_for(cut.request, lock.key):
            return False
        if self._is_over(cut.request.session, lock) or self._held.losses.is_asked_for(lock):
            return False
        return not self._held.has_passed(lock)

    async def _ask_until_news(self, request: Request) -> _Answer:
        """Ask, and again when the grant ended before its answer came, or may have.

        Of several files some may stand: refused then, they are given back.
        """
        heard: Cut | None = None
        for _ in range(2):
            with self.unsettled.asking_again(heard):
                await self._registration.renew(request.session, request.project, PATIENCE_S)
                answer = await self._ask_once(request)
            if self._stands(request, answer):
                if heard and not answer.granted:
                    await self._begin_to_give_up(request, heard.granted)
                return answer
            # Now: a snapshot of a replica that is behind may take back that one is over.
            granted = self._standing(request.session, answer.granted)
            keys = {lock.key for lock in granted}
            heard = Cut(request, answer.message, keys, granted=granted)
            if heard.is_live:
                self._pass_on(granted)
        await self._begin_to_give_up(request, answer.granted)
        raise Contended(f"{', '.join(request.shown)}: granted and lost at once; try again")

    async def _ask_once(self, request: Request) -> _Answer:
        await self._owed.settle_first(request.session, request.project, request.keys, PATIENCE_S)
        if not request.session.registered:
            raise SessionEnded(f"{request.session.session_id} lost its lease meanwhile")
        # Its subagent would take over what the main thread has, and that would go with it.
        await self._refuse_in_vain(request, ())
        message = self._message(request)
        untold = self._forget_turns(request)
        asked_at = self._clock.now()
        with self.unsettled.asking(request, message) as told:
            response = await send(self._client, message, PATIENCE_S)
            told.update(told_of(request, response))
        self._turns.settled(untold)
        return _Answer(message, asked_at, response, self._granted(request, response))

    def _stands(self, request: Request, answer: _Answer) -> bool:
        """Whether what is granted may be believed in, and has not ended meanwhile."""
        locks = answer.granted
        session, now = request.session.session_id, self._clock.now()
        is_timely = self._held.is_timely(answer.asked_at, now) and self._held.believes(session, now)
        return (is_timely or not locks) and not any(
            self._is_over(request.session, lock) for lock in locks
        )

    async def _begin_to_give_up(self, request: Request, locks: Iterable[HeldLock]) -> None:
        """Beside the answer, which is known: a release may take longer than its edit waits."""
        self._background.start(self._give_up(request, locks))
        # Let it begin: what is owed is not asked for again before that is settled.
        await asyncio.sleep(0)

    async def _give_up(self, request: Request, locks: Iterable[HeldLock]) -> None:
        """All or none: what stands of these grants is given back, but what was had before."""
        standing = self._standing(request.session, locks)
        new = [lock for lock in standing if not self._was_had(lock)]
        with suppress(ScoordError):  # it is owed then
            await self._turn_down(request, new)

    def _was_had(self, lock: HeldLock) -> bool:
        """Whether its holder has exactly this grant, or had it, and asks what became of it."""
        return bool(self._held.find_same(lock)) or self._held.losses.is_asked_for(lock)

    def _granted(self, request: Request, response: AcquireResponse) -> list[HeldLock]:
        """What it was granted; nothing, where it was refused."""
        if response.WhichOneof("outcome") != "granted":
            return []
        return granted_locks(request, response.granted, self._clock.now())

    def _is_over(self, session: LocalSession, lock: HeldLock) -> bool:
        """Whether a grant has ended meanwhile: as the stream tells, or by our own release.

        Or as a later grant shows whose answer came first. What another thread of the session
        has is not given back: it passes on, whatever its asker gave back of the path since.
        """
        was_given_back = is_given_back(session, lock) and not self._held.passes_on(lock)
        is_over = was_given_back or self._neighbours.is_over(lock)
        return is_over or self._held.is_later_anothers(lock)

    def _message(self, request: Request) -> Message:
        if request.is_pattern:
            return reserve_message(request)
        return acquire_message(request, overlaps=self._overlaps.are_to_be_told(request))

    def _forget_turns(self, request: Request) -> dict[Place, Turn]:
        """What was known of its turns is old; one that comes from now on is news.

        It may come before the answer does, for a place that the answer tells of. Those
        that it was not told of are settled by the answer, also those of every branch.
        """
        places = request.places
        for place in places:
            self._turns.over(place)
        known = (*places, *(replace(place, branch="") for place in places))
        return self._turns.untold(known, waits=request.waits)

    def _note_queued(self, request: Request, conflicts: Iterable[Conflict]) -> None:
        refused = {
            path_key(conflict.path): conflict for conflict in conflicts if conflict.place > 0
        }
        for place, queued in request.places.items():
            if conflict := refused.get(place.key):
                revision, asked = conflict.place_revision, queued.asked
                self._turns.queued(place, conflict.path, revision, asked)
                self._turns.refused_anew(place)

    def _note_granted(self, request: Request, lock: HeldLock) -> None:
        session = request.session
        for place in _places_of(request, lock):
            self._turns.had(place)
        # Where locks are for every branch, so are places: then that was the one.
        if request.by_branch and not lock.branch:
            self._turns.had_on_every_branch(_place_of(lock), lock.token)
        self._held.put(lock)
        self._waits.over(session, lock.project, [lock.key])
        others = self._neighbours.of(lock.project).paths.get(lock.key, {})
        crossings.look(session, lock, others.values())


def _is_in_vain(request: Request) -> bool:
    """Whether the subagent has ended that it is for."""
    return request.agent in request.session.ended_subagents


def _place_of(lock: HeldLock) -> Place:
    """The place in the queue that its grant used up."""
    return Place(lock.project, lock.key, lock.session, lock.agent, lock.branch)


def _places_of(request: Request, lock: HeldLock) -> Iterable[Place]:
    """The same, where it may hold on more branches than on that it was asked for."""
    at = _place_of(lock)
    # Not a set: its order is another in each process.
    return dict.fromkeys((at, replace(at, branch=request.claimant.branch)))
