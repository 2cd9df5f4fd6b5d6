"""Group commit: transactions that travel together to a real etcd stay what they are."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from scoord.errors import StoreUnavailable
from scoord.ids import LeaseId
from scoord_server.store.etcd import EtcdStore
from scoord_server.store.port import (
    Delete,
    Get,
    LeaseNotFound,
    Put,
    Store,
    Txn,
    TxnResult,
    prefix_end,
)
from support.etcd import Etcd
from support.stores import absent, create

pytestmark = [pytest.mark.etcd, pytest.mark.usefixtures("etcd_binary")]


@pytest.fixture
async def store(etcd: Etcd, namespace: bytes) -> AsyncIterator[EtcdStore]:
    store = await EtcdStore.connect(etcd.options(namespace=namespace))
    yield store
    await store.close()


async def put(store: Store, key: bytes) -> TxnResult:
    return await store.txn(Txn((), (Put(key, b""),)))


@pytest.fixture
def calls(store: EtcdStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many transactions each call carried."""
    sizes: list[int] = []
    send = store._groups._send

    async def counted(txns: Any) -> list[TxnResult]:
        sizes.append(len(txns))
        return await send(txns)

    monkeypatch.setattr(store._groups, "_send", counted)
    return sizes


async def test_500_racing_creates_have_one_winner_for_each_key(
    store: EtcdStore, calls: list[int]
) -> None:
    names = [(b"lock/%d" % (number % 50), b"%d" % number) for number in range(500)]
    before = (await store.range(b"x")).revision

    results = await asyncio.gather(*(store.txn(create(key, who)) for key, who in names))

    listing = await store.range(b"lock/", prefix_end(b"lock/"))
    won = {
        key: (who, r.revision) for (key, who), r in zip(names, results, strict=True) if r.succeeded
    }
    assert 50 == len(won) == sum(result.succeeded for result in results)
    assert won == {kv.key: (kv.value, kv.create_revision) for kv in listing.kvs}
    for (key, _), result in zip(names, results, strict=True):
        if not result.succeeded:
            assert [won[key][0]] == [kv.value for kv in result.results[0].kvs]
    assert sum(calls) == 500
    assert len(calls) < 100
    assert listing.revision - before < 50


async def test_an_idle_store_sends_a_txn_by_itself(store: EtcdStore, calls: list[int]) -> None:
    for number in range(5):
        await put(store, b"%d" % number)

    assert calls == [1] * 5


async def test_txns_that_touch_the_same_keys_do_not_share_a_revision(
    store: EtcdStore, calls: list[int]
) -> None:
    """A counter by compare-and-put loses no step, and readers of a range see whole steps."""
    await asyncio.gather(*(put(store, b"busy/%d" % number) for number in range(8)))
    writes = [Txn((), (Put(b"p/a", b"%d" % n), Put(b"p/b", b"%d" % n))) for n in range(40)]
    reads = [Txn((), (Get(b"p/", prefix_end(b"p/")),)) for _ in range(40)]
    deletes = [Txn((), (Delete(b"p/", prefix_end(b"p/")),)) for _ in range(10)]
    mixed = [txn for some in zip(writes, reads, strict=True) for txn in some] + deletes

    results = await asyncio.gather(*(store.txn(txn) for txn in mixed))

    changed = [
        r.revision for t, r in zip(mixed, results, strict=True) if isinstance(t.then[0], Put)
    ]
    assert len(set(changed)) == len(writes)
    for result in results[1:80:2]:
        assert len({kv.value for kv in result.results[0].kvs}) <= 1


async def test_one_dead_lease_fails_its_own_txn_only(store: EtcdStore, calls: list[int]) -> None:
    txns = [
        Txn((), (Put(b"k%d" % number, b"", LeaseId(4_611 if number == 20 else 0)),))
        for number in range(60)
    ]

    results = await asyncio.gather(*map(store.txn, txns), return_exceptions=True)

    assert [n for n, result in enumerate(results) if isinstance(result, LeaseNotFound)] == [20]
    assert len((await store.range(b"k", b"l")).kvs) == 59
    assert max(calls) > 1


async def test_groups_of_large_txns_stay_within_what_etcd_takes(
    store: EtcdStore, calls: list[int]
) -> None:
    many = [
        Txn((absent(b"%d" % n),), tuple(Put(b"%d/%d" % (n, i), b"") for i in range(100)))
        for n in range(30)
    ]
    heavy = [Txn((), (Put(b"heavy/%d" % n, b"x" * 300_000),)) for n in range(12)]

    results = await asyncio.gather(*map(store.txn, many + heavy))

    assert all(result.succeeded for result in results)
    assert max(calls) > 1


async def test_a_caller_that_gives_up_does_not_disturb_the_others(store: EtcdStore) -> None:
    running = [asyncio.create_task(put(store, b"k%d" % number)) for number in range(60)]
    await asyncio.sleep(0)
    for task in running[::2]:
        task.cancel()

    others = await asyncio.gather(*running[1::2])

    assert len(others) == 30


async def test_closing_tells_those_who_wait(etcd: Etcd, namespace: bytes) -> None:
    store = await EtcdStore.connect(etcd.options(namespace=namespace))
    running = [asyncio.create_task(put(store, b"k%d" % number)) for number in range(100)]
    await asyncio.sleep(0)
    await store.close()

    answers = await asyncio.gather(*running, return_exceptions=True)

    assert {StoreUnavailable} == {type(answer) for answer in answers}
    with pytest.raises(StoreUnavailable):
        await put(store, b"k")
