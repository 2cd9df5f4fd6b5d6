"""What is asked of etcd: once, and of the present."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest

from scoord.clock import SystemClock
from scoord.errors import DeadlineExceeded, StoreUnavailable
from scoord_server.store.etcd import EtcdStore
from scoord_server.store.etcd.link import Link
from scoord_server.store.etcd.options import EtcdOptions
from scoord_server.store.etcd.stubs import Message, rpc
from scoord_server.store.etcd.wire import Wire
from scoord_server.store.port import Get, Txn
from scoord_server.view import View
from support.serving import serving

DEADLINE_S = 0.3


class _Member:
    """A member whose connection breaks before it says what it has done.

    What it has to read takes it ``takes_s``.
    """

    def __init__(self, takes_s: float = 0.0) -> None:
        self.done = 0
        self.takes_s = takes_s

    async def range(self, _request: Message, _context: object) -> Message:
        await asyncio.sleep(self.takes_s)
        return rpc.RangeResponse(header={"revision": 7})

    async def status(self, _request: Message, _context: object) -> Message:
        return rpc.StatusResponse()

    async def txn(self, _request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
        self.done += 1
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was reset")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Where it listens."""
        txn = grpc.unary_unary_rpc_method_handler(
            self.txn, rpc.TxnRequest.FromString, rpc.TxnResponse.SerializeToString
        )
        read = grpc.unary_unary_rpc_method_handler(
            self.range, rpc.RangeRequest.FromString, rpc.RangeResponse.SerializeToString
        )
        methods = {"Txn": txn, "Range": read}
        service = grpc.method_handlers_generic_handler("etcdserverpb.KV", methods)
        status = grpc.unary_unary_rpc_method_handler(
            self.status, rpc.StatusRequest.FromString, rpc.StatusResponse.SerializeToString
        )
        own = grpc.method_handlers_generic_handler("etcdserverpb.Maintenance", {"Status": status})
        async with serving(service, own) as where:
            yield where


async def test_a_transaction_that_may_have_been_done_is_not_sent_to_another_member() -> None:
    one, two = _Member(), _Member()
    async with one.running() as here, two.running() as there:
        link = Link(EtcdOptions((here, there), deadline_s=5))
        await link.wait_until_connected()

        with pytest.raises(StoreUnavailable, match="reset"):
            await link.call(lambda member: member.kv.Txn, rpc.TxnRequest())

        await link.close()
    assert 1 == one.done + two.done


async def test_a_store_that_takes_longer_to_read_than_a_command_may_is_read_all_the_same() -> None:
    member = _Member(takes_s=2 * DEADLINE_S)
    async with member.running() as here:
        store = EtcdStore(Link(EtcdOptions((here,), deadline_s=DEADLINE_S)))
        view = View(store, SystemClock())
        following = asyncio.create_task(view.run())
        try:
            with pytest.raises(DeadlineExceeded):
                await store.range(b"k")
            with pytest.raises(StoreUnavailable, match="has not read its store yet"):
                view.snapshot()
            assert await view.caught_up(7, within_s=10.0)
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            await store.close()


def test_nothing_is_read_from_a_member_that_may_lag_behind() -> None:
    wire = Wire(b"")
    in_txn = wire.txn(Txn((), (Get(b"a"),), (Get(b"a"),)))
    ranges = [operation.request_range for operation in (*in_txn.success, *in_txn.failure)]

    for request in (wire.read(b"a", b"b"), wire.count(b"a", b"b"), *ranges):
        assert not request.serializable
