"""What a main thread lost comes back before its subagents' files, which would be in its way."""

import asyncio
from dataclasses import replace

import pytest

from scoord.errors import CoordinatorUnreachable
from scoord.ids import AgentId, FencingToken
from scoord_agent import wording_losses
from scoord_agent.held_lock import HeldLock
from scoord_hooks.neutral import Verdict
from support.house import SHOP, A, House, settle, until
from support.scripted_coordinator import Fate


async def lapsed(house: House, over: HeldLock, *files: str) -> None:
    """The main thread had ``over``, a subagent ``files`` beside it, and their lease ran out."""
    house.session.hear(AgentId("ag1"))
    await house.edit("other.py")  # its project knows it
    house.held.put(over)
    for file in files or ("a.py",):
        await house.edit(file, agent="ag1")
    lapse(house)


def lapse(house: House) -> None:
    house.coordinator.expire(house.session.lease)
    house.registration.lapse(house.session)


async def come_back(house: House) -> None:
    """The session is registered anew, and all it lost is asked for, once."""
    settings = house.settings.at(house.root)
    await house.registration.enter(house.session, SHOP, settings)
    house.reclaiming.begin(house.session)
    await settle()


def mains(*, shared: bool = False, path: str = "*.py") -> HeldLock:
    lock = HeldLock(SHOP, path, path, A, AgentId(""), FencingToken(5), shared=shared)
    return replace(lock, is_pattern="*" in path)


def lost(house: House) -> set[str]:
    return {lock.shown for lock in house.held.losses.of(A)}


def has(house: House) -> set[tuple[str, str]]:
    return {(lock.shown, lock.agent) for lock in house.held.of(A)}


async def test_a_pattern_comes_back_before_the_files_of_subagents_in_it(house: House) -> None:
    await lapsed(house, mains(), "a.py", "b.py")
    await come_back(house)

    await until(lambda: not lost(house))
    assert {("*.py", ""), ("a.py", "ag1"), ("b.py", "ag1"), ("other.py", "")} == has(house)
    assert ["is yours again" in told for told in house.session.take_notices()] == [True]


async def test_a_share_comes_back_before_the_subagents_lock_on_its_file(house: House) -> None:
    await lapsed(house, mains(shared=True, path="a.py"))
    await come_back(house)

    await until(lambda: not lost(house))
    assert [wording_losses.shared_again("a.py")] == house.session.take_notices()


@pytest.mark.parametrize("file", ["a.py", "new.py"])
async def test_a_subagents_edit_is_asked_for_after_its_main_threads_pattern(
    house: House, file: str
) -> None:
    await lapsed(house, mains())

    assert Verdict.ALLOW is (await house.edit(file, agent="ag1")).verdict

    assert {("*.py", ""), (file, "ag1")} <= has(house)


async def test_so_is_what_its_main_thread_asks_for_where_a_subagent_lost_it(house: House) -> None:
    await lapsed(house, mains())

    await house.edit("a.py")

    assert {("*.py", ""), ("a.py", "ag1")} <= has(house)


async def test_a_file_is_not_asked_for_when_the_question_for_its_pattern_fails(
    house: House,
) -> None:
    await lapsed(house, mains())
    house.coordinator.reserve_fails = CoordinatorUnreachable("away")
    house.block()
    await come_back(house)
    assert {"*.py", "a.py"} == lost(house)
    house.coordinator.reserve_fails = None
    await come_back(house)

    assert set() == lost(house)
    assert {("*.py", ""), ("a.py", "ag1"), ("other.py", "")} == has(house)


async def test_an_edit_whose_pattern_is_not_known_yet_is_not_decided_by_its_file(
    house: House,
) -> None:
    await lapsed(house, mains())
    house.block()
    house.coordinator.reserve_fails = CoordinatorUnreachable("away")

    assert Verdict.DENY is (await house.edit(agent="ag1")).verdict
    assert {"*.py", "a.py", "other.py"} == lost(house)


async def test_a_pattern_whose_question_fails_twice_keeps_nothing_back(house: House) -> None:
    await lapsed(house, mains())
    house.coordinator.reserve_fails = CoordinatorUnreachable("away")
    await come_back(house)
    await come_back(house)

    assert {"*.py"} == lost(house)
    assert Verdict.ALLOW is (await house.edit("new.py", agent="ag1")).verdict


async def test_a_pattern_that_is_lost_anew_is_waited_for_as_before(house: House) -> None:
    await lapsed(house, mains())
    house.coordinator.reserve_fails = CoordinatorUnreachable("away")
    await come_back(house)
    lapse(house)
    await come_back(house)

    assert {"*.py", "a.py"} == lost(house)
    house.coordinator.reserve_fails = None
    await come_back(house)
    assert {("*.py", ""), ("a.py", "ag1")} <= has(house)


async def test_many_files_do_not_keep_out_the_pattern_that_they_wait_for(house: House) -> None:
    files = [f"f{number}.py" for number in range(20)]
    await lapsed(house, mains(), *files)
    # As if it had been granted after them: it is asked for last.
    before = mains()
    stood_at = house.held.stood_at(A)
    house.held.losses.settle(before)
    house.held.losses.note(before, stood_at, replaced=False)
    house.held.losses.note_lapse(A)
    await come_back(house)

    await until(lambda: not lost(house))
    assert ("*.py", "") in has(house)
    assert 22 == len(has(house))


async def test_what_stands_and_is_being_given_back_by_then_is_not_had_again(house: House) -> None:
    await house.edit()
    (lock,) = house.held
    house.held.lose(lock)
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.append(Fate.LATE_ANSWER)
    house.reclaiming.begin(house.session)
    await until(lambda: house.coordinator.reclaims)
    giving = asyncio.create_task(house.owed.give_back(house.session, SHOP, [lock]))
    await settle()
    house.coordinator.gate.set()
    await giving
    await until(lambda: not lost(house))

    assert house.holds() is None
    assert house.agrees()
