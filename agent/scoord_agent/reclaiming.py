"""Locks that were lost, until it is known what became of each.

Nobody else may have been granted them since: then they are this session's again,
under a new token, and nothing needs to be said. Or somebody was, or waits for them: then
the session is told who, since when, and to read the file again. Or it was taken away, or its
time is over: then the session is told so, and nothing is asked for. So it is where its holder
was granted more since: the lock may have become that, or ended before. Of a subagent that has
ended it is only found out how each was lost. While the answer is not known a lock stays to be
asked for, and no edit of its path is decided before.

What a main thread had of patterns and shares comes before its subagents' files there: they
were let in beside it, and it is not let in beside them.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

from scoord.claimant import Claimant
from scoord.clock import Clock
from scoord.config import Settings
from scoord.errors import ScoordError, SessionEnded
from scoord.happenings import Kind
from scoord.ids import ProjectId
from scoord.v1.locks_pb2 import (
    AcquireRequest,
    Held,
    LockRef,
    Lost,
    ReadTraceRequest,
    ReadTraceResponse,
    ReclaimRequest,
    ReserveRequest,
)
from scoord_agent import wording, wording_losses
from scoord_agent.asking import granted_again, stood_as, wanted_again
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient, new_request_id, seconds
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.owed import Owed, is_given_back
from scoord_agent.places import settings_root
from scoord_agent.registration import Registration
from scoord_agent.request import Request
from scoord_agent.settings import SettingsFor

MOST_AT_ONCE = 8
"""How many are asked for at the same time, of all sessions."""


class _Outcome(NamedTuple):
    """What was granted in place of a lost lock, if anything, and what its session is told."""

    again: HeldLock | None = None
    told: str = ""
    is_traced: bool = False
    """Whether that is what is written down of exactly this lock."""


class Reclaiming:
    """Asks again for what the sessions of this machine have lost."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        registration: Registration,
        held: HeldLocks,
        neighbours: Neighbours,
        owed: Owed,
        settings: SettingsFor,
        clock: Clock,
        background: Background,
    ) -> None:
        self._client = client
        self._registration = registration
        self._held = held
        self._neighbours = neighbours
        self._owed = owed
        self._settings = settings
        self._clock = clock
        self._background = background
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._running: dict[HeldLock, asyncio.Task[None]] = {}

    def begin(self, session: LocalSession) -> None:
        """Ask for all that ``session`` has lost, without waiting for the answers."""
        for lock in self._held.losses.of(session.session_id):
            if lock not in self._running:
                task = self._background.start(self._in_turn(session, lock))
                self._running[lock] = task
                task.add_done_callback(partial(self._over, lock))

    async def first(self, request: Request) -> None:
        """Find out about the paths of ``request``, before they are asked for.

        Raises what the coordinator says; nothing is known of them then.
        """
        await self._end_of(self._above(request))
        await asyncio.gather(*(self._ask_above(request, lock) for lock in self._above(request)))
        await self._end_of(self._of(request))
        left = (self._ask(request.session, lock, request.settings) for lock in self._of(request))
        await asyncio.gather(*left)

    async def _end_of(self, locks: Iterable[HeldLock]) -> None:
        """Wait for the questions that are under way, whatever becomes of them."""
        if running := [self._running[lock] for lock in locks if lock in self._running]:
            await asyncio.wait(running)

    async def _ask_above(self, request: Request, lock: HeldLock) -> None:
        try:
            await self._ask(request.session, lock, request.settings)
        except ScoordError:
            if self._held.losses.keeps_back(lock):
                raise

    def _of(self, request: Request) -> list[HeldLock]:
        lost = self._held.losses.of(request.session.session_id)
        own = (lock for lock in lost if lock.project == request.project and not lock.is_pattern)
        return [lock for lock in own if lock.key in request.keys]

    def _above(self, request: Request) -> list[HeldLock]:
        """What comes before what is asked for, and before what was lost there."""
        asked = ((request.claimant, request.project, key) for key in request.keys)
        lost = ((lock.claimant, *lock.name) for lock in self._of(request))
        return list(dict.fromkeys(up for one in (*asked, *lost) for up in self._lost_over(*one)))

    def _lost_over(self, who: Claimant, project: ProjectId, key: str) -> list[HeldLock]:
        """What its main thread lost with its lease that lets ``who`` have a path beside it."""
        return [
            lock
            for lock in self._held.losses.covering(who.session, project, key)
            if (lock.is_pattern or lock.shared)
            and lock.claimant.passes_to(who)
            and lock.claimant.meets(who)
            and self._held.losses.went_with_lease(lock)
        ]

    def _over(self, lock: HeldLock, _task: "asyncio.Task[None]") -> None:
        self._running.pop(lock, None)

    async def _in_turn(self, session: LocalSession, lock: HeldLock) -> None:
        # Outside of the room: those who wait in it would keep out what they wait for.
        await self._end_of(self._lost_over(lock.claimant, *lock.name))
        async with self._room:
            over = self._lost_over(lock.claimant, *lock.name)
            # Where its question has failed, or it was lost anew, both are asked for later.
            if not any(map(self._held.losses.keeps_back, over)):
                # Its limits are those of its own repository, as when it was taken.
                await self._ask(session, lock, self._settings.at(settings_root(session, lock)))

    async def _ask(self, session: LocalSession, lock: HeldLock, settings: Settings) -> None:
        if lock not in self._held.losses:
            return
        self._held.losses.note_asked(lock)
        await self._registration.enter(session, lock.project, settings)
        lease = session.lease
        with self._registration.noticing(session):
            outcome = await self._outcome(session, lock, settings)
            if self._held.losses.was_replaced(lock) and not outcome.is_traced:
                # Its holder was granted more on the way of the answer.
                outcome = await self._replaced(session, lock)
        if session.lease != lease:
            raise SessionEnded(f"{session.session_id} got a new lease meanwhile")
        session.remembered.reclaims.pop(lock, None)
        is_news = self._settle(lock, outcome)
        if is_news and outcome.told:
            session.tell_loss(outcome.told, lock.agent)
        if outcome.again is None or is_given_back(session, outcome.again):
            return  # a release that was sent meanwhile ends it, or did
        if is_news and not _is_unwanted(session, lock):
            self._have_again(outcome.again)
        else:
            self._turn_down(session, outcome.again)

    def _have_again(self, again: HeldLock) -> None:
        self._held.put(again)
        if self._neighbours.is_over(again):
            self._held.lose(again)

    def _settle(self, lock: HeldLock, outcome: _Outcome) -> bool:
        """It is known what became of it; False when it was known before."""
        if outcome.is_traced:
            self._held.void(lock)
        return self._held.losses.settle(lock)

    def _turn_down(self, session: LocalSession, again: HeldLock) -> None:
        """Nobody wants it any more, unless it is held: somebody else found out."""
        place, is_pattern = (again.project, again.key), again.is_pattern
        held = self._held.grant(*place, again.token, is_pattern=is_pattern)
        if held is None:
            giving = self._owed.give_back(session, again.project, [again], tells=False)
            self._background.start(giving)

    async def _outcome(self, session: LocalSession, lock: HeldLock, settings: Settings) -> _Outcome:
        if self._held.losses.was_replaced(lock):
            return await self._replaced(session, lock)
        if lock.has_had_its_time(self._clock.now()):
            return await self._lasted(session, lock)
        if _is_unwanted(session, lock):
            return await self._unwanted(session, lock)
        again = self._anew if lock.is_pattern or lock.shared else self._once_more
        return await again(session, lock, settings)

    async def _once_more(
        self, session: LocalSession, lock: HeldLock, settings: Settings
    ) -> _Outcome:
        """A file: if it went while its lease stood, what is written down of that comes first.

        Where nothing is, it went with a lease all the same: the agent before us held it.
        """
        if not self._held.losses.went_with_lease(lock):
            end = await self._end(session, lock)
            if end.stands:
                return _Outcome(lock.granted_anew(lock.token))
            if end.how or end.became_more:
                return _ended(lock, end)
        return await self._reclaim(session, lock, settings)

    async def _reclaim(self, session: LocalSession, lock: HeldLock, settings: Settings) -> _Outcome:
        """Ask for it again, unless others had it since."""
        lost = LockRef(path=lock.shown, token=lock.token)
        away = seconds(self._held.losses.away_s(lock, self._clock.now()))
        request = ReclaimRequest(lost=lost, away=away, **self._terms(session, lock, settings))
        request.request_id = session.remembered.reclaims.setdefault(lock, new_request_id())
        response = await self._client.reclaim(request)
        if response.WhichOneof("outcome") == "reclaimed":
            told = _edited_meanwhile(session, lock, response.edits)
            return _Outcome(granted_again(lock, response.reclaimed), told)
        return await self._after(session, lock, response.lost, settings)

    async def _lasted(self, session: LocalSession, lock: HeldLock) -> _Outcome:
        """Its time is over, unless it ended before that."""
        end = await self._end(session, lock)
        if end.how or _became_more(lock, end):
            return _ended(lock, end)
        return _Outcome(told=wording_losses.lasted(lock.shown))

    async def _unwanted(self, session: LocalSession, lock: HeldLock) -> _Outcome:
        """It is found out how it was lost. One that stands after all is given back."""
        with_lease = self._held.losses.went_with_lease(lock)
        end = await self._end(session, lock)
        if end.how:
            return _ended(lock, end)
        if end.stands:
            return _Outcome(lock.granted_anew(lock.token))
        lost = wording_losses.lost(lock.shown)
        return _Outcome(told=lost if with_lease else _untraced(session, lock, end))

    async def _replaced(self, session: LocalSession, lock: HeldLock) -> _Outcome:
        """Its holder has more: the lock became that, or was taken away before.

        Where others were granted it on its branch in between, it was.
        """
        end = await self._end(session, lock)
        if end.how or not end.covered or lock.shared:
            return _ended(lock, end)
        has_more = self._held.has_more(lock)
        told = wording_losses.had_again(lock.shown) if has_more else _untraced(session, lock, end)
        return _Outcome(told=told, is_traced=True)

    async def _after(
        self, session: LocalSession, lock: HeldLock, last: Lost, settings: Settings
    ) -> _Outcome:
        """Others may have had it: what its last grant tells."""
        if (last.holder.session_id, last.holder.agent_id) != (lock.session, lock.agent):
            asker = wording.Asker(session.session_id)
            return _Outcome(told=wording_losses.lost_to(lock.shown, last, asker))
        if last.how == Kind.GRANTED:
            return await self._behind_a_later_one(session, lock, settings)
        if last.how == Kind.RELEASED and last.token not in (0, lock.token):
            return _Outcome(told=wording_losses.had_meanwhile(lock.shown))
        return _ended(lock, last)

    async def _behind_a_later_one(
        self, session: LocalSession, lock: HeldLock, settings: Settings
    ) -> _Outcome:
        """Its holder was granted it again since, or a part of it.

        What was taken away before that is not asked for again. Who had it in between, nobody
        knows any more.
        """
        end = await self._end(session, lock)
        if end.how:
            return _ended(lock, end)
        if self._held.losses.went_with_lease(lock):
            again, told, _ = await self._acquire(session, lock, settings)
            return _Outcome(again, told or wording_losses.had_again(lock.shown))
        if self._held.has_passed(lock):
            return _Outcome(told=wording_losses.had_again(lock.shown))
        return _Outcome(told=_untraced(session, lock, end))

    async def _anew(self, session: LocalSession, lock: HeldLock, settings: Settings) -> _Outcome:
        """Ask for it as if for the first time: a share has no successor to compare with.

        Nobody does that with what was taken away from it: then its lease stood all the
        while, or a trace tells.
        """
        with_lease = self._held.losses.went_with_lease(lock)
        end = await self._end(session, lock)
        if end.how or self._held.losses.was_replaced(lock):
            return _ended(lock, end)
        if not with_lease:
            told = "" if end.stands else _untraced(session, lock, end)
            return _Outcome(lock.granted_anew(lock.token) if end.stands else None, told)
        if lock.is_pattern:
            return await self._reserve(session, lock, settings)
        return await self._acquire(session, lock, settings)

    async def _end(self, session: LocalSession, lock: HeldLock) -> ReadTraceResponse:
        """How a lost lock ended, as far as a trace tells. Raises SessionEnded."""
        request = ReadTraceRequest(
            project=lock.project,
            session_id=session.session_id,
            lease_id=session.lease,
            lock=stood_as(lock),
            agent_id=lock.agent,
            branch=lock.branch,
        )
        return await self._client.read_trace(request)

    async def _acquire(self, session: LocalSession, lock: HeldLock, settings: Settings) -> _Outcome:
        terms = self._terms(session, lock, settings)
        request = AcquireRequest(paths=[lock.shown], mode=lock.claimant.mode, **terms)
        response = await self._client.acquire(request)
        if response.WhichOneof("outcome") == "held":
            return _Outcome(told=_to_whom(session, lock, response.held))
        told = wording_losses.shared_again(lock.shown) if lock.shared else ""
        (ref,) = response.granted.locks
        return _Outcome(granted_again(lock, ref), told)

    async def _reserve(self, session: LocalSession, lock: HeldLock, settings: Settings) -> _Outcome:
        terms = self._terms(session, lock, settings)
        request = ReserveRequest(pattern=lock.shown, mode=lock.claimant.mode, **terms)
        response = await self._client.reserve(request)
        if response.WhichOneof("outcome") == "held":
            return _Outcome(told=_to_whom(session, lock, response.held))
        again = granted_again(lock, response.reserved)
        return _Outcome(again, wording_losses.reserved_again(lock.shown))

    def _terms(self, session: LocalSession, lock: HeldLock, settings: Settings) -> dict[str, Any]:
        return wanted_again(session, settings, lock, self._clock.now())


