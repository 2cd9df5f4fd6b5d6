"""A member of etcd that answers, and does not get what the others have."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from scoord.errors import Unknown
from scoord_server.store.etcd import EtcdStore
from scoord_server.store.etcd.how_far import LATE_S, HowFar
from scoord_server.store.etcd.link import Link
from scoord_server.store.etcd.options import EtcdOptions
from scoord_server.store.etcd.stubs import Message, rpc
from scoord_server.store.port import Replaced, WatchBatch
from support.clock import FakeClock
from support.serving import serving

Context = grpc.aio.ServicerContext[Any, Any]

QUIET_S, SOON_S = 0.05, 0.3
OLD, NEW = 5, 9
"""What was when the watch began, and what is since."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr("scoord_server.store.etcd.how_far.now", clock.now)
    return clock


# -- what is known ---------------------------------------------------------------


def test_who_lacks_what_was_just_answered_is_not_late(clock: FakeClock) -> None:
    how_far = HowFar()
    how_far.hear(NEW)
    clock.advance(LATE_S - 0.1)

    assert not how_far.is_late(OLD)
    clock.advance(0.1)
    assert how_far.is_late(NEW - 1)
    assert not how_far.is_late(NEW)


def test_an_answer_on_its_way_for_longer_takes_nothing_back(clock: FakeClock) -> None:
    how_far = HowFar()
    how_far.hear(NEW)
    how_far.hear(OLD)
    clock.advance(LATE_S)

    assert how_far.is_late(NEW - 1)


def test_how_far_it_is_is_known_as_long_as_calls_are_answered(clock: FakeClock) -> None:
    how_far = HowFar()
    assert not how_far.is_known()
    for _ in range(100):
        how_far.hear(NEW)
        clock.advance(1.0)
        assert how_far.is_known()

    assert len(how_far._lately) <= LATE_S
    clock.advance(LATE_S)
    assert not how_far.is_known()


# -- who is watched --------------------------------------------------------------


