"""What an acquire depends on, read in one step: its session, all patterns, each path's room."""

from collections.abc import Iterable, Sequence

from scoord.ids import LeaseId
from scoord_server.model.answers import Raced
from scoord_server.model.commands import Asker
from scoord_server.model.facts import Known, LockFact, LockName, Room, WaiterFact
from scoord_server.store import keys
from scoord_server.store.port import Get, KeyValue, Operation, OpResult, Txn, TxnResult


def plan_look(asker: Asker, names: Iterable[LockName]) -> Txn:
    """Only read; ``read_look`` reads the answer."""
    return Txn((), look(asker, names))


def look(asker: Asker, names: Iterable[LockName]) -> tuple[Operation, ...]:
    """Read everything that an acquire of ``names`` depends on."""
    project = asker.project
    reads: list[Operation] = [
        Get(keys.session(project, asker.session)),
        keys.get_prefix(keys.reservation_prefix(project)),
    ]
    for name in names:
        reads.append(Get(keys.lock(project, name.key)))
        reads.append(keys.get_prefix(keys.room(project, name.key)))
    return tuple(reads)


def read_look(asker: Asker, names: Sequence[LockName], result: TxnResult) -> Raced | None:
    """How everything was; None when the session is not live on the lease that it asks with."""
    session, *_ = result.results
    return Raced(read_known(names, result)) if is_live(session, asker.lease) else None


def is_live(session: OpResult, lease: LeaseId) -> bool:
    """Whether what was read of a session says that it lives on this lease."""
    return any(kv.lease == lease for kv in session.kvs)


def read_known(names: Sequence[LockName], result: TxnResult) -> Known:
    """How everything was, whether the session is live or not."""
    _, reservations, *found = result.results
    rooms = {
        name.key: _room(result.revision, lock, room)
        for name, lock, room in zip(names, found[::2], found[1::2], strict=True)
    }
    facts = tuple(map(LockFact.of, reservations.kvs))
    return Known(result.revision, facts, rooms)


def _room(revision: int, lock: OpResult, room: OpResult) -> Room:
    holds = (*lock.kvs, *(kv for kv in room.kvs if not keys.waits(kv.key)))
    waiters = in_order(kv for kv in room.kvs if keys.waits(kv.key))
    return Room(revision, tuple(map(LockFact.of, holds)), waiters)


def in_order(queue: Iterable[KeyValue]) -> tuple[WaiterFact, ...]:
    """The waiters of a queue, the first one first."""
    return tuple(sorted(map(WaiterFact.of, queue), key=lambda waiter: waiter.create_revision))
