"""What becomes of an edit whose session, or its lease, goes while others are asked about it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from scoord.errors import CoordinatorUnreachable, InvalidRequest
from scoord_hooks.neutral import Verdict
from support import house
from support.house import SHOP, House, settle, until
from support.repositories import repository
from support.scripted_coordinator import Fate

Going = Callable[[House], Awaitable[None]]


async def ends(house: House) -> None:
    """Its session ends."""
    await house.registration.end(house.session, "it ended")


async def loses_its_lease(house: House) -> None:
    """Its lease runs out, and nobody can be asked for another."""
    house.registration.lapse(house.session)

    def away() -> None:
        raise CoordinatorUnreachable("away")

    house.coordinator.meanwhile = away


@pytest.fixture
async def asking(house: House) -> House:
    """It edits where what nobody answers goes through, and its next answer is late."""
    house.set("unreachable_action: proceed")
    await house.edit("b.py")
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.append(Fate.LATE_ANSWER)
    return house


@pytest.mark.parametrize("goes", [ends, loses_its_lease])
async def test_what_is_known_to_be_anothers_stays_refused(asking: House, goes: Going) -> None:
    coordinator = asking.coordinator
    coordinator.hold("a.py", "Session_far")
    editing = asyncio.create_task(asking.edit())
    await until(lambda: coordinator.places)
    await goes(asking)
    assert coordinator.gate
    coordinator.gate.set()

    decision = await editing
    assert decision.verdict is Verdict.DENY
    assert "a.py is locked" in decision.reason
    assert "queue" not in decision.reason, "its place went with the lease"


@pytest.mark.parametrize("is_free", [False, True])
async def test_what_was_anothers_on_a_lease_that_is_over_is_asked_for_on_the_new_one(
    asking: House, *, is_free: bool
) -> None:
    """The place that came with that answer is no more; it may be free by now, too."""
    coordinator, session = asking.coordinator, asking.session
    coordinator.hold("a.py", "Session_far")
    editing = asyncio.create_task(asking.edit())
    await until(lambda: coordinator.places)
    asking.registration.lapse(session)
    await asking.registration.enter(session, SHOP, asking.settings.at(asking.root))
    if is_free:
        del coordinator.locks["a.py"]
    assert coordinator.gate
    coordinator.gate.set()

    decision = await editing
    assert is_free is asking.agrees()
    assert is_free is (decision.verdict is Verdict.ALLOW)
    assert is_free is ("You are first in the queue" not in decision.reason)


@pytest.mark.parametrize("is_asked", [True, False])
async def test_one_whose_session_has_ended_is_not_taken_for_one_that_nobody_answers(
    asking: House, *, is_asked: bool
) -> None:
    if not is_asked:
        await ends(asking)
    editing = asyncio.create_task(asking.edit())
    if is_asked:
        await until(lambda: "a.py" in asking.coordinator.locks)
        await ends(asking)
    assert asking.coordinator.gate
    asking.coordinator.gate.set()

    with pytest.raises(InvalidRequest, match="has ended meanwhile"):
        await editing
    assert [] == list(asking.unreported)


async def test_one_that_loses_its_lease_while_nobody_answers_is_judged_by_the_settings(
    asking: House,
) -> None:
    editing = asyncio.create_task(asking.edit())
    await until(lambda: "a.py" in asking.coordinator.locks)
    await loses_its_lease(asking)
    assert asking.coordinator.gate
    asking.coordinator.gate.set()

    assert (await editing).verdict is Verdict.ALLOW
    assert ["a.py"] == [one.path for one in asking.unreported]


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("is_refused", [False, True])
async def test_what_is_granted_late_in_one_project_waits_for_what_another_answers(
    asking: House,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    arrives: bool,
    is_refused: bool,
) -> None:
    """Only then is it known whether the edit goes on."""
    monkeypatch.setattr(house, "DECIDE_S", 1.0)
    repository(tmp_path / "zoo", "https://example.com/zoo")
    coordinator = asking.coordinator
    coordinator.fates.clear()
    await asking.edit("../zoo/y.py")
    if is_refused:
        coordinator.hold("z.py", "Session_far")
    coordinator.fates += [Fate.UNREACHABLE, Fate.LATE_ANSWER]
    asked = len(coordinator.acquires)
    editing = asyncio.create_task(asking.edit("a.py", "../zoo/z.py"))
    await until(lambda: len(coordinator.acquires) == asked + 2)
    if not arrives:
        del coordinator.locks["a.py"]
    coordinator.connection.answered(asking.clock.now())
    await settle()
    assert coordinator.gate
    coordinator.gate.set()

    assert is_refused is ((await editing).verdict is Verdict.DENY)
    await settle()
    assert is_refused is ("a.py" not in coordinator.locks)
    assert asking.agrees()
