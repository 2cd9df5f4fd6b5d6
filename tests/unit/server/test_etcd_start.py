"""What etcd's members are asked when a coordinator starts, and what newer ones deny."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from scoord.errors import InvalidConfig, StoreUnavailable
from scoord_server.store.etcd import EtcdOptions, EtcdStore
from scoord_server.store.etcd.stubs import rpc
from scoord_server.store.etcd.versions import UNTOLD
from scoord_server.store.port import Denied
from support.house import until
from support.ports import free_port
from support.serving import serving

STATUS, MEMBERS, COMPACT, RANGE = "Status", "MemberList", "Compact", "Range"
LOGIN = "Authenticate"
NOBODY = "127.0.0.1:1"
SERVICES = {STATUS: "Maintenance", MEMBERS: "Cluster", COMPACT: "KV", RANGE: "KV", LOGIN: "Auth"}


async def _deny(_request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    await context.abort(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")


async def _know_no_users(_request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    said = "etcdserver: authentication is not enabled"
    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, said)


@asynccontextmanager
async def member(
    *denied: str,
    version: str = "3.6.14",
    size: int = 3,
    cluster: int = 1,
    knows_users: bool = True,
    at: str = "127.0.0.1:0",
) -> AsyncIterator[str]:
    """Where one of ``size`` members listens, who may deny some methods."""
    header = {"cluster_id": cluster}
    answers = {
        STATUS: rpc.StatusResponse(header=header, version=version),
        RANGE: rpc.RangeResponse(header=header),
        MEMBERS: rpc.MemberListResponse(members=[{}] * size),
        COMPACT: rpc.CompactionResponse(),
        LOGIN: rpc.AuthenticateResponse(header=header, token="t"),
    }
    refusals = dict.fromkeys(denied, _deny)
    if not knows_users:
        refusals[LOGIN] = _know_no_users
    services = []
    for method, service in SERVICES.items():

        async def answer(_request: bytes, _context: object, method: str = method) -> bytes:
            said: bytes = answers[method].SerializeToString()
            return said

        handler = grpc.unary_unary_rpc_method_handler(refusals.get(method, answer))
        made = grpc.method_handlers_generic_handler(f"etcdserverpb.{service}", {method: handler})
        services.append(made)
    async with serving(*services, at=at) as where:
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


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_version_that_loses_data_is_found_beside_one_that_is_not_told(
    is_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with member(STATUS) as silent, member(version="3.5.1") as told:
        endpoints = (silent, told) if is_first else (told, silent)
        with pytest.raises(InvalidConfig, match=r"etcd 3\.5\.1 can skip committed changes"):
            await EtcdStore.connect(EtcdOptions(endpoints))
        await (await EtcdStore.connect(EtcdOptions(endpoints, allow_unsafe_version=True))).close()

    assert 2 == [it.getMessage() for it in caplog.records].count(UNTOLD)


async def test_a_version_that_loses_data_is_warned_about_where_its_member_comes_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    later = f"127.0.0.1:{free_port()}"
    async with member() as here:
        store = await EtcdStore.connect(EtcdOptions((here, later)))
        async with member(version="3.5.1", at=later):
            await until(lambda: not store._link.unconnected())
            for _ in range(4):
                await store.range(b"k")
            await store.close()

    warned = [it.getMessage() for it in caplog.records if "etcd 3.5.1 can skip" in it.getMessage()]
    assert len(warned) == 1


async def test_how_many_members_there_are_need_not_be_told() -> None:
    async with member(version="3.5.4", size=1) as alone:
        with pytest.raises(InvalidConfig, match="with one member"):
            await EtcdStore.connect(EtcdOptions((alone,)))
    async with member(MEMBERS, version="3.5.4") as untold:
        await (await EtcdStore.connect(EtcdOptions((untold,)))).close()


async def test_of_which_cluster_it_is_also_one_says_that_does_not_tell_its_version() -> None:
    async with member(STATUS) as here, member(STATUS, cluster=2) as there:
        with pytest.raises(InvalidConfig, match=rf"{there} is of another cluster"):
            await EtcdStore.connect(EtcdOptions((here, there)))


@pytest.mark.parametrize("turn", [0, 1, 2])
async def test_one_that_lost_its_disk_keeps_no_coordinator_from_the_cluster_of_most(
    turn: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with member() as one, member() as two, member(size=1, cluster=2) as wiped:
        endpoints = (one, two, wiped)
        store = await EtcdStore.connect(EtcdOptions(endpoints[turn:] + endpoints[:turn]))
        await store.close()

    assert f"{wiped} is of another cluster" in caplog.text
    assert "it is left out until most of them" in caplog.text


async def test_a_user_is_asked_for_at_the_next_where_one_that_lost_its_disk_knows_none() -> None:
    """At the start, and when etcd has forgotten the token."""
    wiping = member(size=1, cluster=2, knows_users=False)
    async with wiping as wiped, member() as one, member() as two:
        options = EtcdOptions((wiped, one, two), user="root")
        store = await EtcdStore.connect(options)
        for turn in range(len(options.endpoints)):
            store._link._next = turn
            store._link.forget("t")
            await store.range(b"k")
        await store.close()


async def test_where_no_member_knows_users_it_is_said_what_that_may_mean() -> None:
    async with member(knows_users=False) as here, member(knows_users=False) as there:
        with pytest.raises(StoreUnavailable, match=r"not enabled; .*--etcd-user.* lost its disk"):
            await EtcdStore.connect(EtcdOptions((here, there), user="root"))


async def test_a_small_cluster_at_few_of_the_endpoints_may_be_a_member_that_was_wiped() -> None:
    async with member(size=1) as alone:
        with pytest.raises(InvalidConfig, match=rf"{alone} is a cluster of 1, and 3 endpoints are"):
            await EtcdStore.connect(EtcdOptions((NOBODY, alone, NOBODY)))


@pytest.mark.parametrize(("size", "denied"), [(3, ()), (0, (MEMBERS,))])
async def test_a_cluster_that_may_be_all_of_the_endpoints_needs_but_one_at_start(
    size: int, denied: tuple[str, ...]
) -> None:
    async with member(*denied, size=size) as alone:
        await (await EtcdStore.connect(EtcdOptions((NOBODY, alone, NOBODY)))).close()


async def test_a_small_cluster_at_most_of_the_endpoints_is_all_there_is() -> None:
    async with member(size=2) as one, member(size=2) as two:
        await (await EtcdStore.connect(EtcdOptions((one, NOBODY, two)))).close()


async def test_where_none_answers_it_is_said_what_the_one_that_runs_says() -> None:
    async with member(STATUS, RANGE) as running:
        with pytest.raises(Denied, match=rf"{running} cannot be used: etcdserver: permission"):
            await EtcdStore.connect(EtcdOptions((NOBODY, running, NOBODY)))


async def test_who_may_not_compact_is_told_what_to_do() -> None:
    async with member(COMPACT) as here:
        store = await EtcdStore.connect(EtcdOptions((here,)))
        with pytest.raises(Denied, match=r"--compaction-interval 0; or give our user that role"):
            await store.compact(1)
        await store.close()
