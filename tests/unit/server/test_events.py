"""The stream of one project, beside others that share the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import grpc
import pytest

from scoord.ids import ProjectId
from scoord.v1.events_pb2 import WatchRequest, WatchResponse
from scoord.v1.locks_pb2 import LockScope
from scoord.v1.sessions_pb2 import UpdateRequest
from scoord_server.rpc.events import PROGRESS_S, Events
from support.coordination import PROJECT, Bench, bench

BUSY = ProjectId("example.org/team/busy")
NEVER_S = 3600.0
SOON_S = 5.0

_NO_CONTEXT = cast("grpc.aio.ServicerContext[Any, Any]", None)


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    """A store that never says by itself that nothing happened: it is busy enough."""
    async with bench(progress_interval_s=NEVER_S) as made:
        await made.session("a", project=BUSY)
        yield made


async def works(b: Bench) -> int:
    """Something happens in the busy project; the revision it came with."""
    await b.coordinator.update(UpdateRequest(project=BUSY, session_id="a", edits=1))
    await b.settle()
    return b.view.revision


@asynccontextmanager
async def watching(b: Bench, project: str) -> AsyncIterator["asyncio.Queue[WatchResponse]"]:
    """What a stream of ``project`` brings after its snapshot."""
    heard: asyncio.Queue[WatchResponse] = asyncio.Queue()

    async def listen() -> None:
        stream = Events(b.coordinator, b.view, b.clock).Watch(
            WatchRequest(project=project), _NO_CONTEXT
        )
        async with aclosing(cast("Any", stream)) as responses:
            async for response in responses:
                heard.put_nowait(response)

    listening = asyncio.create_task(listen())
    try:
        assert (await asyncio.wait_for(heard.get(), SOON_S)).HasField("snapshot")
        yield heard
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_a_quiet_project_is_told_that_it_is_followed_while_another_is_busy(b: Bench) -> None:
    async with watching(b, PROJECT) as heard:
        for _ in range(3):
            b.clock.advance(PROGRESS_S)
            revision = await works(b)
            response = await asyncio.wait_for(heard.get(), SOON_S)

            assert response.HasField("progress")
            assert revision == response.revision


async def test_a_busy_project_does_not_flood_the_streams_of_quiet_ones(b: Bench) -> None:
    async with watching(b, PROJECT) as heard:
        for _ in range(10):
            b.clock.advance(PROGRESS_S / 5)
            await works(b)
            await asyncio.sleep(0.02)  # so that each step goes out by itself

        assert 2 <= heard.qsize() <= 3


async def test_that_a_place_in_a_queue_is_gone_is_told(b: Bench) -> None:
    for session in ("a", "b"):
        await b.session(session)
    await b.acquire("a", "auth.py")
    async with watching(b, PROJECT) as heard:
        await b.acquire("b", "Auth.py", enqueue=True)
        await b.leaves("b", "Auth.py")
        await b.settle()

        told = [await asyncio.wait_for(heard.get(), SOON_S) for _ in range(2)]
    assert ["waiting", "waiting_gone"] == [one.WhichOneof("event") for one in told]
    gone = told[-1].waiting_gone
    assert (PROJECT, "Auth.py", "b") == (gone.project, gone.path, gone.holder.session_id)


async def test_where_a_place_in_a_queue_is_to_hold_is_told(b: Bench) -> None:
    on: dict[str, Any] = {"scope": LockScope.LOCK_SCOPE_BRANCH, "branch": "main"}
    for session in ("a", "b"):
        await b.session(session)
    await b.acquire("a", "auth.py", **on)
    async with watching(b, PROJECT) as heard:
        await b.acquire("b", "auth.py", enqueue=True, **on)
        await b.leaves("b", "auth.py", branch="main")
        await b.settle()

        told = [await asyncio.wait_for(heard.get(), SOON_S) for _ in range(2)]
    asked, gone = told[0].waiting, told[1].waiting_gone
    assert ("main", on["scope"]) == (asked.waiter.branch, asked.scope)
    assert ("main", on["scope"]) == (gone.holder.branch, gone.scope)


async def test_what_happens_in_the_project_itself_needs_no_word_that_nothing_did(b: Bench) -> None:
    async with watching(b, BUSY) as heard:
        b.clock.advance(PROGRESS_S)
        await works(b)

        assert (await asyncio.wait_for(heard.get(), SOON_S)).HasField("session")
        await asyncio.sleep(0.05)
        assert heard.empty()
