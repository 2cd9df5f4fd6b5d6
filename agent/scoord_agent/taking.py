"""Takes locks and gives them back, and sees through what was cut off on the way.

It knows nothing of hooks: what a refusal means for an edit is ``edits.py``'s to say.
"""

import logging
from collections.abc import Iterable, Sequence
from itertools import groupby

from scoord.clock import Clock
from scoord.errors import Contended, SessionEnded, SessionNotFound
from scoord.ids import AgentId, ProjectId, SessionId
from scoord.names import path_key
from scoord.v1.locks_pb2 import (
    AcquireRequest,
    AcquireResponse,
    Conflict,
    Granted,
    LeaveRequest,
    ReleaseRequest,
)
from scoord_agent.asking import acquire_message, granted_locks, ref_of, reserve_message
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.crossings import Crossings
from scoord_agent.held import HeldLock, HeldLocks
from scoord_agent.neighbours import Neighbours
from scoord_agent.overlaps import Overlaps
from scoord_agent.owed import Owed
from scoord_agent.reclaiming import Reclaiming
from scoord_agent.registration import Registration
from scoord_agent.request import Request
from scoord_agent.sessions import LocalSession
from scoord_agent.turns import Place, Turn, Turns
from scoord_agent.unsettled import Cut, Message, Unsettled, send
from scoord_agent.waits import Waits

_log = logging.getLogger(__name__)

MAX_PATHS = 30
"""What the coordinator takes in one command."""

