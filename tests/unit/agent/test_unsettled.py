"""What becomes of an edit whose outcome is not heard."""

import asyncio

import pytest

from scoord.ids import AgentId
from scoord_agent import unsettled
from scoord_hooks.neutral import Verdict
from support.house import DECIDE_S, House, settle, until
from support.scripted_coordinator import Fate

LOST_ANSWERS = [Fate.LOST_ANSWER, Fate.UNREACHABLE]


@pytest.mark.parametrize("fate", [*LOST_ANSWERS, Fate.LOST])
async def test_a_grant_that_was_not_heard_is_given_back_if_the_edit_was_refused(
    house: House, fate: Fate
) -> None:
    house.block()
    house.coordinator.fates.append(fate)

    decision = await house.edit()
    house.coordinator.connection.answered(house.clock.now())
    await until(lambda: house.coordinator.releases)
    await settle()

    assert decision.verdict is Verdict.DENY
    assert house.coordinator.locks == {}
    assert house.holds() is None


@pytest.mark.parametrize("fate", [*LOST_ANSWERS, Fate.LOST])
async def test_a_grant_that_was_not_heard_is_held_if_the_edit_was_let_through(
    house: House, fate: Fate
) -> None:
    house.coordinator.fates.append(fate)

    decision = await house.edit()
    await until(house.holds)
    await settle()

    assert "let through without a lock" in decision.context
    assert house.agrees()
    assert house.coordinator.releases == []


async def test_it_is_the_same_request_that_is_sent_again(house: House) -> None:
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    await house.edit()
    await until(house.holds)

    first, second = house.coordinator.acquires
    assert first == second


async def test_nothing_is_sent_while_nobody_answers_heartbeats(house: House) -> None:
    house.coordinator.fates.append(Fate.UNREACHABLE)
    house.coordinator.connection.failed("gone")
    await house.edit()
    await settle()
    assert len(house.coordinator.acquires) == 1

    house.coordinator.connection.answered(house.clock.now())
    await until(house.holds)


async def test_it_is_given_up_after_a_while(house: House) -> None:
    house.coordinator.fates.extend([Fate.UNREACHABLE] * 1_000)
    await house.edit()
    await settle()
    asked = len(house.coordinator.acquires)
    assert asked > 1

    house.clock.advance(unsettled.SETTLE_WITHIN_S)
    await settle()
    asked = len(house.coordinator.acquires)
    house.coordinator.connection.answered(house.clock.now())
    await settle()
    assert asked == len(house.coordinator.acquires)


async def test_what_was_asked_for_again_meanwhile_is_not_given_back(house: House) -> None:
    house.block()
    house.coordinator.fates.append(Fate.UNREACHABLE)
    house.coordinator.connection.failed("gone")
    assert (await house.edit()).verdict is Verdict.DENY

    assert (await house.edit()).verdict is not Verdict.DENY
    await settle()

    assert house.holds()
    assert house.agrees()
    assert house.coordinator.releases == []


async def test_what_is_asked_for_at_the_same_time_is_not_given_back(house: House) -> None:
    house.block()
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    first = asyncio.create_task(house.edit())
    await until(lambda: house.coordinator.acquires)
    second = await house.edit()
    await first
    await settle()

    assert second.verdict is not Verdict.DENY
    assert house.holds()
    assert house.agrees()


async def test_what_is_being_asked_for_is_not_given_back(house: House) -> None:
    house.block()
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.extend([Fate.LOST_ANSWER, Fate.LATE_ANSWER])
    first = asyncio.create_task(house.edit())
    await asyncio.sleep(DECIDE_S / 2)
    second = asyncio.create_task(house.edit())
    await first
    await until(lambda: len(house.coordinator.acquires) == 3)
    await asyncio.sleep(0.02)
    house.coordinator.gate.set()

    assert (await second).verdict is not Verdict.DENY
    await settle()
    assert house.coordinator.releases == []
    assert house.agrees()


async def test_what_was_asked_for_again_and_given_back_is_not_taken_once_more(
    house: House,
) -> None:
    house.coordinator.fates.append(Fate.UNREACHABLE)
    house.coordinator.connection.failed("gone")
    await house.edit()
    await house.edit()
    await house.taking.release(house.session, list(house.held))
    await settle()

    assert house.coordinator.locks == {}
    assert house.holds() is None


async def test_who_asks_while_it_is_given_back_gets_a_grant_of_its_own(house: House) -> None:
    house.block()
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    await house.edit()
    await until(lambda: house.coordinator.releases)

    again = asyncio.create_task(house.edit())
    await asyncio.sleep(0.02)
    house.coordinator.gate.set()

    assert (await again).verdict is not Verdict.DENY
    await settle()
    assert house.holds()
    assert house.agrees()


async def test_a_session_that_ended_meanwhile_holds_nothing(house: House) -> None:
    house.coordinator.fates.append(Fate.UNREACHABLE)
    house.coordinator.connection.failed("gone")
    await house.edit()
    await house.registration.end(house.session, "it ended")
    house.coordinator.connection.answered(house.clock.now())
    await settle()

    assert house.holds() is None
    assert len(house.coordinator.acquires) == 1


async def test_a_lease_that_ran_out_meanwhile_took_the_grant_along(house: House) -> None:
    house.coordinator.fates.append(Fate.UNREACHABLE)
    await house.edit()
    house.coordinator.expire(house.session.lease)
    await settle()

    assert house.holds() is None
    assert house.coordinator.locks == {}


async def test_an_edit_that_was_let_through_beside_a_holder_is_to_be_reported(
    house: House,
) -> None:
    house.coordinator.fates.append(Fate.LOST)
    house.coordinator.hold("a.py", "Session_far")
    await house.edit()
    await until(lambda: len(house.coordinator.acquires) == 2)
    await settle()

    assert [("unasked", "a.py")] == [(edit.kind, edit.path) for edit in house.unreported]
    assert [] == house.session.take_notices()
    assert house.holds() is None


async def test_of_several_files_each_is_judged_by_itself(house: House) -> None:
    house.block()
    house.coordinator.fates.append(Fate.UNREACHABLE)
    house.coordinator.connection.failed("gone")
    await house.edit("a.py", "b.py")
    await house.edit("a.py")
    await until(lambda: house.coordinator.releases)
    await settle()

    assert house.holds("a.py")
    assert house.agrees("a.py")
    assert list(house.coordinator.locks) == ["a.py"]


async def test_a_subagent_that_has_ended_keeps_nothing(house: House) -> None:
    house.coordinator.fates.append(Fate.UNREACHABLE)
    house.coordinator.connection.failed("gone")
    await house.edit(agent="agent-1")
    house.taking.done(house.session, AgentId("agent-1"))
    house.coordinator.connection.answered(house.clock.now())
    await until(lambda: house.coordinator.releases)
    await settle()

    assert house.coordinator.locks == {}


async def test_a_refusal_of_one_file_says_nothing_of_another(house: House) -> None:
    house.coordinator.hold("b.py", "Session_b")
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    await house.edit("a.py")

    await house.edit("a.py", "b.py")
    await until(house.holds)

    assert house.agrees()


async def test_what_was_found_out_during_a_later_refusal_is_held(house: House) -> None:
    house.coordinator.hold("b.py", "Session_b")
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.extend([Fate.UNREACHABLE, Fate.LATE_ANSWER])
    await house.edit("a.py")
    later = asyncio.create_task(house.edit("a.py", "b.py"))
    await until(lambda: len(house.coordinator.acquires) > 2)
    await settle()

    house.coordinator.gate.set()
    await later
    await until(house.holds)

    assert house.agrees()
