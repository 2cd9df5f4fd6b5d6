"""What many streams are told alike is made once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import ExitStack, aclosing
from typing import cast
from unittest.mock import patch

import pytest

from scoord.ids import ProjectId
from scoord.v1.events_pb2 import WatchRequest, WatchResponse
from scoord_server.rpc import messages
from scoord_server.rpc.events import Context, Events
from scoord_server.rpc.snapshots import SHARED_S, Snapshots
from scoord_server.view import Snapshot, Step
from support.coordination import PROJECT, Bench, bench

OTHER = ProjectId("example.org/team/other")
STREAMS = 20
SOON_S = 5.0


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench(progress_interval_s=60.0) as made:
        await made.session("alice")
        await made.acquire("alice", "a.py")
        yield made


@pytest.fixture
def made() -> Iterator[list[str]]:
    """The projects of the messages that were made, in order."""
    projects = list[str]()
    make = messages.snapshot

    def noted(seen: Snapshot, project: str, *rest: object) -> WatchResponse:
        projects.append(project)
        return make(seen, project, *rest)  # type: ignore[arg-type]  # what it was called with

    with ExitStack() as patched:
        patched.enter_context(patch.object(messages, "snapshot", noted))
        yield projects


def streams(b: Bench) -> list[AsyncGenerator[WatchResponse, None]]:
    events = Events(b.coordinator, b.view, b.clock)
    begun = (
        events.Watch(WatchRequest(project=PROJECT), cast("Context", None)) for _ in range(STREAMS)
    )
    return [cast("AsyncGenerator[WatchResponse, None]", stream) for stream in begun]


async def told(
    streams: list[AsyncGenerator[WatchResponse, None]],
) -> list[WatchResponse]:
    async with asyncio.timeout(SOON_S):
        return await asyncio.gather(*(anext(stream) for stream in streams))


async def test_a_list_that_is_read_anew_is_made_once_for_all_streams(
    b: Bench, made: list[str]
) -> None:
    following = streams(b)
    assert [["a.py"]] * STREAMS == [paths(response) for response in await told(following)]
    assert [PROJECT] == made

    await b.view._load()
    # One stream takes it now, the others when more has changed.
    first = await told(following[:1])
    await b.acquire("alice", "b.py")
    later = await told(following[1:])

    assert [["a.py"]] * STREAMS == [paths(response) for response in (*first, *later)]
    assert [PROJECT] * 2 == made
    assert ["b.py"] * STREAMS == [response.lock.path for response in await told(following)]
    for stream in following:
        await stream.aclose()


def paths(response: WatchResponse) -> list[str]:
    assert response.HasField("snapshot")
    return [lock.path for lock in response.snapshot.locks]


async def test_changes_that_came_before_a_new_picture_are_not_told_after_it(b: Bench) -> None:
    async with aclosing(b.view.subscribe()) as steps:
        await anext(steps)
        await b.acquire("alice", "b.py")
        await b.view._load()
        await b.acquire("alice", "c.py")

        picture, step = await anext(steps), await anext(steps)

    assert isinstance(picture, Snapshot)
    assert {"a.py", "b.py"} == {lock.fact.record.path for lock in picture.locks}
    assert isinstance(step, Step)
    assert step.revision > picture.revision
    assert 1 == sum(getattr(change, "key", "") == "c.py" for change in step.changes)


async def test_what_is_told_again_is_never_old(b: Bench, made: list[str]) -> None:
    snapshots, seen = Snapshots(b.clock), b.view.snapshot()
    first = await snapshots.message(seen, PROJECT)
    b.clock.advance(SHARED_S)
    assert first is await snapshots.message(seen, PROJECT)

    b.clock.advance(0.1)
    again = await snapshots.message(seen, PROJECT)

    held_ms = [it.snapshot.locks[0].held_for.ToMilliseconds() for it in (first, again)]
    assert round(1000 * (SHARED_S + 0.1)) == held_ms[1] - held_ms[0]
    assert [PROJECT] * 2 == made


async def test_each_project_and_each_picture_has_its_own_message(b: Bench, made: list[str]) -> None:
    snapshots, seen = Snapshots(b.clock), b.view.snapshot()

    for project in (PROJECT, OTHER, PROJECT):
        await snapshots.message(seen, project)
    await b.acquire("alice", "b.py")
    newer = await snapshots.message(b.view.snapshot(), PROJECT)

    assert [PROJECT, OTHER, PROJECT] == made
    assert ["a.py", "b.py"] == paths(newer)


async def test_others_have_their_turn_between_one_message_and_the_next(
    b: Bench, made: list[str]
) -> None:
    snapshots, seen, known = Snapshots(b.clock), b.view.snapshot(), list[int]()

    async def others() -> None:
        while len(made) < STREAMS:
            known.append(len(made))
            await asyncio.sleep(0)

    projects = [f"{OTHER}/{number}" for number in range(STREAMS)]
    async with asyncio.timeout(SOON_S):
        await asyncio.gather(others(), *(snapshots.message(seen, it) for it in projects))

    assert set(range(STREAMS)) == set(known)
