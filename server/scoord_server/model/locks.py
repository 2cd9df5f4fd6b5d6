"""The rules of locks on paths: acquire, wait, touch.

An acquire is planned against what is *known* of its keys; at first nothing, so
that a free file costs one transaction. When the store was otherwise, the same
transaction has read how it is, and the next plan is made from that. Whoever
carries the plans out bounds the number of tries.

Three rules hold for every plan here: nothing is put or deleted without comparing
a revision of the same key; whatever a decision looked at is guarded by "nothing
was put there since"; and no outcome is read from anything but the answer of the
transaction that decided it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from scoord.claimant import Claimant
from scoord.ids import FencingToken
from scoord.text import age
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import LockRecord, WaiterRecord
from scoord_server.model import conflicts, traces
from scoord_server.model.compares import lives, none_put_since, unchanged
from scoord_server.model.history import Journal
from scoord_server.model.lasting import keep_reason, keep_time, puts_anew
from scoord_server.model.values import (
    Acquire,
    Asker,
    Conflict,
    Granted,
    Held,
    Known,
    LockFact,
    LockName,
    Moved,
    PlaceRef,
    Raced,
    Room,
    Terms,
    WaiterFact,
)
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


def plan_acquire(command: Acquire, holder: Holder, known: Known, journal: Journal) -> Txn:
    """Take every name that is free, keep or take over what is the asker's already.

    What it keeps ends after the time, and has the reason, that it asks for now, if it does.
    """
    asker, then = command.asker, list[Operation]()
    for name in command.names:
        then += _take(command, holder, known.room(name.key), name, journal)
    if then:
        shown = [name.shown for name in command.names]
        reason = command.terms.reason
        line = journal.line(
            asker.project, "granted", holder, asker.request_id, paths=shown, reason=reason
        )
        then.append(line)
    own = (conflicts.holding(command.claimant, known.room(name.key)) for name in command.names)
    then += puts_anew(asker, holder, filter(None, own), command.terms, journal)
    return Txn(_guards(command, command.names, known), tuple(then), look(asker, command.names))


def read_acquire(command: Acquire, known: Known, result: TxnResult) -> Granted | Raced | None:
    """Read the answer to ``plan_acquire``; None when the session is not live."""
    if not result.succeeded:
        return read_look(command.names, result)
    who = command.claimant
    facts = [_kept(who, known.room(name.key)) for name in command.names]
    tokens = (fact.token if fact else result.revision for fact in facts)
    claimants = (has_by(fact, who) if fact else who for fact in facts)
    return Granted(tuple(map(FencingToken, tokens)), tuple(claimants))


def has_by(fact: LockFact, who: Claimant) -> Claimant:
    """As what ``who`` has a grant that it keeps, or takes over."""
    return replace(who, shared=fact.claimant.shared, branch=fact.claimant.branch)


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
            asker.project, "waiting", waiter, asker.request_id, paths=shown, others=others
        )
        puts.append(line)
    queues = [keys.get_prefix(keys.queue_prefix(asker.project, name.key)) for name in names]
    return Txn(_guards(command, names, known), (*puts, *queues), look(asker, command.names))


def plan_refuse(
    asker: Asker,
    holder: Holder,
    paths: Sequence[str],
    found: Sequence[Conflict],
    journal: Journal,
) -> Txn:
    """Write down that the asker was refused ``paths``, and by whom."""
    line = journal.line(
        asker.project,
        "refused",
        holder,
        asker.request_id,
        paths=paths,
        others=[holder_of(conflict.by) for conflict in found],
    )
    return Txn((), (line,))


def read_wait(
    command: Acquire, found: Sequence[Conflict], result: TxnResult
) -> Held | Raced | None:
    """Read the answer to ``plan_wait``; None when the session is not live."""
    if not result.succeeded:
        return read_look(command.names, result)
    queues = result.results[-len(found) :]
    placed = (
        replace(conflict, place=_place(command.claimant, queue.kvs), place_revision=result.revision)
        for conflict, queue in zip(found, queues, strict=True)
    )
    return Held(tuple(placed))


def place_key(asker: Asker, place: PlaceRef) -> bytes:
    """Where the asker's place in the queue of a path is."""
    return keys.waiter(asker.project, place.name.key, asker.session, asker.agent, place.branch)


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
        done.append(journal.line(asker.project, "left", about, asker.request_id, paths=shown))
    return Txn(tuple(guards), tuple(done), tuple(map(Get, meant)))


