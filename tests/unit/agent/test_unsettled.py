"""What becomes of an edit whose outcome is not heard."""

import asyncio
from dataclasses import replace

import pytest

from scoord.config import RECHECK_S
from scoord.ids import AgentId, FencingToken, SessionId
from scoord.v1.locks_pb2 import ReadTraceResponse
from scoord_agent import unsettled
from scoord_agent.held_lock import HeldLock
from scoord_hooks.neutral import Verdict
from support.house import DECIDE_S, SHOP, A, House, settle, until
from support.repositories import git
from support.scripted_coordinator import Fate

B = SessionId("Session_b")

LOST_ANSWERS = [Fate.LOST_ANSWER, Fate.UNREACHABLE]


@pytest.mark.parametrize("fate", LOST_ANSWERS)
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


@pytest.mark.parametrize("is_known_to_be_lost", [False, True])
async def test_a_share_that_ended_before_what_is_given_back_unheard_is_told_of(
    house: House, *, is_known_to_be_lost: bool
) -> None:
    house.block()
    await house.edit("b.py")
    share = HeldLock(SHOP, "a.py", "a.py", A, AgentId(""), FencingToken(1), shared=True)
    house.held.put(share)
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    await house.edit()
    if is_known_to_be_lost:
        house.held.lose(share)
    house.coordinator.connection.answered(house.clock.now())
    await until(lambda: house.coordinator.releases)

    assert house.holds() is None
    for lock in house.held.overtaken():
        house.held.lose(lock)
    assert house.held.losses.of(A) == [share]


async def test_what_never_arrived_is_not_taken_if_the_edit_was_refused(house: House) -> None:
    house.block()
    house.coordinator.fates.append(Fate.LOST)

    assert (await house.edit()).verdict is Verdict.DENY
    house.coordinator.connection.answered(house.clock.now())
    await until(lambda: len(house.coordinator.acquires) == 2)
    await settle()

    first, second = house.coordinator.acquires
    assert first.request_id == second.request_id
    assert {} == house.coordinator.locks
    assert [] == house.coordinator.releases


async def test_what_is_let_through_while_it_is_found_out_is_taken(house: House) -> None:
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.extend([Fate.LOST, Fate.LATE_ANSWER])
    request = house.request("a.py")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(house.taking.acquire(request), DECIDE_S)
    await until(lambda: len(house.coordinator.acquires) == 2)

    house.taking.let_through(request)
    house.coordinator.gate.set()
    await until(house.holds)

    assert house.agrees()


@pytest.mark.parametrize("is_free", [True, False])
async def test_a_refusal_hides_no_grant_that_came_after_it(house: House, *, is_free: bool) -> None:
    """Sent again for an edit that went on, it waits on its way while the next edit is refused."""
    coordinator = house.coordinator
    coordinator.gate = asyncio.Event()
    coordinator.fates.extend([Fate.LOST, Fate.LATE])
    await house.edit()
    coordinator.connection.answered(house.clock.now())
    await until(lambda: len(coordinator.acquires) == 2)
    coordinator.hold("a.py", "Session_far")
    house.block()
    assert (await house.edit()).verdict is Verdict.DENY
    if is_free:
        del coordinator.locks["a.py"]

    coordinator.gate.set()
    await settle()

    assert bool(house.holds()) is is_free
    assert house.agrees() is is_free


async def test_a_turn_that_went_with_what_is_given_back_is_told_as_over(house: House) -> None:
    house.block()
    place, *_ = house.request("a.py").places
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    assert (await house.edit()).verdict is Verdict.DENY
    house.turns.keep(place, "a.py")
    house.coordinator.connection.answered(house.clock.now())
    await until(lambda: house.coordinator.releases)
    await settle()

    assert [True] == [turn.is_over for turn in house.turns.take(A, AgentId(""), 9)]


async def test_it_is_the_same_request_that_is_sent_again(house: House) -> None:
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    await house.edit()
    await until(house.holds)

    first, second = house.coordinator.acquires
    assert first == second


async def test_nothing_is_sent_while_nobody_answers_heartbeats(house: House) -> None:
    house.coordinator.fates.append(Fate.UNREACHABLE)
    house.coordinator.connection.failed("gone", house.clock.now())
    await house.edit()
    await settle()
    assert len(house.coordinator.acquires) == 1

    house.coordinator.connection.answered(house.clock.now())
    await until(house.holds)


async def test_an_answer_of_one_branch_leaves_open_what_became_of_another(house: House) -> None:
    text = "session_coordination: {scope: branch, unreachable_action: block}"
    (house.root / "coordination.yaml").write_text(text)
    house.clock.advance(RECHECK_S)
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    house.coordinator.connection.failed("gone", house.clock.now())
    assert (await house.edit()).verdict is Verdict.DENY
    (lost,) = house.coordinator.acquires
    granted = house.coordinator.locks.pop("a.py")

    git(house.root, "checkout", "-q", "-b", "topic")
    house.clock.advance(RECHECK_S)
    assert (await house.edit()).verdict is not Verdict.DENY
    house.coordinator.locks["a.py"] = granted
    house.coordinator.connection.answered(house.clock.now())
    await until(lambda: house.coordinator.releases)

    assert ("main", "topic") == (lost.branch, house.coordinator.acquires[1].branch)
    ((ref,),) = [release.locks for release in house.coordinator.releases]
    assert granted.token == ref.token
    assert ["topic"] == [lock.branch for lock in house.held]


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
    house.coordinator.connection.failed("gone", house.clock.now())
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


