"""Locks that come back after others edited their files without one."""

from scoord.v1.locks_pb2 import Holder, Lost
from scoord_agent.coordinator import seconds
from support.house import SHOP, A, House, settle, until

BOB = Holder(session_id="Session_b", alias="Session_2", person="bob", host="mbp")


async def lapsed(house: House) -> None:
    """The session held a file, and its lease ran out."""
    await house.edit()
    house.coordinator.expire(house.session.lease)
    house.registration.lapse(house.session)


async def come_back(house: House) -> None:
    """The session is registered anew, and what it lost is asked for."""
    settings = house.settings.at(house.root)
    await house.registration.enter(house.session, SHOP, settings)
    house.reclaiming.begin(house.session)
    await until(lambda: not house.held.losses.of(A))
    await settle()


async def test_who_edited_it_without_a_lock_meanwhile_is_told(house: House) -> None:
    await lapsed(house)
    edit = Lost(holder=BOB, how="unasked", since=seconds(180), notice_id="unasked-r1")
    house.coordinator.edits["a.py"] = [edit]
    await come_back(house)

    assert house.agrees("a.py")
    (told,) = house.session.take_notices()
    assert (
        "⚠️ Your lock on a.py was lost for a while and is yours again; Session_2 (bob@mbp) edited"
        " a.py without a lock 3 min ago. Read the file again before you edit it." == told
    )
    assert "unasked-r1" in house.session.noticed


async def test_an_edit_that_was_told_of_before_the_lock_was_lost_is_not_told_again(
    house: House,
) -> None:
    await lapsed(house)
    house.session.noticed.append("unasked-r1")
    house.coordinator.edits["a.py"] = [Lost(holder=BOB, how="unasked", notice_id="unasked-r1")]
    await come_back(house)

    assert [] == house.session.take_notices()
