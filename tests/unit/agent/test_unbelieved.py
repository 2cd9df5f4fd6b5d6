"""What is granted on a lease that may have run out by its answer, where no other answer comes."""

import asyncio

import pytest

from scoord.errors import (
    CoordinatorUnreachable,
    InternalError,
    InvalidRequest,
    LimitReached,
    ScoordError,
    SessionEnded,
    StoreDamaged,
)
from scoord.ids import AgentId, FencingToken, SessionId
from scoord.v1.events_pb2 import LockGone, Snapshot, WatchResponse
from scoord_agent.held_lock import HeldLock
from scoord_hooks.neutral import Decision, Verdict
from support.house import BELIEF_S, SHOP, A, House, settle, until
from support.scripted_coordinator import Fate


async def _edit(house: House, agent: str = "", *, ends: bool = False) -> Decision:
    """It is granted just after the lease had to be renewed; from then on heartbeats wait.

    The subagent that asks ``ends`` meanwhile.
    """
    coordinator = house.coordinator
    await house.edit("b.py")
    house.clock.advance(BELIEF_S - 1)
    answer = coordinator.gate = asyncio.Event()
    coordinator.fates.append(Fate.LATE_ANSWER)
    editing = asyncio.create_task(house.edit(agent=agent))
    await until(lambda: "a.py" in coordinator.locks and _holder(house) == agent)
    if ends:
        house.session.subagent_ends(AgentId(agent))
    house.clock.advance(2)
    coordinator.gate = asyncio.Event()
    answer.set()
    return await editing


async def _edit_asked_twice(house: House, second: Fate) -> None:
    """The same, where what is asked again is not answered either; then nobody is."""
    coordinator = house.coordinator
    await house.edit("b.py")
    house.clock.advance(BELIEF_S - 1)
    answer = coordinator.gate = asyncio.Event()
    coordinator.fates += [Fate.LATE_ANSWER, second]
    editing = asyncio.create_task(house.edit())
    await until(lambda: "a.py" in coordinator.locks)
    house.clock.advance(2)
    coordinator.gate = None
    answer.set()
    await until(lambda: len(coordinator.acquires) == 3)
    coordinator.connection.failed("gone", house.clock.now())
    assert "let through without a lock" in (await editing).context


def _holder(house: House) -> str:
    """Which thread has the file, as the coordinator says."""
    return house.coordinator.locks["a.py"].holder.agent_id


def _answer(house: House) -> None:
    """What waits is answered."""
    assert house.coordinator.gate
    house.coordinator.gate.set()


@pytest.mark.parametrize(
    "error", [None, CoordinatorUnreachable, InternalError, StoreDamaged, LimitReached]
)
async def test_it_is_held_if_its_edit_was_let_through(
    house: House, error: type[ScoordError] | None
) -> None:
    if error:
        house.coordinator.beats_fail = error("so it is")
        asyncio.get_running_loop().call_later(0.1, lambda: _answer(house))

    decision = await _edit(house)
    await settle()

    assert "let through without a lock" in decision.context
    assert house.holds()
    assert house.agrees()
    assert not house.held.believes(A, house.clock.now())
    assert [] == house.coordinator.releases


async def test_it_is_had_anew_where_its_lease_proves_to_be_over(house: House) -> None:
    house.coordinator.beats_fail = SessionEnded("its lease ran out")
    asyncio.get_running_loop().call_later(0.1, lambda: _answer(house))

    decision = await _edit(house)

    assert "" == decision.context
    assert house.agrees()
    assert house.held.believes(A, house.clock.now())


async def test_it_is_asked_for_again_where_its_lease_had_run_out(house: House) -> None:
    await _edit(house)
    token = house.coordinator.locks["a.py"].token
    house.coordinator.expire(house.session.lease)

    house.registration.lapse(house.session)
    house.reclaiming.begin(house.session)
    await until(house.holds)

    assert token in [request.lost.token for request in house.coordinator.reclaims]
    assert house.agrees()


