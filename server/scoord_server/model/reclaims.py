"""The rules of taking a lost lock again, and of edits that were made without one.

A grant leaves a trace whose mod revision is its token, until a command ends the
grant or another grant follows. So "nobody else was granted it since" can be compared,
even when the lease ran out and nobody saw how: the trace is as it was, and nobody left
one since in another domain, or at a pattern, that excludes it. Who waits is not overtaken.
"""

from collections.abc import Container, Iterable, Iterator, Sequence

from scoord.claimant import Claimant
from scoord.ids import FencingToken, LeaseId
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import MetRecord, NoticeRecord, TraceRecord
from scoord_server.model import conflicts, endings, traces
from scoord_server.model.compares import (
    absent,
    is_grant,
    lives,
    none_put_since,
    not_put_since,
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
    SessionFact,
    WaiterFact,
    claimant_of,
)
from scoord_server.store import keys
from scoord_server.store.port import Compare, KeyValue, Operation, Put, Txn, TxnResult

MOST_MET = 100
"""Whom one edit is said to have met, the latest: each is told in the transaction of its report."""

BROKE = "broke"
"""How one is met that broke the lock of who edited the path; and what it is told."""

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
    left = tuple(keys.get_prefix(prefix, command.lost) for prefix in _where_left(command))
    done = (left[0], *puts)
    return Txn(_guards(command, key, known), done, (*left, *look(asker, (name,))))


def read_reclaim(command: Reclaim, result: TxnResult) -> Reclaimed | Lost | Raced | None:
    """Read the answer to ``plan_reclaim``; None when the session is not live."""
    if result.succeeded:
        return Reclaimed(FencingToken(result.revision), _edits(command, result.results[0].kvs))
    left, at_patterns, *rest = result.results
    found = read_look((command.name,), TxnResult(result.succeeded, result.revision, tuple(rest)))
    if found is None:
        return None
    room = found.known.room(command.name.key)
    mine = conflicts.holding(_who(command), room)
    if mine and _is_answer(command, mine):
        return Reclaimed(mine.token, _edits(command, left.kvs))
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


def _edits(command: Reclaim, left: Iterable[KeyValue]) -> tuple[TraceRecord, ...]:
    """What others edited of the path without a lock since the lost grant: that ends no grant."""
    since = sorted((kv for kv in left if traces.is_edit(kv)), key=lambda kv: kv.mod_revision)
    branch = _who(command).branch
    met = (kv for kv in since if not branch or traces.is_met_on(branch, kv))
    records = (TraceRecord.FromString(kv.value) for kv in met)
    return tuple(one for one in records if one.holder.session_id != command.asker.session)


def why_lost(command: Reclaim, ends: Iterable[KeyValue]) -> str:
    """How the lost grant ended, by what is left of ``ends`` of its session as unused."""
    unused = any(end.mod_revision > command.lost for end in ends)
    return "its session was ended as unused" if unused else "its lease ran out"


def plan_note_lost(
    command: Reclaim, holder: Holder, last: TraceRecord, why: str, journal: Journal
) -> Txn:
    """Write down that a lost lock is not had again, why, and who was granted it since."""
    asker, others = command.asker, (last.holder,) if last.how else ()
    line = journal.line(
        asker.project,
        "lost",
        holder,
        asker.request_id,
        paths=(command.name.shown,),
        tokens=(command.lost,),
        reason=why,
        others=others,
    )
    return Txn((), (line,))


def plan_look(command: Report) -> Txn:
    """Read whom an edit without a lock met, and what its own report left if it came before."""
    asker, since = command.asker, command.heard_revision + 1
    at_patterns = keys.get_prefix(keys.pattern_traces_prefix(asker.project), since)
    return Txn((), (_left(command, since), at_patterns, *look(asker, (command.name,))))


def read_answer(command: Report, result: TxnResult) -> tuple[TraceRecord, ...] | None:
    """What this report was answered when it came first; None if it was not."""
    for kv in result.results[0].kvs:
        trace = TraceRecord.FromString(kv.value)
        if trace.request_id == command.asker.request_id and trace.HasField("met"):
            return tuple(trace.met.others)
    return None


def read_overlaps(command: Report, result: TxnResult) -> tuple[TraceRecord, ...]:
    """Whom the edit met: who had the path since it was heard of, and who has it; newest last."""
    known = looked_at(command, result)
    who, key = claimant_of(command.asker, command.terms), command.name.key
    holds = (*known.room(key).holds, *conflicts.covering(known.reservations, key))
    standing = [fact for fact in holds if fact.claimant.excludes(who)]
    told = {command.asker.session, *(fact.record.holder.session_id for fact in standing)}
    newer = [trace for at, trace in _traces(result, who.branch) if at > command.heard_revision]
    others = [trace for trace in newer if trace.holder.session_id not in told]
    told.update(trace.holder.session_id for trace in others)
    had = _had_patterns(command, result)
    at_patterns = [trace for trace in had if trace.holder.session_id not in told]
    told.update(trace.holder.session_id for trace in at_patterns)
    breakers = _breakers(command, newer, told)
    return (*breakers, *at_patterns, *others, *map(_standing, standing))[-MOST_MET:]


