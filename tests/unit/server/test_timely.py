"""A store that changes nothing for a caller who does not wait any more."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from scoord.errors import DeadlineExceeded
from scoord.ids import LeaseId
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.port import Put, Txn
from scoord_server.timely import TimelyStore, time_left
from support.clock import FakeClock

LEASE = LeaseId(7)
PUT = Txn((), (Put(b"key", b"value", LEASE),))


@pytest.fixture
async def store() -> TimelyStore:
    made = TimelyStore(EmbeddedStore.open(None, FakeClock()))
    await made.grant(LEASE, 30)
    return made


@contextmanager
def _command(left_s: float | None) -> Iterator[None]:
    """The time of one command."""
    before = time_left.set(lambda: left_s)
    yield
    time_left.reset(before)


@pytest.mark.parametrize("left_s", [0.001, None], ids=["some time", "no limit"])
async def test_in_time_all_is_done(store: TimelyStore, left_s: float | None) -> None:
    with _command(left_s):
        assert (await store.txn(PUT)).succeeded
        await store.revoke(LEASE)

    assert 0 == await store.count(b"key", b"")


async def test_after_its_time_nothing_is_changed(store: TimelyStore) -> None:
    with _command(0.0):
        with pytest.raises(DeadlineExceeded):
            await store.txn(PUT)
        with pytest.raises(DeadlineExceeded):
            await store.revoke(LEASE)
        assert {LEASE: 30} == await store.keep_alive([LEASE]), "what nobody could miss"

    assert 0 == await store.count(b"key", b"")


async def test_what_a_coordinator_does_by_itself_has_no_end(store: TimelyStore) -> None:
    assert (await store.txn(PUT)).succeeded
