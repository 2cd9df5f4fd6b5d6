"""The use cases of locks: carry the rules' plans out against the store, and plan again.

A plan that lost a race has read how things are; the next one starts from that.
The number of tries is bounded: each race lost is another's progress.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from scoord.errors import Contended, InvalidRequest, NotAllowed, StoreFull
from scoord.happenings import Kind
from scoord.ids import FencingToken, ProjectId, RequestId, SessionId
from scoord.names import path_digest
from scoord.text import one_line
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import LockRecord, NoticeRecord
from scoord_server.ground import TRIES, Ground, PlanAgain, not_live
from scoord_server.model import conflicts, endings, looks, outcomes, queues, reservations
from scoord_server.model import locks as lock_rules
from scoord_server.model.answers import Conflict, Ended, GivenBack, Granted, Held, Raced, Standing
from scoord_server.model.commands import Acquire, Asker, Ending, Grant, PlaceRef, Reserve
from scoord_server.model.facts import Known, LockFact, LockName, Room, WaiterFact
from scoord_server.refusing import Refusing
from scoord_server.seen import SeenLock, SeenWaiter
from scoord_server.store import keys

_log = logging.getLogger(__name__)


class Locking:
    """Grants, queues and ends of locks."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._refusing = Refusing(ground)

    async def acquire(self, command: Acquire) -> Granted | Held:
        """Take every name, or none. Raises SessionEnded, Contended."""
        command, positions = _without_repeats(command)
        ask = self._find_out if command.takes_nothing else self._acquire_once_each
        outcome = await ask(command)
        if isinstance(outcome, Granted):
            return outcome.at(positions)
        return outcome

    async def reserve(self, command: Reserve) -> Granted | Held:
        """Take a pattern. Raises SessionEnded, Contended."""
        if command.takes_nothing:
            return await self._find_out(command)
        holder = await self._ground.holder(command.asker, command.terms)
        found = self._ground.view.everything(command.asker.project)
        for _ in range(TRIES):
            outcome = await self._attempt_reserve(command, holder, found)
            if not isinstance(outcome, Room):
                return outcome
            found = outcome
        raise Contended(f"too much changes below {command.pattern}; try again")

    async def leave(self, asker: Asker, places: Sequence[PlaceRef]) -> None:
        """Give up places in queues. Raises Contended."""
        view = self._ground.view
        meant = {queues.place_key(asker, place) for place in places}
        seen = (view.turn(key) for key in sorted(meant))
        found: Sequence[WaiterFact] = [place.fact for place in seen if place]
        for _ in range(TRIES):
            # Giving up must always be possible, if need be without a word of it.
            plan_of = partial(queues.plan_leave, asker, places, found)
            result = await self._ground.note_if_room(asker.project, plan_of)
            others = queues.read_leave(result)
            if others is None:
                return
            found = others
        raise Contended(f"{places[0].name.shown} is asked for too often to be left; try again")

    async def release(
        self,
        asker: Asker,
        refs: Sequence[tuple[LockName, FencingToken, bool]],
    ) -> list[GivenBack]:
        """Give grants back. Raises NotAllowed."""
        given_back = (self._give_back(asker, Grant(asker.project, *ref)) for ref in refs)
        return await asyncio.gather(*given_back)

    async def end(
        self, grant: Grant, end: Ending, only_of: SessionId | None = None
    ) -> Ended | Standing:
        """End a grant while it stands: a release ``only_of`` its holder, or a break."""
        fact = self._seen(grant)
        found = endings.Found((fact,)) if fact else await self._find(grant)
        fact = fact or found.grant(grant.token)
        if fact and only_of and fact.record.holder.session_id != only_of:
            raise NotAllowed(f"{grant.name.shown} is held by another session; break it instead")
        if fact and (ended := await self._end(grant.project, grant.name, fact, end)):
            if end.how == Kind.BROKEN:
                named = one_line(grant.name.shown), grant.project, grant.token
                _log.info("broke the lock on %s of %s under token %d", *named)
            return ended
        if end.how == Kind.BROKEN and await self._broke_before(grant, end):
            return Ended()
        return endings.over(await self._find(grant), grant.token, end)

    async def end_overdue(self, lock: SeenLock) -> bool:
        """Take away a lock that was idle for too long or has had its time, unless used since."""
        how = lock.overdue(self._ground.clock.now())
        return how is not None and await self._end_by_itself(lock, how)

    async def end_orphan(self, lock: SeenLock) -> bool:
        """Take away a lock whose session is not registered, if that is so."""
        return await self._end_by_itself(lock, Kind.ORPHANED)

    async def end_claim(self, waiter: SeenWaiter) -> bool:
        """Let go by one who did not use its turn, unless that was not as it was seen."""
        view = self._ground.view
        if view.turn(waiter.fact.key) != waiter:
            return False
        plan_of = partial(queues.plan_end_claim, waiter.project, waiter.fact, view.revision)
        return (await self._ground.note_if_room(waiter.project, plan_of)).succeeded

    async def _find_out(self, command: Acquire | Reserve) -> Granted | Held:
        """What became of a command whose answer was not heard. Raises SessionEnded."""
        result = await self._ground.store.txn(outcomes.plan(command))
        outcome = outcomes.read(command, result)
        if outcome is None:
            raise not_live(command.asker.session, command.asker.project)
        return outcome

    # -- steps of acquire ---------------------------------------------------------

    async def _acquire_once_each(self, command: Acquire) -> Granted | Held:
        holder = await self._ground.holder(command.asker, command.terms)
        known = self._known(command)
        for _ in range(TRIES):
            try:
                outcome = await self._attempt(command, holder, known)
            except PlanAgain:
                known = self._known(command)  # what was read may be of the store before
                continue
            if not isinstance(outcome, Raced):
                return outcome
            known = outcome.known
        raise Contended(f"{command.names[0].shown} changes hands too fast; try again")

    async def _attempt(
        self, command: Acquire, holder: Holder, known: Known
    ) -> Granted | Held | Raced:
        ground, asker = self._ground, command.asker
        journal = await ground.journal(asker.project)
        found = conflicts.in_the_way(command, known)
        if not found:
            known = replace(known, left_ms=self._left_ms(asker.project, known))
            plan = lock_rules.plan_acquire(command, holder, known, journal)
            result = await ground.txn(plan, asker.session)
            return _if_live(lock_rules.read_acquire(command, known, result), asker)
        # Of a pattern the view may be behind: that it stands is read before anybody is refused.
        if await self._end_overdue(found) or not known.rooms:
            return await self._look(command)
        if command.overlaps:
            await self._tell_of_overlap(command, holder, found)
            await self._refusing.note(asker, holder, found, kind=Kind.OVERLAP)
        elif command.yields:
            await self._refusing.note(asker, holder, found)
        if not command.enqueue or command.overlaps:
            return Held(found)
        plan = queues.plan_wait(command, holder, found, known, journal)
        result = await ground.txn(plan, asker.session)
        return _if_live(queues.read_wait(command, found, result), asker)

    def _known(self, command: Acquire) -> Known:
        return Known(*self._ground.view.reservations(command.asker.project))

    def _left_ms(self, project: ProjectId, known: Known) -> dict[bytes, int]:
        """What remains of what was taken for a time, as was seen, or is reckoned, here."""
        view, now = self._ground.view, self._ground.clock.now()
        facts = (fact for room in known.rooms.values() for fact in room.holds)
        timed = (fact for fact in facts if fact.record.lasts_ms)
        return {fact.key: view.reckoned(project, fact).left_ms(now) for fact in timed}

    async def _look(self, command: Acquire) -> Granted | Held | Raced:
        """Read how everything is, where it may not be as it was taken for."""
        plan = looks.plan_look(command.asker, command.names)
        result = await self._ground.store.txn(plan)
        return _if_live(looks.read_look(command.asker, command.names, result), command.asker)

    async def _end_overdue(self, found: Sequence[Conflict]) -> Sequence[Conflict]:
        """Take away what is in the way and overdue, at the moment it is wanted; say what."""
        now, view = self._ground.clock.now(), self._ground.view
        ended = list[Conflict]()
        for conflict in found:
            lock, waiter = view.hold(conflict.by.key), view.turn(conflict.by.key)
            is_over = lock is not None and bool(lock.overdue(now)) and await self.end_overdue(lock)
            if is_over or (waiter and waiter.is_overdue(now) and await self.end_claim(waiter)):
                ended.append(conflict)
        return ended

    async def _tell_of_overlap(
        self, command: Acquire, asker: Holder, found: Sequence[Conflict]
    ) -> None:
        """Tell those who hold what the asker edits all the same."""
        for conflict in found:
            if isinstance(conflict.by, LockFact):
                fact, holder = conflict.by, conflict.by.record.holder
                notice = NoticeRecord(
                    kind=Kind.OVERLAP,
                    path=conflict.name.shown,
                    sender=asker,
                    text=command.terms.reason,
                )
                held = f"{fact.token}-{path_digest(conflict.name.shown)}"
                notice_id = f"overlap-{held}-{asker.session_id}-{asker.agent_id}"
                await self._ground.tell(
                    command.asker.project, holder, fact.lease, notice_id, notice
                )

    # -- steps of reserve ---------------------------------------------------------

    async def _attempt_reserve(
        self, command: Reserve, holder: Holder, found: Room
    ) -> Granted | Held | Room:
        """One try; else the grants and places as they are. Raises SessionEnded."""
        in_the_way = reservations.in_the_way(command, found)
        ended = await self._end_overdue(in_the_way)
        if left := [conflict for conflict in in_the_way if conflict not in ended]:
            return await self._refuse(command, holder, left)
        return await self._take(command, holder, found)

    async def _refuse(
        self, command: Reserve, holder: Holder, left: Sequence[Conflict]
    ) -> Held | Room:
        """Refuse, if what was seen in the way is there: the view may be behind."""
        plan = reservations.plan_look_again(command, left[0].by)
        result = await self._ground.store.txn(plan)
        if not result.succeeded:
            return _live_room(command, reservations.read_look(command.asker, result))
        refused = reservations.first_of_each(left)
        await self._refusing.note(command.asker, holder, refused, command.pattern)
        return Held(refused)

    async def _take(self, command: Reserve, holder: Holder, found: Room) -> Granted | Room:
        """Take the pattern, if all is as ``found``."""
        ground, asker = self._ground, command.asker
        before = reservations.own(command, found)
        journal = await ground.journal(asker.project)
        plan = reservations.plan_reserve(command, holder, before, found, journal)
        try:
            result = await ground.txn(plan, asker.session)
        except PlanAgain:
            return ground.view.everything(asker.project)
        outcome = reservations.read_reserve(command, before, result)
        return outcome if isinstance(outcome, Granted) else _live_room(command, outcome)

    # -- steps of ends ------------------------------------------------------------

    async def _give_back(self, asker: Asker, grant: Grant) -> GivenBack:
        end = Ending(Kind.RELEASED, asker.request_id)
        outcome = await self.end(grant, end, only_of=asker.session)
        return GivenBack.RELEASED if isinstance(outcome, Ended) else await self._over(asker, grant)

    async def _over(self, asker: Asker, grant: Grant) -> GivenBack:
        """How a grant had ended: by an earlier try, say, which hides that the next one got it."""
        result = await self._ground.store.txn(endings.plan_read_trace(asker, grant))
        found = endings.read_trace(asker, grant, result)
        return endings.given_back(found, grant.token)

    async def _end_by_itself(self, lock: SeenLock, how: Kind) -> bool:
        fact = lock.fact
        request = RequestId(f"{how}-{fact.token}-{fact.mod_revision}")
        end = Ending(how, request, reason=_why(how, fact.record))
        return bool(await self._end(lock.project, LockName.of(fact.record.path), fact, end))

    async def _end(
        self, project: ProjectId, name: LockName, fact: LockFact, end: Ending
    ) -> Ended | None:
        """End ``fact`` in one transaction; None when it did not stand any more."""
        ground = self._ground
        for _ in range(TRIES):
            try:
                plan = endings.plan_end(project, name, fact, end, await ground.journal(project))
                return Ended() if (await ground.txn(plan)).succeeded else None
            except PlanAgain:
                continue
            except StoreFull:
                # Giving back must always be possible, if need be without a word of it.
                plan = endings.plan_end_silently(project, name, fact, end)
                done = await ground.txn(plan)
                return Ended(unrecorded=True) if done.succeeded else None
        raise Contended(f"{name.shown} cannot be ended now; try again")

    async def _broke_before(self, grant: Grant, end: Ending) -> bool:
        """Whether this very command broke it, and its answer was lost."""
        key = keys.taken_by(grant.project, grant.token, grant.name.key, end.request_id)
        return bool((await self._ground.store.range(key)).kvs)

    def _seen(self, grant: Grant) -> LockFact | None:
        """Who got it, by the view: a fact that never changes, so its age is no matter."""
        seen = self._ground.view.grant(grant.project, grant.name.key, grant.token)
        return seen.fact if seen else None

    async def _find(self, grant: Grant) -> endings.Found:
        result = await self._ground.store.txn(endings.plan_find(grant))
        return endings.read_find(grant.name, result)


