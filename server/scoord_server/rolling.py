"""Leases that outlive sessions: what traces and history live on.

A trace outlives its grant by hours and history its event by days, not for ever.
Rather than one lease for each, a replica binds all it writes within a while to
the same one: so the store has a handful of them, however much is written.
"""

import math
import secrets
from collections import deque
from collections.abc import Collection

from scoord.clock import Clock
from scoord.ids import LeaseId
from scoord_server.store.port import Store

TRACE_S = 3.5 * 3600
"""How long a trace is kept at least."""

SURE_S = TRACE_S / 1.75
"""For how long all traces since a moment are surely there, as another machine's clock shows
it: rates may differ by up to 1.5. That an older trace is there proves nothing of later ones:
another replica may have bound it to a lease that began later."""

HISTORY_S = 7 * 24 * 3600.0
"""How long a line of history is kept at least, where its project does not say."""

SHARE = 8
"""What is kept lasts this part of its time longer at most: 7 days become 7 d 21 h."""

_RECENT = 8
"""Of how many that were handed out is known that they are ours: a command takes a moment."""


def new_lease_id() -> LeaseId:
    """An id for a lease that is to begin: by chance, so that no two replicas choose the same."""
    return LeaseId(secrets.randbits(63) or 1)


class RollingLease:
    """Hands out the lease for what is written now, and is kept for so long."""

    def __init__(self, store: Store, clock: Clock, kept_s: float) -> None:
        self._store = store
        self._clock = clock
        self._kept_s = kept_s
        self._lease = LeaseId(0)
        self._good_until = 0.0
        self._recent = deque[LeaseId](maxlen=_RECENT)

    async def lease(self) -> LeaseId:
        """A lease that lasts as long as what is bound to it now is kept, and a bit longer."""
        now = self._clock.now()
        if now >= self._good_until:
            lease, share_s = new_lease_id(), self._kept_s / SHARE
            await self._store.grant(lease, math.ceil(self._kept_s + share_s))
            self._lease, self._good_until = lease, now + share_s
            self._recent.append(lease)
        return self._lease

    async def is_gone(self, used: Collection[LeaseId]) -> bool:
        """Whether one of ours among ``used`` is lost, by a store that was restored perhaps.

        Then the next is begun anew. Another command may have begun it meanwhile.
        """
        ours = [lease for lease in self._recent if lease in used]
        left_s = await self._store.keep_alive(ours) if ours else {}
        gone = [lease for lease in ours if left_s[lease] <= 0]
        if self._lease in gone:
            self._good_until = 0.0
        return bool(gone)
