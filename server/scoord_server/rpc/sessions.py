"""SessionService: read the request, ask the coordinator, build the reply."""

from collections.abc import Sequence
from typing import Any

import grpc

from scoord.clock import Clock
from scoord.errors import InvalidRequest
from scoord.ids import FencingToken, LeaseId, ProjectId
from scoord.limits import MOST_BEATS, MOST_USES
from scoord.names import check_characters, path_key
from scoord.text import one_line
from scoord.v1 import sessions_pb2 as pb
from scoord.v1.locks_pb2 import LockRef
from scoord.v1.sessions_pb2_grpc import SessionServiceServicer
from scoord_server.coordinator import Coordinator
from scoord_server.model.answers import Pulse, Registered
from scoord_server.model.commands import Beat, Keep, Moved, Said
from scoord_server.model.facts import LockName
from scoord_server.rpc import checks, messages
from scoord_server.rpc.published import check_update, checked_session
from scoord_server.sweeping import Sweeping
from scoord_server.view import View

MAX_TTL_S = 3600

Context = grpc.aio.ServicerContext[Any, Any]


class Sessions(SessionServiceServicer):
    """Registers sessions, keeps them alive, and ends them."""

    def __init__(self, coordinator: Coordinator, view: View, clock: Clock) -> None:
        self._coordinator = coordinator
        self._sweeping = Sweeping(coordinator)
        self._view = view
        self._clock = clock

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """Make a session live, or take it up again."""
        session = _checked_session(request.session)
        outcome = await self._coordinator.register(
            checks.request_id(request.request_id),
            session,
            _ttl_s(request),
            LeaseId(request.lease_id),
            messages.milliseconds("session_timeout", request.session_timeout),
            lapsed=LeaseId(request.lapsed_lease_id),
            keep=Keep(messages.milliseconds("retention", request.retention), request.archive),
        )
        return self._registered(session.project, outcome)

    async def Heartbeat(
        self, request: pb.HeartbeatRequest, context: Context
    ) -> pb.HeartbeatResponse:
        """Renew the leases of all sessions of one machine."""
        beats = _beats(request.beats)
        pulses = await self._coordinator.heartbeat(beats)
        return pb.HeartbeatResponse(pulses=map(_pulse, beats, pulses))

    async def Update(self, request: pb.UpdateRequest, context: Context) -> pb.UpdateResponse:
        """Publish what a session is doing."""
        checks.request_id(request.request_id)
        checks.project(request.project)
        checks.session_id(request.session_id)
        check_update(request)
        await self._coordinator.update(request)
        return pb.UpdateResponse()

    async def End(self, request: pb.EndRequest, context: Context) -> pb.EndResponse:
        """End a session."""
        project = checks.project(request.project)
        session = checks.session_id(request.session_id)
        request_id = checks.request_id(request.request_id)
        lease, why = LeaseId(request.lease_id), one_line(request.why)
        for change in request.last:
            check_update(change)
        await self._coordinator.end(request_id, project, session, lease, why, last=request.last)
        return pb.EndResponse()

    async def Tell(self, request: pb.TellRequest, context: Context) -> pb.TellResponse:
        """Lay a message into a session's inbox."""
        said = Said(
            one_line(request.by),
            checks.filled("text", one_line(request.text)),
            messages.through(request),
        )
        await self._coordinator.tell(
            checks.request_id(request.request_id),
            checks.project(request.project),
            checks.session_id(request.session_id),
            said,
        )
        return pb.TellResponse()

    async def Sweep(self, request: pb.SweepRequest, context: Context) -> pb.SweepResponse:
        """End what is stale, and say what there is."""
        done = await self._sweeping.refresh(checks.any_project(request.project))
        swept, truth = done.swept, done.truth
        return pb.SweepResponse(
            idle=(messages.session(fact, self._clock) for fact in swept.sessions),
            expired=(record.session for record in done.expired),
            locks=(messages.swept_lock(one, self._clock) for one in swept.locks),
            turns=swept.turns,
            sessions=truth.sessions,
            held=truth.held,
            waiting=truth.waiting,
            revision=truth.revision,
            last_change=truth.last_change,
            view_revision=self._view.revision,
            view_age=messages.age(self._view.age_s()),
        )

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        """List live sessions, from the view."""
        project = checks.any_project(request.project)
        seen = await self._coordinator.present()
        found = messages.sessions(seen, project, self._clock)
        age = messages.age(self._view.age_s())
        return pb.ListSessionsResponse(sessions=found, view_age=age)

    def _registered(self, project: str, outcome: Registered) -> pb.RegisterResponse:
        return pb.RegisterResponse(
            alias=outcome.alias,
            lease_id=outcome.lease,
            lease_ttl=messages.duration(outcome.ttl_s * 1000),
            resumed=outcome.resumed,
            unused=outcome.unused,
            locks=(
                messages.lock(self._view.reckoned(ProjectId(project), fact), self._clock)
                for fact in outcome.locks
            ),
        )


def _checked_session(session: pb.Session) -> pb.Session:
    """A copy whose texts are safe to show; they come from anywhere."""
    checks.project(session.project, "session.project")
    checks.session_id(session.session_id, "session.session_id")
    checks.identifier("session.machine_id", checks.filled("session.machine_id", session.machine_id))
    return checked_session(session)


def _ttl_s(request: pb.RegisterRequest) -> int:
    ttl_s = messages.milliseconds("lease_ttl", request.lease_ttl) // 1000
    if not 1 <= ttl_s <= MAX_TTL_S:
        raise InvalidRequest(f"lease_ttl is {ttl_s} s; 1 to {MAX_TTL_S} s are allowed")
    return ttl_s


def _beats(beats: Sequence[pb.SessionBeat]) -> list[Beat]:
    checks.up_to("beats", beats, MOST_BEATS)
    told = [lock for beat in beats for lock in (*beat.touched, *beat.moved)]
    checks.up_to("locks that are told of", told, MOST_USES)
    return [_beat(beat) for beat in beats]


def _beat(beat: pb.SessionBeat) -> Beat:
    return Beat(
        project=checks.project(beat.project),
        session=checks.session_id(beat.session_id),
        lease=LeaseId(beat.lease_id),
        active=beat.active,
        touched=tuple((_name(ref), _token(ref)) for ref in beat.touched),
        moved=tuple(map(_moved, beat.moved)),
    )


def _moved(head: pb.LockHead) -> Moved:
    ref = head.lock
    branch, commit = one_line(head.branch), one_line(head.commit)
    return Moved(_name(ref), _token(ref), branch, commit)


def _name(ref: LockRef) -> LockName:
    return LockName(ref.path, path_key(check_characters(ref.path)))


def _token(ref: LockRef) -> FencingToken:
    return FencingToken(checks.revision("token", ref.token))


def _pulse(beat: Beat, pulse: Pulse) -> pb.SessionPulse:
    return pb.SessionPulse(
        project=beat.project,
        session_id=beat.session,
        live=pulse.live,
        remaining=messages.duration(pulse.remaining_s * 1000),
    )
