"""The port of the store: the subset of etcd that the rules need.

Two adapters, ``embedded`` and ``etcd``, answer alike to the last field; one
contract suite and a differential test hold them to it. Semantics follow etcd's
KV, Lease and Watch APIs (https://etcd.io/docs/v3.5/learning/api/).

Consequences, method by method:

* ``txn`` is the only place where anything is decided. It is atomic and
  linearizable. An ``Unknown`` error means it may or may not have been done.
* ``range`` and ``count`` are linearizable, but already old when they are read:
  never decide on them.
* ``keep_alive`` renews many leases at once. A lease it answers 0 for is gone.
* ``watch`` never loses or repeats an event between ``from_revision`` and the
  present; after compaction it raises ``Compacted`` and the caller lists anew. Where the
  store has not come to what was seen of it, it raises ``Replaced``.

Every call ends within the adapter's own deadline, or the longer one that it is given,
with ``StoreUnavailable`` or ``DeadlineExceeded``.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from scoord.errors import StoreUnavailable
from scoord.ids import LeaseId


class Compacted(Exception):  # noqa: N818 (an answer of watch, not a failure)
    """The watch asks for revisions that are gone: list anew. ``revision`` is the first there is."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"what was before revision {revision} is compacted")
        self.revision = revision


class Replaced(Compacted):
    """What was seen is of another store: this one was wiped, or restored from a backup.

    Its ``revision`` says nothing of what was seen, which is to be forgotten before listing anew.
    """

    def __init__(self, revision: int) -> None:
        super().__init__(revision)
        self.args = (f"the store is at revision {revision}, and what was seen is not of it",)


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key as it stands, with its revisions."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: LeaseId


class Target(StrEnum):
    """What a comparison looks at."""

    VERSION = "version"
    CREATE = "create"
    MOD = "mod"
    LEASE = "lease"


class Relation(StrEnum):
    """How it is compared."""

    EQUAL = "="
    LESS = "<"
    GREATER = ">"


@dataclass(frozen=True, slots=True)
class Compare:
    """``key.target relation number``; an absent key has 0 for all targets.

    With ``end`` set, it must hold for every existing key in ``[key, end)``; where
    there is none, the range compares as an absent key does.
    """

    key: bytes
    target: Target
    relation: Relation
    number: int
    end: bytes = b""


@dataclass(frozen=True, slots=True)
class Put:
    """Store ``value`` under ``key``; bound to ``lease`` unless that is 0."""

    key: bytes
    value: bytes
    lease: LeaseId = LeaseId(0)


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete ``key``, or all keys in ``[key, end)``."""

    key: bytes
    end: bytes = b""


@dataclass(frozen=True, slots=True)
class Get:
    """Read ``key``, or all keys in ``[key, end)``, sorted by key.

    What was last put before ``since`` is left out.
    """

    key: bytes
    end: bytes = b""
    since: int = 0
    """A revision; 0 is from the beginning."""


Operation = Put | Delete | Get


@dataclass(frozen=True, slots=True)
class Txn:
    """If all ``compares`` hold do ``then``, else do ``otherwise``; one atomic step.

    At most 128 operations in either branch, and no key that a branch puts may be
    put or deleted a second time in it.
    """

    compares: tuple[Compare, ...] = ()
    then: tuple[Operation, ...] = ()
    otherwise: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class OpResult:
    """What one operation answered: keys for a get, a count for a delete."""

    kvs: tuple[KeyValue, ...] = ()
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class TxnResult:
    """Which branch ran, what each operation answered, and the revision after it.

    A store may carry several transactions out in one revision, never two that
    touch the same key.
    """

    succeeded: bool
    revision: int
    results: tuple[OpResult, ...]


@dataclass(frozen=True, slots=True)
class RangeResult:
    """Keys sorted by key, in the order asked for, and the revision they were read at."""

    kvs: tuple[KeyValue, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class Event:
    """One change: ``kv`` after a put; after a delete only its key and mod revision."""

    kv: KeyValue
    deleted: bool


@dataclass(frozen=True, slots=True)
class WatchBatch:
    """All changes of one or more whole revisions, up to ``revision``; may be empty (progress)."""

    revision: int
    events: tuple[Event, ...]


class LeaseNotFound(Exception):  # noqa: N818 (an answer, not a failure)
    """The lease is gone: it expired, was revoked, or never was."""


class LeaseExists(Exception):  # noqa: N818 (an answer, not a failure)
    """The lease id is taken: by an earlier try of the same caller, if ids are random."""


class Denied(StoreUnavailable):
    """The store does not let its user do this: a role would help, another try would not."""


class Store(Protocol):
    """Keys with revisions, leases, transactions and watches."""

    async def txn(self, txn: Txn) -> TxnResult:
        """Run ``txn``. Raises LeaseNotFound when a put names a lease that is gone."""

    async def range(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        limit: int = 0,
        descending: bool = False,
        within_s: float = 0.0,
    ) -> RangeResult:
        """Read ``key``, or all keys in ``[key, end)``: the first ``limit`` of them, if not 0.

        ``descending`` begins at the last key. etcd reads the whole interval for that
        before it cuts, so ask for no wider one than is needed. ``within_s`` is how long it
        may take, where that is longer than the adapter gives any call.
        """

    async def count(self, key: bytes, end: bytes) -> int:
        """How many keys are in ``[key, end)``; without ``end``, whether ``key`` is there."""

    async def grant(self, lease: LeaseId, ttl_s: int) -> int:
        """Begin ``lease``; returns the TTL granted, in seconds, never less than asked.

        Raises LeaseExists.
        """

    async def keep_alive(self, leases: Sequence[LeaseId]) -> dict[LeaseId, int]:
        """Renew all ``leases``; the seconds each now has left, 0 for those that are gone."""

    async def revoke(self, lease: LeaseId) -> None:
        """End ``lease`` and delete its keys. Raises LeaseNotFound."""

    def watch(self, prefix: bytes, from_revision: int) -> AsyncGenerator[WatchBatch, None]:
        """Every change under ``prefix`` from ``from_revision`` on; 0 is from now on.

        Raises Compacted; and Replaced, if all before ``from_revision`` is not in the store.

        At least every few seconds an empty batch says up to which revision
        nothing was missed. Ends only by an error or by closing it.
        """

    async def compact(self, revision: int) -> None:
        """Forget what was before ``revision``. Raises Denied where our user may not."""

    async def close(self) -> None:
        """Stop all watches and give resources back."""


def prefix_end(prefix: bytes) -> bytes:
    r"""The first key after all keys that start with ``prefix``; ``b"\0"`` when there is none.

    As etcd defines it: the last byte that is not 0xff is raised by one, and what
    follows it is dropped.
    """
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else b"\0"
