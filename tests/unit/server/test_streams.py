"""What a stream tells whoever watches one project of many."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

import pytest

from scoord.ids import ProjectId
from scoord.v1.events_pb2 import WatchRequest, WatchResponse
from scoord_server.rpc.events import COALESCE_S, PROGRESS_S, Context, Events
from support.coordination import PROJECT, Bench, bench

QUIET = ProjectId("example.org/team/quiet")


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    """Its store says nothing by itself."""
    async with bench(progress_interval_s=60.0) as made:
        await made.session("alice")
        yield made


def watch(b: Bench, project: str) -> AsyncGenerator[WatchResponse, None]:
    events = Events(b.coordinator, b.view, b.clock)
    stream = events.Watch(WatchRequest(project=project), cast("Context", None))
    return cast("AsyncGenerator[WatchResponse, None]", stream)


async def test_a_quiet_project_is_told_that_nothing_was_missed_while_another_is_busy(
    b: Bench,
) -> None:
    async with aclosing(watch(b, QUIET)) as steps:
        assert "snapshot" == (await anext(steps)).WhichOneof("event")
        for number in range(3):
            b.clock.advance(PROGRESS_S)
            await b.acquire("alice", f"{number}.py")
            told = await anext(steps)

            assert "progress" == told.WhichOneof("event")
            assert b.view.revision == told.revision


async def test_a_busy_store_does_not_flood_a_quiet_projects_stream(b: Bench) -> None:
    told = list[WatchResponse]()

    async def follow() -> None:
        async with aclosing(watch(b, QUIET)) as steps:
            async for step in steps:
                told.append(step)

    following = asyncio.create_task(follow())
    for number in range(10):
        await b.acquire("alice", f"{number}.py")
        await asyncio.sleep(2 * COALESCE_S)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)

    assert ["snapshot", "progress"] == [step.WhichOneof("event") for step in told]


async def test_the_busy_projects_own_stream_needs_no_more(b: Bench) -> None:
    async with aclosing(watch(b, PROJECT)) as steps:
        await anext(steps)
        for number in range(3):
            b.clock.advance(PROGRESS_S)
            await b.acquire("alice", f"{number}.py")

            assert f"{number}.py" == (await anext(steps)).lock.path
