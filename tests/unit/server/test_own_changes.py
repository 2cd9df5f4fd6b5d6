"""Lists show what the same coordinator has done before they were asked for."""

from collections.abc import AsyncIterator

import pytest

from scoord_server.model.commands import Acquire, Terms
from scoord_server.model.facts import LockName
from scoord_server.own_changes import OwnChangesStore
from scoord_server.store import keys
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.port import Compare, Delete, Get, Put, Relation, Target, Txn
from support.clock import FakeClock
from support.coordination import PROJECT, Bench, bench

SHOWN = keys.session(PROJECT, "a")
PAST = keys.event_prefix(PROJECT)


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        await made.session("a")
        yield made


async def test_a_list_that_is_asked_for_at_once_has_what_was_just_granted(b: Bench) -> None:
    for number in range(20):
        wanted = Acquire(b.asker("a"), (LockName.of(f"{number}.py"),), Terms())
        await b.coordinator.locks.acquire(wanted)

        assert number + 1 == len((await b.coordinator.present()).locks)


@pytest.fixture
def store() -> OwnChangesStore:
    return OwnChangesStore(EmbeddedStore.open(None, FakeClock()))


async def test_a_change_of_the_present_is_noted(store: OwnChangesStore) -> None:
    put = await store.txn(Txn((), (Put(PAST, b"line"), Put(SHOWN, b"1"))))
    assert put.revision == store.revision

    deleted = await store.txn(Txn((), (Delete(SHOWN),)))
    assert deleted.revision == store.revision > put.revision


_IS_THERE = Compare(SHOWN, Target.VERSION, Relation.GREATER, 0)


@pytest.mark.parametrize(
    "what",
    [Txn((), (op,)) for op in (Put(PAST, b"line"), Delete(SHOWN), Get(SHOWN))]
    + [Txn((_IS_THERE,), (Put(SHOWN, b"2"),), (Get(SHOWN),))],
    ids=["a line of history", "nothing to delete", "read", "compared, and not done"],
)
async def test_what_the_view_hears_nothing_of_is_not_waited_for(
    store: OwnChangesStore, what: Txn
) -> None:
    await store.txn(what)

    assert 0 == store.revision
