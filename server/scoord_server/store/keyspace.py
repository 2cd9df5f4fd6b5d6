"""The keyspace of the embedded store: etcd's data model in memory.

Every command is planned first and applied after: ``plan`` methods compute what a
command would do and change nothing, so that whoever keeps the keyspace on disk
can write the ``Change`` there in between, and a disk that fails leaves memory
as it was. This file knows neither disk nor clock nor event loop.

As in etcd: one transaction is one revision, if it changes anything; reads in it
see what it has written; comparing an absent key, or a range without keys,
compares 0; a lease that is due stands until it is revoked, and revoking deletes
its keys, in order, in one revision.
"""

import operator
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from scoord.ids import LeaseId
from scoord_server.store.intervals import TO_THE_LAST, covers
from scoord_server.store.leases import MIN_TTL_S, Leases
from scoord_server.store.port import (
    Compare,
    Delete,
    Event,
    KeyValue,
    LeaseExists,
    LeaseNotFound,
    Operation,
    OpResult,
    Put,
    Relation,
    Target,
    Txn,
    TxnResult,
)
from scoord_server.store.revisions import Revisions

FIRST_REVISION = 1
"""An empty etcd is at revision 1."""

NO_LEASE = LeaseId(0)

_TARGETS: dict[Target, Callable[[KeyValue], int]] = {
    Target.VERSION: attrgetter("version"),
    Target.CREATE: attrgetter("create_revision"),
    Target.MOD: attrgetter("mod_revision"),
    Target.LEASE: attrgetter("lease"),
}
_RELATIONS: dict[Relation, Callable[[int, int], Any]] = {
    Relation.EQUAL: operator.eq,
    Relation.LESS: operator.lt,
    Relation.GREATER: operator.gt,
}
_DONE = OpResult()


@dataclass(frozen=True, slots=True)
class Change:
    """What one command does: to disk first, to memory after."""

    revision: int
    events: tuple[Event, ...] = ()
    granted: tuple[LeaseId, int] | None = None
    ended: LeaseId = NO_LEASE


@dataclass(frozen=True, slots=True)
class Saved:
    """What outlives a restart: leases are with their TTL in seconds."""

    revision: int
    kvs: tuple[KeyValue, ...] = ()
    leases: tuple[tuple[LeaseId, int], ...] = ()


