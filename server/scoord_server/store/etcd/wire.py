"""The port's values as etcd's messages, and back.

It also puts the namespace before every key, and takes it off again.
"""

from collections.abc import Iterable, Sequence

from scoord.ids import LeaseId
from scoord_server.store.etcd.stubs import Message, rpc
from scoord_server.store.port import (
    Compare,
    Delete,
    Event,
    KeyValue,
    Operation,
    OpResult,
    Put,
    Relation,
    Target,
    Txn,
    TxnResult,
    prefix_end,
)

_TO_THE_LAST = b"\0"
_TARGETS = {
    Target.VERSION: (rpc.Compare.VERSION, "version"),
    Target.CREATE: (rpc.Compare.CREATE, "create_revision"),
    Target.MOD: (rpc.Compare.MOD, "mod_revision"),
    Target.LEASE: (rpc.Compare.LEASE, "lease"),
}
_RELATIONS = {
    Relation.EQUAL: rpc.Compare.EQUAL,
    Relation.LESS: rpc.Compare.LESS,
    Relation.GREATER: rpc.Compare.GREATER,
}
_DELETED = rpc.kv_pb2.Event.DELETE


class Wire:
    """Messages for keys in one namespace."""

    def __init__(self, namespace: bytes) -> None:
        self._namespace = namespace

    def key(self, key: bytes) -> bytes:
        """Write a key."""
        return self._namespace + key

    def end(self, end: bytes) -> bytes:
        """Write the end of a range; the last key of all is the last of the namespace."""
        if end == _TO_THE_LAST and self._namespace:
            return prefix_end(self._namespace)
        return self._namespace + end if end else end

    def group(self, txns: Sequence[Txn]) -> Message:
        """Write several transactions as one."""
        return rpc.TxnRequest(success=[rpc.RequestOp(request_txn=self.txn(txn)) for txn in txns])

    def txn(self, txn: Txn) -> Message:
        """Write a transaction."""
        return rpc.TxnRequest(
            compare=[self._compare(compare) for compare in txn.compares],
            success=[self._operation(operation) for operation in txn.then],
            failure=[self._operation(operation) for operation in txn.otherwise],
        )

    def read(
        self, key: bytes, end: bytes, since: int = 0, *, limit: int = 0, descending: bool = False
    ) -> Message:
        """Write a linearizable read, sorted by key, of what was put at ``since`` or later."""
        # Ascending is how etcd reads; asked for by name, it would not cut before it sorts.
        order = rpc.RangeRequest.DESCEND if descending else rpc.RangeRequest.NONE
        return rpc.RangeRequest(
            key=self.key(key),
            range_end=self.end(end),
            min_mod_revision=since,
            limit=limit,
            sort_order=order,
        )

    def count(self, key: bytes, end: bytes) -> Message:
        """Write a linearizable count."""
        return rpc.RangeRequest(key=self.key(key), range_end=self.end(end), count_only=True)

    def watch(self, prefix: bytes, revision: int) -> Message:
        """Write the beginning of a watch."""
        create = rpc.WatchCreateRequest(
            key=self.key(prefix) or _TO_THE_LAST,
            range_end=self.end(prefix_end(prefix)),
            start_revision=revision,
        )
        return rpc.WatchRequest(create_request=create)

    def txn_result(self, answer: Message, revision: int) -> TxnResult:
        """Read a transaction's answer, or that of one in a group, with the group's revision."""
        results = tuple(self._op_result(response) for response in answer.responses)
        return TxnResult(answer.succeeded, revision, results)

    def kvs(self, messages: Iterable[Message]) -> tuple[KeyValue, ...]:
        """Read keys."""
        return tuple(self._kv(message) for message in messages)

    def events(self, messages: Iterable[Message]) -> tuple[Event, ...]:
        """Read changes."""
        return tuple(self._event(message) for message in messages)

    def _compare(self, compare: Compare) -> Message:
        target, number_field = _TARGETS[compare.target]
        return rpc.Compare(
            key=self.key(compare.key),
            range_end=self.end(compare.end),
            target=target,
            result=_RELATIONS[compare.relation],
            **{number_field: compare.number},
        )

    def _operation(self, op: Operation) -> Message:
        key = self.key(op.key)
        if isinstance(op, Put):
            put = rpc.PutRequest(key=key, value=op.value, lease=op.lease)
            return rpc.RequestOp(request_put=put)
        if isinstance(op, Delete):
            delete = rpc.DeleteRangeRequest(key=key, range_end=self.end(op.end))
            return rpc.RequestOp(request_delete_range=delete)
        return rpc.RequestOp(request_range=self.read(op.key, op.end, op.since))

    def _op_result(self, response: Message) -> OpResult:
        kind = response.WhichOneof("response")
        if kind == "response_range":
            return OpResult(self.kvs(response.response_range.kvs))
        if kind == "response_delete_range":
            return OpResult(deleted=response.response_delete_range.deleted)
        return OpResult()

    def _kv(self, message: Message) -> KeyValue:
        return KeyValue(
            message.key[len(self._namespace) :],
            message.value,
            message.create_revision,
            message.mod_revision,
            message.version,
            LeaseId(message.lease),
        )

    def _event(self, message: Message) -> Event:
        return Event(self._kv(message.kv), message.type == _DELETED)