def _without_repeats(command: Acquire) -> tuple[Acquire, list[int]]:
    """``command`` with each key once, and where each asked name stands in it."""
    if not command.names:
        raise InvalidRequest("an acquire names no path")
    if len(command.names) == 1:  # an edit
        return command, [0]
    first = {name.key: name for name in reversed(command.names)}
    order = {key: i for i, key in enumerate(dict.fromkeys(n.key for n in command.names))}
    names = tuple(first[key] for key in order)
    return replace(command, names=names), [order[name.key] for name in command.names]


def _why(how: Kind, record: LockRecord) -> str:
    """Why a lock is taken away by itself, for the record."""
    match how:
        case Kind.IDLE:
            limit = endings.longer_than(record.lock_timeout_ms, "lock_timeout")
            return f"it was not used for {limit}"
        case Kind.LASTED:
            # How long that was is not known of one that was lost and came back for what remained.
            return "the time it was taken for is over"
    return "its session is not registered any more"


def _live_room(command: Reserve, found: Room | None) -> Room:
    if found is None:
        raise not_live(command.asker.session, command.asker.project)
    return found


def _if_live(outcome: Granted | Held | Raced | None, asker: Asker) -> Granted | Held | Raced:
    if outcome is None:
        raise not_live(asker.session, asker.project)
    return outcome
