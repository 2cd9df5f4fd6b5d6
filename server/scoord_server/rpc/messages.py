"""Facts and outcomes as messages, with ages in place of clocks."""

from google.protobuf.duration_pb2 import Duration

from scoord.claimant import Claimant
from scoord.clock import Clock
from scoord.duration_limits import MOST_S
from scoord.errors import InvalidRequest
from scoord.sessions import count_down
from scoord.text import one_line
from scoord.v1 import events_pb2 as events
from scoord.v1 import locks_pb2 as pb
from scoord.v1.graph_pb2 import AddToGraphRequest, RemoveFromGraphRequest
from scoord.v1.records_pb2 import TraceRecord
from scoord.v1.sessions_pb2 import Session, TellRequest
from scoord.v1.sessions_pb2 import SweptLock as SweptLockMessage
from scoord.v1.tasks_pb2 import AddTasksRequest, FinishTaskRequest, RemoveTaskRequest
from scoord_server.model import traces
from scoord_server.model.facts import SessionFact, WaiterFact
from scoord_server.rpc import checks
from scoord_server.seen import (
    Change,
    LockGone,
    OfferGone,
    SeenLock,
    SeenNotice,
    SeenOffer,
    SeenSession,
    SeenWaiter,
    SessionGone,
    Turn,
    WaiterGone,
)
from scoord_server.sweeping import SweptLock
from scoord_server.view import Snapshot

_Through = (
    TellRequest
    | pb.BreakRequest
    | AddToGraphRequest
    | RemoveFromGraphRequest
    | AddTasksRequest
    | FinishTaskRequest
    | RemoveTaskRequest
)


def through(request: _Through) -> pb.Holder | None:
    """The session that does what is asked, safe to show; None for a person."""
    if not request.HasField("through"):
        return None
    said = request.through
    return pb.Holder(
        session_id=checks.session_id(said.session_id, "through.session_id"),
        alias=one_line(said.alias, 60),
        agent_id=checks.identifier("through.agent_id", said.agent_id),
        person=one_line(said.person),
        host=one_line(said.host),
        branch=one_line(said.branch),
        commit=one_line(said.commit),
    )


def duration(milliseconds: int) -> Duration:
    """A duration on the wire, never negative: wall clocks may have been set back."""
    result = Duration()
    result.FromMilliseconds(max(0, milliseconds))
    return result


def age(seconds: float) -> Duration:
    """How old the view is, on the wire; one that has forgotten all is endlessly old."""
    return duration(round(min(seconds, MOST_S) * 1000))


