"""The rules of patterns: ``src/api/**`` is taken with all that is, or will be, below it.

A pattern meets the locks of files and other patterns, in both directions, with no
gap between check and grant: a reserve is guarded by "no lock was put since I
looked", an acquire by "no reservation was put since I looked". Whichever comes
second fails, reads how it is, and is planned anew.

A pattern has no queue, and overtakes none: whoever waits for a file that it matches is
in its way, also where the asker has that file. It asks again when they are served.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from scoord.claimant import Claimant
from scoord.globs import literal_prefix, may_meet
from scoord.happenings import Kind
from scoord.ids import FencingToken
from scoord.names import path_key
from scoord.patterns import matches
from scoord.v1.locks_pb2 import Holder, LockScope
from scoord.v1.records_pb2 import LockRecord
from scoord_server.model import conflicts, traces
from scoord_server.model.answers import Conflict, Granted
from scoord_server.model.commands import Asker, Reserve
from scoord_server.model.compares import is_grant, lives_on, none_put_since, unchanged
from scoord_server.model.conflicts import is_enough
from scoord_server.model.facts import LockFact, LockName, Room, WaiterFact
from scoord_server.model.history import Journal
from scoord_server.model.lasting import keep_reason, keep_time, puts_anew
from scoord_server.model.locks import has_by, plan_touch, record_of
from scoord_server.model.looks import in_order, is_live
from scoord_server.store import keys
from scoord_server.store.port import Compare, Get, Put, Txn, TxnResult, prefix_end


def own(command: Reserve, found: Room) -> LockFact | None:
    """The reservation that the asker has already, as far as it wants it."""
    return next((f for f in _mine(command, found) if f.claimant.covers(command.claimant)), None)


def in_the_way(command: Reserve, found: Room) -> tuple[Conflict, ...]:
    """Every grant that the pattern cannot be had beside, and every place that it would pass.

    Those who came when the asker had the pattern already, where they would hold, wait for
    it, not the other way round. What it has already it can have: a subagent of its session
    may have a file in it.
    """
    who, mine = command.claimant, own(command, found)
    if mine and is_enough(mine, who):
        return ()
    waiters = conflicts.not_waiting_for(_mine(command, found), found.waiters)
    facts: Iterable[LockFact | WaiterFact] = (*found.holds, *waiters)
    return tuple(
        Conflict(LockName.of(fact.record.path), fact)
        for fact in facts
        if fact.claimant.excludes(who) and _meets(command.pattern, fact)
    )


def first_of_each(found: Iterable[Conflict]) -> tuple[Conflict, ...]:
    """Of each name, what is first in the way."""
    first = dict[str, Conflict]()
    for conflict in found:
        first.setdefault(conflict.name.key, conflict)
    return tuple(first.values())


def plan_reserve(
    command: Reserve, holder: Holder, before: LockFact | None, found: Room, journal: Journal
) -> Txn:
    """Take the pattern, if nothing that it could meet was put since ``found``.

    What lets it pass those who wait is compared too: that may have been given back.
    What the asker has already stays as it is, but that it is used, its end and its reason.
    """
    asker = command.asker
    key = before.key if before else _key(command)
    guards = (
        lives_on(asker),
        is_grant(key, before.token if before else 0),
        *_guards(command, found),
    )
    look = _look(command)
    if before and is_enough(before, command.claimant):
        anew = tuple(puts_anew(asker, holder, [before], command.terms, journal))
        return Txn(guards, anew or plan_touch(before, journal.now_ms).then, look)
    return Txn(guards, tuple(_take(command, holder, before, journal)), look)


def read_reserve(
    command: Reserve, before: LockFact | None, result: TxnResult
) -> Granted | Room | None:
    """Granted; else all grants and places as they were; None when the session is not live."""
    if not result.succeeded:
        return read_look(command.asker, result)
    return granted(command, before, FencingToken(result.revision))


def granted(command: Reserve, before: LockFact | None, new: FencingToken) -> Granted:
    """The pattern as the asker has it: as before where that is enough, else as it asks for."""
    who = command.claimant
    if before and is_enough(before, who):
        return Granted((before.token,), (has_by(before, who),))
    branch = before.claimant.branch if before else who.branch
    return Granted((before.token if before else new,), (replace(who, branch=branch),))


def plan_look(command: Reserve) -> Txn:
    """Only read; ``read_look`` reads the answer."""
    return Txn((), _look(command))


def plan_look_again(command: Reserve, in_the_way: LockFact | WaiterFact) -> Txn:
    """Read nothing while this stands as it was; else everything, for ``read_look``."""
    stands = unchanged(in_the_way.key, in_the_way.mod_revision)
    return Txn((lives_on(command.asker), stands), (), _look(command))


def read_look(asker: Asker, result: TxnResult) -> Room | None:
    """All grants and places as they were; None when its session does not live on its lease."""
    session, *found = result.results
    if not is_live(session, asker.lease):
        return None
    kvs = [(kv, keys.parse(kv.key).kind) for op in found for kv in op.kvs]
    holds = (LockFact.of(kv) for kv, kind in kvs if kind in keys.HOLDS)
    waiters = in_order(kv for kv, kind in kvs if kind == keys.QUEUE)
    return Room(result.revision, tuple(holds), waiters)


def _take(
    command: Reserve, holder: Holder, before: LockFact | None, journal: Journal
) -> Iterator[Put]:
    """Put the pattern, and what goes with it; ``before`` is the asker's share of it."""
    asker, terms = command.asker, command.terms
    record = record_of(holder, command.pattern, terms, asker.request_id, journal.now_ms)
    record.is_pattern = True
    if before:
        _go_on(record, before)
        keep_reason(record, terms, [before])
    key = before.key if before else _key(command)
    yield Put(key, record.SerializeToString(), asker.lease)
    yield journal.line(
        asker.project,
        Kind.RESERVED,
        holder,
        asker.request_id,
        paths=(command.pattern,),
        reason=terms.reason,
    )
    yield from _trace(command, record, journal)


