"""What is remembered of a session goes with it: an agent meets thousands of them."""

from scoord.ids import AgentId
from scoord.v1.events_pb2 import SessionGone, Snapshot, Waiting, WatchResponse
from scoord.v1.locks_pb2 import Holder, Waiter
from scoord_agent.held import HeldLocks
from scoord_agent.reactions import Reactions
from scoord_agent.turns import Turns
from scoord_agent.waits import Waits
from support.house import SHOP, A, House
from support.keepsakes import is_known

FAR = Holder(session_id="Session_far", alias="Session_9", person="bob", host="mini")


async def test_nothing_is_remembered_of_a_session_that_has_ended(house: House) -> None:
    house.coordinator.hold("b.py", "Session_far")
    for file in ("a.py", "b.py", "c.py"):
        await house.edit(file)
    given_back = house.holds("c.py")
    assert given_back
    await house.taking.release(house.session, [given_back])
    parts = (house.edits, house.taking, house.registration, house.reclaiming)
    assert is_known(A, *parts)

    await house.taking.leaving.all_of(house.session, AgentId(""))
    house.sessions.remove(house.session)
    await house.registration.end(house.session, "it is over")
    house.turns.keep_only(())

    assert not is_known(A, *parts)


def reactions(house: House) -> Reactions:
    return Reactions(
        sessions=house.sessions,
        held=HeldLocks(20.0),
        turns=Turns(house.clock),
        lapsed=lambda _session: None,
        acknowledge=lambda *_: None,
        waits=Waits(lambda _session: None),
    )


def test_nothing_is_remembered_of_who_waited_and_is_gone(house: House) -> None:
    made = reactions(house)
    waiting = Waiting(path="a.py", waiter=FAR, holders=[Holder(session_id=A)])
    made.react(SHOP, WatchResponse(waiting=waiting))
    house.session.take_notices()
    assert is_known("Session_far", made)

    made.react(SHOP, WatchResponse(session_gone=SessionGone(session_id="Session_far")))

    assert not is_known("Session_far", made)


def test_nothing_is_remembered_of_who_left_while_nobody_listened(house: House) -> None:
    made = reactions(house)
    waiters = [Waiter(path=path, holder=FAR) for path in ("a.py", "b.py")]
    made.react(SHOP, WatchResponse(snapshot=Snapshot(waiters=waiters)))
    assert is_known("b.py", made)

    made.react(SHOP, WatchResponse(snapshot=Snapshot(waiters=waiters[:1])))

    assert is_known("a.py", made)
    assert not is_known("b.py", made)
