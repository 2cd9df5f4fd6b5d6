"""Who is woken when a turn has come."""

import asyncio

from scoord.ids import AgentId, ProjectId, SessionId
from scoord_agent.turns import Place, Turns


def place(session: str, key: str = "auth.py") -> Place:
    return Place(ProjectId("shop"), key, SessionId(session), AgentId(""))


async def test_of_a_thousand_that_wait_one_is_woken() -> None:
    turns = Turns()
    waiting = [asyncio.create_task(turns.wait([place(f"Session_{n}")], 0.2)) for n in range(1000)]
    await asyncio.sleep(0)

    assert turns.come(place("Session_7"))

    woken = await asyncio.gather(*waiting)
    assert [7] == [number for number, came in enumerate(woken) if came]


async def test_one_turn_of_several_wakes() -> None:
    turns = Turns()
    both = [place("Session_1"), place("Session_1", "other.py")]
    waiting = asyncio.create_task(turns.wait(both, 5))
    await asyncio.sleep(0)

    turns.come(both[1])

    assert await waiting
    assert not turns.come(both[0]), "nobody waits any more"


async def test_a_turn_that_has_come_is_not_waited_for_and_one_that_is_over_is() -> None:
    turns, mine = Turns(), place("Session_1")
    assert not turns.come(mine)

    assert await turns.wait([mine], 0)
    turns.over(mine)
    assert not await turns.wait([mine], 0)


async def test_who_gives_up_leaves_the_others_waiting() -> None:
    turns, mine = Turns(), place("Session_1")
    first, second = (asyncio.create_task(turns.wait([mine], 5)) for _ in range(2))
    await asyncio.sleep(0)

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    assert turns.come(mine)
    assert await second


def test_what_has_come_to_a_session_goes_with_it() -> None:
    turns = Turns()
    turns.come(place("Session_1"))
    turns.come(place("Session_2"))

    turns.keep_only({SessionId("Session_2")})

    assert not turns.has_come(place("Session_1"))
    assert turns.has_come(place("Session_2"))
