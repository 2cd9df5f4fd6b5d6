"""The rules of locks on paths: acquire, refuse, touch, move.

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
from scoord.errors import InvalidRequest
from scoord.happenings import Kind
from scoord.ids import FencingToken
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import LockRecord
from scoord_server.model import conflicts, traces
from scoord_server.model.answers import Conflict, Granted, Raced
from scoord_server.model.commands import Acquire, Asker, Moved, Terms
from scoord_server.model.compares import lives_on, none_put_since, unchanged
from scoord_server.model.facts import Known, LockFact, LockName, Room, WaiterFact
from scoord_server.model.history import Journal
from scoord_server.model.lasting import keep_end, keep_reason, keep_time, puts_anew
from scoord_server.model.looks import look, read_look
from scoord_server.store import keys
from scoord_server.store.limits import MAX_OPERATIONS
from scoord_server.store.port import Compare, Delete, Operation, Put, Txn, TxnResult


def plan_acquire(command: Acquire, holder: Holder, known: Known, journal: Journal) -> Txn:
    """Take every name that is free, keep or take over what is the asker's already.

    What it keeps ends after the time, and has the reason, that it asks for now, if it does.
    Raises InvalidRequest where that is more than a store takes at once.
    """
    asker, then = command.asker, list[Operation]()
    for name in command.names:
        then += _take(command, holder, known, name, journal)
    if then:
        shown = [name.shown for name in command.names]
        reason = command.terms.reason
        line = journal.line(
            asker.project, Kind.GRANTED, holder, asker.request_id, paths=shown, reason=reason
        )
        then.append(line)
    own = (conflicts.holding(command.claimant, known.room(name.key)) for name in command.names)
    then += puts_anew(asker, holder, filter(None, own), command.terms, journal)
    guards = as_known(command, command.names, known)
    _check_size(command, max(len(guards), len(then)))
    return Txn(guards, tuple(then), look(asker, command.names))


def _check_size(command: Acquire, size: int) -> None:
    if size > MAX_OPERATIONS:
        raise InvalidRequest(
            f"{len(command.names)} files, some of which the session has or waits for on several"
            f" branches, are {size} changes at once, and {MAX_OPERATIONS} are allowed;"
            " ask for fewer files at once"
        )


def read_acquire(command: Acquire, known: Known, result: TxnResult) -> Granted | Raced | None:
    """Read the answer to ``plan_acquire``; None when the session is not live."""
    if not result.succeeded:
        return read_look(command.asker, command.names, result)
    who = command.claimant
    facts = [_kept(who, known.room(name.key)) for name in command.names]
    tokens = (fact.token if fact else result.revision for fact in facts)
    claimants = (has_by(fact, who) if fact else who for fact in facts)
    return Granted(tuple(map(FencingToken, tokens)), tuple(claimants))


def has_by(fact: LockFact, who: Claimant) -> Claimant:
    """As what ``who`` has a grant that it keeps, or takes over."""
    return replace(who, shared=fact.claimant.shared, branch=fact.claimant.branch)


def plan_beside(
    kind: Kind,
    asker: Asker,
    holder: Holder,
    found: Sequence[Conflict],
    journal: Journal,
    *,
    paths: Sequence[str],
    is_pattern: bool = False,
) -> Txn:
    """Write down by whom the asker was refused ``paths``, or a pattern; or that it edits beside."""
    line = journal.line(
        asker.project,
        kind,
        holder,
        asker.request_id,
        paths=paths,
        are_patterns=(is_pattern,) * len(paths),
        others=[holder_of(conflict.by) for conflict in found],
    )
    return Txn((), (line,))


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


def as_known(command: Acquire, names: Iterable[LockName], known: Known) -> tuple[Compare, ...]:
    """Everything that was looked at is still so."""
    asker = command.asker
    project = asker.project
    compares = [
        lives_on(asker),
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


def _take(
    command: Acquire, holder: Holder, known: Known, name: LockName, journal: Journal
) -> list[Operation]:
    """Put the asker's lock on one name, if it has not what it wants, and what goes with it."""
    who, asker, now_ms = command.claimant, command.asker, journal.now_ms
    room = known.room(name.key)
    if conflicts.holding(who, room):
        return []
    before, gives_way = _handed_over(who, room), _giving_way(who, room)
    record = record_of(holder, name.shown, command.terms, asker.request_id, now_ms)
    if before:
        keep_time(record, before.record)
        # As far as it held, it holds: taken while nothing was checked out, on every branch.
        record.scope = before.record.scope
        record.holder.branch = before.record.holder.branch
    else:
        keep_end(record, gives_way, known.left_ms)
    mine = (fact for fact in room.holds if fact is before or fact.claimant.is_same(who))
    keep_reason(record, command.terms, mine)
    key = before.key if before else lock_key(asker.project, name.key, who)
    done: list[Operation] = [Put(key, record.SerializeToString(), asker.lease)]
    # Whoever has its share, and now writes, shares no more. What it has on another branch
    # stands: a command that comes late must not take what its session believes in.
    over: tuple[LockFact | WaiterFact, ...] = (*gives_way, *_own_places(who, room))
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
    """What a subagent takes over: the same lock, which its session's main thread has alone.

    Of what both share each has its own, under a key of its own.
    """
    alone = (fact for fact in room.holds if not (fact.claimant.shared or who.shared))
    passes = (fact for fact in alone if fact.claimant.passes_to(who))
    return next((fact for fact in passes if fact.claimant.covers(who)), None)


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
