"""A store that knows up to which revision its own caller has changed the present.

The view follows the store some milliseconds behind the answers of commands. A list that
is asked for right after a command would not show what the command did; with this it waits
until the view has come that far.
"""

from scoord.ids import LeaseId
from scoord_server.store import keys
from scoord_server.store.port import Operation, Store, Txn, TxnResult
from scoord_server.store.wrapped import WrappedStore, changed

_PRESENT = keys.root_prefix()


class OwnChangesStore(WrappedStore):
    """As the store beneath it, and notes what is changed through it."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.revision = 0
        """The last one in which a key that the view follows was changed through this."""

    async def txn(self, txn: Txn) -> TxnResult:
        """As the store."""
        known = self.revision
        result = await self._store.txn(txn)
        if result.revision < known:
            self.revision = 0  # another store, which may never come that far
        if result.revision > self.revision and any(map(_is_present, changed(txn, result))):
            self.revision = result.revision
        return result

    async def revoke(self, lease: LeaseId) -> None:
        """As the store. It does not say in which revision; what ends by it is seen later."""
        await self._store.revoke(lease)


def _is_present(operation: Operation) -> bool:
    return operation.key.startswith(_PRESENT)
