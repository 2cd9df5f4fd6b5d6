"""The rules of how a grant ends by a command: release, break, idleness, end of its time.

Each compares the token that was seen, and leaves a trace in the same step. A
repeated command finds its own trace, and gets its first answer. The trace of a later
grant takes its place: what is taken away, which somebody waits to hear of or edited on
without knowing, leaves a key of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from scoord.claimant import Claimant
from scoord.happenings import Kind
from scoord.ids import FencingToken, ProjectId, RequestId
from scoord.names import path_key
from scoord.text import age
from scoord.v1.records_pb2 import TraceRecord
from scoord_server.model import traces
from scoord_server.model.answers import Ended, GivenBack, Standing
from scoord_server.model.commands import Asker, Ending, Grant
from scoord_server.model.compares import absent, is_grant, unchanged
from scoord_server.model.facts import LockFact, LockName
from scoord_server.model.history import Journal
from scoord_server.model.looks import is_live
from scoord_server.store import keys
from scoord_server.store.port import (
    Compare,
    Delete,
    Get,
    KeyValue,
    Operation,
    OpResult,
    Put,
    Txn,
    TxnResult,
)

TAKEN = frozenset({Kind.BROKEN, Kind.IDLE, Kind.LASTED})
"""How a grant ends against its holder's will, while its session goes on."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of a path or pattern, to end a grant of it."""

    facts: tuple[LockFact, ...]
    left: tuple[KeyValue, ...] = ()
    """The traces that are as old as the grant, or younger."""
    taken: TraceRecord | None = None
    """How it was taken away, if it was and that was read: no later grant covers this."""

    def grant(self, token: FencingToken) -> LockFact | None:
        """The grant that ``token`` names, if it stands."""
        return next((fact for fact in self.facts if fact.token == token), None)

    def end_of(self, token: FencingToken) -> TraceRecord | None:
        """The trace of the end of the grant that ``token`` names, if a command ended it."""
        return self._traced(token) or self.taken

    def is_covered(self, token: FencingToken) -> bool:
        """Whether neither the grant's own trace is there any more, nor one of its end."""
        return not self._is_left(token) and self._traced(token) is None

    def went_untold(self, token: FencingToken) -> bool:
        """Whether it is over, and was given back as far as can be known, although no trace tells.

        A later grant takes its place, and a store that is full writes none: there its own may
        still stand. Where there is neither, it counts as taken away while the store was full.
        """
        is_later = any(fact.token > token for fact in self.facts) or self._has_later(token)
        is_over = self.grant(token) is None and self.end_of(token) is None
        return is_over and (is_later or self._is_left(token))

    def became(self, who: Claimant, token: FencingToken) -> TraceRecord | None:
        """What tells of the later grant that one of ``who`` became; None if of none.

        That it stands, or how it ended. A grant to write that is covered became none: on the
        same branch it would have kept its token.
        """
        if not who.shared and self.is_covered(token):
            return None
        standing = [
            traces.of_grant(fact)
            for fact in self.facts
            if fact.token > token and _became(who, fact.claimant)
        ]
        left = [
            TraceRecord.FromString(kv.value)
            for kv in self.left
            if traces.token_of(kv) > token and _became(who, traces.left_by(kv))
        ]
        return min((*standing, *left), key=lambda record: record.token, default=None)

    def was_ended_by(self, token: FencingToken, request: RequestId) -> bool:
        """Whether this very command ended it before."""
        return any(t.token == token and t.request_id == request for t in self._records())

    def _traced(self, token: FencingToken) -> TraceRecord | None:
        return next((trace for trace in self._records() if trace.token == token), None)

    def _records(self) -> Iterator[TraceRecord]:
        return (TraceRecord.FromString(kv.value) for kv in self.left)

    def _is_left(self, token: FencingToken) -> bool:
        return any(kv.mod_revision == token for kv in self.left)

    def _has_later(self, token: FencingToken) -> bool:
        return any(traces.token_of(kv) > token for kv in self.left)


def _became(who: Claimant, later: Claimant | None) -> bool:
    """Whether a grant of ``who`` gave way to ``later``, one that may have passed on since.

    To a share only on more branches: on as many it would have been kept.
    """
    if later is None or not later.covers(who):
        return False
    if later.shared:
        return who.is_same(later) and who.branch != later.branch
    return who.is_same(later) or who.passes_to(later)


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
    return Found(tuple(facts), left.kvs)


