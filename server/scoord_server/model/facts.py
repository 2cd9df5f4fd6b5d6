"""What the store had at some revision, as the rules work on it. All frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from scoord.claimant import Claimant
from scoord.ids import FencingToken, LeaseId, SessionId
from scoord.names import path_key
from scoord.patterns import is_readable
from scoord.text import one_line
from scoord.v1.records_pb2 import LockRecord, SessionRecord, WaiterRecord
from scoord_server.store.port import KeyValue


@dataclass(frozen=True, slots=True)
class LockName:
    """A path as its writer wrote it, and the key it is compared by."""

    shown: str
    key: str

    @classmethod
    def of(cls, shown: str) -> "LockName":
        """Name the lock of a checked path."""
        return cls(shown, path_key(shown))


@dataclass(frozen=True, slots=True)
class LockFact:
    """A grant as the store had it at some revision: of a path, or of a pattern."""

    record: LockRecord
    token: FencingToken
    mod_revision: int
    key: bytes
    lease: LeaseId
    claimant: Claimant
    """Who has it."""

    @classmethod
    def of(cls, kv: KeyValue) -> "LockFact":
        """Read a lock's key. The fencing token is its create revision. Raises DecodeError."""
        record = LockRecord.FromString(kv.value)
        if record.is_pattern and not is_readable(record.path):
            raise DecodeError(f"the pattern {one_line(record.path)!r} cannot be read")
        who = Claimant.of(record.holder, record.mode, record.scope)
        token = FencingToken(kv.create_revision)
        return cls(record, token, kv.mod_revision, kv.key, kv.lease, who)


@dataclass(frozen=True, slots=True)
class WaiterFact:
    """A place in a queue as the store had it: the smaller its create revision, the nearer."""

    record: WaiterRecord
    create_revision: int
    mod_revision: int
    key: bytes
    lease: LeaseId
    claimant: Claimant
    """Who waits."""

    @classmethod
    def of(cls, kv: KeyValue) -> "WaiterFact":
        """Read a waiter's key."""
        record = WaiterRecord.FromString(kv.value)
        who = Claimant.of(record.waiter, record.mode, record.scope)
        return cls(record, kv.create_revision, kv.mod_revision, kv.key, kv.lease, who)


@dataclass(frozen=True, slots=True)
class Room:
    """What was found at ``revision`` of one path, or of all that a pattern could meet.

    Who has it, and who waits, in order.
    """

    revision: int = 0
    holds: tuple[LockFact, ...] = ()
    waiters: tuple[WaiterFact, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What an acquire is planned against; at first nothing, which is then compared.

    ``seen`` is the revision at which the reservations were as they stand here.
    """

    seen: int = 0
    reservations: tuple[LockFact, ...] = ()
    rooms: Mapping[str, Room] = field(default_factory=dict)
    left_ms: Mapping[bytes, int] = field(default_factory=dict)
    """What remains of each grant, by its key, that was taken for a time. No rule reads a clock."""

    def room(self, path_key: str) -> Room:
        """What was found of a path; of one that was not looked at, nothing."""
        return self.rooms.get(path_key, Room())


@dataclass(frozen=True, slots=True)
class SessionFact:
    """A session as the store had it at some revision."""

    record: SessionRecord
    lease: LeaseId
    create_revision: int
    mod_revision: int

    @classmethod
    def of(cls, kv: KeyValue) -> "SessionFact":
        """Read a session's key."""
        record = SessionRecord.FromString(kv.value)
        return cls(record, kv.lease, kv.create_revision, kv.mod_revision)

    @property
    def session_id(self) -> SessionId:
        """Which one it is."""
        return SessionId(self.record.session.session_id)
