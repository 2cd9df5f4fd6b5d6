"""Who is woken when a turn has come."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from scoord.ids import AgentId, ProjectId, SessionId
from scoord_agent.turns import Asked, Place, Queued, Turn, Turns
from support.clock import FakeClock


def place(session: str, key: str = "auth.py") -> Place:
    return Place(ProjectId("shop"), key, SessionId(session), AgentId(""))


def of(session: str) -> Callable[[Place], bool]:
    return lambda place: place.session == session


async def test_of_a_thousand_that_wait_one_is_woken() -> None:
    turns = Turns(FakeClock())
    waiting = [asyncio.create_task(turns.wait([place(f"Session_{n}")], 0.2)) for n in range(1000)]
    await asyncio.sleep(0)

    assert turns.come(place("Session_7"))

    woken = await asyncio.gather(*waiting)
    assert [7] == [number for number, came in enumerate(woken) if came]


async def test_one_turn_of_several_wakes() -> None:
    turns = Turns(FakeClock())
    both = [place("Session_1"), place("Session_1", "other.py")]
    waiting = asyncio.create_task(turns.wait(both, 5))
    await asyncio.sleep(0)

    turns.come(both[1])

    assert await waiting
    assert not turns.come(both[0]), "nobody waits any more"


async def test_a_turn_that_has_come_is_not_waited_for_and_one_that_is_over_is() -> None:
    turns, mine = Turns(FakeClock()), place("Session_1")
    assert not turns.come(mine)

    assert await turns.wait([mine], 0)
    turns.over(mine)
    assert not await turns.wait([mine], 0)


async def test_a_command_is_woken_where_its_place_is_given_up() -> None:
    turns, mine = Turns(FakeClock()), place("Session_1")
    turns.queued(mine, "Auth.py")
    waiting = asyncio.create_task(turns.wait([mine], 5))
    await asyncio.sleep(0)

    assert [] == turns.promised([mine]), "the command has its turn"
    turns.leave(of("Session_1"))

    assert await waiting
    assert not turns.has_come(mine), "it is no turn"


def test_a_session_is_to_be_told_of_turns_that_come_or_have_come_on_a_branch() -> None:
    turns, on_main = Turns(FakeClock()), replace(place("Session_1"), branch="main")
    turns.queued(on_main, "Auth.py")
    turns.keep(on_main, "Auth.py")
    turns.keep(replace(on_main, key="other.py"), "other.py")
    turns.queued(replace(on_main, branch="topic"), "Auth.py")
    over = replace(on_main, key="over.py")
    turns.keep(over, "over.py")
    turns.used(over)

    places = [replace(on_main, key=key) for key in ("auth.py", "other.py", "over.py")]
    assert ["Auth.py", "other.py", "over.py"] == turns.promised(places)


def test_where_a_place_goes_by_what_is_checked_out_is_known_until_all_is_told_of_it() -> None:
    turns, mine = Turns(FakeClock()), replace(place("Session_1"), branch="main")
    turns.queued(mine, "Auth.py", 7, Asked("/shop"))
    turns.queued(mine, "Auth.py", 8)  # a snapshot shows it too
    turns.queued(replace(mine, key="other.py"), "other.py", 8, Asked())
    turns.queued(replace(mine, session=SessionId("Session_2")), "Auth.py", 8, Asked("/shop"))

    assert {mine: "/shop"} == turns.confined(SessionId("Session_1"))
    turns.keep(mine, "Auth.py")
    turns.used(mine)
    assert {mine: "/shop"} == turns.confined(SessionId("Session_1"))
    assert turns.take(SessionId("Session_1"), AgentId(""), 1)
    assert {} == turns.confined(SessionId("Session_1"))


def test_who_was_promised_its_turn_by_one_refusal_is_so_until_the_place_is_gone() -> None:
    turns, mine, written = Turns(FakeClock()), place("Session_1"), list[str]()
    turns.changed = lambda: written.append("changed")
    by_a_command, by_an_edit = Asked(), Asked(promised=True)

    turns.queued(mine, "Auth.py", 7, by_a_command)
    assert not turns.is_promised(mine)
    turns.queued(mine, "Auth.py", 8, by_an_edit)
    turns.queued(mine, "Auth.py", 9, by_a_command)
    turns.queued(mine, "Auth.py", 9)

    assert turns.is_promised(mine)
    assert ["changed", "changed"] == written, "an agent after us is to know it"
    turns.had(mine)
    turns.queued(mine, "Auth.py", 10, by_a_command)
    assert not turns.is_promised(mine)


async def test_a_session_is_promised_its_turn_also_where_a_command_waits() -> None:
    turns, mine = Turns(FakeClock()), place("Session_1")
    turns.queued(mine, "Auth.py", 7, Asked(promised=True))
    waiting = asyncio.create_task(turns.wait([mine], 5))
    await asyncio.sleep(0)

    assert ["Auth.py"] == turns.promised([mine])
    waiting.cancel()


async def test_who_gives_up_leaves_the_others_waiting() -> None:
    turns, mine = Turns(FakeClock()), place("Session_1")
    first, second = (asyncio.create_task(turns.wait([mine], 5)) for _ in range(2))
    await asyncio.sleep(0)

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    assert turns.come(mine)
    assert await second


def test_a_turn_is_told_once_to_its_own_holder_and_when_it_came() -> None:
    clock = FakeClock()
    turns = Turns(clock)
    came_at = clock.now()
    turns.keep(place("Session_1"), "Auth.py")
    turns.keep(place("Session_1", "other.py"), "other.py")
    clock.advance(5)

    assert [] == turns.take(SessionId("Session_2"), AgentId(""), 9)
    assert [] == turns.take(SessionId("Session_1"), AgentId("a1"), 9)
    assert [] == turns.take(SessionId("Session_1"), AgentId(""), 0)
    assert [Turn("Auth.py", came_at)] == turns.take(SessionId("Session_1"), AgentId(""), 1)
    assert ["other.py"] == [t.path for t in turns.take(SessionId("Session_1"), AgentId(""), 9)]
    assert [] == turns.take(SessionId("Session_1"), AgentId(""), 9)


def test_an_answer_settles_the_turns_before_its_question_and_not_one_that_came_since() -> None:
    clock = FakeClock()
    turns, one, two = Turns(clock), place("Session_1"), place("Session_1", "other.py")
    turns.keep(one, "auth.py")
    turns.keep(two, "other.py")
    asked = turns.untold([one, two, place("Session_2")])
    clock.advance(1)
    turns.keep(two, "other.py")

    turns.settled(asked)

    assert [Turn("other.py", clock.now())] == turns.take(SessionId("Session_1"), AgentId(""), 9)


def test_who_has_ended_gives_up_its_places_and_is_told_of_no_turn() -> None:
    turns, mine, other = Turns(FakeClock()), place("Session_1"), place("Session_2")
    turns.queued(mine, "Auth.py", 8)
    turns.queued(mine, "Auth.py", 7)
    turns.queued(other, "Auth.py")
    turns.come(mine)
    turns.keep(mine, "Auth.py")

    assert {mine: Queued("Auth.py", 8)} == turns.leave(of("Session_1"))
    assert {} == turns.leave(of("Session_1"))
    assert [] == turns.take(SessionId("Session_1"), AgentId(""), 9)
    assert not turns.has_come(mine)
    assert {other: Queued("Auth.py")} == turns.leave(of("Session_2"))


def test_a_place_on_each_branch_is_one_by_itself() -> None:
    turns, on_main = Turns(FakeClock()), place("Session_1")
    on_topic = replace(on_main, branch="topic")
    for each in (on_main, on_topic):
        turns.queued(each, "Auth.py", 8)
        turns.keep(each, "Auth.py")

    turns.had(on_main)

    assert {on_topic: Queued("Auth.py", 8, "topic")} == turns.leave(of("Session_1"))


def test_what_was_granted_is_not_given_up() -> None:
    turns, mine = Turns(FakeClock()), place("Session_1")
    turns.queued(mine, "Auth.py")

    turns.had(mine)

    assert {} == turns.leave(of("Session_1"))


def test_what_has_come_to_a_session_goes_with_it() -> None:
    turns = Turns(FakeClock())
    turns.come(place("Session_1"))
    turns.keep(place("Session_1"), "auth.py")
    turns.come(place("Session_2"))

    turns.keep_only({SessionId("Session_2")})

    assert [] == turns.take(SessionId("Session_1"), AgentId(""), 9)

    assert not turns.has_come(place("Session_1"))
    assert turns.has_come(place("Session_2"))


def test_of_a_turn_that_went_with_its_lease_a_session_hears_that_it_is_over() -> None:
    clock = FakeClock()
    turns, mine, other = Turns(clock), place("Session_1"), place("Session_2")
    for each in (mine, other):
        turns.queued(each, "Auth.py")
        turns.come(each)
        turns.keep(each, "Auth.py")

    turns.lapse(SessionId("Session_1"))

    assert not turns.has_come(mine)
    (told,) = turns.take(SessionId("Session_1"), AgentId(""), 9)
    assert Turn("Auth.py", clock.now(), is_over=True) == told
    assert {} == turns.leave(of("Session_1")), "there is no place to give up"
    assert turns.has_come(other)
    assert [Turn("Auth.py", clock.now())] == turns.take(SessionId("Session_2"), AgentId(""), 9)


def test_who_only_waited_hears_that_its_place_went_with_its_lease_unless_it_asked_again() -> None:
    clock = FakeClock()
    turns, mine, other = Turns(clock), place("Session_1"), place("Session_1", "b.py")
    for each in (mine, other):
        turns.queued(each, each.key)

    turns.lapse(SessionId("Session_1"))
    turns.settled(turns.untold([other]))

    (told,) = turns.take(SessionId("Session_1"), AgentId(""), 9)
    assert Turn(mine.key, clock.now(), is_over=True, never_came=True) == told
    assert {} == turns.leave(of("Session_1")), "there is no place to give up"


async def test_what_was_promised_goes_on_where_a_command_asks_again_for_what_its_lease_took() -> (
    None
):
    turns, mine, by_a_command = Turns(FakeClock()), place("Session_1"), Asked()
    turns.queued(mine, "auth.py", 7, Asked(promised=True))
    waits = asyncio.create_task(turns.wait([mine], 1.0))
    await asyncio.sleep(0)

    turns.lapse(SessionId("Session_1"))

    assert ["auth.py"] == [turn.path for turn in turns.untold([mine]).values()]
    turns.over(mine)
    turns.queued(mine, "auth.py", 9, by_a_command)
    turns.refused_anew(mine)
    assert turns.is_promised(mine)
    assert [] == turns.take(SessionId("Session_1"), AgentId(""), 9), "it waits as before"
    waits.cancel()


async def test_a_command_that_waits_asks_again_and_its_session_is_not_told_to() -> None:
    turns, mine = Turns(FakeClock()), place("Session_1")
    turns.queued(mine, "auth.py")
    waits = asyncio.create_task(turns.wait([mine], 1.0))
    await asyncio.sleep(0)

    turns.lapse(SessionId("Session_1"))

    assert [] == turns.take(SessionId("Session_1"), AgentId(""), 9)
    waits.cancel()