class Member:
    """A member whose calls are of ``revision``, and whose watches are of ``watched_at``."""

    def __init__(self) -> None:
        self.revision = self.watched_at = OLD
        self.watched = self.read = 0
        self.is_cut_off = False
        """From the others: its watches alone are answered."""

    def header(self, revision: int) -> dict[str, int]:
        return {"revision": revision, "cluster_id": 1}

    async def status(self, _request: Message, _context: Context) -> Message:
        return rpc.StatusResponse(header=self.header(self.revision), version="3.6.14")

    async def range(self, _request: Message, _context: Context) -> Message:
        self.read += 1
        if self.is_cut_off:
            await asyncio.sleep(60)
        return rpc.RangeResponse(header=self.header(self.revision))

    async def watch(
        self, requests: AsyncIterator[Message], _context: Context
    ) -> AsyncIterator[Message]:
        self.watched += 1
        async for request in requests:
            is_first = request.HasField("create_request")
            yield rpc.WatchResponse(header=self.header(self.watched_at), created=is_first)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Where it listens."""
        read = grpc.unary_unary_rpc_method_handler(
            self.range, rpc.RangeRequest.FromString, rpc.RangeResponse.SerializeToString
        )
        watch = grpc.stream_stream_rpc_method_handler(
            self.watch, rpc.WatchRequest.FromString, rpc.WatchResponse.SerializeToString
        )
        status = grpc.unary_unary_rpc_method_handler(
            self.status, rpc.StatusRequest.FromString, rpc.StatusResponse.SerializeToString
        )
        named = grpc.method_handlers_generic_handler
        services = (
            named("etcdserverpb.KV", {"Range": read}),
            named("etcdserverpb.Watch", {"Watch": watch}),
            named("etcdserverpb.Maintenance", {"Status": status}),
        )
        async with serving(*services) as where:
            yield where


@asynccontextmanager
async def connected(*members: Member) -> AsyncIterator[EtcdStore]:
    async with AsyncExitStack() as running:
        listening = [await running.enter_async_context(member.running()) for member in members]
        options = EtcdOptions(tuple(listening), deadline_s=0.2, progress_interval_s=QUIET_S)
        made = Link(options)
        await asyncio.gather(*(member.channel.channel_ready() for member in made._members))
        store = EtcdStore(made)
        try:
            yield store
        finally:
            await store.close()


class Watching:
    """A watch that is followed, and how often it said that it lives."""

    def __init__(self, store: EtcdStore) -> None:
        self.heard = 0
        self._store = store

    async def run(self) -> None:
        batches = self._store.watch(b"w/", OLD + 1)
        async with contextlib.aclosing(batches):
            async for batch in batches:
                assert batch == WatchBatch(OLD, ())
                self.heard += 1


@asynccontextmanager
async def watching(store: EtcdStore) -> AsyncIterator[Watching]:
    """A watch that was heard."""
    one = Watching(store)
    running = asyncio.create_task(one.run())
    await asyncio.sleep(SOON_S)
    assert one.heard
    try:
        yield one
    finally:
        running.cancel()
        await asyncio.wait({running})


async def heard_soon(one: Watching) -> int:
    """How often it is heard from now on."""
    before = one.heard
    await asyncio.sleep(SOON_S)
    return one.heard - before


async def test_a_watch_leaves_a_member_that_does_not_get_what_the_others_have(
    clock: FakeClock,
) -> None:
    members = [Member(), Member()]
    async with connected(*members) as store, watching(store) as one:
        late, other = sorted(members, key=lambda member: -member.watched)
        late.is_cut_off = True
        other.revision = other.watched_at = NEW
        store._link.how_far.hear(NEW)
        assert await heard_soon(one), "it is behind by no more than a moment"

        clock.advance(LATE_S)
        store._link.how_far.hear(NEW)
        await heard_soon(one)
        assert (late.watched, other.watched) == (1, 1)
        assert not any(member.is_avoided() for member in store._link._members), "it may lie here"
        assert await heard_soon(one)


async def test_where_there_is_no_other_its_watch_is_not_heard(clock: FakeClock) -> None:
    late = Member()
    async with connected(late) as store, watching(store) as one:
        late.revision = NEW
        await store.range(b"k")
        clock.advance(LATE_S)
        await heard_soon(one)
        assert await heard_soon(one) == 0
        assert store._link._members[0].is_avoided(), "it begins a watch with it"

        late.watched_at = NEW
        await asyncio.sleep(1.0)  # the longest pause
        assert await heard_soon(one)


async def test_where_no_call_is_answered_a_watch_is_not_heard(clock: FakeClock) -> None:
    """What others have is not known there: it may be the watch of a member that gets nothing."""
    alone = Member()
    async with connected(alone) as store, watching(store) as one:
        alone.is_cut_off = True
        clock.advance(LATE_S)

        await heard_soon(one)
        assert await heard_soon(one) == 0


async def test_of_a_quiet_watch_the_cluster_is_asked_only_where_no_other_call_was(
    clock: FakeClock,
) -> None:
    member = Member()
    async with connected(member) as store, watching(store) as one:
        assert member.read == 1
        store._link.how_far.hear(OLD)
        clock.advance(LATE_S / 2)
        assert await heard_soon(one)
        assert member.read == 1


async def test_a_watch_goes_on_where_a_backup_took_the_place_of_what_was_known(
    clock: FakeClock,
) -> None:
    member = Member()
    async with connected(member) as store, watching(store) as one:
        store._link.how_far.hear(NEW)
        clock.advance(LATE_S)
        assert await heard_soon(one) > 1

        member.revision = member.watched_at = OLD - 1
        with pytest.raises(Replaced):
            await Watching(store).run()


async def test_a_proxy_says_nothing_of_a_member(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Member, "header", lambda _self, revision: {"revision": revision})
    member = Member()
    async with connected(member) as store, watching(store) as one:
        member.revision = NEW
        with contextlib.suppress(Unknown):
            await store.range(b"k")
        clock.advance(LATE_S)

        assert await heard_soon(one)