@pytest.mark.parametrize("later", ["a.py", "*.py"])
async def test_an_answer_that_comes_after_anothers_later_grant_allows_nothing(
    house: House, later: str
) -> None:
    house.block()
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.append(Fate.LATE_ANSWER)
    editing = asyncio.create_task(house.edit("a.py"))
    await until(lambda: house.coordinator.locks)
    house.coordinator.locks.clear()  # it is broken, and another session of this machine has it
    house.coordinator.hold("a.py", B)
    token = FencingToken(house.coordinator.revision)
    anothers = HeldLock(SHOP, later, later, B, AgentId(""), token, is_pattern="*" in later)
    house.held.put(anothers)

    house.coordinator.gate.set()

    assert (await editing).verdict is Verdict.DENY
    assert [anothers] == list(house.held)


async def test_what_was_asked_for_again_and_given_back_is_not_taken_once_more(
    house: House,
) -> None:
    house.coordinator.fates.append(Fate.UNREACHABLE)
    house.coordinator.connection.failed("gone", house.clock.now())
    await house.edit()
    await house.edit()
    await house.taking.release(house.session, list(house.held))
    await settle()

    assert house.coordinator.locks == {}
    assert house.holds() is None


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.LOST_ANSWER])
async def test_whoever_gives_its_share_back_is_not_granted_more_after_that(
    house: House, fate: Fate
) -> None:
    await house.edit("b.py")
    share = HeldLock(SHOP, "a.py", "a.py", A, AgentId(""), FencingToken(1), shared=True)
    house.held.put(share)
    house.coordinator.fates.append(fate)
    house.coordinator.connection.failed("gone", house.clock.now())
    await house.edit()

    await house.taking.release(house.session, [share])
    house.coordinator.connection.answered(house.clock.now())
    await settle()

    assert ["b.py"] == list(house.coordinator.locks)
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
    house.coordinator.connection.failed("gone", house.clock.now())
    await house.edit()
    await house.registration.end(house.session, "it ended")
    house.coordinator.connection.answered(house.clock.now())
    await settle()

    assert house.holds() is None
    assert len(house.coordinator.acquires) == 1


async def test_a_lease_that_ran_out_meanwhile_took_the_grant_along(house: House) -> None:
    house.coordinator.fates.append(Fate.UNREACHABLE)
    house.coordinator.connection.failed("gone", house.clock.now())
    await house.edit()
    house.coordinator.expire(house.session.lease)
    house.coordinator.connection.answered(house.clock.now())
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
    house.coordinator.connection.failed("gone", house.clock.now())
    await house.edit("a.py", "b.py")
    await house.edit("a.py")
    await until(lambda: house.coordinator.releases)
    await settle()

    assert house.holds("a.py")
    assert house.agrees("a.py")
    assert list(house.coordinator.locks) == ["a.py"]


async def test_a_subagent_that_has_ended_keeps_nothing(house: House) -> None:
    house.coordinator.fates.append(Fate.UNREACHABLE)
    house.coordinator.connection.failed("gone", house.clock.now())
    await house.edit(agent="agent-1")
    house.taking.unsettled.done(house.session, AgentId("agent-1"))
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


async def test_what_another_thread_gave_back_later_says_nothing_of_a_subagents_grant(
    house: House,
) -> None:
    house.block()
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    house.coordinator.connection.failed("gone", house.clock.now())
    await house.edit(agent="agent-1")
    (late,) = house.coordinator.locks.values()
    other = HeldLock(SHOP, "a.py", "a.py", A, AgentId(""), FencingToken(late.token + 9))
    await house.taking.give_back_unasked(house.session, other)
    house.coordinator.connection.answered(house.clock.now())
    await settle()

    assert house.coordinator.locks == {}


async def test_what_passed_to_a_subagent_unheard_is_not_believed_in_by_its_main_thread(
    house: House,
) -> None:
    house.block()
    await house.edit()
    (passed,) = house.coordinator.locks.values()
    passed.holder.agent_id = "agent-1"
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    house.coordinator.connection.failed("gone", house.clock.now())
    await house.edit(agent="agent-1")
    other = HeldLock(SHOP, "a.py", "a.py", A, AgentId(""), FencingToken(passed.token + 9))
    await house.taking.give_back_unasked(house.session, other)
    house.coordinator.connection.answered(house.clock.now())
    await settle()

    assert house.holds() is None