def _untraced(session: LocalSession, lock: HeldLock, end: ReadTraceResponse) -> str:
    """What is told where no trace says how it ended: it may have become a later grant."""
    if _became_more(lock, end):
        return ""
    became_another = is_given_back(session, lock)
    said = wording_losses.perhaps_lost if became_another else wording_losses.taken
    return said(lock.shown)


def _became_more(lock: HeldLock, end: ReadTraceResponse) -> bool:
    """Whether a share became a grant to write, also where its answer was not heard."""
    return lock.shared and end.became_more


def _is_unwanted(session: LocalSession, lock: HeldLock) -> bool:
    """Whether the subagent has ended that had it."""
    return lock.agent in session.ended_subagents


def _to_whom(session: LocalSession, lock: HeldLock, held: Held) -> str:
    asker, conflict = wording.Asker(session.session_id), held.conflicts[0]
    found, how = conflict.lock, Kind.WAITING if conflict.is_claim else Kind.GRANTED
    last = Lost(holder=found.holder, how=how, since=found.held_for)
    # What is in the way of a file keeps all of it; of a pattern it may be one file.
    part = found.path if lock.is_pattern and found.path != lock.shown else ""
    return wording_losses.lost_to(lock.shown, last, asker, part)


def _edited_meanwhile(session: LocalSession, lock: HeldLock, edits: Iterable[Lost]) -> str:
    """Who edited a lock's path without one before it came back, if that was not told before.

    The notice of it may come yet: it would say it once more.
    """
    news = [edit for edit in edits if edit.notice_id not in session.noticed]
    session.noticed.extend(edit.notice_id for edit in news)
    asker = wording.Asker(session.session_id)
    return wording_losses.had_again_edited(lock.shown, news, asker) if news else ""


def _ended(lock: HeldLock, end: wording_losses.End) -> _Outcome:
    told = wording_losses.ended(lock.shown, end, is_pattern=lock.is_pattern)
    return _Outcome(told=told, is_traced=bool(end.how))
