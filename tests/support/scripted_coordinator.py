"""A coordinator in this process, in the place of the agent's client: a test loses its answers."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import cast

from scoord.clock import Clock
from scoord.errors import (
    Contended,
    CoordinatorUnreachable,
    InternalError,
    InvalidPath,
    ScoordError,
    SessionEnded,
)
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.patterns import matches
from scoord.v1.events_pb2 import WatchResponse
from scoord.v1.history_pb2 import HoldTime, ListHoldTimesRequest, ListHoldTimesResponse
from scoord.v1.locks_pb2 import (
    AcquireRequest,
    AcquireResponse,
    Conflict,
    Granted,
    Held,
    Holder,
    LeaveRequest,
    ListLocksResponse,
    Lock,
    LockRef,
    LockScope,
    Lost,
    ReadTraceRequest,
    ReadTraceResponse,
    ReclaimRequest,
    ReclaimResponse,
    ReleaseOutcome,
    ReleaseRequest,
    ReleaseResponse,
    ReportRequest,
    ReportResponse,
    ReserveRequest,
    ReserveResponse,
)
from scoord.v1.sessions_pb2 import (
    EndRequest,
    HeartbeatRequest,
    HeartbeatResponse,
    RegisterRequest,
    RegisterResponse,
    SessionPulse,
    UpdateRequest,
)
from scoord_agent.connection import Connection
from scoord_agent.coordinator import CoordinatorClient


class Fate(Enum):
    """What becomes of one acquire."""

    ANSWERED = auto()
    LOST_ANSWER = auto()
    """It is done, and its answer never comes."""
    LOST = auto()
    """It never arrives."""
    LATE = auto()
    """It arrives when the gate opens."""
    LATE_ANSWER = auto()
    """It is done, and its answer waits for the gate."""
    UNREACHABLE = auto()
    """It is done, and the connection breaks off."""
    REFUSED = auto()
    """It is no command that anybody would carry out."""
    BROKEN = auto()
    """It arrives, and fails in a way that nobody foresaw."""
    CONTENDED = auto()
    """Others were faster each time."""


@dataclass
class ScriptedCoordinator:
    """Leases and locks, with one revision for all."""

    clock: Clock
    locks: dict[str, Lock] = field(default_factory=dict)
    leases: set[int] = field(default_factory=set)
    expired: set[int] = field(default_factory=set)
    fates: "deque[Fate]" = field(default_factory=deque)
    """Of the next acquires, reclaims and reports; the others are answered."""
    acquires: list[AcquireRequest] = field(default_factory=list)
    places: dict[tuple[str, str], Conflict] = field(default_factory=dict)
    """That refusals gave, by path and holder."""
    releases: list[ReleaseRequest] = field(default_factory=list)
    left: list[LeaveRequest] = field(default_factory=list)
    reclaims: list[ReclaimRequest] = field(default_factory=list)
    reports: list[ReportRequest] = field(default_factory=list)
    edits: dict[str, list[Lost]] = field(default_factory=dict)
    """Who edited a file without a lock since it was lost."""
    ended: list[EndRequest] = field(default_factory=list)
    beats: list[HeartbeatRequest] = field(default_factory=list)
    beats_fail: ScoordError | None = None
    """What is answered to a heartbeat, if not which leases stand."""
    reservations: list[ReserveRequest] = field(default_factory=list)
    reserve_fails: ScoordError | None = None
    """What is answered to who asks for a pattern, if not that."""
    past_holds: list[HoldTime] = field(default_factory=list)
    asked_for_holds: int = 0
    last: dict[str, Lost] = field(default_factory=dict)
    """Who was granted a path after the lost grant, by path key; nobody, if not said."""
    grants_on: "LockScope.ValueType" = LockScope.LOCK_SCOPE_UNSPECIFIED
    """How far its answers say that a grant holds."""
    ends: dict[str, ReadTraceResponse] = field(default_factory=dict)
    """What the traces of ended grants tell, by path key; nothing, if not said."""
    gate: asyncio.Event | None = None
    """What a release waits for, if anything, and a late answer."""
    meanwhile: Callable[[], None] | None = None
    """What happens while the answer to a registration is on its way."""
    connection: Connection = field(default_factory=lambda: Connection(belief_s=20.0))
    revision: int = 100

    @property
    def client(self) -> CoordinatorClient:
        """Itself, as the agent sees it."""
        return cast("CoordinatorClient", self)

    def hold(self, path: str, session: str) -> None:
        """Grant ``path`` to a session of another machine."""
        self._grant(path, Holder(session_id=session, alias="Session_9", person="bob", host="mini"))

    def expire(self, lease: int) -> None:
        """Let a lease run out."""
        self.leases.discard(lease)
        self.expired.add(lease)
        self.locks.clear()

    async def register(self, request: RegisterRequest, _patience_s: float = 0) -> RegisterResponse:
        """Give a new lease, unless the session has one, and tell of its locks."""
        if request.lease_id in self.expired:
            raise SessionEnded("its lease is over")
        lease = request.lease_id or self._next()
        self.leases.add(lease)
        session = request.session.session_id
        own = [lock for lock in self.locks.values() if lock.holder.session_id == session]
        if self.meanwhile:
            self.meanwhile()
        return RegisterResponse(lease_id=lease, alias="Session_1", locks=own)

    async def heartbeat(
        self, request: HeartbeatRequest, _patience_s: float = 0
    ) -> HeartbeatResponse:
        """Say which leases stand; late, if there is a gate."""
        self.beats.append(request)
        if self.gate:
            await self.gate.wait()
        if self.beats_fail:
            raise self.beats_fail
        pulses = (
            SessionPulse(session_id=beat.session_id, live=beat.lease_id in self.leases)
            for beat in request.beats
        )
        return HeartbeatResponse(pulses=pulses)

    async def end(self, request: EndRequest, _patience_s: float = 0) -> None:
        """Take a lease back."""
        self.ended.append(request)
        self.expire(request.lease_id)

    async def update(self, _request: UpdateRequest) -> None:
        """Nobody asks what a session is doing."""

    async def watch(self, _project: str) -> AsyncGenerator[WatchResponse, None]:
        """Tell nothing."""
        await asyncio.Event().wait()
        yield WatchResponse()

    async def close(self) -> None:
        """There is no channel."""

    async def acquire(self, request: AcquireRequest, _patience_s: float = 0) -> AcquireResponse:
        """Grant, or not; and answer, or not."""
        self.acquires.append(request)
        fate = self._fate()
        if fate is Fate.LOST:
            await asyncio.Event().wait()
        if fate is Fate.CONTENDED:
            raise Contended("it changes hands too fast")
        if fate is Fate.LATE and self.gate:
            await self.gate.wait()
        response = self._acquire(request)
        if fate is Fate.LOST_ANSWER:
            await asyncio.Event().wait()
        if fate is Fate.LATE_ANSWER and self.gate:
            await self.gate.wait()
        if fate is Fate.UNREACHABLE:
            raise CoordinatorUnreachable("it cannot be reached")
        self.connection.answered(self.clock.now())
        return response

    async def release(self, request: ReleaseRequest, _patience_s: float = 0) -> ReleaseResponse:
        """Free what is held under the very token."""
        self.releases.append(request)
        if self.gate:
            await self.gate.wait()
        return ReleaseResponse(outcomes=map(self._release, request.locks))

    async def list_locks(self, _project: ProjectId) -> ListLocksResponse:
        """Nobody waits."""
        return ListLocksResponse()

    async def leave(self, request: LeaveRequest) -> None:
        """Take note of who waits no more."""
        self.left.append(request)
        fate = self._fate()
        if fate is Fate.LATE_ANSWER and self.gate:
            await self.gate.wait()
        if fate is Fate.UNREACHABLE:
            raise CoordinatorUnreachable("it cannot be reached")

    async def reclaim(self, request: ReclaimRequest, _patience_s: float = 0) -> ReclaimResponse:
        """Grant it again, unless ``last`` says that somebody else had it."""
        self.reclaims.append(request)
        fate = self._fate()
        response = self._reclaim(request)
        if fate is Fate.LATE_ANSWER and self.gate:
            await self.gate.wait()
        if fate is Fate.UNREACHABLE:
            raise CoordinatorUnreachable("it cannot be reached")
        return response

    async def read_trace(self, request: ReadTraceRequest) -> ReadTraceResponse:
        """Tell what the trace of a grant tells."""
        await asyncio.sleep(0)  # others are asked for meanwhile
        if request.lease_id not in self.leases:
            raise SessionEnded("its lease ran out")
        return self.ends.get(path_key(request.lock.path), ReadTraceResponse())

    async def report(self, request: ReportRequest) -> ReportResponse:
        """Say whom an edit met: the one that ``last`` names."""
        fate = self._fate()
        if fate is Fate.UNREACHABLE:
            raise CoordinatorUnreachable("it cannot be reached")
        self.reports.append(request)
        if fate is Fate.REFUSED:
            raise InvalidPath("not a path of ours")
        if fate is Fate.BROKEN:
            raise InternalError("it failed")
        met = self.last.get(path_key(request.path))
        return ReportResponse(overlaps=[met] if met else [])

    async def reserve(self, request: ReserveRequest, _patience_s: float = 0) -> ReserveResponse:
        """Grant a pattern, unless another has a file in it."""
        self.reservations.append(request)
        if self.reserve_fails:
            raise self.reserve_fails
        holder = Holder(session_id=request.session_id, agent_id=request.agent_id)
        key = path_key(request.pattern)
        met = [k for p, k in self.locks.items() if matches(key, p) and k.holder != holder]
        if met:
            return ReserveResponse(held=Held(conflicts=[Conflict(path=key, lock=met[0])]))
        ref = LockRef(path=request.pattern, token=self._next(), is_pattern=True)
        return ReserveResponse(reserved=ref)

    async def ask(
        self, _method: object, request: ListHoldTimesRequest, _patience_s: float = 0
    ) -> ListHoldTimesResponse:
        """Say how long files were held; nothing else is asked for this way."""
        assert isinstance(request, ListHoldTimesRequest)
        self.asked_for_holds += 1
        return ListHoldTimesResponse(holds=self.past_holds)

    def _reclaim(self, request: ReclaimRequest) -> ReclaimResponse:
        key = path_key(request.lost.path)
        if request.lease_id not in self.leases:
            raise SessionEnded("its lease ran out")
        if key in self.last:
            return ReclaimResponse(lost=self.last[key])
        holder = Holder(session_id=request.session_id, agent_id=request.agent_id)
        lock = self.locks.get(key)
        if lock is None or lock.token != request.lost.token:
            lock = self._grant(request.lost.path, holder)
        ref = LockRef(path=lock.path, token=lock.token)
        return ReclaimResponse(reclaimed=ref, edits=self.edits.get(key, ()))

    def _fate(self) -> Fate:
        return self.fates.popleft() if self.fates else Fate.ANSWERED

    def _release(self, ref: LockRef) -> "ReleaseOutcome.ValueType":
        lock = self.locks.get(path_key(ref.path))
        if lock is None or lock.token != ref.token:
            return ReleaseOutcome.RELEASE_OUTCOME_NOT_HOLDER
        del self.locks[path_key(ref.path)]
        return ReleaseOutcome.RELEASE_OUTCOME_RELEASED

    def _acquire(self, request: AcquireRequest) -> AcquireResponse:
        if request.lease_id not in self.leases:
            raise SessionEnded("its lease ran out")
        holder = Holder(session_id=request.session_id, agent_id=request.agent_id)
        found = [(path, self.locks.get(path_key(path))) for path in request.paths]
        if request.takes_nothing:
            return self._what_became(request, holder, found)
        conflicts = [
            Conflict(path=path, lock=lock, place=1, place_revision=self._next())
            for path, lock in found
            if lock and lock.holder != holder and not _passes(lock, holder)
        ]
        self.places |= {(conflict.path, str(holder)): conflict for conflict in conflicts}
        if conflicts:
            return AcquireResponse(held=Held(conflicts=conflicts))
        scope = self.grants_on
        granted = ((path, self._grant(path, holder)) for path in request.paths)
        refs = [LockRef(path=path, token=lock.token, scope=scope) for path, lock in granted]
        return AcquireResponse(granted=Granted(locks=refs))

    def _what_became(
        self, request: AcquireRequest, holder: Holder, found: list[tuple[str, Lock | None]]
    ) -> AcquireResponse:
        own = [LockRef(path=p, token=k.token) for p, k in found if k and k.holder == holder]
        if len(own) == len(found):
            return AcquireResponse(granted=Granted(locks=own))
        places = (self.places.get((path, str(holder))) for path in request.paths)
        return AcquireResponse(held=Held(conflicts=filter(None, places)))

    def _grant(self, path: str, holder: Holder) -> Lock:
        new = Lock(path=path, token=self._next(), holder=holder)
        lock = self.locks.setdefault(path_key(path), new)
        if _passes(lock, holder):
            lock.holder.CopyFrom(holder)
        return lock

    def _next(self) -> int:
        self.revision += 1
        return self.revision


def _passes(lock: Lock, asker: Holder) -> bool:
    """Whether a subagent takes over what its main thread has."""
    is_own = lock.holder.session_id == asker.session_id
    return is_own and bool(asker.agent_id) and not lock.holder.agent_id
