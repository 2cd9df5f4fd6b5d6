"""Which member of etcd is asked when one of them stands still."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoord.errors import Unknown
from scoord.ids import LeaseId
from scoord_server.store.etcd import EtcdStore
from support.etcd import Etcd, Member, started
from support.lab.fault import happening
from support.lab.line_faults import MEMBER_STILL

pytestmark = pytest.mark.etcd

AGENT_WAITS_S = 0.5
"""What an agent with several coordinators leaves to each; less than a store's deadline."""


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
        asked = store._keepalive._renewals._stream.address
        member = next(member for member in cluster.members if member.endpoint == asked)
        status = member.post("/v3/maintenance/status", {})
        if status["leader"] != status["header"]["member_id"]:
            return member
        await store._keepalive._hang_up()


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
