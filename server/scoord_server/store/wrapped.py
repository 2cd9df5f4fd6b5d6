"""What stores around a store have alike: all that they leave as it is."""

from scoord_server.store.port import Store


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
