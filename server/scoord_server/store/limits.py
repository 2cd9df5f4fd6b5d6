"""What a store takes: etcd's limits, checked alike before anything is sent or done.

Both adapters call these, so that a request that etcd would refuse fails the same
way on the embedded store, and never spoils a group it was sent in.
"""

from collections.abc import Iterable, Sequence

from scoord.errors import InvalidRequest
from scoord.ids import LeaseId
from scoord_server.store.intervals import covers
from scoord_server.store.port import Delete, Operation, Put, Txn

MAX_OPERATIONS = 128
"""In one branch, or compares in one transaction (etcd's ``--max-txn-ops``)."""

MAX_BYTES = 1 << 20
"""Keys and values of one transaction; safely below etcd's ``--max-request-bytes``."""

MAX_TTL_S = 9_000_000_000
"""etcd's own bound."""

_MOST = 1 << 63
"""The first number that a message has no room for."""

_EMPTY_KEY = "a key of the store may not be empty"


def check_txn(txn: Txn) -> None:
    """Refuse a transaction that no store would run. Raises InvalidRequest."""
    size = max(len(txn.compares), len(txn.then), len(txn.otherwise))
    if size > MAX_OPERATIONS:
        raise InvalidRequest(f"a transaction of {size} operations; the limit is {MAX_OPERATIONS}")
    if not all(compare.key for compare in txn.compares):
        raise InvalidRequest(_EMPTY_KEY)
    if not all(-_MOST <= compare.number < _MOST for compare in txn.compares):
        raise InvalidRequest("a number is compared with that is over 2**63 - 1")
    weight = _check_branch(txn.then) + _check_branch(txn.otherwise)
    if weight > MAX_BYTES:
        raise InvalidRequest(f"a transaction of {weight} bytes; the limit is {MAX_BYTES}")


def weight_of(operations: Iterable[Operation]) -> int:
    """What they weigh in a transaction: the bytes of what they put."""
    return sum([len(op.key) + len(op.value) for op in operations if isinstance(op, Put)])


def check_key(key: bytes) -> None:
    """Refuse the empty key. Raises InvalidRequest."""
    if not key:
        raise InvalidRequest(_EMPTY_KEY)


def check_grant(lease: LeaseId, ttl_s: int) -> None:
    """Refuse a lease that cannot be. Raises InvalidRequest."""
    if not 0 < lease < 1 << 63:
        raise InvalidRequest(f"lease id {lease} is not between 1 and 2**63 - 1")
    if not 0 < ttl_s <= MAX_TTL_S:
        raise InvalidRequest(f"a TTL of {ttl_s} s is not between 1 and {MAX_TTL_S}")


def _check_branch(operations: Sequence[Operation]) -> int:
    """Refuse an unsound branch; returns the bytes of a sound one."""
    if not all(op.key for op in operations):
        raise InvalidRequest(_EMPTY_KEY)
    puts = [op for op in operations if isinstance(op, Put)]
    if not puts:
        return 0
    _check_changed_once(puts, [op for op in operations if isinstance(op, Delete)])
    return weight_of(puts)


def _check_changed_once(puts: Sequence[Put], deletes: Sequence[Delete]) -> None:
    """As etcd: a put key is put once and not deleted; deletes may overlap each other."""
    if len({put.key for put in puts}) != len(puts):
        raise InvalidRequest("a transaction puts one key twice")
    for delete in deletes:
        if any(covers(delete.key, delete.end, put.key) for put in puts):
            raise InvalidRequest("a transaction puts and deletes one key")
