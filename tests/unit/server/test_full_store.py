"""Ends of locks and sessions while the store takes no more: it deletes, and writes nothing down."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, cast

import grpc
import pytest

from scoord.ids import FencingToken
from scoord.v1 import locks_pb2 as pb
from scoord.v1.locks_pb2 import LockMode, LockScope
from scoord.v1.records_pb2 import ArchiveRecord, TraceRecord
from scoord_server import farewells
from scoord_server.model.answers import Ended, Lost, Reclaimed
from scoord_server.model.commands import Keep, Reclaim
from scoord_server.model.facts import LockName
from scoord_server.model.recall import Wanted
from scoord_server.rpc.locks import Locks
from scoord_server.rpc.messages import change
from scoord_server.seen import LockGone
from scoord_server.store import keys
from scoord_server.store.port import RangeResult
from scoord_server.sweeping import Sweeping
from scoord_server.view import Step
from support.coordination import PROJECT, Bench, bench, frozen

LASTS_MS = 5_000
NO_CONTEXT = cast("grpc.aio.ServicerContext[Any, Any]", None)


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        for name in ("alice", "bob"):
            await made.session(name)
        yield made


async def reclaim(b: Bench, session: str, path: str, lost: FencingToken) -> Reclaimed | Lost:
    """Ask for a lost lock again."""
    command = Reclaim(b.asker(session), LockName.of(path), lost)
    return await b.coordinator.reporting.reclaim(command)


async def test_a_lock_that_is_broken_without_space_is_not_given_back(b: Bench) -> None:
    token = await b.token("alice", "a.py")
    b.store.full = True

    assert Ended(unrecorded=True) == await b.breaks("a.py", token)
    assert "" == await b.holder("a.py")

    b.store.full = False
    assert Lost(TraceRecord()) == await reclaim(b, "alice", "a.py", token)


async def test_who_breaks_without_space_is_told_that_nothing_is_written_down(b: Bench) -> None:
    for full in (False, True):
        lock = pb.LockRef(path="a.py", token=await b.token("alice", "a.py"))
        b.store.full = full
        request = pb.BreakRequest(request_id=b.request(), project=PROJECT, lock=lock, by="bob")

        answer = await Locks(b.coordinator, b.view, b.clock).Break(request, NO_CONTEXT)

        assert answer == pb.BreakResponse(broken=pb.Broken(unrecorded=full))


async def test_a_lock_that_has_had_its_time_without_space_is_not_given_back(b: Bench) -> None:
    token = await b.token("alice", "a.py", lasts_ms=LASTS_MS)
    b.store.full = True
    b.clock.advance(LASTS_MS / 1000 + 1)

    (swept,) = (await Sweeping(b.coordinator).sweep()).locks
    b.store.full = False

    assert "lasted" == swept.how
    assert Lost(TraceRecord()) == await reclaim(b, "alice", "a.py", token)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["a.py", "src/**"])
async def test_the_stream_tells_that_it_was_taken_from_a_session_that_goes_on(
    b: Bench, name: str, *, shared: bool
) -> None:
    mode = LockMode.LOCK_MODE_SHARED if shared else LockMode.LOCK_MODE_EXCLUSIVE
    take = b.reserve if "*" in name else b.acquire
    await take("alice", name, mode=mode)
    (seen,) = b.view.snapshot().locks
    b.store.full = True

    async with aclosing(b.view.subscribe()) as steps:
        await anext(steps)
        await b.breaks(name, seen.fact.token)
        step = await anext(steps)

    assert isinstance(step, Step)
    (gone,) = step.changes
    told = change(step.revision, gone, b.clock)
    assert "taken" == told.lock_gone.how


async def test_the_stream_tells_that_one_was_taken_of_two_that_a_session_has_on_branches(
    b: Bench,
) -> None:
    terms: dict[str, Any] = {"scope": LockScope.LOCK_SCOPE_BRANCH}
    await b.token("alice", "a.py", branch="main", **terms)
    token = await b.token("alice", "a.py", branch="topic", **terms)
    b.store.full = True

    async with aclosing(b.view.subscribe()) as steps:
        await anext(steps)
        await b.breaks("a.py", token)
        step = await anext(steps)

    assert isinstance(step, Step)
    (gone,) = (change for change in step.changes if isinstance(change, LockGone))
    assert gone.taken


async def test_what_ends_with_its_lease_was_not_taken(b: Bench) -> None:
    await b.token("alice", "a.py")
    async with aclosing(b.view.subscribe()) as steps:
        await anext(steps)
        await b.dies("alice")
        step = await anext(steps)

    assert isinstance(step, Step)
    (gone,) = (change for change in step.changes if isinstance(change, LockGone))
    assert not gone.taken


async def test_a_share_that_its_holder_makes_exclusive_was_not_taken(b: Bench) -> None:
    await b.token("alice", "a.py", mode=LockMode.LOCK_MODE_SHARED)
    async with aclosing(b.view.subscribe()) as steps:
        await anext(steps)
        await b.token("alice", "a.py")
        step = await anext(steps)

    assert isinstance(step, Step)
    (gone,) = (change for change in step.changes if isinstance(change, LockGone))
    assert not gone.taken


async def test_nor_was_one_that_is_given_back_by_the_time_that_anybody_looks(b: Bench) -> None:
    await b.token("alice", "a.py", mode=LockMode.LOCK_MODE_SHARED)
    view = (await frozen(b)).ground.view
    since = view.revision + 1
    await b.release("alice", "a.py", await b.token("alice", "a.py"))

    async with aclosing(b.store.watch(keys.root_prefix(), since)) as batches:
        changes = view._picture.apply((await anext(batches)).events)

    gone = {
        change.last.fact.claimant.shared: change
        for change in changes
        if isinstance(change, LockGone)
    }
    assert [False, True] == sorted(gone)
    assert not gone[True].taken


async def test_what_a_subagent_takes_over_on_every_branch_was_not_taken(b: Bench) -> None:
    terms: dict[str, Any] = {"scope": LockScope.LOCK_SCOPE_BRANCH}
    await b.token("alice", "a.py", branch="main", **terms)
    async with aclosing(b.view.subscribe()) as steps:
        await anext(steps)
        await b.token("alice", "a.py", agent="a1", branch="", **terms)
        step = await anext(steps)

    assert isinstance(step, Step)
    (gone,) = (change for change in step.changes if isinstance(change, LockGone))
    assert not gone.taken


async def test_what_is_given_back_without_space_shows_others_that_it_was_held(b: Bench) -> None:
    lost = await b.token("alice", "a.py")
    await b.dies("alice")
    token = await b.token("bob", "a.py")
    b.store.full = True
    assert await b.release("bob", "a.py", token)
    b.store.full = False
    await b.session("alice")

    outcome = await reclaim(b, "alice", "a.py", lost)

    assert isinstance(outcome, Lost)
    assert "bob" == outcome.last.holder.session_id


async def test_a_pattern_that_is_broken_without_space_shows_others_that_it_was_held(
    b: Bench,
) -> None:
    lost = await b.token("alice", "src/a.py")
    await b.dies("alice")
    await b.reserve("bob", "src/**")
    (seen,) = b.view.snapshot().locks
    b.store.full = True
    assert Ended(unrecorded=True) == await b.breaks("src/**", seen.fact.token)
    b.store.full = False
    await b.session("alice")

    outcome = await reclaim(b, "alice", "src/a.py", lost)

    assert isinstance(outcome, Lost)
    assert "bob" == outcome.last.holder.session_id


async def test_a_place_is_given_up_without_space(b: Bench) -> None:
    await b.token("alice", "a.py")
    await b.acquire("bob", "a.py", enqueue=True)
    b.store.full = True

    await b.leaves("bob", "a.py")

    assert () == b.view.snapshot().waiters


async def test_without_space_an_orphan_whose_session_is_back_stays(b: Bench) -> None:
    token = await b.token("alice", "a.py")
    (seen,) = b.view.snapshot().locks
    b.store.full = True

    assert not await b.coordinator.locks.end_orphan(seen)
    assert "alice" == await b.holder("a.py")
    assert b.view.grant(PROJECT, "a.py", token)


async def test_without_space_an_end_is_tried_again_at_the_next_look_and_said_once(
    b: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(farewells, "_RETRY_S", 0.01)
    await b.session("carol", keep=Keep(archive=True))
    running = asyncio.create_task(b.coordinator.farewells.run())
    await asyncio.sleep(0.05)
    b.store.full = True
    await b.dies("carol")
    b.clock.advance(farewells.LOOK_S + 1)
    await asyncio.sleep(0.05)

    with monkeypatch.context() as patched:
        reads = counted_reads(b, patched)
        await asyncio.sleep(0.2)
        assert [] == reads, "it waits for the next look"
    assert 1 == len([r for r in caplog.records if "the end of carol" in r.message])

    b.store.full = False
    b.clock.advance(farewells.LOOK_S + 1)
    async with asyncio.timeout(5):
        while not await logs(b):  # noqa: ASYNC110 (nobody tells; the store is only read)
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def counted_reads(b: Bench, patched: pytest.MonkeyPatch) -> list[bytes]:
    """What is read from the store from now on."""
    read, reads = b.store.range, list[bytes]()

    async def noted(key: bytes, *rest: Any, **how: Any) -> RangeResult:
        reads.append(key)
        return await read(key, *rest, **how)

    patched.setattr(b.store, "range", noted)
    return reads


async def logs(b: Bench) -> Sequence[ArchiveRecord]:
    return (await b.coordinator.recalling.logs(PROJECT, Wanted(), 10)).records


async def test_a_refresh_without_space_says_what_it_ended_and_leaves_the_rest(b: Bench) -> None:
    await b.session("idle", timeout_ms=1000)
    await b.session("dead", keep=Keep(archive=True))
    await b.dies("dead")
    b.store.full = True
    b.clock.advance(2)

    done = await Sweeping(b.coordinator).refresh(PROJECT)

    assert ["idle"] == [fact.session_id for fact in done.swept.sessions]
    assert () == done.expired
    b.store.full = False
    done = await Sweeping(b.coordinator).refresh(PROJECT)
    assert "dead" in [record.session.session_id for record in done.expired]
