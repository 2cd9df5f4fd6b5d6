"""The rules of edits that were made without a lock: whom they met, and that all are told."""

from collections.abc import Iterable, Iterator, Sequence

from scoord.happenings import Kind
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import MetRecord, NoticeRecord, TraceRecord
from scoord_server.model import conflicts, traces
from scoord_server.model.commands import Report
from scoord_server.model.compares import lives, none_came_since
from scoord_server.model.facts import Known, SessionFact
from scoord_server.model.history import Journal
from scoord_server.model.looks import look, read_known
from scoord_server.store import keys
from scoord_server.store.port import Operation, Put, Txn, TxnResult

MOST_MET = 100
"""Whom one edit is said to have met, the latest: each is told in the transaction of its report."""

BROKE = "broke"
"""How one is met that broke the lock of who edited the path; and what it is told."""


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
    known, who, key = looked_at(command, result), command.claimant, command.name.key
    holds = (*known.room(key).holds, *conflicts.covering(known.reservations, key))
    standing = [fact for fact in holds if fact.claimant.excludes(who)]
    newer = [trace for at, trace in _traces(result, who.branch) if at > command.heard_revision]
    named = _Named(command.asker.session, *(fact.record.holder.session_id for fact in standing))
    others = named.not_yet(newer)
    at_patterns = named.not_yet(_had_patterns(command, result))
    breakers = named.not_yet(_breakers(command, newer))
    return (*breakers, *at_patterns, *others, *map(traces.of_grant, standing))[-MOST_MET:]


class _Named:
    """The sessions that the answer names already, each for one reason."""

    def __init__(self, *sessions: str) -> None:
        self._sessions = set(sessions)

    def not_yet(self, found: Iterable[TraceRecord]) -> list[TraceRecord]:
        """The traces of sessions that were not named before; from now on they are."""
        new = [trace for trace in found if trace.holder.session_id not in self._sessions]
        self._sessions.update(trace.holder.session_id for trace in new)
        return new


def _breakers(command: Report, newer: Iterable[TraceRecord]) -> Iterator[TraceRecord]:
    """The sessions that broke the editor's lock: each goes on as if nobody edited the path."""
    for trace in newer:
        is_own = trace.holder.session_id == command.asker.session
        if trace.how == Kind.BROKEN and is_own and trace.through.session_id:
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
    # Nobody has come since: who is gone was met a moment ago.
    as_looked_at = none_came_since(command.asker.project, command.name.key, seen)
    return Txn((*as_looked_at, *live), (left, line, *notices))


def _put_notice(
    command: Report, editor: Holder, to: SessionFact, met: Iterable[TraceRecord]
) -> Put:
    mine = {one.how for one in met if one.holder.session_id == to.record.session.session_id}
    kind = BROKE if mine == {BROKE} else command.kind
    notice = NoticeRecord(
        kind=kind, path=command.name.shown, sender=editor, text=command.terms.reason
    )
    told_by = traces.notice_id(command.kind, command.asker.request_id)
    key = keys.notice(command.asker.project, to.session_id, told_by)
    return Put(key, notice.SerializeToString(), to.lease)


def _left(command: Report, since: int) -> Operation:
    return keys.get_prefix(keys.trace_prefix(command.asker.project, command.name.key), since)


def looked_at(command: Report, result: TxnResult) -> Known:
    """What is at the path and over it, by the answer to ``plan_look``."""
    _traces_of_path, _at_patterns, *reads = result.results
    looked_at = TxnResult(result.succeeded, result.revision, tuple(reads))
    return read_known((command.name,), looked_at)


def _had_patterns(command: Report, result: TxnResult) -> list[TraceRecord]:
    """What is left of the patterns that covered the path since it was heard of, oldest first."""
    who = command.claimant
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
    # By it is seen whom the edit met: only who is on that branch, if it is confined to one.
    trace.holder.branch = command.claimant.branch
    for other in trace.met.others:
        other.ClearField("met")
    return trace


def _traces(result: TxnResult, branch: str = "") -> list[tuple[int, TraceRecord]]:
    """The traces of the path and when they were left, oldest first; no other branch's."""
    in_order = sorted(result.results[0].kvs, key=lambda kv: kv.mod_revision)
    wanted = (kv for kv in in_order if not branch or traces.is_met_on(branch, kv))
    return [(kv.mod_revision, TraceRecord.FromString(kv.value)) for kv in wanted]
