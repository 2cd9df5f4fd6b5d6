"""What stores around a store have alike: all that they leave as it is."""

from collections.abc import Iterator

from scoord_server.store.port import Operation, Put, Store, Txn, TxnResult


class WrappedStore:
    """Passes on what neither begins, changes nor ends a key; the rest is the wrapper's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.range = store.range
        self.count = store.count
        self.grant = store.grant
        self.keep_alive = store.keep_alive
        self.watch = store.watch
        self.compact = store.compact
        self.close = store.close


def changed(txn: Txn, result: TxnResult) -> Iterator[Operation]:
    """The operations of a transaction that has been carried out which changed something."""
    done = txn.then if result.succeeded else txn.otherwise
    for operation, answer in zip(done, result.results, strict=True):
        if isinstance(operation, Put) or answer.deleted:
            yield operation
