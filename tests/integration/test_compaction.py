"""A real etcd, several replicas, and history that goes while all of them follow it."""

import asyncio
import contextlib
import urllib.error
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from scoord.clock import SystemClock
from scoord_server.compactor import Compactor
from scoord_server.store import keys
from scoord_server.store.etcd import EtcdStore
from scoord_server.store.port import Put, Txn
from scoord_server.view import Snapshot, View
from support.etcd import Etcd, started

pytestmark = [pytest.mark.etcd, pytest.mark.usefixtures("etcd_binary")]

INTERVAL_S = 0.3
REPLICAS = 3
CHANGES = 60


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[Etcd]:
    """A single member of this test's own: compaction is for all that is in one."""
    with started(Etcd(tmp_path / "etcd")) as server:
        yield server


@pytest.fixture
async def replicas(own_etcd: Etcd) -> AsyncIterator[list[EtcdStore]]:
    opened = [await EtcdStore.connect(own_etcd.options()) for _ in range(REPLICAS)]
    yield opened
    for store in opened:
        await store.close()


@contextlib.asynccontextmanager
async def running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def is_kept(etcd: Etcd, revision: int) -> bool:
    """Whether etcd can still tell what was there at ``revision``."""
    try:
        etcd.member.post("/v3/kv/range", {"key": "AA==", "revision": revision})
    except urllib.error.HTTPError as error:
        return b"compacted" not in error.read()
    return True


async def test_etcd_forgets_the_past_and_every_replica_goes_on_watching(
    own_etcd: Etcd, replicas: list[EtcdStore], caplog: pytest.LogCaptureFixture
) -> None:
    clock = SystemClock()
    views = [View(store, clock) for store in replicas]
    compactors = (Compactor(store, clock, INTERVAL_S).run() for store in replicas)
    async with running(*(view.run() for view in views), *compactors):
        first = (await replicas[0].txn(Txn((), (Put(keys.session("p", "s"), b""),)))).revision
        for _ in range(CHANGES):
            last = await replicas[0].txn(Txn((), (Put(keys.session("p", "s"), b""),)))
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)

        assert not await asyncio.to_thread(is_kept, own_etcd, first)
        (kv,) = (await replicas[0].range(keys.session("p", "s"))).kvs
        assert (last.revision, CHANGES + 1) == (kv.mod_revision, kv.version)
        assert all([last.revision <= await _revision(view) for view in views])
    assert "listing anew" not in caplog.text
    assert "not compacted" not in caplog.text


async def test_all_replicas_together_compact_once_an_interval(
    own_etcd: Etcd, replicas: list[EtcdStore]
) -> None:
    clock = SystemClock()
    begun = clock.now()
    async with running(*(Compactor(store, clock, INTERVAL_S).run() for store in replicas)):
        await asyncio.sleep(8 * INTERVAL_S)
    (kv,) = (await replicas[0].range(keys.compaction())).kvs

    assert 3 <= kv.version <= (clock.now() - begun) / INTERVAL_S + 1


async def _revision(view: View) -> int:
    async with aclosing(view.subscribe()) as steps:
        snapshot = await anext(steps)
    assert isinstance(snapshot, Snapshot)
    return snapshot.revision
