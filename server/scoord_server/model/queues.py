"""The rules of queues on paths: take a place, leave it, and let go who does not use its turn.

A place is a key under its waiter's lease, and its create revision says who is nearer. The
rules of ``locks`` hold for these plans, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from scoord.claimant import Claimant
from scoord.happenings import Kind
from scoord.text import age
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import WaiterRecord
from scoord_server.model import conflicts
from scoord_server.model.answers import Conflict, Held, Raced
from scoord_server.model.commands import Acquire, Asker, PlaceRef
from scoord_server.model.compares import none_came_since, unchanged
from scoord_server.model.facts import Known, LockName, WaiterFact
from scoord_server.model.history import Journal
from scoord_server.model.locks import as_known, holder_of
from scoord_server.model.looks import in_order, look, read_look
from scoord_server.store import keys
from scoord_server.store.port import Compare, Delete, Get, KeyValue, Operation, Put, Txn, TxnResult


def plan_wait(
    command: Acquire, waiter: Holder, found: Sequence[Conflict], known: Known, journal: Journal
) -> Txn:
    """Take a place in the queue of every contested name, while what is in the way stands.

    Putting the key again keeps its create revision, and so the place.
    """
    asker, names = command.asker, [conflict.name for conflict in found]
    mine = {name: conflicts.waiting(command.claimant, known.room(name.key)) for name in names}
    puts: list[Operation] = [
        _put_waiter(command, waiter, name, before, journal) for name, before in mine.items()
    ]
    new = [name for name, before in mine.items() if not before]
    if new:
        shown, others = [n.shown for n in new], [holder_of(conflict.by) for conflict in found]
        line = journal.line(
            asker.project, Kind.WAITING, waiter, asker.request_id, paths=shown, others=others
        )
        puts.append(line)
    queues = [keys.get_prefix(keys.queue_prefix(asker.project, name.key)) for name in names]
    return Txn(as_known(command, names, known), (*puts, *queues), look(asker, command.names))


def read_wait(
    command: Acquire, found: Sequence[Conflict], result: TxnResult
) -> Held | Raced | None:
    """Read the answer to ``plan_wait``; None when the session is not live."""
    if not result.succeeded:
        return read_look(command.asker, command.names, result)
    queues = result.results[-len(found) :]
    placed = (
        replace(conflict, place=_place(command.claimant, queue.kvs), place_revision=result.revision)
        for conflict, queue in zip(found, queues, strict=True)
    )
    return Held(tuple(placed))


def plan_leave(
    asker: Asker, places: Iterable[PlaceRef], found: Sequence[WaiterFact], journal: Journal | None
) -> Txn:
    """Give up the places that are meant, if the queues are as ``found``; else only read.

    One that was asked for again since stays: this command is late. Without a journal nothing
    is written, for a store that takes nothing more.
    """
    meant = {place_key(asker, place): place.revision for place in places}
    stand = {fact.key: fact for fact in found}
    guards = (unchanged(key, stand[key].mod_revision if key in stand else 0) for key in meant)
    left = [fact for fact in found if meant[fact.key] in (0, fact.mod_revision)]
    done: list[Operation] = [Delete(fact.key) for fact in left]
    if left and journal:
        shown, about = [fact.record.path for fact in left], left[0].record.waiter
        done.append(journal.line(asker.project, Kind.LEFT, about, asker.request_id, paths=shown))
    return Txn(tuple(guards), tuple(done), tuple(map(Get, meant)))


def read_leave(result: TxnResult) -> tuple[WaiterFact, ...] | None:
    """The asker's places as they are; None when those that were meant are given up."""
    if result.succeeded:
        return None
    return tuple(WaiterFact.of(kv) for op in result.results for kv in op.kvs)


def plan_end_claim(project: str, waiter: WaiterFact, seen: int, journal: Journal | None) -> Txn:
    """Let go by one whose turn came, as of ``seen``, and who did not use it.

    Without a journal nothing is written, for a store that takes nothing more.
    """
    guards, done = _still_has_turn(project, waiter, seen), Delete(waiter.key)
    if journal is None:
        return Txn(guards, (done,))
    record, request = waiter.record, f"unused-{waiter.create_revision}-{waiter.mod_revision}"
    why = f"its turn was not used for longer than {age(record.claim_ms / 1000)}"
    line = journal.line(
        project, Kind.UNUSED, record.waiter, request, paths=(record.path,), reason=why
    )
    return Txn(guards, (done, line))


def _still_has_turn(project: str, waiter: WaiterFact, seen: int) -> tuple[Compare, ...]:
    """It has not asked again, and nothing that might be in its way has come or changed since.

    What was granted and is over again has interrupted its turn, and all but shares leave a
    trace. A coordinator that stood still, or is behind, has not seen it yet.
    """
    came = none_came_since(project, keys.parse(waiter.key).name, seen)
    return (unchanged(waiter.key, waiter.mod_revision), *came)


def place_key(asker: Asker, place: PlaceRef) -> bytes:
    """Where the asker's place in the queue of a path is."""
    return keys.waiter(asker.project, place.name.key, asker.session, asker.agent, place.branch)


def _put_waiter(
    command: Acquire, waiter: Holder, name: LockName, mine: WaiterFact | None, journal: Journal
) -> Put:
    """Take a place, or keep ``mine``: the asker asks again while it waits."""
    asker, terms = command.asker, command.terms
    place = PlaceRef(name, branch=command.claimant.branch)
    record = WaiterRecord(
        waiter=waiter,
        path=name.shown,
        reason=terms.reason,
        since_unix_ms=mine.record.since_unix_ms if mine else journal.now_ms,
        mode=terms.mode,
        scope=terms.scope,
        claim_ms=command.claim_ms,
    )
    key = mine.key if mine else place_key(asker, place)
    return Put(key, record.SerializeToString(), asker.lease)


def _place(who: Claimant, queue: Sequence[KeyValue]) -> int:
    return conflicts.place_of(who, in_order(queue))
