"""How long each project's history is kept: as long as its sessions ask for, the longest of them.

What is written while none of them lives is kept as long as was last asked for. What that
was before this replica ran, only those say whose end is not written down yet.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

from scoord.bounded import BoundedDict
from scoord.clock import Clock
from scoord.ids import LeaseId
from scoord_server.model.worklogs import Unended
from scoord_server.rolling import HISTORY_S, RollingLease
from scoord_server.store import keys
from scoord_server.store.port import Store, prefix_end
from scoord_server.store.readable import readable
from scoord_server.view import View

LOOK_S = 5.0
"""How long a project's answer holds: a command must not look through all sessions."""

_DAY_S = 24 * 3600
_MOST_S = 36_500 * _DAY_S
_MOST_PROJECTS = 10_000
_MOST_LEASES = 64


@dataclass(frozen=True, slots=True)
class Kept:
    """What history is bound to that is written now, and how long it is kept at least."""

    lease: LeaseId
    kept_ms: int


@dataclass(frozen=True, slots=True)
class _Asked:
    looked_at: float
    kept_s: int


class Retention:
    """Hands out the leases of history, one for each time that it is kept."""

    def __init__(self, store: Store, view: View, clock: Clock) -> None:
        self._store = store
        self._view = view
        self._clock = clock
        self._asked = BoundedDict[str, _Asked](_MOST_PROJECTS)
        self._leases = BoundedDict[int, RollingLease](_MOST_LEASES)

    async def of(self, project: str, asked_ms: int = 0) -> Kept:
        """Where history of ``project`` goes that is written now.

        ``asked_ms`` is asked for by a session that is not seen: not yet, or not any more.
        """
        kept_s = await self._kept_s(project, _rounded_s(asked_ms))
        rolling = self._leases.get(kept_s)
        if rolling is None:
            rolling = self._leases[kept_s] = RollingLease(self._store, self._clock, kept_s)
        return Kept(await rolling.lease(), kept_s * 1000)

    async def is_gone(self, used: Collection[LeaseId]) -> bool:
        """Whether one of ours among ``used`` is lost; then the next is begun anew."""
        return any([await rolling.is_gone(used) for rolling in tuple(self._leases.values())])

    async def _kept_s(self, project: str, asked_s: int) -> int:
        known, now = self._asked.get(project), self._clock.now()
        if known and now - known.looked_at < LOOK_S and known.kept_s >= asked_s:
            return known.kept_s
        longest_s = max(asked_s, _rounded_s(self._view.retention_ms(project)))
        if not known:
            # Those who died with the replica before this one are seen by nobody.
            longest_s = max(longest_s, await self._unended_s(project))
        kept_s = longest_s or (known.kept_s if known else int(HISTORY_S))
        self._asked[project] = _Asked(now, kept_s)
        return kept_s

    async def _unended_s(self, project: str) -> int:
        """What those ask for whose end is not written down yet, whether they live or not."""
        prefix = keys.begun_of(project)
        listing = await self._store.range(prefix, prefix_end(prefix))
        unended = readable(Unended.of, listing.kvs)
        return max((_rounded_s(one.record.retention_ms) for one in unended), default=0)


def _rounded_s(asked_ms: int) -> int:
    """Whole days, below one whole seconds, always up: few times mean few leases. 0 is not said."""
    seconds = math.ceil(asked_ms / 1000)
    unit = _DAY_S if seconds > _DAY_S else 1
    return min(_MOST_S, math.ceil(seconds / unit) * unit)
