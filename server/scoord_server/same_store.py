"""A store that notices by its answers when another one has taken its place.

The watch finds that out when it has its next stream, which takes up to a second. Commands
that come before would be compared with revisions of the store before, and let through
whatever they are to keep out.
"""

from scoord.ids import LeaseId
from scoord_server.store.port import Store, Txn, TxnResult
from scoord_server.store.wrapped import WrappedStore
from scoord_server.view import View


class SameStore(WrappedStore):
    """As the store beneath it; the view forgets all when that has gone back."""

    def __init__(self, store: Store, view: View) -> None:
        super().__init__(store)
        self._view = view

    async def txn(self, txn: Txn) -> TxnResult:
        """As the store."""
        seen = self._view.revision
        result = await self._store.txn(txn)
        # The view may have found out meanwhile, and begun anew below what was seen.
        if result.revision < seen <= self._view.revision:
            self._view.forget()
        return result

    async def revoke(self, lease: LeaseId) -> None:
        """As the store. It does not say in which revision."""
        await self._store.revoke(lease)
