"""A slow disk under the state directory: nothing stands still, and what counts is waited for."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from scoord.claimant import Claimant
from scoord.errors import CoordinatorUnreachable
from scoord.happenings import Kind
from scoord.ids import AgentId, SessionId
from scoord.local import atomic_write
from scoord_agent import kept_file
from scoord_agent.lifecycle import Origin
from scoord_agent.sessions import Sessions
from scoord_agent.unreported import Unreported
from scoord_agent.writing_down import IN_TIME_S
from scoord_hooks.neutral import EventKind, Verdict
from support.clock import FakeClock
from support.house import SHOP, House, settle, until
from support.whole import Whole, whole_agent

HERE = Origin(pid=os.getpid())

Write = Callable[[Path, bytes], None]


class Disk:
    """Each write takes ``slow_s``; one on the event loop is noted."""

    def __init__(self, write: Write) -> None:
        self.slow_s = 0.0
        self.on_the_loop: list[str] = []
        self._write = write
        self._loop = threading.get_ident()

    def write(self, file: Path, data: bytes) -> None:
        if threading.get_ident() == self._loop:
            self.on_the_loop.append(file.name)
        time.sleep(self.slow_s)
        self._write(file, data)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk(atomic_write)
    monkeypatch.setattr(kept_file, "atomic_write", found.write)
    return found


@pytest.fixture
async def agent(tmp_path: Path, disk: Disk) -> AsyncIterator[Whole]:
    async with whole_agent(tmp_path, FakeClock()) as whole:
        yield whole
        disk.slow_s = 0.0


async def hear(agent: Whole, kind: EventKind) -> float:
    """A hook of the one session comes in; how long it took."""
    began = time.monotonic()
    assert Verdict.DENY is not (await agent.hear(kind, HERE)).verdict
    return time.monotonic() - began


def leases(directory: Path) -> list[int]:
    """Of the sessions that the agent after this one would know."""
    after = Sessions(directory / "sessions.jsonl")
    after.load(0.0)
    return [session.lease for session in after]


def unasked(directory: Path) -> list[str]:
    """The edits that it would report."""
    after = Unreported(directory / "unreported.jsonl")
    after.load()
    return [edit.path for edit in after]


def cut_off(agent: Whole) -> None:
    """From now on nobody can be asked, and nothing is held."""

    async def acquire(*_: object) -> None:
        raise CoordinatorUnreachable("away")

    agent.coordinator.acquire = acquire  # type: ignore[assignment,method-assign]  # as said
    for lock in list(agent.parts.held):
        agent.parts.held.drop(lock)


async def test_the_loop_waits_for_no_disk(agent: Whole, disk: Disk) -> None:
    await hear(agent, EventKind.BEFORE_EDIT)
    await hear(agent, EventKind.TURN_END)
    cut_off(agent)
    await hear(agent, EventKind.BEFORE_EDIT)
    await agent.beat()
    await hear(agent, EventKind.SESSION_END)
    await settle()

    assert [] == disk.on_the_loop


@pytest.mark.parametrize("how", ["by its edit", "by one that is cut off", "after a beat"])
async def test_a_session_is_written_down_with_its_lease_before_it_is_granted_anything(
    agent: Whole, disk: Disk, tmp_path: Path, how: str
) -> None:
    await hear(agent, EventKind.TURN_END)  # it is known, and not registered yet
    await agent.parts.common.writing_down.written()
    disk.slow_s, known, acquire = 0.2, list[int](), agent.coordinator.acquire
    if how == "after a beat":
        await agent.parts.lifecycle.take_up()
    if how == "by one that is cut off":
        edit = asyncio.ensure_future(hear(agent, EventKind.BEFORE_EDIT))
        await until(lambda: agent.sessions[0].lease)
        edit.cancel()

    async def granted(*args: object) -> object:
        known.extend(leases(tmp_path))
        return await acquire(*args)  # type: ignore[arg-type]  # whatever it takes

    agent.coordinator.acquire = granted  # type: ignore[assignment,method-assign]  # as said
    await hear(agent, EventKind.BEFORE_EDIT)

    assert [agent.sessions[0].lease] == known
    assert known[0]


async def test_an_edit_that_nobody_was_asked_about_is_written_down_before_it_goes_on(
    agent: Whole, disk: Disk, tmp_path: Path
) -> None:
    await hear(agent, EventKind.BEFORE_EDIT)
    cut_off(agent)
    disk.slow_s = 0.1
    await hear(agent, EventKind.BEFORE_EDIT)

    assert ["a.py"] == unasked(tmp_path)


async def test_an_end_is_written_down_before_it_is_answered(
    agent: Whole, disk: Disk, tmp_path: Path
) -> None:
    await hear(agent, EventKind.BEFORE_EDIT)
    disk.slow_s = 0.1
    await hear(agent, EventKind.SESSION_END)

    assert [] == leases(tmp_path)


async def test_a_disk_that_is_too_slow_costs_a_hook_a_part_of_its_time_only(
    agent: Whole, disk: Disk, tmp_path: Path
) -> None:
    disk.slow_s = IN_TIME_S + 0.3
    took = await hear(agent, EventKind.BEFORE_EDIT)
    assert IN_TIME_S <= took < disk.slow_s
    assert agent.coordinator.locks, "it was asked all the same"
    again = await hear(agent, EventKind.BEFORE_EDIT)
    assert again < IN_TIME_S / 2, "nothing of it is new"

    await agent.parts.common.writing_down.written()
    assert [agent.sessions[0].lease] == leases(tmp_path)


@pytest.mark.parametrize("hook", [House.edit, House.edited, House.edit_unasked])
async def test_an_edit_with_nothing_to_report_does_not_wait_for_the_report_of_another(
    house: House, disk: Disk, hook: Callable[[House], Awaitable[object]]
) -> None:
    await house.edit()
    disk.slow_s = 0.3
    other = Claimant(SessionId("Session_other"), AgentId(""))
    house.reporting.note(Kind.UNASKED, SHOP, "b.py", other, 5)

    began = time.monotonic()
    await hook(house)
    assert time.monotonic() - began < 0.1


async def test_an_edit_whose_lock_was_lost_is_written_down_before_its_hook_is_answered(
    house: House, disk: Disk, tmp_path: Path
) -> None:
    await house.edit()
    house.held.drop(house.held.at(SHOP, "a.py")[0])
    disk.slow_s = 0.1
    await house.edited()

    assert ["a.py"] == unasked(tmp_path)


async def test_what_is_not_written_yet_is_when_the_agent_stops(tmp_path: Path, disk: Disk) -> None:
    async with whole_agent(tmp_path, FakeClock()) as agent:
        await hear(agent, EventKind.BEFORE_EDIT)
        cut_off(agent)
        disk.slow_s = 0.2
        event = asyncio.ensure_future(hear(agent, EventKind.BEFORE_EDIT))
        await until(lambda: len(agent.parts.common.unreported))
        event.cancel()

    assert ["a.py"] == unasked(tmp_path)
