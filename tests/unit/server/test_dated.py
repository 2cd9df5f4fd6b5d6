"""What the answers of a store show of how far it had come by when."""

import math

import pytest

from scoord_server.dated import DatedStore
from scoord_server.past import Past
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.port import Compare, Delete, Get, Put, Relation, Target, Txn
from support.clock import FakeClock

KEY = b"/scoord/v1/p/team/sessions/a"
_IS_THERE = Compare(KEY, Target.VERSION, Relation.GREATER, 0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def past() -> Past:
    return Past()


@pytest.fixture
def store(clock: FakeClock, past: Past) -> DatedStore:
    return DatedStore(EmbeddedStore.open(None, clock), clock, past)


@pytest.mark.parametrize(
    ("what", "own"),
    [
        (Txn((), (Put(KEY, b"2"),)), 1),
        (Txn((), (Delete(KEY),)), 1),
        (Txn((_IS_THERE,), (Put(KEY, b"2"),), (Get(KEY),)), 1),
        (Txn((), (Get(KEY),)), 0),
        (Txn((), (Delete(KEY + b"b"),)), 0),
        (Txn((_IS_THERE,), (Get(KEY),), (Put(KEY, b"2"),)), 0),
    ],
    ids=["put", "deleted", "compared, and put", "read", "nothing to delete", "compared, and read"],
)
async def test_what_was_there_before_it_is_all_that_had_been_done(
    store: DatedStore, past: Past, clock: FakeClock, what: Txn, own: int
) -> None:
    before = (await store.txn(Txn((), (Put(KEY, b"1"),)))).revision
    moment = clock.now()
    clock.advance(1)

    result = await store.txn(what)

    assert before + own == result.revision
    assert before == past.span(moment).high
    assert math.inf == past.span(clock.now()).high
