"""What the reaper says of an outage, and what it does beside an end that fails."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from scoord.errors import StoreUnavailable
from scoord.ids import ProjectId
from scoord_server import reaper
from scoord_server.model.facts import SessionFact
from scoord_server.reaper import Reaper
from scoord_server.seen import SeenLock
from scoord_server.store import keys
from scoord_server.sweeping import Sweeping
from support.coordination import PROJECT, Bench, bench

OTHER = ProjectId("example.org/team/other")


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


async def test_an_outage_is_said_once_and_its_end(
    b: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails = iter(["away", "away", "away", "", "", "away", "slow"])
    done = asyncio.Event()

    async def look() -> None:
        fail = next(fails, None)
        if fail is None:
            done.set()
        if fail:
            raise StoreUnavailable(f"the store is {fail}")

    monkeypatch.setattr(b.coordinator, "look", look)
    monkeypatch.setattr(reaper, "INTERVAL_S", 0.001)
    caplog.set_level(logging.INFO, "scoord_server.reaper")

    running = asyncio.create_task(Reaper(b.coordinator).run())
    await asyncio.wait_for(done.wait(), 5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    said = [record.message for record in caplog.records]
    trouble = "the sweep stopped half-way, trying again: the store is {}"
    wanted = [trouble.format("away"), "the sweep: done again"]
    assert [*wanted, trouble.format("away"), trouble.format("slow")] == said[:4]


async def test_an_end_that_fails_each_time_keeps_no_other_from_being_carried_out(
    b: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await b.session("old", timeout_ms=2_000)
    await b.session("keeper")
    await b.acquire("keeper", "idle.py", lock_timeout_ms=1_000)
    timed = ["timed.py", "other.py"]
    for path in timed:
        await b.acquire("keeper", path, lasts_ms=1_000)
    locks = b.coordinator.locks
    end = locks.end_overdue

    async def end_overdue(lock: SeenLock) -> bool:
        if lock.key in timed:
            raise RuntimeError("boom")
        return await end(lock)

    monkeypatch.setattr(locks, "end_overdue", end_overdue)
    b.clock.advance(3)
    sweeping = Sweeping(b.coordinator)
    for _ in range(2):
        await sweeping.sweep()
    await b.settle()

    seen = b.view.snapshot()
    assert ["keeper"] == [one.fact.session_id for one in seen.sessions]
    assert timed == [lock.key for lock in seen.locks]
    said = "what is at {} is over and is not ended; each sweep tries again: RuntimeError('boom')"
    assert [said.format(keys.lock(PROJECT, path)) for path in timed] == caplog.messages
    traced = [bool(record.exc_info) for record in caplog.records]
    assert [True, False] == traced, "the same went wrong"


async def test_an_end_that_fails_is_said_of_each_lock_that_a_file_has(
    b: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await b.session("keeper")
    locks, sweeping = b.coordinator.locks, Sweeping(b.coordinator)

    async def end_overdue(_lock: SeenLock) -> bool:
        raise RuntimeError("boom")

    for _ in range(2):
        await b.acquire("keeper", "a.py", lasts_ms=1_000)
        b.clock.advance(3)
        with monkeypatch.context() as failing:
            failing.setattr(locks, "end_overdue", end_overdue)
            await sweeping.sweep()
            await sweeping.sweep()
        await sweeping.sweep()
        await b.settle()

    assert 2 == len(caplog.messages)


@pytest.mark.parametrize("fails", [0, 1])
async def test_of_the_sessions_on_one_lease_one_that_is_not_ended_is_said_and_the_other_shown(
    b: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: int
) -> None:
    await b.session("old", timeout_ms=2_000)
    await b.session("old", project=OTHER, lease=b.leases["old"], timeout_ms=2_000)
    projects = sorted((PROJECT, OTHER))
    coordinator = b.coordinator
    end = coordinator.end_idle

    async def end_idle(fact: SessionFact) -> bool:
        if fact.record.session.project == projects[fails]:
            raise RuntimeError("boom")
        return await end(fact)

    monkeypatch.setattr(coordinator, "end_idle", end_idle)
    b.clock.advance(3)
    swept = await Sweeping(coordinator).sweep()

    assert [projects[1 - fails]] == [fact.record.session.project for fact in swept.sessions]
    (said,) = caplog.messages
    assert str(keys.session(projects[fails], "old")) in said
