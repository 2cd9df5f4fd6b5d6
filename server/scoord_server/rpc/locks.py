"""LockService: read the request, ask the coordinator, build the reply."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import grpc

from scoord.claimant import Claimant
from scoord.clock import Clock
from scoord.duration_limits import DEFAULT_CLAIM_S, MOST_CLAIM_S
from scoord.errors import InvalidConfig, InvalidRequest
from scoord.happenings import Kind
from scoord.ids import NO_GRANT, AgentId, FencingToken, LeaseId, ProjectId, RequestId
from scoord.limits import MOST_PATHS
from scoord.names import check_path, path_key
from scoord.patterns import check_reservable
from scoord.text import one_line
from scoord.v1 import locks_pb2 as pb
from scoord.v1.locks_pb2_grpc import LockServiceServicer
from scoord.v1.records_pb2 import TraceRecord
from scoord_server.coordinator import Coordinator
from scoord_server.model import endings
from scoord_server.model.answers import Conflict, Ended, GivenBack, Granted, Held, Reclaimed
from scoord_server.model.commands import (
    Acquire,
    Asker,
    Ending,
    Grant,
    PlaceRef,
    Reclaim,
    Report,
    Reserve,
    Terms,
)
from scoord_server.model.facts import LockFact, LockName
from scoord_server.rpc import checks, messages
from scoord_server.rpc.caller import current
from scoord_server.view import View

_EXCLUSIVE = pb.LOCK_MODE_EXCLUSIVE

Context = grpc.aio.ServicerContext[Any, Any]

_REPORTS = {
    pb.REPORT_KIND_UNASKED: Kind.UNASKED,
    pb.REPORT_KIND_UNPROTECTED: Kind.UNPROTECTED,
    pb.REPORT_KIND_OVERLAP: Kind.OVERLAP,
}

_OUTCOMES = {
    GivenBack.RELEASED: pb.RELEASE_OUTCOME_RELEASED,
    GivenBack.NOT_HOLDER: pb.RELEASE_OUTCOME_NOT_HOLDER,
    GivenBack.LEASE_OVER: pb.RELEASE_OUTCOME_LEASE_OVER,
}


class Locks(LockServiceServicer):
    """Grants, releases and breaks locks."""

    def __init__(self, coordinator: Coordinator, view: View, clock: Clock) -> None:
        self._coordinator = coordinator
        self._view = view
        self._clock = clock

    async def Acquire(self, request: pb.AcquireRequest, context: Context) -> pb.AcquireResponse:
        """Take one or many paths, all or none."""
        command = _acquire(request)
        outcome = await self._coordinator.locks.acquire(command)
        if isinstance(outcome, Granted):
            return _granted(command, outcome)
        return pb.AcquireResponse(held=self._held(command.asker.project, outcome))

    async def Reserve(self, request: pb.ReserveRequest, context: Context) -> pb.ReserveResponse:
        """Take a pattern."""
        command = Reserve(
            _asker(request), _pattern(request.pattern), _terms(request), request.takes_nothing
        )
        outcome = await self._coordinator.locks.reserve(command)
        if isinstance(outcome, Granted):
            (ref,) = _refs([command.pattern], outcome, is_pattern=True)
            return pb.ReserveResponse(reserved=ref)
        return pb.ReserveResponse(held=self._held(command.asker.project, outcome))

    async def Reclaim(self, request: pb.ReclaimRequest, context: Context) -> pb.ReclaimResponse:
        """Take a lost lock again."""
        asker = _asker(request)
        name = _name(asker.project, request.lost.path)
        away_ms = messages.milliseconds("away", request.away)
        lost = FencingToken(checks.revision("lost.token", request.lost.token))
        command = Reclaim(asker, name, lost, _terms(request), away_ms)
        outcome = await self._coordinator.reporting.reclaim(command)
        if isinstance(outcome, Reclaimed):
            ref = pb.LockRef(path=name.shown, token=outcome.token)
            edits = (messages.lost(trace, self._clock) for trace in outcome.edits)
            return pb.ReclaimResponse(reclaimed=ref, edits=edits)
        return pb.ReclaimResponse(lost=messages.lost(outcome.last, self._clock))

    async def ReadTrace(
        self, request: pb.ReadTraceRequest, context: Context
    ) -> pb.ReadTraceResponse:
        """Tell how a grant ended whose end its holder did not hear of."""
        asker = Asker(
            RequestId(""),  # it changes nothing, so that repeating it needs no name
            checks.project(request.project),
            checks.session_id(request.session_id),
            _lease(request.lease_id),
        )
        grant = Grant(asker.project, *_ref(asker.project, request.lock))
        found = await self._coordinator.reporting.read_trace(asker, grant)
        if found.grant(grant.token):
            return pb.ReadTraceResponse(stands=True)
        became = found.became(_held_by(asker, request), grant.token)
        was_taken = became is not None and became.how in endings.TAKEN
        end = found.end_of(grant.token) or (became if became and was_taken else TraceRecord())
        return pb.ReadTraceResponse(
            how=end.how,
            by=end.by,
            reason=end.reason,
            through=messages.ended_through(end),
            covered=found.is_covered(grant.token),
            became_more=became is not None and not was_taken,
        )

    async def Leave(self, request: pb.LeaveRequest, context: Context) -> pb.LeaveResponse:
        """Give up waiting."""
        asker = _asker(request, needs_lease=False)
        await self._coordinator.locks.leave(asker, _places(asker.project, request))
        return pb.LeaveResponse()

    async def Report(self, request: pb.ReportRequest, context: Context) -> pb.ReportResponse:
        """Record an edit without a lock, and tell whom it overlaps."""
        asker, kind = _asker(request, needs_lease=False), _REPORTS.get(request.kind)
        if kind is None:
            raise InvalidRequest("kind is not said; want UNASKED, UNPROTECTED or OVERLAP")
        branch, reason = one_line(request.branch), one_line(request.reason)
        terms = Terms(scope=request.scope, branch=branch, reason=reason)
        name = _name(asker.project, request.path)
        command = Report(
            asker,
            name,
            kind,
            checks.revision("heard_revision", request.heard_revision),
            terms,
            person=one_line(current.get().person),
            ago_ms=messages.milliseconds("ago", request.ago),
            relied=request.relied,
        )
        met = await self._coordinator.reporting.report(command)
        return pb.ReportResponse(overlaps=(messages.lost(trace, self._clock) for trace in met))

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        """Give locks back."""
        asker = Asker(
            checks.request_id(request.request_id),
            checks.project(request.project),
            checks.session_id(request.session_id),
            LeaseId(request.lease_id),
        )
        locks = checks.bounded("paths", request.locks, MOST_PATHS)
        refs = [_ref(asker.project, ref) for ref in locks]
        given_back = await self._coordinator.locks.release(asker, refs)
        return pb.ReleaseResponse(outcomes=(_OUTCOMES[outcome] for outcome in given_back))

    async def Break(self, request: pb.BreakRequest, context: Context) -> pb.BreakResponse:
        """Take a lock away from its holder."""
        request_id, project = checks.request_id(request.request_id), checks.project(request.project)
        grant = Grant(project, *_ref(project, request.lock))
        end = Ending(
            Kind.BROKEN,
            request_id,
            one_line(request.by),
            one_line(request.reason),
            messages.through(request),
            one_line(request.branch),
        )
        outcome = await self._coordinator.locks.end(grant, end)
        if isinstance(outcome, Ended):
            return pb.BreakResponse(broken=pb.Broken(unrecorded=outcome.unrecorded))
        standing = outcome.current
        lock = self._lock(project, standing) if standing else None
        return pb.BreakResponse(not_broken=pb.NotBroken(current=lock))

    async def ListLocks(
        self, request: pb.ListLocksRequest, context: Context
    ) -> pb.ListLocksResponse:
        """List locks, from the view."""
        project = checks.any_project(request.project)
        seen = await self._coordinator.present()
        return pb.ListLocksResponse(
            locks=messages.locks(seen, project, self._clock),
            view_age=messages.age(self._view.age_s()),
            waiters=messages.waiters(seen, project, self._clock),
        )

    def _held(self, project: ProjectId, outcome: Held) -> pb.Held:
        return pb.Held(conflicts=(self._conflict(project, one) for one in outcome.conflicts))

    def _conflict(self, project: ProjectId, conflict: Conflict) -> pb.Conflict:
        held = isinstance(conflict.by, LockFact)
        lock = (
            self._lock(project, conflict.by)
            if isinstance(conflict.by, LockFact)
            else messages.claim(project, conflict.by, self._clock)
        )
        return pb.Conflict(
            path=conflict.name.shown,
            lock=lock,
            place=conflict.place,
            is_claim=not held,
            place_revision=conflict.place_revision,
        )

    def _lock(self, project: ProjectId, fact: LockFact) -> pb.Lock:
        return messages.lock(self._view.reckoned(project, fact), self._clock)


def _acquire(request: pb.AcquireRequest) -> Acquire:
    asker = _asker(request)
    return Acquire(
        asker,
        names=tuple(_names(asker.project, request.paths)),
        terms=_terms(request),
        enqueue=request.enqueue,
        overlaps=request.overlaps,
        yields=request.yields,
        takes_nothing=request.takes_nothing,
        claim_ms=messages.milliseconds("claim", request.claim, MOST_CLAIM_S)
        or DEFAULT_CLAIM_S * 1000,
    )


def _asker(request: Any, *, needs_lease: bool = True) -> Asker:  # any command of a session
    return Asker(
        checks.request_id(request.request_id),
        checks.project(request.project),
        checks.session_id(request.session_id),
        _lease(request.lease_id) if needs_lease else LeaseId(0),
        AgentId(checks.identifier("agent_id", request.agent_id)),
    )


def _held_by(asker: Asker, request: pb.ReadTraceRequest) -> Claimant:
    """Who held the grant that is asked about, and how far."""
    agent = AgentId(checks.identifier("agent_id", request.agent_id))
    who = Claimant(asker.session, agent)
    return who.on(one_line(request.branch), request.lock.mode, request.lock.scope)


def _terms(request: pb.AcquireRequest | pb.ReserveRequest | pb.ReclaimRequest) -> Terms:
    return Terms(
        mode=_EXCLUSIVE if isinstance(request, pb.ReclaimRequest) else request.mode,
        scope=request.scope,
        branch=one_line(request.branch),
        commit=one_line(request.commit),
        reason=one_line(request.reason),
        is_reason_given=_gives_reason(request),
        lock_timeout_ms=messages.milliseconds("lock_timeout", request.lock_timeout),
        lasts_ms=messages.milliseconds("lasts", request.lasts),
    )


def _gives_reason(request: pb.AcquireRequest | pb.ReserveRequest | pb.ReclaimRequest) -> bool:
    """Whether it is to be the reason of what the asker has already, too."""
    if isinstance(request, pb.ReclaimRequest):
        return False
    return request.reason_given and bool(one_line(request.reason))


def _pattern(pattern: str) -> str:
    try:
        return check_reservable(pattern)
    except InvalidConfig as error:
        raise InvalidRequest(error.message) from error


def _lease(number: int) -> LeaseId:
    """Zero would bind the lock to no lease, and it would never end."""
    if number <= 0:
        raise InvalidRequest("lease_id is missing; a lock lives on its session's lease")
    return LeaseId(number)


def _granted(command: Acquire, outcome: Granted) -> pb.AcquireResponse:
    refs = _refs((name.shown for name in command.names), outcome)
    return pb.AcquireResponse(granted=pb.Granted(locks=refs))


def _refs(
    shown: Iterable[str], outcome: Granted, *, is_pattern: bool = False
) -> Iterator[pb.LockRef]:
    """What was granted, as a message names it, and as what."""
    for path, token, who in zip(shown, outcome.tokens, outcome.claimants, strict=True):
        yield pb.LockRef(
            path=path, token=token, is_pattern=is_pattern, mode=who.mode, scope=who.scope
        )


def _name(project: ProjectId, path: str) -> LockName:
    check_path(project, path)
    return LockName.of(path)


def _names(project: ProjectId, paths: Sequence[str]) -> list[LockName]:
    return [_name(project, path) for path in checks.bounded("paths", paths, MOST_PATHS)]


def _places(project: ProjectId, request: pb.LeaveRequest) -> list[PlaceRef]:
    names = _names(project, request.paths)
    said = [checks.revision("place_revisions", one) for one in request.place_revisions]
    revisions = said or [0] * len(names)
    branches = request.place_branches or [""] * len(names)
    if not len(revisions) == len(branches) == len(names):
        raise InvalidRequest("place_revisions or place_branches are not as many as paths")
    return list(map(PlaceRef, names, revisions, map(one_line, branches)))


def _ref(project: ProjectId, ref: pb.LockRef) -> tuple[LockName, FencingToken, bool]:
    if ref.is_pattern:
        name = LockName(ref.path, path_key(_pattern(ref.path)))
        return name, _token(ref), True
    return _name(project, ref.path), _token(ref), False


def _token(ref: pb.LockRef) -> FencingToken:
    """That of a grant, or of none: who breaks a lock looks with that first."""
    return NO_GRANT if ref.token == NO_GRANT else FencingToken(checks.revision("token", ref.token))
