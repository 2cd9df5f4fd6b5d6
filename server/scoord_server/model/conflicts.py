"""Who is in whose way.

A grant, a reservation and a place in a queue are compared alike: by who has it,
whether it may be shared, and on which branch. ``Claimant.excludes`` is the rule, and
the only one; a queue of many is counted by it.

A place in a queue is in the way of those who came later, so that nobody overtakes.
It is not in the way of one who has the path already, where both hold: that one would
wait for somebody who waits for it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from scoord.claimant import Claimant
from scoord.ids import AgentId, SessionId
from scoord.patterns import matches
from scoord_server.model.answers import Conflict
from scoord_server.model.commands import Acquire
from scoord_server.model.facts import Known, LockFact, Room, WaiterFact


def in_the_way(command: Acquire, known: Known) -> tuple[Conflict, ...]:
    """Every name that the asker cannot have now, with the first that is in its way.

    What it has already it can: beside its share may stand what a subagent of its session writes.
    """
    who = command.claimant
    wanted = (name for name in command.names if not holding(who, known.room(name.key)))
    found = ((name, first(who, known, name.key)) for name in wanted)
    return tuple(Conflict(name, by) for name, by in found if by is not None)


def first(who: Claimant, known: Known, path_key: str) -> LockFact | WaiterFact | None:
    """What keeps ``who`` from a path now: a grant, or a place of one who came before."""
    room = known.room(path_key)
    holds = (*room.holds, *covering(known.reservations, path_key))
    ahead = _before(who, _ahead(who, room), holds)
    facts: Iterable[LockFact | WaiterFact] = chain(holds, ahead)
    return next((fact for fact in facts if fact.claimant.excludes(who)), None)


def turns(room: Room, reservations: Sequence[LockFact], path_key: str) -> Iterator[WaiterFact]:
    """Those whom nothing keeps from a path any more: they have the first claim."""
    holds = (*room.holds, *covering(reservations, path_key))
    for place, waiter in enumerate(room.waiters):
        who = waiter.claimant
        # The first that keeps it away ends the look: a thousand may wait.
        ahead = _before(who, islice(room.waiters, place), holds)
        if not _exclude(chain(holds, ahead), who):
            yield waiter


def covering(reservations: Iterable[LockFact], path_key: str) -> tuple[LockFact, ...]:
    """Those patterns that match a path."""
    return tuple(fact for fact in reservations if matches(fact.record.path, path_key))


def place_of(who: Claimant, waiters: Sequence[WaiterFact]) -> int:
    """The place of ``who`` in a queue, from 1; 0 where it has none.

    Reckoned as that place was asked for last, to share or alone, not as ``who`` wants it now.
    """
    for ahead, mine in enumerate(waiters):
        if _is_place_of(who, mine):
            others = (one.claimant for one in islice(waiters, ahead))
            return 1 + sum(other.excludes(mine.claimant) for other in others)
    return 0


def places(waiters: Iterable[WaiterFact]) -> Iterator[int]:
    """The place of each in a queue, from 1: how many of those ahead it waits for.

    A thousand may wait: they are counted, not compared each with each.
    """
    ahead, of_one = _Tally(), defaultdict[tuple[SessionId, AgentId], _Tally](_Tally)
    for waiter in waiters:
        who = waiter.claimant
        lets_by = {(who.session, who.agent), (who.session, AgentId(""))}
        yield 1 + ahead.excluding(who) - sum(of_one[one].excluding(who) for one in lets_by)
        ahead.add(who)
        of_one[who.session, who.agent].add(who)


class _Tally:
    """How many wait, by what ``Claimant.excludes`` looks at: what that says of two, of many."""

    def __init__(self) -> None:
        self._counts = Counter[tuple[bool, str | None]]()

    def add(self, who: Claimant) -> None:
        """One more, on its branch and on any."""
        self._counts.update(((who.shared, who.branch), (who.shared, None)))

    def excluding(self, who: Claimant) -> int:
        """How many keep ``who`` waiting, where it is none of them and follows none of them."""
        modes = (False,) if who.shared else (False, True)
        branches = ("", who.branch) if who.branch else (None,)
        return sum(self._counts[mode, branch] for mode in modes for branch in branches)


def holding(who: Claimant, room: Room) -> LockFact | None:
    """What ``who`` has of a path already that is enough for what it wants."""
    enough = (fact for fact in room.holds if is_enough(fact, who))
    return next(enough, None)


def is_enough(fact: LockFact, who: Claimant) -> bool:
    """Whether a grant is what ``who`` wants, or more: what it has alone it need not share."""
    has = fact.claimant
    return has.is_same(who) and (who.shared or not has.shared) and has.covers(who)


def waiting(who: Claimant, room: Room) -> WaiterFact | None:
    """The place that ``who`` has in the queue of a path."""
    return next((waiter for waiter in room.waiters if _is_place_of(who, waiter)), None)


def not_waiting_for(own: Iterable[LockFact], waiters: Iterable[WaiterFact]) -> Iterator[WaiterFact]:
    """Those of ``waiters`` who came for a branch that none of ``own`` holds on."""
    parts = [fact.claimant for fact in own]
    return (w for w in waiters if not any(part.meets(w.claimant) for part in parts))


def lets_by(who: Claimant, known: Known, path_key: str) -> tuple[LockFact, ...]:
    """Why ``who`` need not wait for those who came first: what they wait for of its session.

    Of each the first that is enough, and what it has itself before all other.
    """
    room = known.room(path_key)
    holds = (*room.holds, *covering(known.reservations, path_key))
    own = [fact for fact in holds if fact.claimant.session == who.session]
    own.sort(key=lambda fact: not fact.claimant.is_same(who))
    ahead = (w.claimant for w in _ahead(who, room) if w.claimant.excludes(who))
    found = (next((fact for fact in own if fact.claimant.meets(w)), None) for w in ahead)
    return tuple({fact.key: fact for fact in found if fact}.values())


def _before(
    who: Claimant, ahead: Iterable[WaiterFact], holds: Iterable[LockFact]
) -> Iterator[WaiterFact]:
    """For whom ``who`` waits of those who came first: not for who waits for its session."""
    own = (fact for fact in holds if fact.claimant.session == who.session)
    return not_waiting_for(own, ahead)


def _is_place_of(who: Claimant, waiter: WaiterFact) -> bool:
    return waiter.claimant.is_same(who) and waiter.claimant.branch == who.branch


def _ahead(who: Claimant, room: Room) -> tuple[WaiterFact, ...]:
    """Those who came before ``who``: also a place for every branch is one on that branch."""
    own = (at for at, w in enumerate(room.waiters) if w.claimant.is_same(who))
    mine = (at for at in own if room.waiters[at].claimant.covers(who))
    return room.waiters[: next(mine, len(room.waiters))]


def _exclude(facts: Iterable[LockFact | WaiterFact], who: Claimant) -> bool:
    return any(fact.claimant.excludes(who) for fact in facts)
