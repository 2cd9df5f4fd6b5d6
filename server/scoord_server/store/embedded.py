"""The embedded store: etcd's semantics in this process, for one machine and for tests.

It owns no rules: the keyspace plans, the ledger writes down, then the keyspace
applies. All of a command happens between two awaits, so nothing comes between
its parts. The flush to disk is waited for on the event loop, on purpose: it
takes about as long as a round trip to etcd, and the sessions of one machine are few.

Time works as in etcd:

* A lease that is due stands, and its keys with it, until it is revoked; ``txn``
  and ``range`` never expire anything. ``run`` calls ``expire`` four times a
  second; simulations and tests call it themselves. Renewing a lease that is due
  revokes it first and answers 0, as etcd waits for the revoke.
* A restart resets every lease to its full TTL, since renewals are not written down.
* Past revisions, for watches, are in memory and bounded: a watch from before the start of
  the process, or from too far back, raises ``Compacted``.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Self

from scoord.clock import Clock
from scoord.errors import ScoordError, StoreUnavailable
from scoord.ids import LeaseId
from scoord_server.store.keyspace import FIRST_REVISION, Change, Keyspace, Saved
from scoord_server.store.ledger import Ledger
from scoord_server.store.limits import check_grant, check_key, check_txn
from scoord_server.store.port import Event, RangeResult, Replaced, Txn, TxnResult, WatchBatch

_log = logging.getLogger(__name__)

EXPIRE_INTERVAL_S = 0.25
PROGRESS_INTERVAL_S = 1.5
"""Well below the age from which a view is said to be old: progress costs a wake-up."""
MOST_REVISIONS = 20_000
_REVISIONS_PER_BATCH = 1_000


class EmbeddedStore:
    """A store in memory, and on disk when it has a path."""

    def __init__(
        self,
        keyspace: Keyspace,
        ledger: Ledger | None,
        clock: Clock,
        progress_interval_s: float = PROGRESS_INTERVAL_S,
    ) -> None:
        self._keyspace = keyspace
        self._ledger = ledger
        self._clock = clock
        self._closed = False
        self._failing = False
        # In the order they came; a set's order would differ from run to run.
        self._watching: dict[asyncio.Future[None], None] = {}
        self._progress_interval_s = progress_interval_s

    @classmethod
    def open(
        cls,
        path: Path | None,
        clock: Clock,
        *,
        most_revisions: int = MOST_REVISIONS,
        progress_interval_s: float = PROGRESS_INTERVAL_S,
    ) -> Self:
        """Open the file at ``path``, or memory only for None.

        Raises StoreUnavailable when the file cannot be used now, and StoreDamaged
        when it can never be.
        """
        ledger = Ledger.open(path) if path else None
        try:
            saved = ledger.load() if ledger else Saved(FIRST_REVISION)
        except BaseException:
            if ledger:
                ledger.close()
            raise
        keyspace = Keyspace(saved, clock.now(), most_revisions)
        return cls(keyspace, ledger, clock, progress_interval_s)

    async def run(self) -> None:
        """Expire leases until cancelled. A failing disk is tried again."""
        while True:
            await asyncio.sleep(EXPIRE_INTERVAL_S)
            try:
                self.expire()
            except ScoordError as error:
                _log.debug("leases that are due could not be revoked, trying again: %s", error)

    def expire(self) -> None:
        """Revoke every lease that is due, earliest first, each in its own revision."""
        for lease in self._keyspace.leases.due(self._clock.now()):
            self._commit(self._keyspace.plan_revoke(lease))

    async def txn(self, txn: Txn) -> TxnResult:
        """Run ``txn``. Raises LeaseNotFound, InvalidRequest, StoreUnavailable."""
        self._check_open()
        check_txn(txn)
        result, change = self._keyspace.plan_txn(txn)
        if change.events:
            self._commit(change)
        return result

    async def range(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        limit: int = 0,
        descending: bool = False,
        within_s: float = 0.0,  # noqa: ARG002 (it answers at once)
    ) -> RangeResult:
        """Read ``key``, or all keys in ``[key, end)``, or the first few in either order."""
        self._check_open()
        check_key(key)
        found = self._keyspace.read(key, end, limit=limit, descending=descending)
        return RangeResult(found, self._keyspace.revision)

    async def count(self, key: bytes, end: bytes) -> int:
        """How many keys are in ``[key, end)``."""
        self._check_open()
        check_key(key)
        return self._keyspace.count(key, end)

    async def grant(self, lease: LeaseId, ttl_s: int) -> int:
        """Begin ``lease``; returns its TTL. Raises LeaseExists."""
        self._check_open()
        check_grant(lease, ttl_s)
        granted_s, change = self._keyspace.plan_grant(lease, ttl_s)
        self._commit(change)
        return granted_s

    async def keep_alive(self, leases: Sequence[LeaseId]) -> dict[LeaseId, int]:
        """Renew all that stand; 0 for those that are gone or were due."""
        self._check_open()
        return {lease: self._renew(lease) for lease in leases}

    async def revoke(self, lease: LeaseId) -> None:
        """End ``lease`` and delete its keys. Raises LeaseNotFound."""
        self._check_open()
        self._commit(self._keyspace.plan_revoke(lease))

    async def watch(self, prefix: bytes, from_revision: int) -> AsyncGenerator[WatchBatch, None]:
        """Follow every change under ``prefix``, and an empty batch every few quiet seconds.

        From the present on when ``from_revision`` is 0. Raises Compacted, Replaced, and
        StoreUnavailable when the store is closed.
        """
        self._check_open()
        if from_revision > self._keyspace.revision + 1:
            raise Replaced(self._keyspace.revision)
        revision = from_revision or self._keyspace.revision + 1
        now = asyncio.get_running_loop().time
        quiet_until = now() + self._progress_interval_s
        while True:
            self._check_open()
            events, revision = self._changes(prefix, revision)
            is_behind = revision <= self._keyspace.revision
            if not events and (is_behind or await self._changes_before(quiet_until)):
                continue
            yield WatchBatch(revision - 1, events)
            quiet_until = now() + self._progress_interval_s

    async def compact(self, revision: int) -> None:
        """Forget what was before ``revision``. Raises InvalidRequest when that is yet to come."""
        self._check_open()
        self._keyspace.revisions.forget_before(revision)

    async def close(self) -> None:
        """Stop all watches and give the file back."""
        self._closed = True
        self._wake()
        if self._ledger:
            self._ledger.close()

    def _renew(self, lease: LeaseId) -> int:
        """Renew one lease; the seconds it then has left."""
        now, standing = self._clock.now(), self._keyspace.leases.find(lease)
        if standing is None:
            return 0
        if standing.deadline <= now:
            self._commit(self._keyspace.plan_revoke(lease))
            return 0
        self._keyspace.leases.renew(lease, now)
        return standing.ttl_s

    def _commit(self, change: Change) -> None:
        """First the disk, then memory: when the disk fails, nothing was done."""
        if self._ledger:
            self._record(self._ledger, change)
        self._keyspace.apply(change, self._clock.now())
        if change.events:
            self._wake()

    def _record(self, ledger: Ledger, change: Change) -> None:
        """Write one change down; the first failure of a row is logged, and its end."""
        try:
            ledger.record(change)
        except ScoordError as error:
            if not self._failing:
                _log.warning("nothing can be written down, so nothing is granted: %s", error)
            self._failing = True
            raise
        if self._failing:
            _log.warning("changes are written down again")
        self._failing = False

    def _changes(self, prefix: bytes, revision: int) -> tuple[tuple[Event, ...], int]:
        """Read what changed under ``prefix`` from ``revision`` on, and the revision after it."""
        steps = self._keyspace.revisions.since(revision, _REVISIONS_PER_BATCH)
        events = (e for step in steps for e in step if e.kv.key.startswith(prefix))
        return tuple(events), revision + len(steps)

    async def _changes_before(self, until: float) -> bool:
        """Wait for a change or the end; False when neither comes before ``until`` (loop time)."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._watching[future] = None
        try:
            # Not wait_for: before Python 3.12 it loses a cancellation that meets a change.
            async with asyncio.timeout_at(until):
                await future
        except TimeoutError:
            return False
        finally:
            self._watching.pop(future, None)
        return True

    def _wake(self) -> None:
        for future in self._watching:
            if not future.done():
                future.set_result(None)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the embedded store is closed")
