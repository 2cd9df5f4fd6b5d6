"""What etcd's members are asked when a coordinator starts, and what newer ones deny."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from scoord.errors import InvalidConfig
from scoord_server.store.etcd import EtcdOptions, EtcdStore
from scoord_server.store.etcd.stubs import rpc
from scoord_server.store.port import Denied
from support.serving import serving

STATUS, MEMBERS, COMPACT = "Status", "MemberList", "Compact"
SERVICES = {STATUS: "Maintenance", MEMBERS: "Cluster", COMPACT: "KV"}


async def _deny(_request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    await context.abort(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")


@asynccontextmanager
async def member(*denied: str, version: str = "3.6.14") -> AsyncIterator[str]:
    """Where one of three members listens, who may deny some methods."""
    answers = {
        STATUS: rpc.StatusResponse(version=version),
        MEMBERS: rpc.MemberListResponse(members=[{}, {}, {}]),
        COMPACT: rpc.CompactionResponse(),
    }
    services = []
    for method, service in SERVICES.items():

        async def answer(_request: bytes, _context: object, method: str = method) -> bytes:
            said: bytes = answers[method].SerializeToString()
            return said

        handler = grpc.unary_unary_rpc_method_handler(_deny if method in denied else answer)
        made = grpc.method_handlers_generic_handler(f"etcdserverpb.{service}", {method: handler})
        services.append(made)
    async with serving(*services) as where:
        yield where


@pytest.mark.parametrize("denied", [(STATUS, MEMBERS), (STATUS,)])
async def test_an_etcd_that_does_not_tell_its_version_is_warned_about_and_used(
    denied: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with member(*denied) as here:
            await (await EtcdStore.connect(EtcdOptions((here,)))).close()

    (warned,) = caplog.records
    assert "version is not known" in warned.getMessage()


@pytest.mark.parametrize("versions", [("3.5.1", "3.6.14"), ("3.6.14", "3.5.1")])
async def test_a_version_that_loses_data_is_found_on_any_member(versions: tuple[str, str]) -> None:
    first, second = versions
    async with member(version=first) as here, member(version=second) as there:
        with pytest.raises(InvalidConfig, match=r"etcd 3\.5\.1 can skip committed changes"):
            await EtcdStore.connect(EtcdOptions((here, there)))


async def test_who_may_not_compact_is_told_what_to_do() -> None:
    async with member(COMPACT) as here:
        store = await EtcdStore.connect(EtcdOptions((here,)))
        with pytest.raises(Denied, match=r"--compaction-interval 0; or give our user that role"):
            await store.compact(1)
        await store.close()
