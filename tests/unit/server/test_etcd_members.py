"""Which member of etcd is asked, when one of them is not as the others."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from scoord.errors import DeadlineExceeded, StoreUnavailable, Unknown
from scoord_server.store.etcd import EtcdStore, link
from scoord_server.store.etcd.link import HAS_LEADER, SLOW_S, Link
from scoord_server.store.etcd.options import EtcdOptions
from scoord_server.store.etcd.stubs import Message, rpc
from scoord_server.store.port import Put, Txn
from support.clock import FakeClock
from support.house import until
from support.serving import serving

DEADLINE_S = 1.0
NO_LEADER = "etcdserver: no leader"
LEARNER = "etcdserver: rpc not supported for learner"
PUT = Txn((), (Put(b"k", b""),))

Context = grpc.aio.ServicerContext[Any, Any]


class Member:
    """A member that does every transaction, unless it ``is_silent`` or ``refuses`` it."""

    def __init__(self) -> None:
        self.asked = 0
        self.watched = 0
        self.cluster = 1
        self.is_silent = False
        self.refuses = ""

    async def txn(self, _request: Message, context: Context) -> Message:
        self.asked += 1
        # Who does not ask for a leader waits until there is one.
        wants_leader = HAS_LEADER in [tuple(pair) for pair in context.invocation_metadata() or ()]
        if self.is_silent or (self.refuses == NO_LEADER and not wants_leader):
            await asyncio.sleep(60)
        if self.refuses:
            await context.abort(grpc.StatusCode.UNAVAILABLE, self.refuses)
        return rpc.TxnResponse(header={"revision": 7, "cluster_id": self.cluster})

    async def watch(self, _requests: object, context: Context) -> AsyncIterator[Message]:
        """A watch that begins and breaks."""
        self.watched += 1
        if self.is_silent:
            await asyncio.sleep(60)
        yield rpc.WatchResponse(header={"revision": 7, "cluster_id": self.cluster}, created=True)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was reset")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Where it listens."""
        txn = grpc.unary_unary_rpc_method_handler(
            self.txn, rpc.TxnRequest.FromString, rpc.TxnResponse.SerializeToString
        )
        kv = grpc.method_handlers_generic_handler("etcdserverpb.KV", {"Txn": txn})
        watch = grpc.stream_stream_rpc_method_handler(
            self.watch, rpc.WatchRequest.FromString, rpc.WatchResponse.SerializeToString
        )
        watches = grpc.method_handlers_generic_handler("etcdserverpb.Watch", {"Watch": watch})
        async with serving(kv, watches) as where:
            yield where


@asynccontextmanager
async def connected(members: Sequence[Member]) -> AsyncIterator[EtcdStore]:
    async with AsyncExitStack() as running:
        listening = [await running.enter_async_context(member.running()) for member in members]
        made = Link(EtcdOptions(tuple(listening), deadline_s=DEADLINE_S, progress_interval_s=0.1))
        await asyncio.gather(*(member.channel.channel_ready() for member in made._members))
        store = EtcdStore(made)
        try:
            yield store
        finally:
            await store.close()


@pytest.mark.parametrize("patience_s", [2 * DEADLINE_S, SLOW_S + 0.1])
async def test_a_silent_member_fails_one_transaction_whoever_gives_up_first(
    patience_s: float,
) -> None:
    members = [Member(), Member(), Member()]
    async with connected(members) as store:
        members[0].is_silent = True
        failed = 0
        for _ in range(9):
            try:
                async with asyncio.timeout(patience_s):
                    await store.txn(PUT)
            except (DeadlineExceeded, TimeoutError):
                failed += 1

    assert (failed, members[0].asked) == (1, 1)


async def test_a_watch_leaves_a_member_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scoord_server.store.etcd.watch._SILENCE_S", 0.1)
    members = [Member(), Member(), Member()]
    async with connected(members) as store:
        members[0].is_silent = True
        watching = asyncio.ensure_future(anext(store.watch(b"w/", 1)))
        await asyncio.wait({watching}, timeout=2.0)
        watching.cancel()
        await asyncio.wait({watching})

    assert members[0].watched == 1
    assert members[1].watched > 3


