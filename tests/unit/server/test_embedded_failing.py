"""What the embedded store says of a disk that fails, and how often."""

import logging
from pathlib import Path

import pytest

from scoord.errors import StoreUnavailable
from scoord_server.store.embedded import PROGRESS_INTERVAL_S, EmbeddedStore
from scoord_server.store.port import Put, Txn
from support.clock import FakeClock

STALE_S = 2.0
"""A view that was not heard for that long says its age."""


async def _put(store: EmbeddedStore) -> None:
    await store.txn(Txn((), (Put(b"k", b"v"),)))


def _fail(change: object) -> None:
    raise StoreUnavailable("the disk is gone")


async def test_a_row_of_failures_is_logged_once_and_so_is_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = EmbeddedStore.open(tmp_path / "store.db", FakeClock())
    with caplog.at_level(logging.INFO):
        with monkeypatch.context() as disk:
            disk.setattr(store._ledger, "record", _fail)
            for _ in range(3):
                with pytest.raises(StoreUnavailable):
                    await _put(store)
        await _put(store)
        await _put(store)
    await store.close()

    assert [record.message for record in caplog.records] == [
        "nothing can be written down, so nothing is granted: the disk is gone",
        "changes are written down again",
    ]


def test_an_idle_store_is_heard_before_its_picture_looks_old() -> None:
    assert STALE_S - PROGRESS_INTERVAL_S >= 0.25
