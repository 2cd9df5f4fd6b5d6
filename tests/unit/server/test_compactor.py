"""The store's history is forgotten, by one replica at a time, one interval after it was made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from scoord.clock import SystemClock
from scoord.errors import InvalidConfig, ScoordError, StoreUnavailable
from scoord_server.compactor import INTERVAL_S, Compactor
from scoord_server.options import (
    LEAST_COMPACTION_S,
    LEAST_LINES,
    ServerOptions,
    check_compaction,
    check_history,
)
from scoord_server.store import keys
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.port import Compacted, Denied, Put, Txn
from support.clock import FakeClock


class Kept(EmbeddedStore):
    """A store that tells what was compacted, and can be made to refuse it."""

    compacted: list[int]
    failing: ScoordError | None = None

    async def compact(self, revision: int) -> None:
        if self.failing:
            raise self.failing
        await super().compact(revision)
        self.compacted.append(revision)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> Kept:
    made = Kept.open(None, clock)
    made.compacted = []
    return made


async def put(store: EmbeddedStore) -> int:
    return (await store.txn(Txn((), (Put(b"k", b"v"),)))).revision


async def pass_an_interval(clock: FakeClock, *compactors: Compactor) -> None:
    clock.advance(INTERVAL_S)
    for compactor in compactors:
        await compactor.step()


async def test_history_is_forgotten_once_it_is_an_interval_old(
    store: Kept, clock: FakeClock
) -> None:
    compactor = Compactor(store, clock)
    old = await put(store)
    await compactor.step()
    young = await put(store)
    await pass_an_interval(clock, compactor)

    with pytest.raises(Compacted):
        await anext(store.watch(b"k", old))
    async with aclosing(store.watch(b"k", young)) as batches:
        assert [young] == [event.kv.mod_revision for event in (await anext(batches)).events]


async def test_nothing_is_done_before_an_interval_is_over(store: Kept, clock: FakeClock) -> None:
    compactor = Compactor(store, clock)
    await compactor.step()
    begun = await put(store)
    clock.advance(INTERVAL_S - 1)
    await compactor.step()

    assert [] == store.compacted
    assert begun + 1 == await put(store), "not even the key was put"


async def test_of_several_replicas_one_compacts(store: Kept, clock: FakeClock) -> None:
    replicas = [Compactor(store, clock) for _ in range(3)]
    for replica in replicas:
        await replica.step()
    for _ in range(4):
        await put(store)
        await pass_an_interval(clock, *replicas)

    assert 4 == len(store.compacted)
    assert sorted(set(store.compacted)) == store.compacted


async def test_another_replica_follows_the_one_that_died(store: Kept, clock: FakeClock) -> None:
    dying, other = Compactor(store, clock), Compactor(store, clock)
    await pass_an_interval(clock, dying, other)
    await pass_an_interval(clock, dying, other)
    before = len(store.compacted)
    await pass_an_interval(clock, other)
    await pass_an_interval(clock, other)

    assert before + 1 <= len(store.compacted)


async def test_what_could_not_be_compacted_goes_with_the_next(
    store: Kept, clock: FakeClock
) -> None:
    compactor = Compactor(store, clock)
    await compactor.step()
    store.failing = StoreUnavailable("no disk")
    with pytest.raises(StoreUnavailable):
        await pass_an_interval(clock, compactor)
    await compactor.step()
    store.failing = None
    await pass_an_interval(clock, compactor)

    assert 1 == len(store.compacted)


async def test_a_step_whose_answer_was_lost_is_not_taken_for_a_new_one(
    store: Kept, clock: FakeClock
) -> None:
    """It put the key, so the version is not the one it knows: it only takes note."""
    one, again = Compactor(store, clock), Compactor(store, clock)
    await one.step()
    await pass_an_interval(clock, again)
    await store.txn(Txn((), (Put(keys.compaction(), b"1"),)))
    await pass_an_interval(clock, one)

    assert [] == store.compacted
    await pass_an_interval(clock, one)
    assert 1 == len(store.compacted)


async def test_a_store_that_was_put_back_to_an_earlier_state_is_compacted_again(
    store: Kept, clock: FakeClock
) -> None:
    compactor = Compactor(store, clock)
    for _ in range(10):
        await put(store)
    await compactor.step()
    restored = Kept.open(None, clock)
    restored.compacted = []
    compactor._store = restored
    for _ in range(3):
        await pass_an_interval(clock, compactor)

    assert restored.compacted


@asynccontextmanager
async def running(store: Kept) -> AsyncIterator[None]:
    """One that looks all the time."""
    task = asyncio.create_task(Compactor(store, SystemClock(), 0.01).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_goes_on_whatever_the_store_says(
    store: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    store.failing = StoreUnavailable("no disk")
    async with running(store):
        await asyncio.sleep(0.2)
        store.failing = None
        await asyncio.sleep(0.2)

    assert "old revisions were not compacted, trying again later: no disk" in caplog.text
    assert store.compacted


async def test_that_it_may_not_compact_is_said_once(
    store: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    store.failing = Denied("give our user the role root")
    async with running(store):
        await asyncio.sleep(0.2)
        said = "old revisions are not compacted: give our user the role root"
        assert 1 == caplog.text.count(said)

        store.failing = None
        await asyncio.sleep(0.2)
        store.failing = Denied("once more")
        await asyncio.sleep(0.2)

    assert store.compacted, "whoever was given the role needs no restart"
    assert 1 == caplog.text.count("once more")


@pytest.mark.parametrize("interval_s", [0, LEAST_COMPACTION_S, INTERVAL_S])
def test_an_interval_may_be_long_or_none_at_all(interval_s: float) -> None:
    check_compaction(_options(interval_s))


@pytest.mark.parametrize("interval_s", [-1, 59, float("nan")])
def test_an_interval_too_short_to_resume_a_watch_in_is_refused(interval_s: float) -> None:
    with pytest.raises(InvalidConfig, match="--compaction-interval"):
        check_compaction(_options(interval_s))


def test_a_history_that_is_too_short_to_be_of_use_is_refused() -> None:
    check_history(replace(_options(0), history_lines=LEAST_LINES))
    with pytest.raises(InvalidConfig, match="--history-lines 999: want at least 1,000"):
        check_history(replace(_options(0), history_lines=LEAST_LINES - 1))


def _options(interval_s: float) -> ServerOptions:
    return ServerOptions("127.0.0.1:0", insecure=False, tls=None, compaction_s=interval_s)
