"""The store port on a real etcd."""

import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Self

from scoord.errors import InvalidRequest
from scoord.ids import LeaseId
from scoord_server.store.etcd.groups import Groups
from scoord_server.store.etcd.keepalive import Keepalive
from scoord_server.store.etcd.link import RANGE, Link, method
from scoord_server.store.etcd.options import EtcdOptions
from scoord_server.store.etcd.stubs import rpc
from scoord_server.store.etcd.watch import Watch
from scoord_server.store.etcd.wire import Wire
from scoord_server.store.limits import check_grant, check_key, check_txn
from scoord_server.store.port import Denied, RangeResult, Txn, TxnResult, WatchBatch

_log = logging.getLogger(__name__)


class EtcdStore:
    """An etcd cluster, as the port.

    Nothing that is not idempotent is ever repeated, but for the transactions of a group that
    filled etcd up: see ``groups``.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._wire = Wire(link.options.namespace)
        where = ", ".join(link.options.addresses)
        self._groups = Groups(self._send, link.options.deadline_s, where)
        self._keepalive = Keepalive(link)

    @classmethod
    async def connect(cls, options: EtcdOptions) -> Self:
        """Reach etcd and see that its version may be trusted, and that it is one.

        Raises StoreUnavailable or DeadlineExceeded when no member answers, and
        InvalidConfig for a version that loses data, a file that cannot be read,
        endpoints of two clusters, and too few of one that is smaller than they are many.
        """
        link = Link(options)
        try:
            await link.wait_until_connected()
            await link.meet()
            link.check_size(await _size(link))
        except BaseException:
            await link.close()
            raise
        if missing := link.unconnected():
            _log.warning("etcd at %s is not connected; check that it runs", ", ".join(missing))
        return cls(link)

    async def txn(self, txn: Txn) -> TxnResult:
        """Run ``txn``, in a group with others when there are many."""
        check_txn(txn)
        return await self._groups.run(txn)

    async def range(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        limit: int = 0,
        descending: bool = False,
        within_s: float = 0.0,
    ) -> RangeResult:
        """Read ``key``, or all keys in ``[key, end)``, or the first few in either order."""
        check_key(key)
        request = self._wire.read(key, end, limit=limit, descending=descending)
        answer = await self._link.call(RANGE, request, within_s)
        return RangeResult(self._wire.kvs(answer.kvs), answer.header.revision)

    async def count(self, key: bytes, end: bytes) -> int:
        """How many keys are in ``[key, end)``, linearizably."""
        check_key(key)
        answer = await self._link.call(RANGE, self._wire.count(key, end))
        return int(answer.count)

    async def grant(self, lease: LeaseId, ttl_s: int) -> int:
        """Begin ``lease``; returns its TTL. Raises LeaseExists."""
        check_grant(lease, ttl_s)
        answer = await self._link.call(_GRANT, rpc.LeaseGrantRequest(ID=lease, TTL=ttl_s))
        return int(answer.TTL)

    async def keep_alive(self, leases: Sequence[LeaseId]) -> dict[LeaseId, int]:
        """Renew all that stand; 0 for those that are gone."""
        return await self._keepalive.renew(leases)

    async def revoke(self, lease: LeaseId) -> None:
        """End ``lease`` and delete its keys. Raises LeaseNotFound."""
        await self._link.call(_REVOKE, rpc.LeaseRevokeRequest(ID=lease))

    async def watch(self, prefix: bytes, from_revision: int) -> AsyncGenerator[WatchBatch, None]:
        """Follow every change under ``prefix``, over breaks of the connection.

        From the present on when ``from_revision`` is 0. Raises Compacted, Replaced, and
        StoreUnavailable when etcd could not be reached for long.
        """
        revision = from_revision or (await self.range(b"\0")).revision + 1
        watch = Watch(self._link, self._wire, prefix, revision)
        async for batch in watch.batches():
            yield batch

    async def compact(self, revision: int) -> None:
        """Forget what was before ``revision``; none the worse if that was done before."""
        try:
            await self._link.call(_COMPACT, rpc.CompactionRequest(revision=revision))
        except InvalidRequest as error:
            if _ALREADY_COMPACTED not in error.message:
                raise
        except Denied as error:
            raise Denied(_COMPACTION_DENIED) from error

    async def close(self) -> None:
        """Stop all watches and close the connections."""
        await self._groups.close()
        await self._keepalive.close()
        await self._link.close()

    async def _send(self, txns: Sequence[Txn]) -> list[TxnResult]:
        if len(txns) == 1:
            answer = await self._link.call(_TXN, self._wire.txn(txns[0]))
            return [self._wire.txn_result(answer, answer.header.revision)]
        answer = await self._link.call(_TXN, self._wire.group(txns))
        parts = (response.response_txn for response in answer.responses)
        return [self._wire.txn_result(part, answer.header.revision) for part in parts]


_ALREADY_COMPACTED = "has been compacted"
_COMPACTION_DENIED = (
    "etcd lets only users with the role root compact, and would be full one day:"
    " start it with --auto-compaction-mode=periodic --auto-compaction-retention=5m,"
    " and the coordinators with --compaction-interval 0; or give our user that role"
)

_TXN = method("kv", "Txn")
_COMPACT = method("kv", "Compact")
_GRANT = method("lease", "LeaseGrant")
_REVOKE = method("lease", "LeaseRevoke")
_MEMBERS = method("cluster", "MemberList")


async def _size(link: Link) -> int:
    """How many members the cluster has; 0 where that is not told."""
    try:
        return len((await link.call(_MEMBERS, rpc.MemberListRequest())).members)
    except Denied:
        return 0
