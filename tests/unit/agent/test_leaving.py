"""Places in queues that are given up: which of them the coordinator is told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from scoord.config import RECHECK_S
from scoord.errors import CoordinatorUnreachable
from scoord.ids import AgentId
from scoord.v1.locks_pb2 import LeaveRequest
from scoord_agent.turns import Place, Queued
from support.clock import FakeClock
from support.house import SHOP, A, House, editing_house, settle, until
from support.repositories import git
from support.scripted_coordinator import Fate


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A session that was refused a file twice."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    async with editing_house(tmp_path, FakeClock()) as made:
        made.coordinator.hold("a.py", "Session_far")
        for _ in range(2):
            assert "a.py is locked" in (await made.edit("a.py")).reason
        yield made


def meant(left: LeaveRequest) -> dict[str, int]:
    return dict(zip(left.paths, left.place_revisions, strict=True))


async def test_a_place_is_given_up_as_it_was_last_asked_for(house: House) -> None:
    await house.taking.leaving.leave(house.request("a.py"))

    (left,) = house.coordinator.left
    assert {"a.py": house.coordinator.revision} == meant(left)


async def test_whoever_has_ended_gives_its_place_up_as_it_was_last_asked_for(house: House) -> None:
    await house.taking.leaving.all_of(house.session, AgentId(""))

    (left,) = house.coordinator.left
    assert {"a.py": house.coordinator.revision} == meant(left)


async def test_who_leaves_a_branch_gives_up_its_places_there(house: House) -> None:
    (house.root / "coordination.yaml").write_text("session_coordination: {scope: branch}")
    house.clock.advance(RECHECK_S)
    await house.edit("a.py")
    on_main, there = house.taking.leaving.confined(house.session), house.coordinator.revision
    git(house.root, "checkout", "-q", "-b", "topic")
    house.clock.advance(RECHECK_S)
    await house.edit("a.py", agent="agent-1")

    await house.taking.leaving.those(house.session, on_main)

    (left,) = house.coordinator.left
    assert {"a.py": there} == meant(left)
    assert ["main"] == list(left.place_branches)
    assert "" == left.agent_id


@pytest.mark.parametrize("agent", ["", "agent-1"])
async def test_all_stand_where_giving_up_the_first_fails(house: House, agent: str) -> None:
    await house.edit("a.py", agent="agent-1")
    main, *_ = house.request("a.py").places
    places = [main, replace(main, agent=AgentId("agent-1"))]
    house.coordinator.fates.append(Fate.UNREACHABLE)

    with pytest.raises(CoordinatorUnreachable):
        await house.taking.leaving.places(
            house.session, {at: Queued("a.py", house.turns.revision(at)) for at in places}
        )

    house.turns.lapse(house.session.session_id)
    told = house.turns.take(house.session.session_id, AgentId(agent), 9)
    assert ["a.py"] == [turn.path for turn in told]


@pytest.mark.parametrize("agent", ["", "agent-1"])
async def test_who_has_ended_waits_for_nothing_also_where_that_is_not_heard(
    house: House, agent: str
) -> None:
    await house.edit("a.py", agent=agent)
    house.coordinator.fates.append(Fate.UNREACHABLE)

    with pytest.raises(CoordinatorUnreachable):
        await house.taking.leaving.all_of(house.session, AgentId(""))

    assert bool(agent) == house.turns.waits(SHOP, "a.py", A)
    assert bool(agent) == bool(house.session.work.waits), "a subagent goes on"


async def test_who_gives_its_place_up_is_seen_to_wait_where_its_subagent_does(house: House) -> None:
    await house.edit("a.py", agent="agent-1")

    await house.taking.leaving.leave(house.request("a.py"))
    assert house.session.work.waits

    await house.taking.leaving.all_of(house.session, AgentId("agent-1"))
    assert {} == house.session.work.waits


async def test_what_is_asked_for_again_while_others_are_given_up_is_waited_for(
    house: House,
) -> None:
    main, *_ = house.request("a.py").places
    before = house.turns.revision(main)
    await house.edit("a.py")

    await house.taking.leaving.places(house.session, {main: Queued("a.py", before)})

    assert house.turns.is_queued(main)


async def cut_off(house: House, *fates: Fate) -> None:
    """Ask once more and give up before there is an answer; it is asked again by itself."""
    house.coordinator.fates.extend(fates)
    asked = asyncio.create_task(house.taking.acquire(house.request("a.py")))
    await settle()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await settle()


async def test_what_was_cut_off_counts_once_it_is_known(house: House) -> None:
    await cut_off(house, Fate.LOST_ANSWER)

    await house.taking.leaving.leave(house.request("a.py"))

    (left,) = house.coordinator.left
    assert {"a.py": house.coordinator.revision} == meant(left)


@pytest.mark.parametrize("ended", [False, True])
async def test_while_it_is_not_known_what_became_of_the_last_ask_any_place_is_given_up(
    house: House, *, ended: bool
) -> None:
    await cut_off(house, Fate.LOST_ANSWER, Fate.LOST_ANSWER)

    if ended:
        await house.taking.leaving.all_of(house.session, AgentId(""))
    else:
        await house.taking.leaving.leave(house.request("a.py"))

    (left,) = house.coordinator.left
    assert {"a.py": 0} == meant(left)


async def test_what_is_asked_for_while_any_place_is_given_up_is_waited_for(house: House) -> None:
    main, *_ = house.request("a.py").places
    await cut_off(house, Fate.LOST_ANSWER, Fate.LOST_ANSWER)
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.append(Fate.LATE_ANSWER)
    leaving = asyncio.create_task(house.taking.leaving.leave(house.request("a.py")))
    await until(lambda: house.coordinator.left)

    assert "You are first in the queue" in (await house.edit("a.py")).reason
    house.coordinator.gate.set()
    await leaving

    assert house.turns.is_queued(main)


@pytest.mark.parametrize("asked", ["before", "after", "never"])
async def test_a_turn_is_news_where_it_was_asked_for_after_it_was_given_up(
    house: House, asked: str
) -> None:
    place, *_ = house.request("a.py").places
    if asked == "before":
        await cut_off(house, Fate.LOST_ANSWER, Fate.LOST_ANSWER)
    house.coordinator.gate = answer = asyncio.Event()
    house.coordinator.fates.append(Fate.LATE_ANSWER)
    leaving = asyncio.create_task(house.taking.leaving.leave(house.request("a.py")))
    await until(lambda: house.coordinator.left)
    if asked == "after":
        await cut_off(house, Fate.LOST_ANSWER, Fate.LOST_ANSWER)

    house.turns.come(place)
    house.turns.keep(place, "a.py")
    answer.set()
    await leaving

    assert (asked == "after") is house.turns.has_come(place)
    assert (asked == "after") is bool(house.turns.take(A, AgentId(""), 9))


async def test_what_was_never_refused_is_given_up_whatever_it_is(house: House) -> None:
    await house.taking.leaving.leave(house.request("b.py"))

    (left,) = house.coordinator.left
    assert {"b.py": 0} == meant(left)


async def test_who_asks_on_a_branch_is_told_no_more_of_its_turn_on_all(house: House) -> None:
    (house.root / "coordination.yaml").write_text("session_coordination: {scope: branch}")
    house.clock.advance(RECHECK_S)
    turns = house.turns
    on_main, *_ = house.request("a.py").places
    turns.keep(replace(on_main, branch=""), "a.py")
    turns.keep(replace(on_main, branch="topic"), "a.py")

    await house.edit("a.py")

    told = turns.take(house.session.session_id, AgentId(""), 9)
    assert ["topic"] == [turn.branch for turn in told]


@pytest.fixture
async def detached(house: House) -> House:
    """Its session has waited for a.py on main, and for b.py, and has no branch any more."""
    (house.root / "coordination.yaml").write_text("session_coordination: {scope: branch}")
    house.clock.advance(RECHECK_S)
    house.coordinator.hold("b.py", "Session_far")
    await house.edit("a.py", "b.py")
    git(house.root, "checkout", "-q", "--detach")
    house.clock.advance(RECHECK_S)
    house.coordinator.locks.clear()
    return house


@pytest.mark.parametrize("has_come", [True, False])
async def test_who_is_granted_it_on_every_branch_is_told_no_more_of_its_place_on_one(
    detached: House, has_come: bool
) -> None:
    turns, mine = detached.turns, detached.session.session_id
    a, b = (Place(SHOP, key, mine, AgentId(""), "main") for key in ("a.py", "b.py"))
    if has_come:
        turns.keep(a, "a.py")

    await detached.edit("a.py")

    assert "" == detached.held.at(SHOP, "a.py")[0].branch
    assert [b] == [place for place in turns.unheard(mine) if place.branch]
    turns.lapse(mine)
    assert "a.py" not in [turn.path for turn in turns.take(mine, AgentId(""), 9) if turn.branch]


async def test_what_was_asked_for_on_a_branch_after_such_a_grant_is_waited_for(
    detached: House,
) -> None:
    """As its answer is late: the lock was broken meanwhile."""
    coordinator, mine = detached.coordinator, detached.session.session_id
    on_main = Place(SHOP, "a.py", mine, AgentId(""), "main")
    coordinator.gate = asyncio.Event()
    coordinator.fates.append(Fate.LATE_ANSWER)
    asking = asyncio.create_task(detached.edit("a.py"))
    await until(lambda: "a.py" in coordinator.locks)

    detached.turns.queued(on_main, "a.py", coordinator.revision + 1)
    coordinator.gate.set()
    await asking

    assert on_main in detached.turns.unheard(mine)
