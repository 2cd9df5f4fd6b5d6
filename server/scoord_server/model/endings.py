"""The rules of how a grant ends by a command: release, break, idleness, end of its time.

Each compares the token that was seen, and leaves a trace in the same step. A
repeated command finds its own trace, and gets its first answer.
"""

from dataclasses import dataclass

from scoord.ids import FencingToken, ProjectId, RequestId
from scoord.names import path_key
from scoord.v1.records_pb2 import TraceRecord
from scoord_server.model import traces
from scoord_server.model.compares import absent, is_grant, present, unchanged
from scoord_server.model.history import Journal
from scoord_server.model.values import Ended, Ending, Grant, LockFact, LockName, Standing
from scoord_server.store import keys
from scoord_server.store.port import Delete, Get, OpResult, Put, Txn, TxnResult


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of a path or pattern, to end a grant of it."""

    facts: tuple[LockFact, ...]
    traces: tuple[TraceRecord, ...]

    def grant(self, token: FencingToken) -> LockFact | None:
        """The grant that ``token`` names, if it stands."""
        return next((fact for fact in self.facts if fact.token == token), None)

    def was_ended_by(self, token: FencingToken, request: RequestId) -> bool:
        """Whether this very command ended it before."""
        return any(t.token == token and t.request_id == request for t in self.traces)


def plan_find(grant: Grant) -> Txn:
    """Read every grant of a path or pattern, and the traces that ``grant`` may have left.

    Traces pile up for hours where many edit one file: those from before it are not read.
    """
    project, name = grant.project, grant.name
    if grant.is_pattern:
        left = keys.pattern_trace_prefix(project, name.key)
        holds = [keys.get_prefix(keys.reservation_prefix(project))]
    else:
        left = keys.trace_prefix(project, name.key)
        room = keys.get_prefix(keys.room(project, name.key))
        holds = [Get(keys.lock(project, name.key)), room]
    return Txn((), (keys.get_prefix(left, grant.token), *holds))


def read_find(name: LockName, result: TxnResult) -> Found:
    """Read the answer to ``plan_find``."""
    left, *holds = result.results
    facts = (fact for op in holds for fact in _facts(op) if path_key(fact.record.path) == name.key)
    return Found(tuple(facts), tuple(TraceRecord.FromString(kv.value) for kv in left.kvs))


def plan_end(
    project: ProjectId, name: LockName, fact: LockFact, end: Ending, journal: Journal
) -> Txn:
    """End one grant, if it stands, and leave its trace in the same step."""
    record = TraceRecord(
        holder=fact.record.holder,
        token=fact.token,
        how=end.how,
        request_id=end.request_id,
        by=end.by,
        reason=end.reason,
        granted_unix_ms=fact.record.acquired_unix_ms,
    )
    line = journal.line(
        project,
        end.how,
        fact.record.holder,
        end.request_id,
        paths=(fact.record.path,),
        tokens=(fact.token,),
        by=end.by,
        reason=end.reason,
    )
    is_pattern = fact.record.is_pattern
    left = traces.grant_key(project, name.key, fact.claimant, is_pattern=is_pattern)
    trace = Put(left, record.SerializeToString(), journal.traces)
    return Txn((is_grant(fact.key, fact.token), present(fact.key)), (Delete(fact.key), trace, line))


def plan_end_unused(
    project: ProjectId, name: LockName, fact: LockFact, end: Ending, journal: Journal
) -> Txn:
    """End one grant if it was not even used since it was seen."""
    txn = plan_end(project, name, fact, end, journal)
    return Txn((*txn.compares, unchanged(fact.key, fact.mod_revision)), txn.then)


def plan_end_orphan(
    project: ProjectId, name: LockName, fact: LockFact, end: Ending, journal: Journal
) -> Txn:
    """End one grant if its session is not registered any more, though their lease stands.

    No trace: as after the end of a lease, the session may come back and ask for it again.
    """
    txn = plan_end(project, name, fact, end, journal)
    is_gone = absent(keys.session(project, fact.record.holder.session_id))
    return Txn((*txn.compares, is_gone), (Delete(fact.key), txn.then[-1]))


def plan_end_silently(fact: LockFact, *, unused: bool) -> Txn:
    """End one grant and write nothing, for a store that takes nothing more."""
    guards = (is_grant(fact.key, fact.token), present(fact.key))
    untouched = (unchanged(fact.key, fact.mod_revision),) if unused else ()
    return Txn((*guards, *untouched), (Delete(fact.key),))


def over(found: Found, token: FencingToken, end: Ending) -> Ended | Standing:
    """What to answer when the grant does not stand: done before by this command, or not."""
    if found.was_ended_by(token, end.request_id):
        return Ended()
    return Standing(found.facts[0] if found.facts else None)


def _facts(op: OpResult) -> tuple[LockFact, ...]:
    return tuple(LockFact.of(kv) for kv in op.kvs if keys.parse(kv.key).kind in keys.HOLDS)