def milliseconds(field: str, duration: Duration, most_s: int = MOST_S) -> int:
    """A duration from the wire, rounded up: next to nothing is not "0 is never".

    Raises InvalidRequest, naming the field, when it is below 0 or over ``most_s`` seconds.
    """
    milliseconds = -(-duration.ToNanoseconds() // 1_000_000)
    if duration.ToNanoseconds() < 0 or milliseconds > most_s * 1000:
        raise InvalidRequest(
            f"{field} is {duration.ToNanoseconds() / 1e9:g} s; 0 to {most_s} s are allowed"
        )
    return milliseconds


def lock(seen: SeenLock, clock: Clock, waiters: int = 0) -> pb.Lock:
    """A lock as others see it now."""
    record, now = seen.fact.record, clock.wall_ms()
    return pb.Lock(
        project=seen.project,
        path=record.path,
        holder=record.holder,
        token=seen.fact.token,
        reason=record.reason,
        held_for=duration(now - record.acquired_unix_ms),
        idle_for=duration(now - record.touched_unix_ms),
        is_pattern=record.is_pattern,
        mode=record.mode,
        scope=record.scope,
        ends_in=duration(seen.left_ms(clock.now())) if record.lasts_ms else None,
        waiters=waiters,
    )


def claim(project: str, fact: WaiterFact, clock: Clock) -> pb.Lock:
    """The place of a waiter, told to one who came later as if it were a lock."""
    record = fact.record
    return pb.Lock(
        project=project,
        path=record.path,
        holder=record.waiter,
        reason=record.reason,
        held_for=duration(clock.wall_ms() - record.since_unix_ms),
        mode=record.mode,
        scope=record.scope,
    )


def swept_lock(swept: SweptLock, clock: Clock) -> SweptLockMessage:
    """A lock that a sweep took away."""
    return SweptLockMessage(lock=lock(swept.lock, clock), how=swept.how)


def waiter(seen: SeenWaiter, clock: Clock) -> pb.Waiter:
    """A place in a queue as others see it now."""
    record = seen.fact.record
    return pb.Waiter(
        project=seen.project,
        path=seen.shown or record.path,
        holder=record.waiter,
        reason=record.reason,
        place=seen.place,
        has_turn=seen.turn_at is not None,
        waiting_for=duration(clock.wall_ms() - record.since_unix_ms),
        scope=record.scope,
        mode=record.mode,
        revision=seen.fact.mod_revision,
    )


def lost(trace: TraceRecord, clock: Clock) -> pb.Lost:
    """The last grant of a path; empty when nobody knows of one."""
    if not trace.how:
        return pb.Lost()
    since = duration(clock.wall_ms() - trace.granted_unix_ms)
    return pb.Lost(
        holder=trace.holder,
        how=trace.how,
        since=since,
        token=trace.token,
        by=trace.by,
        reason=trace.reason,
        through=ended_through(trace),
        notice_id=traces.notice_id(trace.how, trace.request_id) if trace.HasField("met") else "",
    )


def ended_through(trace: TraceRecord) -> pb.Holder | None:
    """The coding session that ended a grant, if it was one."""
    return trace.through if trace.HasField("through") else None


def session(fact: SessionFact, clock: Clock) -> Session:
    """A session as others see it now; the list of its files is for its log alone."""
    result, now = Session(), clock.wall_ms()
    result.CopyFrom(fact.record.session)
    result.ClearField("edited_files")
    result.live_for.CopyFrom(duration(now - fact.record.registered_unix_ms))
    result.idle_for.CopyFrom(duration(now - fact.record.active_unix_ms))
    if result.HasField("estimate"):
        count_down(result, now - fact.record.estimated_unix_ms)
    return result


def snapshot(seen: Snapshot, project: str, clock: Clock) -> events.WatchResponse:
    """The first step of a stream."""
    return events.WatchResponse(
        revision=seen.revision,
        snapshot=events.Snapshot(
            sessions=sessions(seen, project, clock),
            locks=locks(seen, project, clock),
            waiters=waiters(seen, project, clock),
            notices=[notice(n) for n in seen.notices if project in ("", n.project)],
            offers=[offer(o) for o in seen.offers if project in ("", o.project)],
        ),
    )


def sessions(seen: Snapshot, project: str, clock: Clock) -> list[Session]:
    """The sessions of ``project`` (empty: of all), sorted by project and alias."""
    facts = (one.fact for one in seen.sessions)
    wanted = (fact for fact in facts if project in ("", fact.record.session.project))
    found = (session(fact, clock) for fact in wanted)
    return sorted(found, key=lambda s: (s.project, len(s.alias), s.alias))


def locks(seen: Snapshot, project: str, clock: Clock) -> list[pb.Lock]:
    """The locks of ``project`` (empty: of all), sorted by project and path.

    Each with how many it keeps waiting: who waits on another branch, waits for another's.
    """
    waiting: dict[tuple[str, str], list[Claimant]] = {}
    for place in seen.waiters:
        waiting.setdefault((place.project, place.key), []).append(place.fact.claimant)

    def with_count(one: SeenLock) -> pb.Lock:
        places = waiting.get((one.project, one.key), ())
        return lock(one, clock, sum(map(one.fact.claimant.excludes, places)))

    wanted = (one for one in seen.locks if project in ("", one.project))
    return sorted(map(with_count, wanted), key=lambda lk: (lk.project, lk.path, lk.token))


def waiters(seen: Snapshot, project: str, clock: Clock) -> list[pb.Waiter]:
    """Who waits in ``project`` (empty: in all), sorted by project, path and place."""
    found = (waiter(one, clock) for one in seen.waiters if project in ("", one.project))
    return sorted(found, key=lambda w: (w.project, w.path, w.place))


def change(revision: int, seen: Change, clock: Clock) -> events.WatchResponse:
    """One later step of a stream."""
    result = events.WatchResponse(revision=revision)
    match seen:
        case SeenSession(fact):
            result.session.CopyFrom(session(fact, clock))
        case SeenLock():
            result.lock.CopyFrom(lock(seen, clock))
        case SeenNotice():
            result.notice.CopyFrom(notice(seen))
        case SessionGone(last):
            result.session_gone.CopyFrom(_session_gone(last))
        case LockGone():
            result.lock_gone.CopyFrom(_lock_gone(seen, clock))
        case SeenOffer():
            result.offer.CopyFrom(offer(seen))
        case OfferGone(kept):
            result.offer_gone.CopyFrom(offer(kept))
        case _:
            _put_in_queue(result, seen, clock)
    return result


def _put_in_queue(
    result: events.WatchResponse, seen: SeenWaiter | Turn | WaiterGone, clock: Clock
) -> None:
    match seen:
        case SeenWaiter():
            result.waiting.CopyFrom(_waiting(seen))
        case Turn(place):
            result.turn.CopyFrom(waiter(place, clock))
        case WaiterGone(place):
            result.waiting_gone.CopyFrom(waiter(place, clock))


def notice(seen: SeenNotice) -> events.Notice:
    """Something that a session is to be told."""
    record = seen.record
    return events.Notice(
        notice_id=seen.notice_id,
        project=seen.project,
        session_id=seen.session,
        kind=record.kind,
        path=record.path,
        sender=record.sender,
        text=record.text,
    )


def offer(seen: SeenOffer) -> events.Offer:
    """Work that is kept for a session."""
    return events.Offer(
        project=seen.project, kind=seen.kind, name=seen.name, session=seen.record.session
    )


def _waiting(seen: SeenWaiter) -> events.Waiting:
    record = seen.fact.record
    return events.Waiting(
        project=seen.project,
        path=seen.shown or record.path,
        waiter=record.waiter,
        reason=record.reason,
        holders=seen.holders,
        scope=record.scope,
        more=seen.more,
        again=seen.again,
    )


def _session_gone(last: SessionFact) -> events.SessionGone:
    gone = last.record.session
    return events.SessionGone(project=gone.project, session_id=gone.session_id, alias=gone.alias)


def _lock_gone(gone: LockGone, clock: Clock) -> events.LockGone:
    trace = gone.trace
    return events.LockGone(
        lock=lock(gone.last, clock),
        how=trace.how if trace else "taken" if gone.taken else "ended",
        by=trace.by if trace else "",
        reason=trace.reason if trace else "",
        through=ended_through(trace) if trace else None,
    )