class Keyspace:
    """Keys and leases at one revision, and what the ones before it changed."""

    def __init__(self, saved: Saved, now: float, most_revisions: int) -> None:
        self._kvs = {kv.key: kv for kv in saved.kvs}
        self._order = sorted(self._kvs)
        self.leases = Leases()
        self.leases.load(saved.leases, now)
        for kv in saved.kvs:
            self.leases.move_key(kv.key, NO_LEASE, kv.lease)
        # What was before a restart is not known, unless it was nothing.
        is_new = saved.revision == FIRST_REVISION
        oldest = FIRST_REVISION if is_new else saved.revision + 1
        self.revisions = Revisions(saved.revision, oldest, most_revisions)

    @property
    def revision(self) -> int:
        """The present revision."""
        return self.revisions.revision

    def get(self, key: bytes) -> KeyValue | None:
        """One key as it stands."""
        return self._kvs.get(key)

    def read(
        self, key: bytes, end: bytes, *, limit: int = 0, descending: bool = False
    ) -> tuple[KeyValue, ...]:
        """Read the keys of an interval, sorted; the first ``limit`` of them, if not 0."""
        if end:
            low, high = self._bounds(key, end)
            taken = min(limit, high - low) if limit else high - low
            if descending:
                return tuple(self._kvs[k] for k in reversed(self._order[high - taken : high]))
            return tuple(self._kvs[k] for k in self._order[low : low + taken])
        kv = self._kvs.get(key)
        return () if kv is None else (kv,)

    def count(self, key: bytes, end: bytes) -> int:
        """How many keys are in an interval; without an end, whether the one key is there."""
        if not end:
            return int(key in self._kvs)
        low, high = self._bounds(key, end)
        return high - low

    def plan_txn(self, txn: Txn) -> tuple[TxnResult, Change]:
        """Work out what ``txn`` answers and does. Raises LeaseNotFound."""
        succeeded = all(map(self._holds, txn.compares))
        operations = txn.then if succeeded else txn.otherwise
        draft = _Draft(self)
        results = tuple(map(draft.do, operations))
        revision = self.revision + 1 if draft.events else self.revision
        return TxnResult(succeeded, revision, results), Change(revision, tuple(draft.events))

    def plan_grant(self, lease: LeaseId, ttl_s: int) -> tuple[int, Change]:
        """Work out the TTL granted, and what beginning a lease does. Raises LeaseExists."""
        if lease in self.leases:
            raise LeaseExists(f"lease {lease} is taken")
        granted_s = max(ttl_s, MIN_TTL_S)
        return granted_s, Change(self.revision, granted=(lease, granted_s))

    def plan_revoke(self, lease: LeaseId) -> Change:
        """Work out what ending a lease does. Raises LeaseNotFound."""
        standing = self.leases.find(lease)
        if standing is None:
            raise LeaseNotFound(f"lease {lease} is gone")
        draft = _Draft(self)
        for key in sorted(standing.keys):
            draft.do(Delete(key))
        revision = self.revision + 1 if draft.events else self.revision
        return Change(revision, tuple(draft.events), ended=lease)

    def apply(self, change: Change, now: float) -> None:
        """Do what was planned at the present revision. Cannot fail."""
        for event in change.events:
            if event.deleted:
                self._delete(event.kv.key)
            else:
                self._put(event.kv)
        if change.events:
            self.revisions.append(change.events)
        if change.granted:
            self.leases.add(*change.granted, now)
        if change.ended:
            self.leases.remove(change.ended)

    def _bounds(self, key: bytes, end: bytes) -> tuple[int, int]:
        """Where an interval begins and ends among all keys; one without keys is empty."""
        low = bisect_left(self._order, key)
        high = len(self._order) if end == TO_THE_LAST else bisect_left(self._order, end, low)
        return low, high

    def _holds(self, compare: Compare) -> bool:
        target, relation = _TARGETS[compare.target], _RELATIONS[compare.relation]
        kvs = self.read(compare.key, compare.end)
        if not kvs:
            return bool(relation(0, compare.number))
        return all(relation(target(kv), compare.number) for kv in kvs)

    def _put(self, kv: KeyValue) -> None:
        before = self._kvs.get(kv.key)
        if before is None:
            insort(self._order, kv.key)
        self.leases.move_key(kv.key, before.lease if before else NO_LEASE, kv.lease)
        self._kvs[kv.key] = kv

    def _delete(self, key: bytes) -> None:
        before = self._kvs.pop(key)
        del self._order[bisect_left(self._order, key)]
        self.leases.move_key(key, before.lease, NO_LEASE)


class _Draft:
    """One command's writes, not done yet, and reads that see them."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.events: list[Event] = []
        self._keyspace = keyspace
        self._revision = keyspace.revision + 1
        self._written: dict[bytes, KeyValue | None] = {}

    def do(self, operation: Operation) -> OpResult:
        if isinstance(operation, Put):
            self._put(operation)
            return _DONE
        if isinstance(operation, Delete):
            return OpResult(deleted=self._delete(operation))
        found = self._read(operation.key, operation.end)
        return OpResult(tuple(kv for kv in found if kv.mod_revision >= operation.since))

    def _put(self, put: Put) -> None:
        if put.lease and put.lease not in self._keyspace.leases:
            raise LeaseNotFound(f"lease {put.lease} is gone")
        before = self._keyspace.get(put.key)
        created, version = (
            (before.create_revision, before.version) if before else (self._revision, 0)
        )
        kv = KeyValue(put.key, put.value, created, self._revision, version + 1, put.lease)
        self._written[kv.key] = kv
        self.events.append(Event(kv, deleted=False))

    def _delete(self, delete: Delete) -> int:
        doomed = self._read(delete.key, delete.end)
        for kv in doomed:
            gone = KeyValue(kv.key, b"", 0, self._revision, 0, NO_LEASE)
            self._written[kv.key] = None
            self.events.append(Event(gone, deleted=True))
        return len(doomed)

    def _read(self, key: bytes, end: bytes) -> tuple[KeyValue, ...]:
        if not end:
            return self._read_one(key)
        stored = self._keyspace.read(key, end)
        written = {at: kv for at, kv in self._written.items() if covers(key, end, at)}
        if not written:
            return stored
        found = {kv.key: kv for kv in stored} | written
        return tuple(kv for _, kv in sorted(found.items()) if kv is not None)

    def _read_one(self, key: bytes) -> tuple[KeyValue, ...]:
        """Look one key up, without a pass over all writes: revoking a lease does this per key."""
        kv = self._written[key] if key in self._written else self._keyspace.get(key)
        return () if kv is None else (kv,)
