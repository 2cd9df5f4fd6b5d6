"""The rules of taking a lost lock again.

A grant leaves a trace whose mod revision is its token, until a command ends the
grant or another grant follows. So "nobody else was granted it since" can be compared,
even when the lease ran out and nobody saw how: the trace is as it was, and nobody left
one since in another domain, or at a pattern, that excludes it. Who waits is not overtaken.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from scoord.happenings import Kind
from scoord.ids import FencingToken
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import TraceRecord
from scoord_server.model import conflicts, traces
from scoord_server.model.answers import Lost, Raced, Reclaimed
from scoord_server.model.commands import Reclaim
from scoord_server.model.compares import absent, lives_on, none_put_since, unchanged
from scoord_server.model.facts import Known, LockFact, WaiterFact
from scoord_server.model.history import Journal
from scoord_server.model.locks import lock_key, record_of
from scoord_server.model.looks import look, read_look
from scoord_server.store import keys
from scoord_server.store.port import Compare, KeyValue, Put, Txn, TxnResult


def plan_reclaim(command: Reclaim, holder: Holder, known: Known, journal: Journal) -> Txn:
    """Take the lock, if its trace is still the one that the lost grant left.

    The room is compared, so whoever waits there is looked at first: nobody is overtaken.
    """
    asker, name, who = command.asker, command.name, command.claimant
    key = lock_key(asker.project, name.key, who)
    record = record_of(holder, name.shown, command.terms, asker.request_id, journal.now_ms)
    trace = traces.put_grant(
        _trace_key(command), holder, asker.request_id, journal.now_ms, journal.traces
    )
    line = journal.line(
        asker.project,
        Kind.RECLAIMED,
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
    found = read_look(command.asker, (command.name,), replace(result, results=tuple(rest)))
    if found is None:
        return None
    room = found.known.room(command.name.key)
    mine = conflicts.holding(command.claimant, room)
    if mine and _is_answer(command, mine):
        return Reclaimed(mine.token, _edits(command, left.kvs))
    by = conflicts.first(command.claimant, found.known, command.name.key)
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
    branch = command.claimant.branch
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
        Kind.LOST,
        holder,
        asker.request_id,
        paths=(command.name.shown,),
        tokens=(command.lost,),
        reason=why,
        others=others,
    )
    return Txn((), (line,))


def _guards(command: Reclaim, key: bytes, known: Known) -> tuple[Compare, ...]:
    """All is as it was looked at; what was not looked at is as when the lock was granted."""
    asker, name = command.asker, command.name
    room, seen = known.room(name.key), max(command.lost, known.seen)
    return (
        lives_on(asker),
        none_put_since(keys.reservation_prefix(asker.project), known.seen),
        absent(key),
        absent(keys.lock(asker.project, name.key)),
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
    who = command.claimant
    of_path = traces.kept_out(who, left)
    found = (*of_path, *traces.patterns_kept_out(who, command.name.key, at_patterns))
    newer = (trace for trace in found if trace.mod_revision > command.lost)
    return sorted(newer, key=lambda trace: trace.mod_revision)


def _is_untouched(command: Reclaim, left: Sequence[KeyValue]) -> bool:
    """Whether the lost grant's own trace is as that left it."""
    own = _trace_key(command), command.lost
    return own in ((trace.key, trace.mod_revision) for trace in left)


def _trace_key(command: Reclaim) -> bytes:
    return traces.grant_key(command.asker.project, command.name.key, command.claimant)


def _last(by: LockFact | WaiterFact | None, since: list[KeyValue]) -> TraceRecord:
    """Who has it; else who had it last, and may have edited it; else for whom it is kept."""
    if isinstance(by, LockFact):
        return traces.of_grant(by)
    if since:
        return TraceRecord.FromString(since[-1].value)
    return _kept_for(by) if by else TraceRecord()


def _kept_for(waiter: WaiterFact) -> TraceRecord:
    record = waiter.record
    return TraceRecord(holder=record.waiter, how=Kind.WAITING, granted_unix_ms=record.since_unix_ms)
