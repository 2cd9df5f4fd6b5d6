"""A store that notes what its answers show of the past: how far it had come by when.

What was asked at a moment is answered as of later: what the answer does not have had not
been done at that moment. A watch shows no such thing, as it may be late.
"""

from scoord.clock import Clock
from scoord.ids import LeaseId
from scoord_server.past import Past
from scoord_server.store.port import Store, Txn, TxnResult
from scoord_server.store.wrapped import WrappedStore, changed


class DatedStore(WrappedStore):
    """As the store beneath it."""

    def __init__(self, store: Store, clock: Clock, past: Past) -> None:
        super().__init__(store)
        self._clock = clock
        self._past = past

    async def txn(self, txn: Txn) -> TxnResult:
        """As the store."""
        begun = self._clock.now()
        result = await self._store.txn(txn)
        self._past.bounded(begun, result.revision - any(changed(txn, result)))
        self._past.seen(self._clock.now(), result.revision)
        return result

    async def revoke(self, lease: LeaseId) -> None:
        """As the store. It does not say in which revision."""
        await self._store.revoke(lease)
