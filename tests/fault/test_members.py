"""Which member of etcd is asked when one of them stands still."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from scoord.errors import Unknown
from scoord.ids import LeaseId
from scoord_server.store.etcd import EtcdStore
from scoord_server.store.port import Put, Txn, WatchBatch
from support.etcd import Etcd, Member, started
from support.lab.fault import happening
from support.lab.line_faults import MEMBER_DISK_HANGS, MEMBER_STILL

pytestmark = pytest.mark.etcd

AGENT_WAITS_S = 0.5
"""What an agent with several coordinators leaves to each; less than a store's deadline."""

SEEN_WITHIN_S = 10.0
"""How long a watch may lack what there is."""


@pytest.fixture
def cluster(etcd_binary: None, tmp_path: Path) -> Iterator[Etcd]:
    with started(Etcd(tmp_path, size=3)) as etcd:
        yield etcd


async def renewed(store: EtcdStore, lease: LeaseId) -> bool:
    """Whether the lease is renewed before the agent gives up."""
    try:
        async with asyncio.timeout(AGENT_WAITS_S):
            return (await store.keep_alive([lease]))[lease] > 0
    except (TimeoutError, Unknown):
        return False


async def asked_follower(cluster: Etcd, store: EtcdStore, lease: LeaseId) -> Member:
    """The member that renewals go to, after going round until it does not lead."""
    while True:
        assert await renewed(store, lease)
        assert store._keepalive._renewals is not None
        asked = store._keepalive._renewals.address
        member = next(member for member in cluster.members if member.endpoint == asked)
        if not leads(member):
            return member
        await store._keepalive._hang_up()


def leads(member: Member) -> bool:
    """Whether it is the leader."""
    status = member.post("/v3/maintenance/status", {})
    return bool(status["leader"] == status["header"]["member_id"])


async def test_a_renewal_that_is_given_up_leaves_the_member_that_did_not_answer(
    cluster: Etcd,
) -> None:
    store = await EtcdStore.connect(cluster.options())
    lease, clock = LeaseId(7), asyncio.get_running_loop().time
    try:
        await store.grant(lease, 60)
        with happening(MEMBER_STILL, await asked_follower(cluster, store, lease)):
            begun = clock()
            while not await renewed(store, lease):
                assert clock() - begun < 2 * AGENT_WAITS_S, "the frozen one is asked ever again"
    finally:
        await store.close()


async def test_a_member_that_answers_again_is_asked_before_one_that_does_not(
    cluster: Etcd,
) -> None:
    """While there is no leader every member is slow, and afterwards only the broken one."""
    store = await EtcdStore.connect(cluster.options())
    lease = LeaseId(7)
    try:
        await store.grant(lease, 60)
        frozen = await asked_follower(cluster, store, lease)
        for member in store._link._members:
            member.avoid()
        with happening(MEMBER_STILL, frozen):
            answered = [await reads(store) for _ in range(6)]
    finally:
        await store.close()

    assert answered.count(False) <= 1, "the frozen one has its turn again and again"


async def reads(store: EtcdStore) -> bool:
    """Whether a read is answered."""
    try:
        await store.range(b"key")
    except Unknown:
        return False
    return True


async def test_a_watch_leaves_a_member_whose_disk_hangs(cluster: Etcd) -> None:
    """It says all the while that there is nothing new, and gets none of what there is."""
    store = await EtcdStore.connect(cluster.options())
    hanging = next(member for member in cluster.members if not leads(member))
    try:
        first = await put_until_done(store)
        for endpoint in store._link._members:
            if endpoint.address != hanging.endpoint:
                endpoint.avoid()
        async with contextlib.aclosing(store.watch(b"k", first)) as watch:
            await tells(watch, first)
            with happening(MEMBER_DISK_HANGS, hanging):
                second = await put_until_done(store)
                await tells(watch, second)
    finally:
        await store.close()


async def put_until_done(store: EtcdStore) -> int:
    """Put while some members do not answer; the revision of that."""
    while True:
        with contextlib.suppress(Unknown):
            return (await store.txn(Txn((), (Put(b"k", b""),)))).revision


async def tells(watch: AsyncIterator[WatchBatch], revision: int) -> None:
    """The watch comes to that in time."""
    async with asyncio.timeout(SEEN_WITHIN_S):
        async for batch in watch:
            if batch.revision >= revision:
                return
