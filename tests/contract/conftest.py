"""Every adapter of the store port, under one fixture."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.etcd import EtcdStore
from support.clock import FakeClock
from support.etcd import Etcd, started
from support.stores import Subject

PROGRESS_S = 0.3
_REVOKED_WITHIN_S = 1.5
"""etcd looks for leases that are due twice a second; a busy machine takes longer."""

ADAPTERS = ["memory", "file", pytest.param("etcd", marks=pytest.mark.etcd)]


@pytest.fixture(scope="package")
def etcd(etcd_binary: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """An etcd of this folder's own: its tests count revisions, and nobody else may add one."""
    with started(Etcd(tmp_path_factory.mktemp("etcd"))) as server:
        yield server


@pytest.fixture(params=ADAPTERS)
async def subject(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: bytes
) -> AsyncIterator[Subject]:
    if request.param == "etcd":
        etcd: Etcd = request.getfixturevalue("etcd")
        etcd.revoke_all()
        opened = await open_etcd(etcd, namespace)
    else:
        opened = open_embedded(tmp_path / "store.db" if request.param == "file" else None)
    yield opened
    await opened.store.close()


def open_embedded(path: Path | None) -> Subject:
    clock = FakeClock()
    store = EmbeddedStore.open(path, clock, progress_interval_s=PROGRESS_S)

    async def let_pass(seconds: float) -> None:
        clock.advance(seconds + _REVOKED_WITHIN_S)
        store.expire()

    return Subject(store, let_pass)


async def open_etcd(etcd: Etcd, namespace: bytes) -> Subject:
    options = etcd.options(namespace=namespace, progress_interval_s=PROGRESS_S, deadline_s=5.0)

    async def let_pass(seconds: float) -> None:
        await asyncio.sleep(seconds + _REVOKED_WITHIN_S)

    return Subject(await EtcdStore.connect(options), let_pass)
