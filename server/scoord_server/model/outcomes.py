"""What became of a command whose answer was not heard: told, and nothing is taken by it.

Carried out once more, it would use up the turn of an asker that has given up on it, and
then be given back.
"""

from collections.abc import Iterator

from scoord_server.model import conflicts, locks, looks, reservations
from scoord_server.model.answers import Conflict, Granted, Held
from scoord_server.model.commands import Acquire, Reserve
from scoord_server.model.facts import Known
from scoord_server.store.port import Txn, TxnResult


def plan(command: Acquire | Reserve) -> Txn:
    """Only read; ``read`` reads the answer."""
    if isinstance(command, Reserve):
        return reservations.plan_look(command)
    return looks.plan_look(command.asker, command.names)


def read(command: Acquire | Reserve, result: TxnResult) -> Granted | Held | None:
    """Granted where it is the asker's by now, by whichever command; None when it is not live."""
    if isinstance(command, Reserve):
        return _of_pattern(command, result)
    found = looks.read_look(command.asker, command.names, result)
    if found is None:
        return None
    who, rooms = command.claimant, (found.known.room(name.key) for name in command.names)
    own = [fact for room in rooms if (fact := conflicts.holding(who, room))]
    if len(own) == len(command.names):
        claimants = (locks.has_by(fact, who) for fact in own)
        return Granted(tuple(fact.token for fact in own), tuple(claimants))
    return Held(tuple(_places(command, found.known)))


def _of_pattern(command: Reserve, result: TxnResult) -> Granted | Held | None:
    found = reservations.read_look(command.asker, result)
    if found is None:
        return None
    own = reservations.own(command, found)
    has = own is not None and conflicts.is_enough(own, command.claimant)
    return reservations.granted(command, own, own.token) if own and has else Held(())


def _places(command: Acquire, known: Known) -> Iterator[Conflict]:
    """The places that the asker has, as they are. Nothing but itself may be before it."""
    who = command.claimant
    for name in command.names:
        waiters = known.room(name.key).waiters
        if mine := conflicts.waiting(who, known.room(name.key)):
            by = conflicts.first(who, known, name.key) or mine
            yield Conflict(name, by, conflicts.place_of(who, waiters), mine.mod_revision)