PATIENCE_S = 1.2
"""How long an edit waits for a coordinator that has just gone away to be replaced."""


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
        clock: Clock,
        background: Background,
        crossings: Crossings | None = None,
        waits: Waits | None = None,
    ) -> None:
        self._client = client
        self._registration = registration
        self._held = held
        self._neighbours = neighbours
        self._turns = turns
        self._reclaiming = reclaiming
        self._unsettled = Unsettled(
            client=client, clock=clock, background=background, settled=self._settled
        )
        self._owed = Owed(client)
        self._overlaps = Overlaps(client, neighbours, background)
        self._crossings = crossings or Crossings()
        self._waits = waits or Waits(lambda _session: None)

    def let_through(self, request: Request) -> None:
        """An edit goes on without an outcome: what is granted yet is to be held."""
        self._unsettled.let_through(request)

    def done(self, session: LocalSession, agent: AgentId) -> None:
        """A holder has ended: what it may yet be granted, or has lost, it wants no more."""
        self._unsettled.drop(session.session_id, agent)
        for lock in self._held.lost(session.session_id):
            if lock.agent == agent:
                self._held.settled(lock)

    async def settle(self) -> None:
        """Send again the releases that were not answered. Raises what the coordinator says."""
        await self._owed.settle()

    async def acquire(self, request: Request) -> Granted | list[Conflict]:
        """Take the files of one project, all or none; or a pattern.

        Raises Unknown and Refused errors.
        """
        session = request.session
        await self._enter(request)
        lease = session.lease
        try:
            return await self._ask(request)
        except (SessionEnded, SessionNotFound):
            # The lease ran out since the last heartbeat. Another event of the
            # session may have found out first, and registered it anew.
            if session.lease == lease:
                self._registration.lapse(session)
            await self._enter(request)
            return await self._ask(request)

    async def leave(self, request: Request) -> None:
        """Give up the places in the queues of files. Raises what the coordinator says."""
        who = request.session.session_id, request.agent
        for place in _places(request):
            self._turns.had(place)
        self._waits.over(request.session, request.project, request.keys)
        await self._leave(request.project, who, request.shown)

    async def leave_all(self, session: LocalSession, agent: AgentId) -> None:
        """Give up all places that a holder has, which has ended. Raises as above."""
        who = session.session_id, agent
        places = self._turns.leave(*who)
        for project in sorted({place.project for place in places}):
            shown = [path for place, path in places.items() if place.project == project]
            keys = map(path_key, shown)
            over = [k for k in keys if not self._turns.waits(project, k, session.session_id)]
            self._waits.over(session, project, over)
            await self._leave(project, who, shown)

    async def _leave(
        self, project: ProjectId, who: tuple[SessionId, AgentId], shown: Sequence[str]
    ) -> None:
        session_id, agent_id = who
        for start in range(0, len(shown), MAX_PATHS):
            request = LeaveRequest(
                request_id=new_request_id(),
                project=project,
                session_id=session_id,
                agent_id=agent_id,
                paths=shown[start : start + MAX_PATHS],
            )
            await self._client.leave(request)

    async def release(self, session: LocalSession, locks: Sequence[HeldLock]) -> None:
        """Give ``locks`` back. Raises what the coordinator says; they are not held any more."""
        by_project = sorted(locks, key=lambda lock: lock.project)
        for project, group in groupby(by_project, key=lambda lock: lock.project):
            part = [lock for lock in group if self._held.drop(lock)]
            for start in range(0, len(part), MAX_PATHS):
                await self._release(session, project, part[start : start + MAX_PATHS])

    def is_known(self, session: LocalSession, lock: HeldLock) -> bool:
        """Whether a grant is held, lost or given back here, or may yet be answered."""
        place = (lock.project, lock.key)
        held = self._held.grant(*place, lock.token, is_pattern=lock.is_pattern)
        lost = self._held.lost(session.session_id)
        return (
            held is not None
            or any((one.project, one.key) == place for one in lost)
            or self._owed.is_given_back(session, *place, lock.token)
            or self._unsettled.is_open(lock)
        )

    async def give_back_unasked(self, session: LocalSession, lock: HeldLock) -> None:
        """Give back a grant that nobody asked for. Raises what the coordinator says."""
        request = _release_message(session, lock.project, [lock])
        await self._owed.give_back(session, request, tells=False)

    async def _release(
        self, session: LocalSession, project: ProjectId, locks: Sequence[HeldLock]
    ) -> None:
        request = _release_message(session, project, locks)
        await self._owed.give_back(session, request, PATIENCE_S)

    async def _enter(self, request: Request) -> None:
        await self._registration.enter(
            request.session, request.project, request.settings, PATIENCE_S
        )

    async def _ask(self, request: Request) -> Granted | list[Conflict]:
        await self._unsettled.make_way(request)
        session = request.session
        await self._reclaiming.first(request)
        message, response = await self._ask_until_news(request)
        if session.lease != message.lease_id:
            raise SessionEnded(f"{session.session_id} got a new lease meanwhile")
        if response.WhichOneof("outcome") == "held":
            conflicts = list(response.held.conflicts)
            told = isinstance(message, AcquireRequest) and message.overlaps
            if not self._overlaps.note(request, conflicts, told=told):
                return await self._ask(request)
            self._waits.refused(session, request.project, conflicts)
            self._note_queued(request, conflicts)
            return conflicts
        for lock in granted_locks(request, response.granted):
            self._note_granted(request.session, lock)
        return response.granted

    async def _settled(self, cut: Cut, response: AcquireResponse) -> None:
        """It is known now what became of an acquire that was cut off."""
        request = cut.request
        if response.WhichOneof("outcome") == "held":
            return
        new = [
            lock for lock in granted_locks(request, response.granted) if self._is_news(cut, lock)
        ]
        if cut.let_through:
            for lock in new:
                self._note_granted(request.session, lock)
            return
        cut.giving_back = True
        for lock in new:
            self._held.put(lock)
        await self.release(request.session, new)

    def _is_news(self, cut: Cut, lock: HeldLock) -> bool:
        """Whether nobody else tells of this grant: no later acquire, nor one under way."""
        is_pattern = lock.is_pattern
        known = self._held.find(
            lock.project, lock.key, lock.session, lock.agent, is_pattern=is_pattern
        )
        if lock.key not in cut.open or self._unsettled.is_asked_for(cut.request, lock.key):
            return False
        if self._is_over(cut.request.session, lock):
            return False
        return known is None or known.is_before(lock)

    async def _ask_until_news(self, request: Request) -> tuple[Message, AcquireResponse]:
        """Ask, and again when the grant ended before its answer came.

        The stream may be faster than the answer. What it told is not told again: such
        a grant would be believed in for as long as the session lives.
        """
        for _ in range(2):
            await self._owed.settle_first(
                request.session, request.project, request.keys, PATIENCE_S
            )
            message = self._message(request)
            untold = self._forget_turns(request)
            with self._unsettled.asking(request, message) as told:
                response = await send(self._client, message, PATIENCE_S)
                told.update(_told_of(request, response))
            self._turns.settled(untold)
            locks = granted_locks(request, response.granted) if response.granted.locks else []
            if not any(self._is_over(request.session, lock) for lock in locks):
                return message, response
        raise Contended(f"{', '.join(request.shown)}: granted and lost at once; try again")

    def _is_over(self, session: LocalSession, lock: HeldLock) -> bool:
        """Whether a grant has ended meanwhile: as the stream tells, or by our own release."""
        key, token = lock.key, lock.token
        neighbourhood = self._neighbours.of(lock.project)
        heard = neighbourhood.is_over(key, token, is_pattern=lock.is_pattern)
        return heard or self._owed.is_given_back(session, lock.project, key, token)

    def _message(self, request: Request) -> Message:
        if request.is_pattern:
            return reserve_message(request)
        return acquire_message(request, overlaps=self._overlaps.are_to_be_told(request))

    def _forget_turns(self, request: Request) -> dict[Place, Turn]:
        """What was known of its turns is old; one that comes from now on is news.

        It may come before the answer does, for a place that the answer tells of. Those
        that it was not told of are settled by the answer.
        """
        places = _places(request)
        for place in places:
            self._turns.over(place)
        return self._turns.untold(places)

    def _note_queued(self, request: Request, conflicts: Iterable[Conflict]) -> None:
        who = request.session.session_id, request.agent
        for conflict in conflicts:
            if conflict.place > 0:
                place = Place(request.project, path_key(conflict.path), *who)
                self._turns.queued(place, conflict.path)

    def _note_granted(self, session: LocalSession, lock: HeldLock) -> None:
        self._turns.had(Place(lock.project, lock.key, lock.session, lock.agent))
        self._held.put(lock)
        self._waits.over(session, lock.project, [lock.key])
        others = self._neighbours.of(lock.project).paths.get(lock.key, {})
        self._crossings.look(session, lock, others.values())


def _places(request: Request) -> list[Place]:
    who = request.session.session_id, request.agent
    return [Place(request.project, key, *who) for key in request.keys]


def _release_message(
    session: LocalSession, project: ProjectId, locks: Sequence[HeldLock]
) -> ReleaseRequest:
    return ReleaseRequest(
        request_id=new_request_id(),
        project=project,
        session_id=session.session_id,
        locks=map(ref_of, locks),
    )


def _told_of(request: Request, response: AcquireResponse) -> set[str]:
    """The keys that an outcome says all of: what is not in the way may be ours already."""
    if response.WhichOneof("outcome") == "granted":
        return request.keys
    return {path_key(conflict.path) for conflict in response.held.conflicts}