async def test_a_member_that_stays_silent_is_tried_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock()
    monkeypatch.setattr(link, "_now", clock.now)
    member = link.Member("a:1", grpc.aio.insecure_channel("a:1"))
    waits = []
    for _ in range(6):
        member.avoid()
        member.avoid()  # by others whom it let wait in the same time
        waits.append(member.avoid_until - clock.now())
        clock.advance(waits[-1])
    member.answered()
    member.avoid()
    await member.channel.close(grace=None)

    assert waits == [5, 10, 20, 40, 60, 60]
    assert member.avoid_until - clock.now() == 5


async def test_a_member_whose_caller_left_soon_is_asked_again() -> None:
    members = [Member(), Member()]
    async with connected(members) as store:
        members[0].is_silent = True
        for asked in range(4):
            leaving = asyncio.create_task(store.txn(PUT))
            await until(lambda: sum(member.asked for member in members) > asked)  # noqa: B023
            leaving.cancel()
            await asyncio.wait({leaving})

    assert members[0].asked == 2


@pytest.mark.parametrize("refuses", [NO_LEADER, LEARNER])
async def test_what_a_member_refuses_unread_the_next_one_does(refuses: str) -> None:
    members = [Member(), Member(), Member()]
    async with connected(members) as store:
        members[0].refuses = refuses
        for _ in range(9):
            await store.txn(PUT)

    assert members[0].asked == 1


async def test_a_transaction_waits_for_a_leader_that_comes_in_time() -> None:
    members = [Member(), Member()]
    async with connected(members) as store:
        for member in members:
            member.refuses = NO_LEADER
        waiting = asyncio.create_task(store.txn(PUT))
        await asyncio.sleep(0.3)
        members[1].refuses = ""

        assert (await waiting).succeeded is False


@pytest.mark.parametrize(
    ("refuses", "advice"), [(NO_LEADER, "reach each other"), (LEARNER, "voting member")]
)
async def test_what_all_members_refuse_is_said_in_time(refuses: str, advice: str) -> None:
    members = [Member(), Member()]
    async with connected(members) as store:
        for member in members:
            member.refuses = refuses
        with pytest.raises(StoreUnavailable, match=f"{refuses}; .*{advice}"):
            await store.txn(PUT)


# -- two clusters ----------------------------------------------------------------


async def failed_of(number: int, store: EtcdStore) -> int:
    """How many of so many transactions, one after the other, are not answered."""
    failed = 0
    for _ in range(number):
        try:
            await store.txn(PUT)
        except Unknown:
            failed += 1
    return failed


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_member_of_another_cluster_is_left_out(
    is_known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    members = [Member(), Member(), Member()]
    async with connected(members) as store:
        if not is_known:
            members[2].cluster = 2
        await failed_of(3, store)
        members[2].cluster = 2
        await failed_of(3, store)
        members[2].asked = 0

        assert await failed_of(6, store) == 0

    assert members[2].asked == 0
    (line,) = [it.getMessage() for it in caplog.records if it.levelno == logging.ERROR]
    assert "is of another cluster (2) than" in line


async def test_an_answer_that_does_not_say_its_cluster_is_believed() -> None:
    members = [Member(), Member()]
    async with connected(members) as store:
        await failed_of(2, store)
        members[1].cluster = 0

        assert await failed_of(4, store) == 0


async def test_where_all_of_etcd_was_replaced_it_goes_on() -> None:
    members = [Member(), Member(), Member()]
    async with connected(members) as store:
        await failed_of(3, store)
        for member in members:
            member.cluster, member.asked = 2, 0

        assert await failed_of(3, store) == 2
        assert await failed_of(9, store) == 0

    assert [member.asked for member in members] == [4, 4, 4]


async def test_a_stranger_does_not_take_the_place_of_members_that_are_away() -> None:
    ours, stranger = Member(), Member()
    stranger.cluster = 2
    async with connected([ours, stranger]) as store:
        await failed_of(2, store)
        await store._link._members[0].channel.close(grace=None)

        assert await failed_of(3, store) == 3
