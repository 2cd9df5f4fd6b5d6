"""The rules of edits that relied on a lock whose end had not been heard of.

They were made without one only where it was over by then: that is known by revisions, as
the coordinator saw them come.
"""

from collections.abc import Iterator

from scoord.claimant import Claimant
from scoord.happenings import Kind
from scoord.v1.records_pb2 import TraceRecord
from scoord_server.model import conflicts, reports, traces
from scoord_server.model.commands import Report
from scoord_server.store import keys
from scoord_server.store.port import Get, KeyValue, Txn, TxnResult


def plan_look_ends(command: Report) -> Txn:
    """Read what tells of the end of a grant even where the trace of a later one covers its own."""
    asker, token = command.asker, command.heard_revision
    taken = keys.get_prefix(keys.taken_prefix(asker.project, token, command.name.key))
    return Txn((), (taken, Get(keys.unused(asker.session))))


def over_since(command: Report, looked: TxnResult, ends: TxnResult) -> int | None:
    """By which revision the grant was over that an edit relied on, as early as can be known.

    None while it stands, or where its session gave it back after all; or when it ended with
    its lease, and nobody had the path since.
    """
    token, who, key = command.heard_revision, command.claimant, command.name.key
    known = reports.looked_at(command, looked)
    holds = (*known.room(key).holds, *conflicts.covering(known.reservations, key))
    own = [kv for kv in looked.results[0].kvs if _record(kv).token == token]
    stands = any(fact.token == token and fact.claimant.session == who.session for fact in holds)
    if stands or any(_record(kv).how == Kind.RELEASED for kv in own):
        return None
    taken, unused = (op.kvs for op in ends.results)
    found = [
        *(kv.mod_revision for kv in (*own, *unused, *taken)),
        *(fact.token for fact in holds if fact.claimant.excludes(who)),
        *_granted_to_others(who, key, looked),
    ]
    return min((at for at in found if at > token), default=None)


def _granted_to_others(who: Claimant, key: str, looked: TxnResult) -> Iterator[int]:
    """The tokens of grants that kept ``who`` from the path, which may have ended since."""
    of_path, at_patterns = (op.kvs for op in looked.results[:2])
    for kv in (*traces.kept_out(who, of_path), *traces.patterns_kept_out(who, key, at_patterns)):
        if _record(kv).holder.session_id != who.session:
            yield _record(kv).token or kv.mod_revision


def _record(trace: KeyValue) -> TraceRecord:
    return TraceRecord.FromString(trace.value)
