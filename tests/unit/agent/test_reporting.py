"""Reports of edits without a lock: each is sent until it is answered, and told then."""

import logging

import pytest

from scoord.claimant import Claimant
from scoord.happenings import Kind
from scoord.ids import AgentId
from support.house import SHOP, A, House, settle, until
from support.scripted_coordinator import Fate


def note(house: House, *paths: str) -> None:
    """Files are edited while nobody can be asked."""
    for path in paths:
        house.reporting.note(Kind.UNASKED, SHOP, path, Claimant(A, AgentId("")), 1)


def left(house: House) -> list[str]:
    """What is still to be reported."""
    return [edit.path for edit in house.unreported]


async def test_one_that_the_coordinator_fails_at_is_kept_and_does_not_keep_the_others(
    house: House,
) -> None:
    note(house, "a.py", "b.py")
    (edit, _) = house.unreported
    house.coordinator.fates.append(Fate.BROKEN)
    house.reporting.begin(of_all=True)
    await until(lambda: left(house) == ["a.py"])

    house.reporting.begin(of_all=True)
    await until(lambda: not left(house))
    first, _, again = house.coordinator.reports
    assert [edit.report_id] * 2 == [first.request_id, again.request_id]


async def test_that_a_coordinator_fails_at_one_is_said_once(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    note(house, "a.py")
    for _ in range(3):
        house.coordinator.fates.append(Fate.BROKEN)
        house.reporting.begin(of_all=True)
        await settle()

    assert 3 == len(house.coordinator.reports)
    assert 1 == len([line for line in caplog.messages if "a.py" in line])
