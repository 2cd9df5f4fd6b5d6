"""Forgets the store's old revisions, which otherwise add up with every change.

One replica at a time, decided by a transaction, as kube-apiserver does it
(https://github.com/kubernetes/apiserver/blob/master/pkg/storage/etcd3/compact.go): each
looks once an interval at the version of one key, and who finds it as it was one
interval ago puts it anew and compacts to the revision that it saw then. Whoever
finds it changed only takes note. So a revision is one interval old or older when it
goes, and when the one who compacts dies another follows within two intervals.

A watch that resumes from before that lists anew (``Compacted``); one that is
followed is never touched. Nothing here is repeated before its next interval.
"""

import asyncio
import logging
from dataclasses import dataclass

from scoord.clock import Clock
from scoord.errors import ScoordError
from scoord_server.store import keys
from scoord_server.store.port import Compare, Denied, Get, Put, Relation, Store, Target, Txn

_log = logging.getLogger(__name__)

INTERVAL_S = 300.0
"""How often, and how old a revision is at least that is forgotten."""

LOOK_S = 5.0
"""How often it is asked whether an interval is over."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen one interval ago: how often the key was put, and the store's revision."""

    version: int = 0
    revision: int = 0


class Compactor:
    """One replica's part in it."""

    def __init__(self, store: Store, clock: Clock, interval_s: float = INTERVAL_S) -> None:
        self._store = store
        self._clock = clock
        self._interval_s = interval_s
        self._last = Look()
        self._due_at = clock.now()
        self._is_denied = False

    async def run(self) -> None:
        """Look once an interval until cancelled."""
        while True:
            try:
                await self.step()
            except Denied as error:
                self._say_once(error)
            except ScoordError as error:
                _log.warning("old revisions were not compacted, trying again later: %s", error)
            except Exception:  # noqa: BLE001 (old revisions must not bring the coordinator down)
                _log.exception("compaction failed in a way nobody foresaw")
            await asyncio.sleep(min(LOOK_S, self._interval_s))

    async def step(self) -> None:
        """Compact, if an interval is over and nobody else did. Raises what the store raises."""
        now = self._clock.now()
        if now < self._due_at:
            return
        self._due_at = now + self._interval_s
        before = self._last
        result = await self._store.txn(_plan(before))
        if not result.succeeded:
            (found,) = result.results
            self._last = Look(found.kvs[0].version if found.kvs else 0, result.revision)
            return
        self._last = Look(before.version + 1, result.revision)
        if before.revision:
            await self._store.compact(before.revision)
            self._is_denied = False
            _log.info("compacted old revisions before %d", before.revision)

    def _say_once(self, denied: Denied) -> None:
        """Only a person can change that; it is tried again all the same, should one do."""
        if not self._is_denied:
            _log.warning("old revisions are not compacted: %s", denied)
        self._is_denied = True


def _plan(last: Look) -> Txn:
    """Put the key if nobody has since ``last``, else read it."""
    key = keys.compaction()
    unchanged = Compare(key, Target.VERSION, Relation.EQUAL, last.version)
    return Txn((unchanged,), (Put(key, b"%d" % last.revision),), (Get(key),))
