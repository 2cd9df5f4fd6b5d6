"""Which member of etcd is asked, when one of them is not as the others."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from scoord.errors import DeadlineExceeded, StoreUnavailable, Unknown
from scoord_server.store.etcd import EtcdStore
from scoord_server.store.etcd.link import HAS_LEADER, SLOW_S, Link, method
from scoord_server.store.etcd.member import Member as Endpoint
from scoord_server.store.etcd.options import EtcdOptions
from scoord_server.store.etcd.stubs import Message, rpc
from scoord_server.store.port import LeaseNotFound, Put, Txn
from support.clock import FakeClock
from support.house import until
from support.serving import serving

DEADLINE_S = 1.0
NO_LEADER = "etcdserver: no leader"
LEARNER = "etcdserver: rpc not supported for learner"
LEASE_GONE = "etcdserver: requested lease not found"
PUT = Txn((), (Put(b"k", b""),))

TXN = method("kv", "Txn")

Context = grpc.aio.ServicerContext[Any, Any]


class Member:
    """A member that does every transaction, unless it ``is_silent`` or ``refuses`` it."""

    def __init__(self, cluster: int = 1) -> None:
        self.asked = 0
        self.watched = 0
        self.introduced = 0
        self.cluster = cluster
        self.is_silent = False
        self.is_secretive = False
        """Whether it does not say who it is."""
        self.takes_s = 0.0
        self.refuses = ""
        self.where = "127.0.0.1:0"
        self._running = AsyncExitStack()

    async def status(self, _request: Message, _context: Context) -> Message:
        self.introduced += 1
        if self.is_secretive:
            await asyncio.sleep(60)
        return rpc.StatusResponse(header={"cluster_id": self.cluster}, version="3.6.14")

    async def txn(self, _request: Message, context: Context) -> Message:
        self.asked += 1
        # Who does not ask for a leader waits until there is one.
        wants_leader = HAS_LEADER in [tuple(pair) for pair in context.invocation_metadata() or ()]
        if self.is_silent or (self.refuses == NO_LEADER and not wants_leader):
            await asyncio.sleep(60)
        await asyncio.sleep(self.takes_s)
        if self.refuses:
            is_gone, codes = self.refuses == LEASE_GONE, grpc.StatusCode
            await context.abort(codes.NOT_FOUND if is_gone else codes.UNAVAILABLE, self.refuses)
        return rpc.TxnResponse(header={"revision": 7, "cluster_id": self.cluster})

    async def range(self, _request: Message, _context: Context) -> Message:
        if self.is_silent:
            await asyncio.sleep(60)
        return rpc.RangeResponse(header={"revision": 7, "cluster_id": self.cluster})

    async def watch(self, _requests: object, context: Context) -> AsyncIterator[Message]:
        """A watch that begins and breaks."""
        self.watched += 1
        if self.is_silent:
            await asyncio.sleep(60)
        yield rpc.WatchResponse(header={"revision": 7, "cluster_id": self.cluster}, created=True)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was reset")

    async def start(self) -> None:
        """Listen, at the same place each time."""
        txn = grpc.unary_unary_rpc_method_handler(
            self.txn, rpc.TxnRequest.FromString, rpc.TxnResponse.SerializeToString
        )
        read = grpc.unary_unary_rpc_method_handler(
            self.range, rpc.RangeRequest.FromString, rpc.RangeResponse.SerializeToString
        )
        kv = grpc.method_handlers_generic_handler("etcdserverpb.KV", {"Txn": txn, "Range": read})
        watch = grpc.stream_stream_rpc_method_handler(
            self.watch, rpc.WatchRequest.FromString, rpc.WatchResponse.SerializeToString
        )
        watches = grpc.method_handlers_generic_handler("etcdserverpb.Watch", {"Watch": watch})
        status = grpc.unary_unary_rpc_method_handler(
            self.status, rpc.StatusRequest.FromString, rpc.StatusResponse.SerializeToString
        )
        own = grpc.method_handlers_generic_handler("etcdserverpb.Maintenance", {"Status": status})
        listening = serving(kv, watches, own, at=self.where)
        self.where = await self._running.enter_async_context(listening)

    async def stop(self) -> None:
        """Listen no more."""
        await self._running.aclose()


@asynccontextmanager
async def connected(members: Sequence[Member]) -> AsyncIterator[EtcdStore]:
    async with AsyncExitStack() as running:
        for member in members:
            running.push_async_callback(member.stop)
            await member.start()
        listening = tuple(member.where for member in members)
        made = Link(EtcdOptions(listening, deadline_s=DEADLINE_S, progress_interval_s=0.1))
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
        await watched(store, for_s=2.0)

    assert members[0].watched == 1
    assert members[1].watched > 3


async def watched(store: EtcdStore, for_s: float) -> None:
    """A watch has gone round the members meanwhile, as all its streams broke."""
    watching = asyncio.ensure_future(anext(store.watch(b"w/", 1)))
    await asyncio.wait({watching}, timeout=for_s)
    watching.cancel()
    await asyncio.wait({watching})


async def test_a_member_that_stays_silent_is_tried_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock()
    monkeypatch.setattr("scoord_server.store.etcd.member.now", clock.now)
    silent = Endpoint("a:1", grpc.aio.insecure_channel("a:1"))
    waits = []
    for _ in range(6):
        silent.tried(clock.now() + DEADLINE_S)
        silent.avoid()
        silent.avoid()  # by others whom it let wait in the same time
        waits.append(silent._avoid_until - clock.now())
        clock.advance(waits[-1])
    silent.answered()
    silent.avoid()
    await silent.channel.close(grace=None)

    assert waits == [5, 10, 20, 40, 60, 60]
    assert silent._avoid_until - clock.now() == 5


async def test_of_many_commands_one_finds_out_whether_a_silent_member_answers_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scoord_server.store.etcd.member._AVOID_S", 0.1)
    members = [Member(), Member(), Member()]
    async with connected(members) as store:
        members[0].is_silent = True
        await at_once(9, store)
        first, members[0].asked = members[0].asked, 0
        await asyncio.sleep(0.2)
        await at_once(9, store)

    assert (first, members[0].asked) == (3, 1)


async def test_a_call_that_has_longer_than_others_finds_out_for_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scoord_server.store.etcd.member._AVOID_S", 0.1)
    members = [Member(), Member()]
    async with connected(members) as store:
        members[0].is_silent = True
        await at_once(2, store)
        await asyncio.sleep(0.2)
        store._link._next, members[0].asked = 0, 0
        for_long = store._link.call(TXN, rpc.TxnRequest(), 2 * DEADLINE_S)
        trying = asyncio.ensure_future(for_long)
        await asyncio.sleep(1.2 * DEADLINE_S)
        await at_once(4, store)
        trying.cancel()
        await asyncio.wait({trying})

    assert members[0].asked == 1


async def at_once(number: int, store: EtcdStore) -> None:
    """So many reads at a time: transactions would go in one group."""
    asked = (store._link.call(TXN, rpc.TxnRequest()) for _ in range(number))
    await asyncio.gather(*asked, return_exceptions=True)


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


async def stopped(store: EtcdStore, *members: Member) -> None:
    """Their connections are broken; nobody has asked for others yet."""
    for gone in members:
        await gone.stop()
    ports = [gone.where for gone in members]
    channels = [one.channel for one in store._link._members if one.address in ports]
    ready = grpc.ChannelConnectivity.READY
    await until(lambda: ready not in [channel.get_state() for channel in channels])


async def back(store: EtcdStore, *members: Member, cluster: int) -> None:
    """They run, with what another disk holds, and are connected."""
    for member in members:
        member.cluster, member.asked, member.watched = cluster, 0, 0
        await member.start()
        await until(lambda: member.where not in store._link.unconnected())  # noqa: B023


async def test_who_a_member_is_it_is_asked_once_on_a_connection() -> None:
    members = [Member(), Member()]
    async with connected(members) as store:
        assert await failed_of(6, store) == 0
        assert [member.introduced for member in members] == [1, 1]
        await stopped(store, members[1])
        await back(store, members[1], cluster=1)
        assert await failed_of(6, store) == 0

    assert [member.introduced for member in members] == [1, 2]


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_member_of_another_cluster_is_asked_nothing_but_who_it_is(
    is_known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    members = [Member(), Member(), Member(cluster=1 if is_known else 2)]
    async with connected(members) as store:
        if is_known:
            await failed_of(3, store)
            await stopped(store, members[2])
            await back(store, members[2], cluster=2)

        assert await failed_of(6, store) == 0
        await watched(store, for_s=0.5)

    assert members[0].watched
    assert (members[2].asked, members[2].watched) == (0, 0)
    (line,) = [it.getMessage() for it in caplog.records if it.levelno == logging.ERROR]
    assert "is of another cluster (2) than" in line


async def test_of_what_is_behind_a_proxy_each_answer_is_looked_at() -> None:
    members = [Member(), Member(), Member()]
    async with connected(members) as store:
        await failed_of(3, store)
        members[2].cluster, members[2].asked = 2, 0

        assert await failed_of(9, store) == 1

    assert members[2].asked == 1


@pytest.mark.parametrize("cluster", [1, 2])
async def test_that_a_lease_is_gone_is_believed_of_our_cluster_only(cluster: int) -> None:
    """Also where the call came before the question who is there now."""
    members = [Member(), Member(), Member()]
    async with connected(members) as store:
        await failed_of(3, store)
        members[2].cluster, members[2].refuses, members[2].asked = cluster, LEASE_GONE, 0
        gone = 0
        for _ in range(6):
            try:
                await store.txn(PUT)
            except LeaseNotFound:
                gone += 1

    assert (gone, members[2].asked) == ((2, 2) if cluster == 1 else (0, 1))


@pytest.mark.parametrize("takes_s", [0.0, 0.9 * DEADLINE_S])
async def test_what_was_refused_was_not_done_though_it_is_not_said_in_time_by_which_cluster(
    takes_s: float,
) -> None:
    """Who had little time to say it is not avoided for that."""
    members = [Member(), Member()]
    async with connected(members) as store:
        await failed_of(2, store)
        members[0].refuses, members[0].takes_s, members[0].is_secretive = LEASE_GONE, takes_s, True
        with pytest.raises(DeadlineExceeded, match="of which cluster it is; nothing was done"):
            await store._link.call(TXN, rpc.TxnRequest())

        assert store._link._members[0].is_avoided() == (not takes_s)


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
        await stopped(store, *members)
        await back(store, members[0], cluster=2)
        assert await failed_of(3, store) == 3
        await back(store, *members[1:], cluster=2)

        assert await failed_of(9, store) == 0

    assert [member.asked for member in members] == [3, 3, 3]


async def test_a_stranger_does_not_take_the_place_of_members_that_are_away() -> None:
    members = [Member(), Member(), Member()]
    async with connected(members) as store:
        await failed_of(3, store)
        await stopped(store, members[2])
        await back(store, members[2], cluster=2)
        await failed_of(3, store)
        await stopped(store, *members[:2])

        assert await failed_of(3, store) == 3
        await back(store, *members[:2], cluster=1)
        assert await failed_of(4, store) == 0

    assert [member.asked for member in members] == [2, 2, 0]


async def test_who_comes_back_first_as_a_stranger_does_not_take_the_place_of_the_others() -> None:
    members = [Member(), Member(), Member()]
    async with connected(members) as store:
        await failed_of(3, store)
        await stopped(store, *members)
        await back(store, members[2], cluster=2)
        assert await failed_of(3, store) == 3
        await back(store, *members[:2], cluster=1)

        assert await failed_of(4, store) == 0

    assert [member.asked for member in members] == [2, 2, 0]


async def test_who_heard_only_one_that_was_wiped_goes_over_to_the_others() -> None:
    members = [Member(cluster=2), Member(), Member()]
    async with connected(members) as store:
        await stopped(store, *members[1:])
        assert await failed_of(1, store) == 0
        await back(store, *members[1:], cluster=1)
        await failed_of(3, store)  # until both were heard
        members[0].asked = 0

        assert await failed_of(6, store) == 0

    assert members[0].asked == 0


async def test_who_heard_only_one_does_not_go_over_with_it_when_it_is_wiped() -> None:
    members = [Member(), Member(), Member()]
    async with connected(members) as store:
        await stopped(store, *members[1:])
        assert await failed_of(1, store) == 0
        await stopped(store, members[0])
        await back(store, members[0], cluster=2)

        assert await failed_of(3, store) == 3
        await back(store, *members[1:], cluster=1)
        assert await failed_of(4, store) == 0

    assert [member.asked for member in members] == [0, 2, 2]


async def test_where_most_were_restored_it_goes_on_though_one_of_them_was_never_met() -> None:
    members = [Member(), Member(), Member()]
    async with connected(members) as store:
        await stopped(store, members[2])
        assert await failed_of(3, store) == 0
        await stopped(store, *members[:2])
        await back(store, members[0], cluster=2)
        assert await failed_of(1, store) == 1
        left_out = rf"cannot be used: .*; of another cluster, and left out: {members[0].where}$"
        with pytest.raises(StoreUnavailable, match=left_out):
            await store.txn(PUT)
        await back(store, members[2], cluster=2)

        assert await failed_of(6, store) == 0
