"""Locks of our sessions that nobody here asked for."""

from dataclasses import replace
from typing import cast

import pytest

from scoord.ids import AgentId, LeaseId, ProjectId, SessionId
from scoord.v1.locks_pb2 import Holder, ReleaseRequest
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbourhood, Neighbours
from scoord_agent.strays import GRACE_S, Strays
from scoord_hooks.neutral import Verdict
from support.house import SHOP, A, House, settle, until
from support.scripted_coordinator import Fate

MINE = Holder(session_id=A)


@pytest.fixture
async def strays(house: House) -> Strays:
    """Of a house whose session is registered."""
    await house.registration.enter(house.session, SHOP, house.settings.at(house.root))
    return Strays(
        sessions=house.sessions,
        neighbours=cast("Neighbours", house.stream),
        taking=house.taking,
        clock=house.clock,
    )


async def looks(house: House, strays: Strays) -> list[ReleaseRequest]:
    """Two looks, a grace apart; what was given back."""
    await strays.give_back()
    house.clock.advance(GRACE_S)
    await strays.give_back()
    return house.coordinator.releases


async def test_a_grant_that_nobody_asked_for_is_given_back(house: House, strays: Strays) -> None:
    house.stream.hold("A.py", MINE, 7)

    (request,) = await looks(house, strays)

    (ref,) = request.locks
    assert ("A.py", 7, A) == (ref.path, ref.token, request.session_id)


async def test_what_passed_on_to_a_subagent_that_wants_it_no_more_is_given_back(
    house: House, strays: Strays
) -> None:
    """Its main thread had it; nothing is under way any more that tells whether it is kept."""
    await house.edit("a.py")
    (held,) = house.held
    house.held.pass_on(replace(held, agent=AgentId("a1")))
    passed = Holder(session_id=A, agent_id="a1")
    house.stream.hold("a.py", passed, held.token)

    (request,) = await looks(house, strays)
    assert [held.token] == [ref.token for ref in request.locks]


async def test_what_is_granted_after_it_was_found_out_about_is_given_back_and_its_turn_is_over(
    house: House, strays: Strays
) -> None:
    house.block()
    place, *_ = house.request("a.py").places
    house.coordinator.fates.append(Fate.LOST)
    assert (await house.edit()).verdict is Verdict.DENY
    house.coordinator.connection.answered(house.clock.now())
    await until(lambda: len(house.coordinator.acquires) == 2)
    await settle()
    assert [] == house.coordinator.releases
    house.turns.keep(place, "a.py")
    house.stream.hold("a.py", MINE, 7)

    (request,) = await looks(house, strays)

    assert [7] == [ref.token for ref in request.locks]
    assert [True] == [turn.is_over for turn in house.turns.take(A, AgentId(""), 9)]


async def test_it_is_given_back_once(house: House, strays: Strays) -> None:
    house.stream.hold("a.py", MINE, 7)
    await looks(house, strays)

    assert 1 == len(await looks(house, strays))


async def test_its_session_is_not_told_when_it_was_over_already(
    house: House, strays: Strays
) -> None:
    house.stream.hold("a.py", MINE, 7)
    await looks(house, strays)

    assert [] == house.session.take_notices()


async def test_one_look_is_not_enough(house: House, strays: Strays) -> None:
    house.stream.hold("a.py", MINE, 7)
    await strays.give_back()
    await strays.give_back()

    assert [] == house.coordinator.releases


async def test_what_is_held_stays(house: House, strays: Strays) -> None:
    await house.edit()
    held = house.holds()
    assert held is not None
    house.stream.hold("a.py", MINE, held.token)

    assert [] == await looks(house, strays)


async def test_what_is_asked_for_stays(house: House, strays: Strays) -> None:
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    await house.edit()
    await settle()
    house.stream.hold("a.py", MINE, house.coordinator.locks["a.py"].token)

    assert [] == await looks(house, strays)


async def test_what_was_lost_stays_until_it_is_asked_for_again(
    house: House, strays: Strays
) -> None:
    await house.edit()
    held = house.holds()
    assert held is not None
    house.held.lose(held)
    house.stream.hold("a.py", MINE, held.token + 1)

    assert [] == await looks(house, strays)


async def test_what_others_hold_stays(house: House, strays: Strays) -> None:
    house.stream.hold("a.py", Holder(session_id="Session_b"), 7)

    assert [] == await looks(house, strays)


async def test_nothing_is_given_back_of_a_session_that_is_not_taken_up_yet(
    house: House, strays: Strays
) -> None:
    house.session.inherited.add(SHOP)
    house.stream.hold("a.py", MINE, 7)

    assert [] == await looks(house, strays)


async def test_that_it_is_not_taken_up_in_another_project_keeps_none(
    house: House, strays: Strays
) -> None:
    house.session.inherited.add(ProjectId("example.com/library"))
    house.stream.hold("a.py", MINE, 7)

    (found,) = await looks(house, strays)
    assert [7] == [ref.token for ref in found.locks]


async def test_the_locks_of_a_project_are_gone_through_once_for_all_sessions(
    house: House, strays: Strays, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        other = LocalSession(SessionId(f"Session_{number}"), "claude-code", None, str(house.root))
        other.lease, other.aliases = LeaseId(90 + number), {SHOP: f"Session_{number}"}
        house.sessions.add(other)
        house.stream.hold(f"{number}.py", Holder(session_id=other.session_id), 7 + number)
    house.stream.hold("others.py", Holder(session_id="Session_of_another"), 20)
    gone_through, known = list[ProjectId](), house.stream.of

    def counted(project: ProjectId) -> Neighbourhood:
        gone_through.append(project)
        return known(project)

    monkeypatch.setattr(house.stream, "of", counted)

    found = await looks(house, strays)

    assert [7, 8, 9] == [ref.token for request in found for ref in request.locks]
    assert [SHOP] * 2 == gone_through
