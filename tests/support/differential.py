"""One sequence of steps on two stores, with answers that can be compared.

Revisions are told relative to where each store began, and leases by slot, so
that equal behaviour gives equal answers.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from scoord.errors import InvalidRequest
from scoord.ids import LeaseId
from scoord_server.store.port import (
    Compacted,
    Compare,
    Event,
    Get,
    KeyValue,
    LeaseExists,
    LeaseNotFound,
    Operation,
    OpResult,
    Put,
    Store,
    Target,
    Txn,
)

MARKER = b"marker"
"""A key that steps do not use."""

Answer = object


@dataclass(frozen=True)
class Do:
    """Run a transaction; its leases are slots and its revisions relative."""

    txn: Txn


@dataclass(frozen=True)
class Grant:
    """Begin the lease of a slot."""

    slot: int
    ttl_s: int


@dataclass(frozen=True)
class Renew:
    """Renew the leases of slots."""

    slots: tuple[int, ...]


@dataclass(frozen=True)
class Revoke:
    """End the lease of a slot."""

    slot: int


@dataclass(frozen=True)
class Read:
    """Read an interval."""

    key: bytes
    end: bytes
    limit: int = 0
    descending: bool = False


@dataclass(frozen=True)
class Number:
    """Count the keys of an interval."""

    key: bytes
    end: bytes


@dataclass(frozen=True)
class CompactNow:
    """Forget all but the present, once the watch has seen it.

    The present is a put of the marker: etcd before 3.4.36 and 3.5.18 loses a delete
    that history is compacted to.
    """


Step = Do | Grant | Renew | Revoke | Read | Number | CompactNow


@dataclass
class Side:
    """One of the two stores."""

    store: Store
    lease_base: int
    tells_revisions: bool = True
    """False where others write to the same store meanwhile."""
    start: int = 0
    compacted: int = 0
    seen: list[Event] = field(default_factory=list)
    watching: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Find the start, and watch from it on."""
        self.start = (await self.store.range(MARKER)).revision
        self.watching = asyncio.create_task(self._watch())
        # Only once an event came through is the watch known to run.
        await self._wait_until_seen(await self._mark())

    async def take(self, step: Step) -> Answer:
        """Do one step; what it answered, or the name of what it raised."""
        try:
            return await self._take(step)
        except (LeaseNotFound, LeaseExists, InvalidRequest) as refusal:
            return type(refusal).__name__

    async def end(self) -> tuple[list[Answer], Answer, list[Answer]]:
        """What the watch saw, what history says from the start, and from where it is kept."""
        await self._wait_until_seen(await self._mark())
        from_start = await self._history(self.start + 1)
        kept = await self._history(max(self.start + 1, self.compacted))
        assert isinstance(kept, list)
        return [self._event(event) for event in self.seen], from_start, kept

    async def close(self) -> None:
        """Stop the watch."""
        if self.watching is not None:
            self.watching.cancel()
            await asyncio.wait({self.watching})
        await self.store.close()

    async def _take(self, step: Step) -> Answer:
        match step:
            case Do(txn):
                result = await self.store.txn(self._txn(txn))
                ops = [self._op_result(op) for op in result.results]
                return (result.succeeded, self._relative(result.revision), ops)
            case Grant(slot, ttl_s):
                return await self.store.grant(self._lease(slot), ttl_s)
            case Renew(slots):
                left = await self.store.keep_alive([self._lease(slot) for slot in slots])
                return {self._slot(lease): seconds for lease, seconds in left.items()}
            case Revoke(slot):
                await self.store.revoke(self._lease(slot))
            case Read(key, end, limit, descending):
                found = await self.store.range(key, end, limit=limit, descending=descending)
                return (self._kvs(found.kvs), self._relative(found.revision))
            case Number(key, end):
                return await self.store.count(key, end)
            case CompactNow():
                self.compacted = await self._mark()
                await self._wait_until_seen(self.compacted)
                await self.store.compact(self.compacted)

        return None

    async def _mark(self) -> int:
        return (await self.store.txn(Txn((), (Put(MARKER, b""),)))).revision

    async def _watch(self) -> None:
        async with contextlib.aclosing(self.store.watch(b"", self.start + 1)) as batches:
            async for batch in batches:
                self.seen += batch.events

    async def _wait_until_seen(self, revision: int) -> None:
        assert self.watching is not None
        async with asyncio.timeout(10):
            while not self.seen or self.seen[-1].kv.mod_revision < revision:
                if self.watching.done():
                    self.watching.result()
                await asyncio.sleep(0.005)

    async def _history(self, revision: int) -> Answer:
        events: list[Event] = []
        last = (await self.store.range(MARKER)).kvs[0].mod_revision
        async with (
            asyncio.timeout(10),
            contextlib.aclosing(self.store.watch(b"", revision)) as batches,
        ):
            try:
                while not events or events[-1].kv.mod_revision < last:
                    events += (await anext(batches)).events
            except Compacted as compacted:
                return ("compacted", self._relative(compacted.revision))
        return [self._event(event) for event in events]

    def _txn(self, txn: Txn) -> Txn:
        compares = tuple(map(self._compare, txn.compares))
        return Txn(compares, self._operations(txn.then), self._operations(txn.otherwise))

    def _compare(self, compare: Compare) -> Compare:
        match compare.target:
            case Target.CREATE | Target.MOD:
                return replace(compare, number=self._revision(compare.number))
            case Target.LEASE:
                return replace(compare, number=self._lease(compare.number))
            case Target.VERSION:
                return compare

    def _operations(self, operations: Iterable[Operation]) -> tuple[Operation, ...]:
        return tuple(map(self._operation, operations))

    def _operation(self, op: Operation) -> Operation:
        match op:
            case Put():
                return replace(op, lease=self._lease(op.lease))
            case Get():
                return replace(op, since=self._revision(op.since))
        return op

    def _lease(self, slot: int) -> LeaseId:
        return LeaseId(self.lease_base + slot if slot else 0)

    def _slot(self, lease: LeaseId) -> int:
        return lease - self.lease_base if lease else 0

    def _revision(self, relative: int) -> int:
        return self.start + relative if relative > 0 else 0

    def _relative(self, revision: int) -> int:
        return revision - self.start if revision and self.tells_revisions else 0

    def _op_result(self, result: OpResult) -> Answer:
        return (self._kvs(result.kvs), result.deleted)

    def _kvs(self, kvs: Sequence[KeyValue]) -> list[KeyValue]:
        return [self._kv(kv) for kv in kvs]

    def _kv(self, kv: KeyValue) -> KeyValue:
        return replace(
            kv,
            create_revision=self._relative(kv.create_revision),
            mod_revision=self._relative(kv.mod_revision),
            lease=LeaseId(self._slot(kv.lease)),
        )

    def _event(self, event: Event) -> Event:
        return Event(self._kv(event.kv), event.deleted)