async def test_it_is_given_back_if_its_edit_was_refused(house: House) -> None:
    house.block()

    decision = await _edit(house)
    _answer(house)
    await until(lambda: house.coordinator.releases)
    await settle()

    assert decision.verdict is Verdict.DENY
    assert ["b.py"] == list(house.coordinator.locks)
    assert house.holds() is None


async def test_so_it_is_if_the_subagent_has_ended_that_asked_for_it(house: House) -> None:
    await _edit(house, "agent-1", ends=True)
    _answer(house)
    await until(lambda: house.coordinator.releases)
    await settle()

    assert ["b.py"] == list(house.coordinator.locks)
    assert house.holds() is None


async def test_what_was_over_by_its_answer_is_not_held_where_a_replica_is_behind(
    house: House,
) -> None:
    """The stream told of the break, then broke: the next one begins before it."""
    coordinator = house.coordinator
    answer = coordinator.gate = asyncio.Event()
    coordinator.fates += [Fate.LATE_ANSWER, Fate.LOST, Fate.LATE]
    editing = asyncio.create_task(house.edit("a.py", "b.py"))
    await until(lambda: len(coordinator.locks) == 2)
    lost = coordinator.locks.pop("a.py")
    house.hear(WatchResponse(revision=200, lock_gone=LockGone(lock=lost, how="broken")))
    coordinator.gate = asyncio.Event()
    answer.set()
    await until(lambda: len(coordinator.acquires) == 2)
    house.hear(WatchResponse(revision=1, snapshot=Snapshot()))

    await editing

    assert ["b.py"] == [lock.key for lock in house.held]


@pytest.mark.parametrize("is_refused", [False, True])
async def test_what_a_subagent_took_over_is_its_own_or_its_main_thread_hears_that_it_went(
    house: House, *, is_refused: bool
) -> None:
    if is_refused:
        house.block()
    await house.edit("a.py")

    await _edit(house, "agent-1")
    _answer(house)
    await settle()

    held = [lock.agent for lock in house.held if lock.key == "a.py"]
    assert held == ([] if is_refused else ["agent-1"])
    told = "\n".join(house.session.take_notices())
    assert ("a.py went with the subagent" in told) is is_refused


@pytest.mark.parametrize("second", [Fate.LOST, Fate.LOST_ANSWER])
async def test_it_is_not_taken_once_more_after_it_was_given_back(
    house: House, second: Fate
) -> None:
    await _edit_asked_twice(house, second)
    lock = house.holds()
    assert lock

    await house.taking.release(house.session, [lock])
    house.coordinator.connection.answered(house.clock.now())
    await settle()

    assert ["b.py"] == list(house.coordinator.locks)
    assert house.holds() is None


async def test_it_is_not_taken_once_more_after_somebody_took_it_away(house: House) -> None:
    await _edit_asked_twice(house, Fate.LOST)
    del house.coordinator.locks["a.py"]

    house.coordinator.connection.answered(house.clock.now())
    await settle()

    assert ["b.py"] == list(house.coordinator.locks)


async def test_nobody_has_it_whose_session_has_ended_by_its_answer(house: House) -> None:
    coordinator = house.coordinator
    await house.edit("b.py")
    answer = coordinator.gate = asyncio.Event()
    coordinator.fates.append(Fate.LATE_ANSWER)
    editing = asyncio.create_task(house.edit())
    await until(lambda: "a.py" in coordinator.locks)
    coordinator.gate = None
    await house.registration.end(house.session, "it is done")
    answer.set()
    with pytest.raises(InvalidRequest, match="has ended meanwhile"):
        await editing

    # The store was wiped: tokens begin anew.
    early = HeldLock(SHOP, "a.py", "a.py", SessionId("Session_b"), AgentId(""), FencingToken(1))
    assert not house.held.is_later_anothers(early)
