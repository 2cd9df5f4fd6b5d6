"""What the reaper says of an outage."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from scoord.errors import StoreUnavailable
from scoord_server import reaper
from scoord_server.reaper import Reaper
from support.coordination import Bench, bench


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
