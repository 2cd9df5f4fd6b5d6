"""What becomes of the place of a command whose call to the agent breaks off."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scoord_agent.all_or_none import Named
from scoord_agent.background import Background
from scoord_agent.queueing import Queueing
from scoord_agent.request import Request
from support.clock import FakeClock
from support.house import SHOP, House, editing_house, settle

WITHIN_S = 20.0


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with editing_house(tmp_path, FakeClock()) as made:
        await made.edit("b.py")  # its project knows it
        yield made


@pytest.fixture
async def queueing(house: House) -> AsyncIterator[Queueing]:
    background = Background()
    yield Queueing(taking=house.taking, turns=house.turns, background=background, clock=house.clock)
    await background.close()


async def waiting(house: House, queueing: Queueing) -> "asyncio.Task[dict[str, Any]]":
    """A command that waits for a.py."""

    async def ask() -> list[Request]:
        return [house.request("a.py")]

    async def refused(_requests: Sequence[Request], _last: Collection[Named]) -> dict[str, Any]:
        return {"held": [{"project": SHOP, "asked": "a.py", "path": "a.py", "place": 1}]}

    task = asyncio.create_task(queueing.wait(ask, refused, WITHIN_S))
    await settle()
    return task


async def killed(command: "asyncio.Task[dict[str, Any]]") -> None:
    command.cancel()
    await asyncio.gather(command, return_exceptions=True)
    await settle()


async def test_the_last_command_of_a_session_that_is_killed_gives_the_place_up(
    house: House, queueing: Queueing
) -> None:
    first, second = [await waiting(house, queueing) for _ in range(2)]

    await killed(second)
    assert [] == house.coordinator.left
    await queueing.leave([house.request("a.py")])
    assert [] == house.coordinator.left, "the first one waits yet"

    await killed(first)
    assert [["a.py"]] == [list(left.paths) for left in house.coordinator.left]


@pytest.mark.parametrize("has_come", [False, True])
async def test_the_place_stays_that_a_refused_edit_was_promised_and_its_turn_is_told(
    house: House, queueing: Queueing, *, has_come: bool
) -> None:
    house.coordinator.hold("a.py", "Session_far")
    await house.edit("a.py")
    (place,) = house.request("a.py").places
    await house.taking.acquire(replace(house.request("a.py"), waits=True))
    command = await waiting(house, queueing)

    if has_come:
        house.turns.come(place)  # it wakes the command, which is killed before it asks
    await killed(command)

    assert [] == house.coordinator.left
    told = house.turns.take(place.session, place.agent, 9)
    assert [turn.path for turn in told] == (["a.py"] if has_come else [])


async def test_so_it_does_where_the_lease_was_over_in_between(
    house: House, queueing: Queueing
) -> None:
    house.coordinator.hold("a.py", "Session_far")
    await house.edit("a.py")
    asked = replace(house.request("a.py"), waits=True)
    command = await waiting(house, queueing)

    house.registration.lapse(house.session)
    await house.taking.acquire(asked)  # as the command does when its step is over
    await killed(command)

    assert [] == house.coordinator.left
    house.registration.lapse(house.session)
    (place,) = asked.places
    (told,) = house.turns.take(place.session, place.agent, 9)
    assert ("a.py", True) == (told.path, told.never_came)


async def test_a_place_that_only_commands_were_given_goes_with_them(
    house: House, queueing: Queueing
) -> None:
    house.coordinator.hold("a.py", "Session_far")
    asked = replace(house.request("a.py"), waits=True)
    await house.taking.acquire(asked)

    await queueing.leave([asked])

    assert [] == queueing.kept([asked])
    assert [["a.py"]] == [list(left.paths) for left in house.coordinator.left]


async def test_an_agent_that_ends_gives_no_place_up(house: House, queueing: Queueing) -> None:
    command = await waiting(house, queueing)

    queueing.close()
    await killed(command)

    assert [] == house.coordinator.left


async def test_what_was_refused_is_remembered_from_one_question_of_a_command_to_the_next(
    house: House, queueing: Queueing
) -> None:
    asked = list[Collection[Named]]()
    rows = [{"project": SHOP, "asked": "A.py", "path": "A.py", "place": 1}]

    async def ask() -> list[Request]:
        return [house.request("a.py")]

    async def take(_requests: Sequence[Request], last: Collection[Named]) -> dict[str, Any]:
        asked.append(last)
        house.turns.come(next(iter(house.request("a.py").places)))
        return {"granted": []} if len(asked) > 1 else {"held": rows}

    await queueing.wait(ask, take, WITHIN_S, {(SHOP, "src/**")})

    assert [{(SHOP, "src/**")}, {(SHOP, "a.py")}] == asked