def read_leave(result: TxnResult) -> tuple[WaiterFact, ...] | None:
    """The asker's places as they are; None when those that were meant are given up."""
    if result.succeeded:
        return None
    return tuple(WaiterFact.of(kv) for op in result.results for kv in op.kvs)


def plan_end_claim(project: str, waiter: WaiterFact, journal: Journal | None) -> Txn:
    """Let go by one whose turn came and who did not use it.

    Without a journal nothing is written, for a store that takes nothing more.
    """
    guard, done = unchanged(waiter.key, waiter.mod_revision), Delete(waiter.key)
    if journal is None:
        return Txn((guard,), (done,))
    record, request = waiter.record, f"unused-{waiter.create_revision}-{waiter.mod_revision}"
    why = f"its turn was not used for longer than {age(record.claim_ms / 1000)}"
    line = journal.line(project, "unused", record.waiter, request, paths=(record.path,), reason=why)
    return Txn((guard,), (done, line))


def plan_touch(fact: LockFact, now_ms: int) -> Txn:
    """Publish that a lock was used. Its token stays, its mod revision moves."""
    record = LockRecord()
    record.CopyFrom(fact.record)
    record.touched_unix_ms = now_ms
    return _replace(fact, record)


def plan_move(fact: LockFact, moved: Moved) -> Txn | None:
    """Publish what its holder has checked out now; None when the lock says so already.

    One that is confined to a branch is kept under its name, and stays there.
    """
    record = LockRecord()
    record.CopyFrom(fact.record)
    record.holder.branch = fact.claimant.branch or moved.branch
    record.holder.commit = moved.commit
    return _replace(fact, record) if record != fact.record else None


def _replace(fact: LockFact, record: LockRecord) -> Txn:
    guard = unchanged(fact.key, fact.mod_revision)
    return Txn((guard,), (Put(fact.key, record.SerializeToString(), fact.lease),))


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


def read_look(names: Sequence[LockName], result: TxnResult) -> Raced | None:
    """How everything was; None when the session is not live."""
    session, *_ = result.results
    return Raced(read_known(names, result)) if session.kvs else None


def read_known(names: Sequence[LockName], result: TxnResult) -> Known:
    """How everything was, whether the session is live or not."""
    _, reservations, *found = result.results
    rooms = {
        name.key: _room(result.revision, lock, room)
        for name, lock, room in zip(names, found[::2], found[1::2], strict=True)
    }
    facts = tuple(map(LockFact.of, reservations.kvs))
    return Known(result.revision, facts, rooms)


def record_of(holder: Holder, path: str, terms: Terms, request_id: str, now_ms: int) -> LockRecord:
    """What is written down of a new grant."""
    return LockRecord(
        holder=holder,
        path=path,
        reason=terms.reason,
        request_id=request_id,
        acquired_unix_ms=now_ms,
        touched_unix_ms=now_ms,
        lock_timeout_ms=terms.idle_ms,
        mode=terms.mode,
        scope=terms.scope,
        lasts_ms=terms.lasts_ms,
    )


def lock_key(project: str, path_key: str, who: Claimant) -> bytes:
    """Where a grant to ``who`` is kept."""
    if who.shared:
        return keys.share(project, path_key, who.session, who.agent, who.branch)
    if who.branch:
        return keys.branch_lock(project, path_key, who.branch)
    return keys.lock(project, path_key)


def holder_of(fact: LockFact | WaiterFact) -> Holder:
    """Who is behind a grant or a place."""
    return fact.record.holder if isinstance(fact, LockFact) else fact.record.waiter


