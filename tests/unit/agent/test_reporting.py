"""Reports of edits without a lock: each is sent until it is answered, and told then."""

import logging

import pytest

from scoord.claimant import Claimant
from scoord.happenings import Kind
from scoord.ids import AgentId
from scoord.v1.locks_pb2 import Holder, LockScope, Lost
from scoord_agent.coordinator import seconds
from scoord_agent.sessions import Sessions
from scoord_agent.unreported import UnlockedEdit
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


async def test_whom_it_met_is_told_the_branch_that_its_session_is_on(house: House) -> None:
    house.session.home, house.session.branch = SHOP, "topic"
    note(house, "a.py")
    house.reporting.begin(of_all=True)
    await until(lambda: not left(house))

    (report,) = house.coordinator.reports
    assert (LockScope.LOCK_SCOPE_REPOSITORY, "topic") == (report.scope, report.branch)


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


async def test_whom_an_edit_met_is_written_down_before_its_report_is_forgotten(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = Holder(session_id="Session_b", alias="Session_2", person="bob", host="mbp")
    house.coordinator.last["a.py"] = Lost(holder=bob, how="granted", since=seconds(3))
    house.session.changed = house.writing_down.soon
    note(house, "a.py")
    remove, kept = house.unreported.remove, list[str]()

    def remove_then(edit: UnlockedEdit) -> None:
        kept.extend(told_by_the_next_agent(house))
        remove(edit)

    monkeypatch.setattr(house.unreported, "remove", remove_then)
    house.reporting.begin(of_all=True)
    await until(lambda: not left(house))

    assert house.session.take_notices() == kept
    assert 1 == len(kept)


def told_by_the_next_agent(house: House) -> list[str]:
    """What sessions would be told, if this agent were killed now."""
    after = Sessions(house.root.parent / "sessions.jsonl")
    after.load(0.0)
    return [told for session in after for told in session.take_notices()]
