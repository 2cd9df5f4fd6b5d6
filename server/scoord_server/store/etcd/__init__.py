"""The adapter for a real etcd.

Only this package imports etcd's wire stubs (``etcd3.etcdrpc``); everything that a
client of etcd can get wrong is owned here: endpoints, TLS, tokens, deadlines,
leases that share one stream, watches that resume, transactions sent in groups.
"""

from scoord_server.store.etcd.options import EtcdOptions
from scoord_server.store.etcd.store import EtcdStore

__all__ = ["EtcdOptions", "EtcdStore"]
