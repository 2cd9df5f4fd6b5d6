"""What etcd lets only users with the role root do, as newer versions have it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from scoord_server.store.etcd import EtcdOptions, EtcdStore
from scoord_server.store.port import Denied

STATUS, MEMBERS, COMPACT = "Status", "MemberList", "Compact"
SERVICES = {STATUS: "Maintenance", MEMBERS: "Cluster", COMPACT: "KV"}


async def _answer(_request: bytes, _context: object) -> bytes:
    return b""


async def _deny(_request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    await context.abort(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")


@asynccontextmanager
async def connected_to_one_that_denies(*denied: str) -> AsyncIterator[EtcdStore]:
    server = grpc.aio.server()
    for method, service in SERVICES.items():
        handler = grpc.unary_unary_rpc_method_handler(_deny if method in denied else _answer)
        made = grpc.method_handlers_generic_handler(f"etcdserverpb.{service}", {method: handler})
        server.add_generic_rpc_handlers((made,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        store = await EtcdStore.connect(EtcdOptions((f"127.0.0.1:{port}",)))
        yield store
        await store.close()
    finally:
        await server.stop(None)


@pytest.mark.parametrize("denied", [(STATUS, MEMBERS), (STATUS,)])
async def test_an_etcd_that_does_not_tell_its_version_is_warned_about_and_used(
    denied: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with connected_to_one_that_denies(*denied):
            pass

    (warned,) = caplog.records
    assert "version is not known" in warned.getMessage()


async def test_who_may_not_compact_is_told_what_to_do() -> None:
    async with connected_to_one_that_denies(COMPACT) as store:
        with pytest.raises(Denied, match=r"--compaction-interval 0; or give our user that role"):
            await store.compact(1)