def _breakers(
    command: Report, newer: Iterable[TraceRecord], told: Container[str]
) -> Iterator[TraceRecord]:
    """The sessions that broke the editor's lock: each goes on as if nobody edited the path."""
    for trace in newer:
        through = trace.through.session_id
        is_own = trace.holder.session_id == command.asker.session
        if trace.how == endings.BROKEN and is_own and through and through not in told:
            yield TraceRecord(holder=trace.through, how=BROKE)


def editor_of(command: Report, known: Holder | None) -> Holder:
    """Who edited, when its session has ended: as history knows it, else by its caller."""
    editor = Holder(person=command.person)
    if known:
        editor.CopyFrom(known)
    asker = command.asker
    editor.MergeFrom(Holder(session_id=asker.session, branch=command.terms.branch))
    editor.agent_id = asker.agent
    return editor


def plan_report(
    command: Report,
    editor: Holder,
    met: Sequence[TraceRecord],
    told: Sequence[SessionFact],
    journal: Journal,
    *,
    seen: int,
) -> Txn:
    """Write down whom an edit met, and tell them, if nobody else came since the look at ``seen``.

    All in one step: a repeated report would find less, as what others left is overwritten,
    also by the editor's own next grant. Of two that edited in one outage neither held the
    path: the later report is planned again, and finds the trace of the earlier one.
    """
    asker = command.asker
    trace = _trace_of_edit(command, editor, met, journal)
    line = journal.line(
        asker.project,
        command.kind,
        editor,
        asker.request_id,
        paths=(command.name.shown,),
        others=[other.holder for other in met],
    )
    key = traces.edit_key(asker, command.name.key, command.kind)
    left = Put(key, trace.SerializeToString(), journal.traces)
    live = (lives(asker.project, session.session_id) for session in told)
    notices = (_put_notice(command, editor, session, met) for session in told)
    return Txn((*_as_looked_at(command, seen), *live), (left, line, *notices))


def plan_notice(
    project: str, to: Holder, lease: LeaseId, notice_id: str, notice: NoticeRecord
) -> Txn:
    """Lay something into a session's inbox, once, while the session lives."""
    key = keys.notice(project, to.session_id, notice_id)
    guards = (lives(project, to.session_id), absent(key))
    return Txn(guards, (Put(key, notice.SerializeToString(), lease),))


def _put_notice(
    command: Report, editor: Holder, to: SessionFact, met: Iterable[TraceRecord]
) -> Put:
    mine = {one.how for one in met if one.holder.session_id == to.record.session.session_id}
    kind = BROKE if mine == {BROKE} else command.kind
    notice = NoticeRecord(kind=kind, path=command.name.shown, sender=editor)
    told_by = traces.notice_id(command.kind, command.asker.request_id)
    key = keys.notice(command.asker.project, to.session_id, told_by)
    return Put(key, notice.SerializeToString(), to.lease)


def _as_looked_at(command: Report, seen: int) -> tuple[Compare, ...]:
    """Nobody has come since: who is gone was met a moment ago."""
    project, key = command.asker.project, command.name.key
    prefixes = (
        keys.trace_prefix(project, key),
        keys.pattern_traces_prefix(project),
        keys.reservation_prefix(project),
        keys.room(project, key),
    )
    room = (none_put_since(prefix, seen) for prefix in prefixes)
    return (not_put_since(keys.lock(project, key), seen), *room)


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


def _left(command: Report, since: int) -> Operation:
    return keys.get_prefix(keys.trace_prefix(command.asker.project, command.name.key), since)


def looked_at(command: Report, result: TxnResult) -> Known:
    """What is at the path and over it, by the answer to ``plan_look``."""
    _traces_of_path, _at_patterns, *reads = result.results
    looked_at = TxnResult(result.succeeded, result.revision, tuple(reads))
    return read_known((command.name,), looked_at)


def _had_patterns(command: Report, result: TxnResult) -> list[TraceRecord]:
    """What is left of the patterns that covered the path since it was heard of, oldest first."""
    who = claimant_of(command.asker, command.terms)
    found = traces.patterns_met(who, command.name.key, result.results[1].kvs)
    newer = [trace for trace in found if trace.mod_revision > command.heard_revision]
    in_order = sorted(newer, key=lambda trace: trace.mod_revision)
    return [TraceRecord.FromString(trace.value) for trace in in_order]


def _trace_of_edit(
    command: Report, editor: Holder, met: Sequence[TraceRecord], journal: Journal
) -> TraceRecord:
    trace = TraceRecord(
        holder=editor,
        how=command.kind,
        request_id=command.asker.request_id,
        granted_unix_ms=journal.now_ms - command.ago_ms,
        met=MetRecord(others=met),
    )
    for other in trace.met.others:
        other.ClearField("met")
    return trace


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