def _meets(pattern: str, fact: LockFact | WaiterFact) -> bool:
    if isinstance(fact, LockFact) and fact.record.is_pattern:
        return may_meet(pattern, fact.record.path)
    return matches(pattern, path_key(fact.record.path))


def _mine(command: Reserve, found: Room) -> list[LockFact]:
    """The reservations of the pattern that the asker has, on whatever branches."""
    who, pattern = command.claimant, path_key(command.pattern)
    own = (fact for fact in found.holds if fact.record.is_pattern and fact.claimant.is_same(who))
    return [fact for fact in own if path_key(fact.record.path) == pattern]


def _go_on(record: LockRecord, before: LockFact) -> None:
    """``record`` goes on as ``before``; as far as that held, it holds."""
    keep_time(record, before.record)
    if not before.claimant.branch:
        record.scope = LockScope.LOCK_SCOPE_REPOSITORY


def _key(command: Reserve) -> bytes:
    asker, branch = command.asker, command.claimant.branch
    pattern = path_key(command.pattern)
    return keys.reservation(asker.project, pattern, asker.session, asker.agent, branch)


def _guards(command: Reserve, found: Room) -> tuple[Compare, ...]:
    # Also what keeps its token may be in the way by now: a lock that a subagent took
    # over, a share of a pattern that became exclusive.
    mine = (unchanged(fact.key, fact.mod_revision) for fact in _mine(command, found))
    since = (none_put_since(prefix, found.revision) for prefix in _prefixes(command))
    return (*mine, *since)


def _trace(command: Reserve, record: LockRecord, journal: Journal) -> Iterable[Put]:
    """Whoever lost a file that it matches is to see that it was held meanwhile."""
    asker, who = command.asker, Claimant.of(record.holder, record.mode, record.scope)
    if not who.shared:
        pattern = path_key(command.pattern)
        key = traces.grant_key(asker.project, pattern, who, is_pattern=True)
        yield traces.put_grant(key, record.holder, asker.request_id, journal.now_ms, journal.traces)


def _prefixes(command: Reserve) -> tuple[bytes, bytes, bytes]:
    """Where the grants are that the pattern could meet."""
    project, folder = command.asker.project, literal_prefix(command.pattern)
    return (
        keys.lock_prefix(project) + folder.encode(),
        keys.room_prefix(project, folder),
        keys.reservation_prefix(project),
    )


def _look(command: Reserve) -> tuple[Get, ...]:
    session = Get(keys.session(command.asker.project, command.asker.session))
    return (session, *(Get(prefix, prefix_end(prefix)) for prefix in _prefixes(command)))