@pytest.mark.parametrize("others", ["Session_b", ""])
async def test_what_is_known_to_have_passed_is_not_believed_in_while_its_asker_asks_again(
    house: House, others: str
) -> None:
    house.block()
    await house.edit()
    (had,) = house.held
    house.held.put(replace(had, ends_at=1e9))
    house.coordinator.locks["a.py"].holder.agent_id = "agent-1"
    if others:
        house.coordinator.hold("b.py", others)
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.extend([Fate.UNREACHABLE, Fate.LATE_ANSWER])
    house.coordinator.connection.failed("gone", house.clock.now())
    await house.edit(agent="agent-1")
    again = asyncio.create_task(house.edit("a.py", "b.py", agent="agent-1"))
    await until(lambda: len(house.coordinator.acquires) == 3)

    house.coordinator.connection.answered(house.clock.now())
    await until(lambda: len(house.coordinator.acquires) == 4)
    await asyncio.sleep(0.02)
    known_to_have_passed = house.holds()
    house.coordinator.gate.set()
    decision = await again
    await settle()

    assert known_to_have_passed is None
    assert decision.verdict is (Verdict.DENY if others else Verdict.ALLOW)
    assert house.agrees()
    held = [(lock.agent, lock.ends_at) for lock in house.held.at(SHOP, "a.py")]
    assert held == ([] if others else [("agent-1", 1e9)])


async def test_what_is_granted_after_the_end_of_what_a_later_edit_was_granted_is_held(
    house: House,
) -> None:
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.extend([Fate.LOST, Fate.LATE])
    await house.edit()
    await until(lambda: len(house.coordinator.acquires) == 2)
    await house.edit()
    before = house.holds()
    house.coordinator.locks.clear()  # it is broken

    house.coordinator.gate.set()
    await until(lambda: house.coordinator.locks)
    await settle()

    assert house.agrees()
    assert [before] == house.held.overtaken(), "its session is still to hear of its end"
    assert [] == house.coordinator.releases


async def test_so_it_is_where_the_answers_come_the_other_way_round(house: House) -> None:
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.extend([Fate.LOST, Fate.LATE_ANSWER])
    house.coordinator.connection.failed("gone", house.clock.now())
    await house.edit()
    later = asyncio.create_task(house.edit())
    await until(lambda: house.coordinator.locks)
    house.coordinator.locks.clear()  # it is broken
    house.coordinator.connection.answered(house.clock.now())
    await until(lambda: house.coordinator.locks)

    house.coordinator.gate.set()
    await later
    await settle()

    assert house.agrees()
    assert [] == house.coordinator.releases


async def test_what_is_granted_after_it_and_was_given_back_since_is_not_held(house: House) -> None:
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.extend([Fate.LOST, Fate.LATE])
    await house.edit()
    await until(lambda: len(house.coordinator.acquires) == 2)
    await house.edit()
    releasing = asyncio.create_task(house.taking.release(house.session, list(house.held)))
    await until(lambda: house.coordinator.releases)

    house.coordinator.gate.set()
    await releasing
    await settle()

    assert house.holds() is None


async def test_what_is_granted_late_is_its_askers_though_that_went_on_beside_the_holder(
    house: House,
) -> None:
    house.set("conflict_action: warn")
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.extend([Fate.LOST, Fate.LATE])
    await house.edit()
    await until(lambda: len(house.coordinator.acquires) == 2)
    theirs = HeldLock(SHOP, "a.py", "a.py", SessionId("Session_b"), AgentId(""), FencingToken(5))
    house.held.put(theirs)
    house.coordinator.hold("a.py", theirs.session)
    assert (await house.edit()).context, "it goes on beside the holder"

    house.coordinator.locks.clear()  # broken, and the stream has not told of it
    house.coordinator.gate.set()
    await until(lambda: house.coordinator.locks)
    await settle()

    assert house.agrees()
    assert [theirs] == house.held.overtaken()


async def test_that_the_lease_is_over_is_known_from_any_answer(house: House) -> None:
    house.block()
    await house.edit("b.py")
    house.coordinator.fates.append(Fate.LOST)
    await house.edit()
    house.coordinator.expire(house.session.lease)
    house.coordinator.connection.answered(house.clock.now())
    await until(lambda: not house.session.registered)

    assert not house.held.believes(A, house.clock.now())
    assert ["b.py"] == [lost.key for lost in house.held.losses]


async def test_so_it_is_from_the_answer_to_what_was_lost(house: House) -> None:
    await house.edit("b.py")
    (lock,) = house.held
    house.held.lose(lock)
    house.coordinator.expire(house.session.lease)
    house.reclaiming.begin(house.session)
    await until(lambda: not house.session.registered)

    assert not house.held.believes(A, house.clock.now())


@pytest.mark.parametrize("became_more", [False, True])
async def test_what_went_is_asked_for_again_unless_it_became_a_later_grant_of_ours(
    house: House, *, became_more: bool
) -> None:
    """With which lease it went is not known of what the agent before us had lost."""
    await house.edit()
    (lock,) = house.held
    house.held.lose(lock)
    house.coordinator.locks.clear()
    house.coordinator.ends["a.py"] = ReadTraceResponse(became_more=became_more)
    house.reclaiming.begin(house.session)
    await until(lambda: not [*house.held.losses])

    assert became_more is not bool(house.coordinator.reclaims)
    assert [] == house.session.take_notices()
