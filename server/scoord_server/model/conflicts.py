"""Who is in whose way.

A grant, a reservation and a place in a queue are compared alike: by who has it,
whether it may be shared, and on which branch. ``Claimant.excludes`` is the rule,
and the only one.

A place in a queue is in the way of those who came later, so that nobody overtakes.
It is not in the way of one who has the path already: that one would wait for
somebody who waits for it.
"""

from collections.abc import Iterable, Iterator, Sequence

from scoord.claimant import Claimant
from scoord.patterns import matches
from scoord_server.model.values import (
    Acquire,
    Conflict,
    Known,
    LockFact,
    Room,
    WaiterFact,
)


def in_the_way(command: Acquire, known: Known) -> tuple[Conflict, ...]:
    """Every name that the asker cannot have now, with the first that is in its way."""
    found = ((name, first(command.claimant, known, name.key)) for name in command.names)
    return tuple(Conflict(name, by) for name, by in found if by is not None)


def first(who: Claimant, known: Known, path_key: str) -> LockFact | WaiterFact | None:
    """What keeps ``who`` from a path now: a grant, or a place of one who came before."""
    room = known.room(path_key)
    holds = (*room.holds, *covering(known.reservations, path_key))
    ahead = () if has_part(who, holds) else _ahead(who, room)
    facts: Iterable[LockFact | WaiterFact] = (*holds, *ahead)
    return next((fact for fact in facts if fact.claimant.excludes(who)), None)


def turns(room: Room, reservations: Sequence[LockFact], path_key: str) -> Iterator[WaiterFact]:
    """Those whom nothing keeps from a path any more: they have the first claim."""
    patterns = covering(reservations, path_key)
    for place, waiter in enumerate(room.waiters):
        who = waiter.claimant
        ahead = () if has_part(who, (*room.holds, *patterns)) else room.waiters[:place]
        if not _exclude((*room.holds, *patterns, *ahead), who):
            yield waiter


def covering(reservations: Iterable[LockFact], path_key: str) -> tuple[LockFact, ...]:
    """Those patterns that match a path."""
    return tuple(fact for fact in reservations if matches(fact.record.path, path_key))


def place_of(who: Claimant, waiters: Sequence[WaiterFact]) -> int:
    """The place of ``who`` in a queue, from 1: how many of those ahead it waits for."""
    ahead = 0
    for waiter in waiters:
        if waiter.claimant.is_same(who):
            return ahead + 1
        ahead += waiter.claimant.excludes(who)
    return 0


def holding(who: Claimant, room: Room) -> LockFact | None:
    """What ``who`` has of a path already that is enough for what it wants."""
    enough = (
        fact
        for fact in room.holds
        if fact.claimant.is_same(who)
        and (who.shared or not fact.claimant.shared)
        and fact.claimant.branch in ("", who.branch)
    )
    return next(enough, None)


def has_part(who: Claimant, holds: Iterable[LockFact]) -> bool:
    """Whether ``who``, or its session, has any part in a path: in its own right or by a pattern."""
    return any(fact.claimant.session == who.session for fact in holds)


def waiting(who: Claimant, room: Room) -> WaiterFact | None:
    """The place that ``who`` has in the queue of a path."""
    return next((waiter for waiter in room.waiters if waiter.claimant.is_same(who)), None)


def _ahead(who: Claimant, room: Room) -> tuple[WaiterFact, ...]:
    mine = waiting(who, room)
    return room.waiters[: room.waiters.index(mine)] if mine else room.waiters


def _exclude(facts: Iterable[LockFact | WaiterFact], who: Claimant) -> bool:
    return any(fact.claimant.excludes(who) for fact in facts)