def plan_end(
    project: ProjectId, name: LockName, fact: LockFact, end: Ending, journal: Journal
) -> Txn:
    """End one grant, if it stands, and leave its trace in the same step.

    An orphan leaves none: as after the end of a lease, its session may come back and ask
    for it again.
    """
    line = journal.line(
        project,
        end.how,
        fact.record.holder,
        end.request_id,
        paths=(fact.record.path,),
        tokens=(fact.token,),
        are_patterns=(fact.record.is_pattern,),
        by=end.by,
        reason=end.reason,
        others=end.others,
    )
    done: list[Operation] = [Delete(fact.key)]
    if end.how != Kind.ORPHANED:
        left = _trace_key(project, name, fact)
        done.append(Put(left, _trace(fact, end).SerializeToString(), journal.traces))
    done.append(line)
    if end.how in TAKEN:
        taken_by = keys.taken_by(project, fact.token, name.key, end.request_id)
        done.append(Put(taken_by, _trace(fact, end).SerializeToString(), journal.traces))
    return Txn(_guards(project, fact, end.how), tuple(done))


def plan_end_silently(project: ProjectId, name: LockName, fact: LockFact, end: Ending) -> Txn:
    """End one grant and write nothing, for a store that takes nothing more.

    What is taken from its holder would come back by its trace, which still says that it
    was granted: that goes too, and nobody knows any more. A share leaves none, and a
    pattern is not given back by it, but others see by it what they lost.
    """
    done = [Delete(fact.key)]
    if end.how in TAKEN and not fact.claimant.shared and not fact.record.is_pattern:
        done.append(Delete(_trace_key(project, name, fact)))
    return Txn(_guards(project, fact, end.how), tuple(done))


def _guards(project: ProjectId, fact: LockFact, how: Kind) -> tuple[Compare, ...]:
    """The grant stands; beside that, what must hold for it to end by itself."""
    stands = is_grant(fact.key, fact.token)
    if how in {Kind.IDLE, Kind.LASTED}:
        # Neither used nor asked for anew, for a time, since it was seen: that keeps its token,
        # and a view may be too old to show it.
        return stands, unchanged(fact.key, fact.mod_revision)
    if how == Kind.ORPHANED:
        return stands, absent(keys.session(project, fact.record.holder.session_id))
    return (stands,)


def _trace_key(project: ProjectId, name: LockName, fact: LockFact) -> bytes:
    is_pattern = fact.record.is_pattern
    return traces.grant_key(project, name.key, fact.claimant, is_pattern=is_pattern)


def _trace(fact: LockFact, end: Ending) -> TraceRecord:
    return TraceRecord(
        holder=fact.record.holder,
        token=fact.token,
        how=end.how,
        request_id=end.request_id,
        by=end.by,
        reason=end.reason,
        granted_unix_ms=fact.record.acquired_unix_ms,
        through=end.through,
    )


def longer_than(limit_ms: int, setting: str) -> str:
    """For how long something was not used that is ended for it, by which setting."""
    return f"longer than {age(limit_ms / 1000)} ({setting} plus one heartbeat_interval)"


def over(found: Found, token: FencingToken, end: Ending) -> Ended | Standing:
    """What to answer when the grant does not stand: done before by this command, or not.

    Of several that stand the first is named that holds on the branch of who asks.
    """
    if found.was_ended_by(token, end.request_id):
        return Ended()
    near = [fact for fact in found.facts if fact.claimant.branch in ("", end.branch)]
    return Standing(next(iter((*near, *found.facts)), None))


def given_back(found: Found | None, token: FencingToken) -> GivenBack:
    """What to answer to a release of what was over; None where its lease is over, too.

    Where its session lives on the lease that it had it on, and nobody took it away, it gave
    it back, as far as can be known.
    """
    if found is None:
        return GivenBack.LEASE_OVER
    end = found.end_of(token)
    is_own = end.how == Kind.RELEASED if end else found.went_untold(token)
    return GivenBack.RELEASED if is_own else GivenBack.NOT_HOLDER


def plan_read_trace(asker: Asker, grant: Grant) -> Txn:
    """Read how a grant ended, and whether its session lives; in one step."""
    session = Get(keys.session(grant.project, asker.session))
    taken = keys.get_prefix(keys.taken_prefix(grant.project, grant.token, grant.name.key))
    return Txn((), (session, taken, *plan_find(grant).then))


def read_trace(asker: Asker, grant: Grant, result: TxnResult) -> Found | None:
    """Read the answer to it; None when the session is not live on the asker's lease."""
    session, taken, *found = result.results
    if not is_live(session, asker.lease):
        return None
    how = next((TraceRecord.FromString(kv.value) for kv in taken.kvs), None)
    return replace(read_find(grant.name, replace(result, results=tuple(found))), taken=how)


def _facts(op: OpResult) -> tuple[LockFact, ...]:
    return tuple(LockFact.of(kv) for kv in op.kvs if keys.parse(kv.key).kind in keys.HOLDS)
