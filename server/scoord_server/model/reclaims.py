"""The rules of taking a lost lock again, and of edits that were made without one.

A grant leaves a trace whose mod revision is its token, until a command ends the
grant or another grant follows. So "nobody else was granted it since" can be compared,
even when the lease ran out and nobody saw how: the trace is as it was, and nobody left
one since in another domain, or at a pattern, that excludes it. Who waits is not overtaken.
"""

from collections.abc import Sequence

from scoord.claimant import Claimant
from scoord.ids import FencingToken, LeaseId
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import NoticeRecord, TraceRecord
from scoord_server.model import conflicts, traces
from scoord_server.model.compares import (
    absent,
    is_grant,
    lives,
    none_put_since,
    unchanged,
)
from scoord_server.model.history import Journal
from scoord_server.model.locks import (
    holder_of,
    lock_key,
    look,
    read_known,
    read_look,
    record_of,
)
from scoord_server.model.values import (
    Known,
    LockFact,
    Lost,
    Raced,
    Reclaim,
    Reclaimed,
    Report,
    WaiterFact,
    claimant_of,
)
from scoord_server.store import keys
from scoord_server.store.port import Compare, KeyValue, Operation, Put, Txn, TxnResult

WAITING = "waiting"
"""What is told of one who was not granted a path, but is next."""


def plan_reclaim(command: Reclaim, holder: Holder, known: Known, journal: Journal) -> Txn:
    """Take the lock, if its trace is still the one that the lost grant left.

    The room is compared, so whoever waits there is looked at first: nobody is overtaken.
    """
    asker, name, who = command.asker, command.name, _who(command)
    key = lock_key(asker.project, name.key, who)
    record = record_of(holder, name.shown, command.terms, asker.request_id, journal.now_ms)
    trace = traces.put_grant(
        _trace_key(command), holder, asker.request_id, journal.now_ms, journal.traces
    )
    line = journal.line(
        asker.project,
        "reclaimed",
        holder,
        asker.request_id,
        paths=(name.shown,),
        tokens=(command.lost,),
    )
    puts = (
        Put(key, record.SerializeToString(), asker.lease),
        trace,
        line,
    )
    left = (keys.get_prefix(prefix, command.lost) for prefix in _where_left(command))
    return Txn(_guards(command, key, known), puts, (*left, *look(asker, (name,))))


def read_reclaim(command: Reclaim, result: TxnResult) -> Reclaimed | Lost | Raced | None:
    """Read the answer to ``plan_reclaim``; None when the session is not live."""
    if result.succeeded:
        return Reclaimed(FencingToken(result.revision))
    left, at_patterns, *rest = result.results
    found = read_look((command.name,), TxnResult(result.succeeded, result.revision, tuple(rest)))
    if found is None:
        return None
    room = found.known.room(command.name.key)
    mine = conflicts.holding(_who(command), room)
    if mine and _is_answer(command, mine):
        return Reclaimed(mine.token)
    by = conflicts.first(_who(command), found.known, command.name.key)
    since = _since(command, left.kvs, at_patterns.kvs)
    if by or since or not _is_untouched(command, left.kvs):
        return Lost(_last(by, since))
    return found


def _is_answer(command: Reclaim, mine: LockFact) -> bool:
    """Whether the grant is the lost one, or what this command made of it.

    Another of the same holder may have come after somebody else's.
    """
    return mine.token == command.lost or mine.record.request_id == command.asker.request_id


def plan_note_lost(command: Reclaim, holder: Holder, last: TraceRecord, journal: Journal) -> Txn:
    """Write down that a lost lock is not had again, and who was granted it since."""
    asker, others = command.asker, (last.holder,) if last.how else ()
    line = journal.line(
        asker.project,
        "lost",
        holder,
        asker.request_id,
        paths=(command.name.shown,),
        tokens=(command.lost,),
        reason="its lease ran out",
        others=others,
    )
    return Txn((), (line,))


def read_overlaps(command: Report, result: TxnResult) -> tuple[TraceRecord, ...]:
    """Whom an edit without a lock met: who has the path, and who had it since it was heard of."""
    known = _known(command, result)
    who, key = claimant_of(command.asker, command.terms), command.name.key
    holds = (*known.room(key).holds, *conflicts.covering(known.reservations, key))
    standing = [fact for fact in holds if fact.claimant.excludes(who)]
    told = {command.asker.session, *(fact.record.holder.session_id for fact in standing)}
    newer = [trace for at, trace in _traces(result, who.branch) if at > command.heard_revision]
    others = (trace for trace in newer if trace.holder.session_id not in told)
    return (*others, *map(_standing, standing))


def read_editor(command: Report, result: TxnResult) -> Holder:
    """Who edited, by the traces it left and by its caller, when its session has ended."""
    editor = Holder(person=command.person)
    for _, trace in _traces(result):
        if trace.holder.session_id == command.asker.session:
            editor.CopyFrom(trace.holder)
    asker = command.asker
    editor.MergeFrom(Holder(session_id=asker.session, branch=command.terms.branch))
    editor.agent_id = asker.agent
    return editor