def _take(
    command: Acquire, holder: Holder, room: Room, name: LockName, journal: Journal
) -> list[Operation]:
    """Put the asker's lock on one name, if it has not what it wants, and what goes with it."""
    who, asker, now_ms = command.claimant, command.asker, journal.now_ms
    if conflicts.holding(who, room):
        return []
    before = _handed_over(who, room)
    record = record_of(holder, name.shown, command.terms, asker.request_id, now_ms)
    if before:
        keep_time(record, before.record)
        # As far as it held, it holds: taken while nothing was checked out, on every branch.
        record.scope = before.record.scope
        record.holder.branch = before.record.holder.branch
    mine = (fact for fact in room.holds if fact is before or fact.claimant.is_same(who))
    keep_reason(record, command.terms, mine)
    key = before.key if before else lock_key(asker.project, name.key, who)
    done: list[Operation] = [Put(key, record.SerializeToString(), asker.lease)]
    # Whoever has its share, and now writes, shares no more. What it has on another branch
    # stands: a command that comes late must not take what its session believes in.
    over: tuple[LockFact | WaiterFact, ...] = (*_giving_way(who, room), *_own_places(who, room))
    done += [Delete(fact.key) for fact in over if fact.key != key]
    if not before and not who.shared:
        trace = traces.grant_key(asker.project, name.key, who)
        done.append(traces.put_grant(trace, holder, asker.request_id, now_ms, journal.traces))
    return done


def _giving_way(who: Claimant, room: Room) -> list[LockFact]:
    """What ends as ``who`` is granted it: its own, or its main thread's, on less branches."""
    return [fact for fact in room.holds if fact.claimant.gives_way_to(who)]


def _own_places(who: Claimant, room: Room) -> list[WaiterFact]:
    own = (waiter for waiter in room.waiters if waiter.claimant.is_same(who))
    return [waiter for waiter in own if who.covers(waiter.claimant)]


def _kept(who: Claimant, room: Room) -> LockFact | None:
    return conflicts.holding(who, room) or _handed_over(who, room)


def _handed_over(who: Claimant, room: Room) -> LockFact | None:
    """What a subagent takes over: the same lock, held by its session's main thread."""
    return next(
        (
            fact
            for fact in room.holds
            if fact.claimant.passes_to(who)
            and fact.claimant.shared == who.shared
            and fact.claimant.covers(who)
        ),
        None,
    )


def _guards(command: Acquire, names: Iterable[LockName], known: Known) -> tuple[Compare, ...]:
    """Everything that was looked at is still so."""
    asker = command.asker
    project = asker.project
    compares = [
        lives(project, asker.session),
        # One that was shared may be exclusive now, under its old token.
        none_put_since(keys.reservation_prefix(project), known.seen),
    ]
    for name in names:
        room = known.room(name.key)
        compares.append(_lock_guard(keys.lock(project, name.key), room))
        compares.append(none_put_since(keys.room(project, name.key), room.revision))
        compares += _own_guards(command.claimant, keys.lock(project, name.key), known, name)
    # One pattern may let by at many names.
    return tuple(dict.fromkeys(compares))


def _own_guards(who: Claimant, guarded: bytes, known: Known, name: LockName) -> Iterator[Compare]:
    """What the asker has, or takes over, stands still: who has nothing waits its turn.

    So does what others wait for of its session, and it need not wait for them. That
    something was put there shows in the room; that it was freed does not.
    """
    room = known.room(name.key)
    kept, over = _kept(who, room), _giving_way(who, room)
    own = (it for it in room.holds if it is kept or it in over or it.claimant.is_same(who))
    for fact in (*own, *conflicts.lets_by(who, known, name.key)):
        if fact.key != guarded:
            yield unchanged(fact.key, fact.mod_revision)


def _lock_guard(key: bytes, room: Room) -> Compare:
    """Whatever was found there stands as it was, or it is still free.

    The token would not do: a subagent that takes over from its main thread keeps it.
    """
    found = (fact.mod_revision for fact in room.holds if fact.key == key)
    return unchanged(key, next(found, 0))


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


def in_order(queue: Iterable[KeyValue]) -> tuple[WaiterFact, ...]:
    """The waiters of a queue, the first one first."""
    return tuple(sorted(map(WaiterFact.of, queue), key=lambda waiter: waiter.create_revision))


def _room(revision: int, lock: OpResult, room: OpResult) -> Room:
    holds = (*lock.kvs, *(kv for kv in room.kvs if not keys.waits(kv.key)))
    waiters = in_order(kv for kv in room.kvs if keys.waits(kv.key))
    return Room(revision, tuple(map(LockFact.of, holds)), waiters)
