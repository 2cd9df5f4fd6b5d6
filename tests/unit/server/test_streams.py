"""What a stream tells whoever watches one project of many."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any, cast

import pytest

from scoord.ids import ProjectId
from scoord.v1.events_pb2 import WatchRequest, WatchResponse
from scoord.v1.sessions_pb2 import Session
from scoord_server.model.facts import SessionFact
from scoord_server.rpc import messages
from scoord_server.rpc.events import COALESCE_S, PROGRESS_S, Context, Events
from support.coordination import PROJECT, Bench, bench

QUIET = ProjectId("example.org/team/quiet")


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    """Its store says nothing by itself."""
    async with bench(progress_interval_s=60.0) as made:
        await made.session("alice")
        yield made


def watch(
    b: Bench, project: str, events: Events | None = None
) -> AsyncGenerator[WatchResponse, None]:
    events = events or Events(b.coordinator, b.view, b.clock)
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


async def test_a_quiet_projects_stream_is_not_handed_what_others_do(b: Bench) -> None:
    handed = list[int]()

    async def follow() -> None:
        async with aclosing(b.view.subscribe(QUIET, every_s=PROGRESS_S)) as steps:
            async for step in steps:
                handed.append(step.revision)

    following = asyncio.create_task(follow())
    for number in range(5):
        await asyncio.sleep(COALESCE_S)
        await b.acquire("alice", f"{number}.py")
    assert 2 == len(handed), "the picture, and the first of others' steps"
    b.clock.advance(PROGRESS_S)
    await b.acquire("alice", "later.py")
    await asyncio.sleep(COALESCE_S)
    await b.session("bob", project=QUIET)
    await asyncio.sleep(COALESCE_S)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)

    assert 4 == len(handed), "one later, and its own"
    assert b.view.revision == handed[-1]


async def test_a_change_is_made_once_for_all_streams_of_its_project_and_for_no_other(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, change = list[int](), messages.change

    def noted(revision: int, *rest: Any) -> WatchResponse:
        made.append(revision)
        return change(revision, *rest)

    monkeypatch.setattr(messages, "change", noted)
    events = Events(b.coordinator, b.view, b.clock)
    async with AsyncExitStack() as open_streams:
        streams = [watch(b, project, events) for project in (PROJECT, PROJECT, QUIET, "")]
        for stream in streams:
            await open_streams.enter_async_context(aclosing(stream))
            await anext(stream)
        await b.acquire("alice", "a.py")
        own, same, other, of_all = [await anext(stream) for stream in streams]

    assert ["a.py"] * 3 == [step.lock.path for step in (own, same, of_all)]
    assert other.HasField("progress")
    assert [own.revision] == made


async def test_a_list_of_one_projects_sessions_makes_no_message_of_others(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await b.session("bob", project=QUIET)
    made, session = list[str](), messages.session

    def noted(fact: SessionFact, *rest: Any) -> Session:
        made.append(fact.session_id)
        return session(fact, *rest)

    monkeypatch.setattr(messages, "session", noted)

    assert ["bob"] == [it.session_id for it in messages.sessions(b.view.snapshot(), QUIET, b.clock)]
    assert ["bob"] == made
