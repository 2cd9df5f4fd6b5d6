"""The store that all replicas share, and each replica's way to it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from scoord.errors import StoreUnavailable
from scoord.ids import LeaseId
from scoord.v1.records_pb2 import EventRecord, SessionRecord
from scoord_server.store import keys
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.keyspace import Change
from scoord_server.store.port import (
    KeyValue,
    RangeResult,
    Txn,
    TxnResult,
    WatchBatch,
    prefix_end,
)
from support.simulation.loop import VirtualLoop

_FAST_S = 0.002
_SLOW = 0.3
"""The chance that others have their turn on the way."""


class ObservedStore(EmbeddedStore):
    """The embedded store; whoever checks it sees every change as it is made."""

    observer: Callable[[Change], None] | None = None

    @property
    def revision(self) -> int:
        """The present revision."""
        return self._keyspace.revision

    @property
    def leases(self) -> list[LeaseId]:
        """The leases that stand, in the order they were granted."""
        return list(self._keyspace.leases._by_id)

    def history(self) -> list[EventRecord]:
        """All lines of history that are there."""
        root, _ = keys.kept_roots()
        return [EventRecord.FromString(kv.value) for kv in self._below(root)]

    def begun(self) -> list[SessionRecord]:
        """The sessions whose end is not written down."""
        return [SessionRecord.FromString(kv.value) for kv in self._below(keys.begun_prefix())]

    def all_keys(self) -> list[bytes]:
        """Every key that is there."""
        return [kv.key for kv in self._below(b"/")]

    def _below(self, prefix: bytes) -> tuple[KeyValue, ...]:
        return self._keyspace.read(prefix, prefix_end(prefix))

    def _commit(self, change: Change) -> None:
        super()._commit(change)
        if self.observer:
            self.observer(change)


@dataclass
class StoreLink:
    """One replica's way to the store: like etcd's, it takes time, and may fail half-way."""

    store: EmbeddedStore
    rng: random.Random
    loop: VirtualLoop
    cut: bool = False
    failing: float = 0.0
    """The chance that one operation's answer, or the operation itself, is lost."""
    watch_lag_s: float = 0.0
    """How much later than its answers the store tells of its changes."""
    slow_s: float = 0.0
    """How much longer each way takes at most."""
    slowed: int = 0
    """How often one did."""
    failed: int = 0
    """How many operations have failed on it."""
    lagged: int = 0
    """How many changes came late over it."""
    watched_s: float = 0.0
    """When it last began to watch, after a listing."""

    async def txn(self, txn: Txn) -> TxnResult:
        """As the store."""
        await self._there()
        result = await self.store.txn(txn)
        await self._back()
        return result

    async def range(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        limit: int = 0,
        descending: bool = False,
        within_s: float = 0.0,
    ) -> RangeResult:
        """As the store."""
        await self._there()
        result = await self.store.range(
            key, end, limit=limit, descending=descending, within_s=within_s
        )
        await self._back()
        return result

    async def count(self, key: bytes, end: bytes) -> int:
        """As the store."""
        await self._there()
        result = await self.store.count(key, end)
        await self._back()
        return result

    async def grant(self, lease: LeaseId, ttl_s: int) -> int:
        """As the store."""
        await self._there()
        result = await self.store.grant(lease, ttl_s)
        await self._back()
        return result

    async def keep_alive(self, leases: Sequence[LeaseId]) -> dict[LeaseId, int]:
        """As the store."""
        await self._there()
        result = await self.store.keep_alive(leases)
        await self._back()
        return result

    async def revoke(self, lease: LeaseId) -> None:
        """As the store."""
        await self._there()
        await self.store.revoke(lease)
        await self._back()

    async def watch(self, prefix: bytes, from_revision: int) -> AsyncGenerator[WatchBatch, None]:
        """As the store; breaks off where the way to it is cut."""
        self.watched_s = self.loop.true_s
        await self._there()
        async with contextlib.aclosing(self.store.watch(prefix, from_revision)) as batches:
            async for batch in batches:
                await self._back()
                if self.watch_lag_s:
                    self.lagged += 1
                    await asyncio.sleep(self.watch_lag_s)
                yield batch

    async def compact(self, revision: int) -> None:
        """As the store."""
        await self.store.compact(revision)

    async def close(self) -> None:
        """The store is shared; it stays."""

    async def _there(self) -> None:
        await self._hop("not done")

    async def _back(self) -> None:
        await self._hop("perhaps done")

    async def _hop(self, how: str) -> None:
        if self.rng.random() < _SLOW:
            await asyncio.sleep(self.rng.random() * _FAST_S)
        if self.slow_s:
            self.slowed += 1
            await asyncio.sleep(self.rng.random() * self.slow_s)
        if self.cut:
            await asyncio.sleep(1.0)
        if self.cut or (self.failing and self.rng.random() < self.failing):
            self.failed += 1
            raise StoreUnavailable(f"the store cannot be reached; {how}")
