"""Renewals of many leases at a member of etcd that takes its time for each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from scoord.errors import StoreUnavailable
from scoord.ids import LeaseId
from scoord_server.store.etcd import EtcdStore
from scoord_server.store.etcd.link import Link
from scoord_server.store.etcd.options import EtcdOptions
from scoord_server.store.etcd.stubs import Message, rpc
from support.serving import serving

Context = grpc.aio.ServicerContext[Any, Any]

TTL_S = 30


class Follower:
    """A member that asks its leader for each renewal, before it reads the next of its stream."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.breaks_at: int | None = None
        """The lease whose stream it ends, once."""

    async def status(self, _request: Message, _context: Context) -> Message:
        return rpc.StatusResponse(header={"cluster_id": 1}, version="3.6.14")

    async def keep_alive(
        self, requests: AsyncIterator[Message], context: Context
    ) -> AsyncIterator[Message]:
        async for request in requests:
            await asyncio.sleep(self.takes_s)
            if request.ID == self.breaks_at:
                self.breaks_at = None
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the leader is gone")
            yield rpc.LeaseKeepAliveResponse(header={"cluster_id": 1}, ID=request.ID, TTL=TTL_S)


@asynccontextmanager
async def connected(member: Follower) -> AsyncIterator[EtcdStore]:
    keep_alive = grpc.stream_stream_rpc_method_handler(
        member.keep_alive,
        rpc.LeaseKeepAliveRequest.FromString,
        rpc.LeaseKeepAliveResponse.SerializeToString,
    )
    status = grpc.unary_unary_rpc_method_handler(
        member.status, rpc.StatusRequest.FromString, rpc.StatusResponse.SerializeToString
    )
    named = grpc.method_handlers_generic_handler
    services = (
        named("etcdserverpb.Lease", {"LeaseKeepAlive": keep_alive}),
        named("etcdserverpb.Maintenance", {"Status": status}),
    )
    async with serving(*services) as where:
        store = EtcdStore(Link(EtcdOptions((where,))))
        try:
            yield store
        finally:
            await store.close()


async def test_a_heartbeat_of_many_is_renewed_in_time_where_each_takes_long() -> None:
    """One after the other they would take more than twice as long as any call may."""
    leases = [LeaseId(number) for number in range(1, 401)]
    async with connected(Follower(takes_s=0.01)) as store:
        assert await store.keep_alive(leases) == dict.fromkeys(leases, TTL_S)


async def test_what_is_renewed_when_one_of_its_streams_breaks_is_renewed_again() -> None:
    member, leases = Follower(takes_s=0.01), [LeaseId(number) for number in range(1, 101)]
    async with connected(member) as store:
        await store.keep_alive(leases)
        member.breaks_at = 20

        assert await store.keep_alive(leases) == dict.fromkeys(leases, TTL_S)


async def test_what_still_comes_over_others_when_one_stream_broke_hinders_nothing() -> None:
    lease = LeaseId(7)
    async with connected(Follower(takes_s=0.05)) as store:
        await store.keep_alive([lease])
        renewals = store._keepalive._renewals
        assert renewals is not None
        asking = asyncio.create_task(renewals.renew([lease]))
        await asyncio.sleep(0)
        renewals._fail(StoreUnavailable("another stream broke"))
        with pytest.raises(StoreUnavailable):
            await asking
        await asyncio.sleep(0.2)

        assert not any(reader.done() for reader in renewals._readers)