def plan_find_editor(command: Report) -> Txn:
    """Read all that was left at a path."""
    return Txn((), _look(command, since=0))


def plan_report(command: Report, editor: Holder, journal: Journal) -> Txn:
    """Leave a trace of the edit and look whom it met, in one step.

    Of two that edited in one outage neither held the path: the later report finds the
    trace of the earlier one.
    """
    asker = command.asker
    trace = TraceRecord(
        holder=editor,
        how=command.kind,
        request_id=asker.request_id,
        granted_unix_ms=journal.now_ms - command.ago_ms,
    )
    key = traces.edit_key(asker, command.name.key)
    reads = _look(command, since=command.heard_revision)
    return Txn((), (*reads, Put(key, trace.SerializeToString(), journal.traces)))


def plan_notice(
    project: str, to: Holder, lease: LeaseId, notice_id: str, notice: NoticeRecord
) -> Txn:
    """Lay something into a session's inbox, once, while the session lives."""
    key = keys.notice(project, to.session_id, notice_id)
    guards = (lives(project, to.session_id), absent(key))
    return Txn(guards, (Put(key, notice.SerializeToString(), lease),))


def _guards(command: Reclaim, key: bytes, known: Known) -> tuple[Compare, ...]:
    """All is as it was looked at; what was not looked at is as when the lock was granted."""
    asker, name = command.asker, command.name
    room, seen = known.room(name.key), max(command.lost, known.seen)
    return (
        lives(asker.project, asker.session),
        none_put_since(keys.reservation_prefix(asker.project), known.seen),
        is_grant(key, 0),
        is_grant(keys.lock(asker.project, name.key), 0),
        none_put_since(keys.room(asker.project, name.key), room.revision),
        unchanged(_trace_key(command), command.lost),
        *(none_put_since(prefix, seen) for prefix in _where_left(command)),
    )


def _where_left(command: Reclaim) -> tuple[bytes, bytes]:
    """Where whoever had the path since the lost grant has left a trace."""
    project = command.asker.project
    return keys.trace_prefix(project, command.name.key), keys.pattern_traces_prefix(project)


def _since(
    command: Reclaim, left: Sequence[KeyValue], at_patterns: Sequence[KeyValue]
) -> list[KeyValue]:
    """The traces of grants after the lost one, the last one last.

    Those of the asker too: in another domain they may hide who had the path before.
    """
    who = _who(command)
    of_path = traces.kept_out(who, left)
    found = (*of_path, *traces.patterns_kept_out(who, command.name.key, at_patterns))
    newer = (trace for trace in found if trace.mod_revision > command.lost)
    return sorted(newer, key=lambda trace: trace.mod_revision)


def _is_untouched(command: Reclaim, left: Sequence[KeyValue]) -> bool:
    """Whether the lost grant's own trace is as that left it."""
    own = _trace_key(command), command.lost
    return own in ((trace.key, trace.mod_revision) for trace in left)


def _look(command: Report, since: int) -> tuple[Operation, ...]:
    """Who has a path, who had it, and who edited it without, since a revision."""
    asker, name = command.asker, command.name
    left = keys.get_prefix(keys.trace_prefix(asker.project, name.key), since)
    return (left, *look(asker, (name,)))


def _known(command: Report, result: TxnResult) -> Known:
    # The traces come first; after the look comes what was put.
    reads = result.results[1 : 1 + len(look(command.asker, (command.name,)))]
    return read_known((command.name,), TxnResult(result.succeeded, result.revision, reads))


def _traces(result: TxnResult, branch: str = "") -> list[tuple[int, TraceRecord]]:
    """The traces of the path and when they were left, oldest first; no other branch's."""
    in_order = sorted(result.results[0].kvs, key=lambda kv: kv.mod_revision)
    wanted = (kv for kv in in_order if not branch or traces.is_met_on(branch, kv))
    return [(kv.mod_revision, TraceRecord.FromString(kv.value)) for kv in wanted]


def _who(command: Reclaim) -> Claimant:
    return claimant_of(command.asker, command.terms)


def _trace_key(command: Reclaim) -> bytes:
    return traces.grant_key(command.asker.project, command.name.key, _who(command))


def _last(by: LockFact | WaiterFact | None, since: list[KeyValue]) -> TraceRecord:
    """Who has it; else who had it last, and may have edited it; else for whom it is kept."""
    if isinstance(by, LockFact):
        return _standing(by)
    if since:
        return TraceRecord.FromString(since[-1].value)
    return _kept_for(by) if by else TraceRecord()


def _kept_for(waiter: WaiterFact) -> TraceRecord:
    record = waiter.record
    return TraceRecord(holder=record.waiter, how=WAITING, granted_unix_ms=record.since_unix_ms)


def _standing(fact: LockFact) -> TraceRecord:
    record = fact.record
    return TraceRecord(
        holder=holder_of(fact),
        token=fact.token,
        how=traces.GRANTED,
        granted_unix_ms=record.acquired_unix_ms,
    )
