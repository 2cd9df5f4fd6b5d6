"""Stores of every kind under one handle, and short words for what tests do to them."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from scoord.ids import LeaseId
from scoord_server.store.port import (
    Compare,
    Event,
    Get,
    KeyValue,
    Operation,
    Put,
    Relation,
    Store,
    Target,
    Txn,
    TxnResult,
    WatchBatch,
)


@dataclass(frozen=True)
class Subject:
    """A store, and how to let time pass for its leases."""

    store: Store
    let_pass: Callable[[float], Coroutine[Any, Any, None]]

    async def do(self, *operations: Operation) -> TxnResult:
        """Run operations unconditionally."""
        return await self.store.txn(Txn((), operations))

    async def put(self, key: bytes, value: bytes = b"", lease: int = 0) -> int:
        """Put one key; returns the revision."""
        return (await self.do(Put(key, value, LeaseId(lease)))).revision

    async def get(self, key: bytes) -> KeyValue | None:
        """One key, if it is there."""
        kvs = (await self.store.range(key)).kvs
        return kvs[0] if kvs else None

    async def grant(self, ttl_s: int = 60) -> LeaseId:
        """Begin a lease under a random id."""
        lease = LeaseId(secrets.randbits(62) + 1)
        await self.store.grant(lease, ttl_s)
        return lease

    async def holds(self, *compares: Compare) -> bool:
        """Whether compares hold, all together."""
        return (await self.store.txn(Txn(compares))).succeeded

    async def revision(self) -> int:
        """The present revision."""
        return (await self.store.range(b"\0")).revision

    async def batches(
        self, prefix: bytes, from_revision: int, number_of_events: int, within_s: float = 8.0
    ) -> list[WatchBatch]:
        """Batches from the watch until so many events were in them; empty ones left out."""
        seen: list[WatchBatch] = []
        async with (
            asyncio.timeout(within_s),
            contextlib.aclosing(self.store.watch(prefix, from_revision)) as batches,
        ):
            async for batch in batches:
                seen += [batch] if batch.events else []
                if sum(len(b.events) for b in seen) >= number_of_events:
                    break
        return seen

    async def events(self, prefix: bytes, from_revision: int, number: int) -> list[Event]:
        """The first events of a watch."""
        batches = await self.batches(prefix, from_revision, number)
        return [event for batch in batches for event in batch.events]


def compare(
    key: bytes, target: Target, relation: Relation, number: int, end: bytes = b""
) -> Compare:
    """A compare, in the order it is read aloud."""
    return Compare(key, target, relation, number, end)


def absent(key: bytes) -> Compare:
    """Holds while ``key`` is not there."""
    return Compare(key, Target.CREATE, Relation.EQUAL, 0)


def create(key: bytes, value: bytes = b"", lease: int = 0) -> Txn:
    """Puts a key that is not there yet; else reads it."""
    return Txn((absent(key),), (Put(key, value, LeaseId(lease)),), (Get(key),))


def told(event: Event) -> tuple[str, bytes, bytes]:
    """An event in short: what happened, to which key, with which value."""
    return ("delete" if event.deleted else "put", event.kv.key, event.kv.value)
