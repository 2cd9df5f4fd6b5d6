"""Leases of the embedded store: which keys each holds, and when it is due."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from scoord.ids import LeaseId

MIN_TTL_S = 2
"""What etcd grants at least, with its default election timeout."""


@dataclass(slots=True)
class Lease:
    """A lease that stands. ``deadline`` is in seconds on the store's clock."""

    id: LeaseId
    ttl_s: int
    deadline: float
    keys: set[bytes] = field(default_factory=set)


class Leases:
    """All leases that stand; due ones too, until they are revoked."""

    def __init__(self) -> None:
        self._by_id: dict[LeaseId, Lease] = {}
        # One entry for each lease, with a deadline that renewals may have moved on.
        self._queue: list[tuple[float, LeaseId]] = []

    def __contains__(self, lease: LeaseId) -> bool:
        return lease in self._by_id

    def find(self, lease: LeaseId) -> Lease | None:
        """Look a lease up, due or not."""
        return self._by_id.get(lease)

    def add(self, lease: LeaseId, ttl_s: int, now: float) -> None:
        """Begin a lease with its full TTL."""
        self._by_id[lease] = Lease(lease, ttl_s, now + ttl_s)
        heapq.heappush(self._queue, (now + ttl_s, lease))

    def renew(self, lease: LeaseId, now: float) -> None:
        """Give a lease its full TTL again."""
        standing = self._by_id[lease]
        standing.deadline = now + standing.ttl_s

    def remove(self, lease: LeaseId) -> None:
        """Forget a lease. What it held is its caller's to delete."""
        self._by_id.pop(lease, None)

    def move_key(self, key: bytes, before: LeaseId, after: LeaseId) -> None:
        """Unbind ``key`` from one lease and bind it to another; 0 is none."""
        if before == after:
            return
        if old := self._by_id.get(before):
            old.keys.discard(key)
        if after:
            self._by_id[after].keys.add(key)

    def due(self, now: float) -> Iterator[LeaseId]:
        """Take out every lease that is due, earliest first; the caller revokes each."""
        while self._queue and self._queue[0][0] <= now:
            _, lease = self._queue[0]
            standing = self._by_id.get(lease)
            if standing is None:
                heapq.heappop(self._queue)
            elif standing.deadline > now:
                heapq.heapreplace(self._queue, (standing.deadline, lease))
            else:
                yield lease

    def load(self, saved: Iterable[tuple[LeaseId, int]], now: float) -> None:
        """Begin anew every lease that was saved, as etcd does after a restart."""
        for lease, ttl_s in saved:
            self.add(lease, ttl_s, now)
