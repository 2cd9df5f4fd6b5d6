"""What is asked of etcd: once, and of the present."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from scoord.errors import StoreUnavailable
from scoord_server.store.etcd.link import Link
from scoord_server.store.etcd.options import EtcdOptions
from scoord_server.store.etcd.stubs import Message, rpc
from scoord_server.store.etcd.wire import Wire
from scoord_server.store.port import Get, Txn


class _Member:
    """A member that does what it is asked, and whose connection breaks before it says so."""

    def __init__(self) -> None:
        self.done = 0

    async def txn(self, _request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
        self.done += 1
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was reset")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Where it listens."""
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(
            self.txn, rpc.TxnRequest.FromString, rpc.TxnResponse.SerializeToString
        )
        service = grpc.method_handlers_generic_handler("etcdserverpb.KV", {"Txn": handler})
        server.add_generic_rpc_handlers((service,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)


async def test_a_transaction_that_may_have_been_done_is_not_sent_to_another_member() -> None:
    one, two = _Member(), _Member()
    async with one.running() as here, two.running() as there:
        link = Link(EtcdOptions((here, there), deadline_s=5))
        await link.wait_until_connected()

        with pytest.raises(StoreUnavailable, match="reset"):
            await link.call(lambda member: member.kv.Txn, rpc.TxnRequest())

        await link.close()
    assert 1 == one.done + two.done


def test_nothing_is_read_from_a_member_that_may_lag_behind() -> None:
    wire = Wire(b"")
    in_txn = wire.txn(Txn((), (Get(b"a"),), (Get(b"a"),)))
    ranges = [operation.request_range for operation in (*in_txn.success, *in_txn.failure)]

    for request in (wire.read(b"a", b"b"), wire.count(b"a", b"b"), *ranges):
        assert not request.serializable
