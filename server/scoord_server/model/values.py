"""Commands, outcomes and facts that the rules work on. All frozen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scoord.claimant import Claimant
from scoord.ids import AgentId, FencingToken, LeaseId, ProjectId, RequestId, SessionId
from scoord.names import path_key
from scoord.v1.locks_pb2 import Holder, LockMode, LockScope
from scoord.v1.records_pb2 import LockRecord, SessionRecord, TraceRecord, WaiterRecord
from scoord_server.store.port import KeyValue

# Read once: a protobuf enum looks its names up at every use.
_SHARED = LockMode.LOCK_MODE_SHARED
_BRANCH = LockScope.LOCK_SCOPE_BRANCH


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
        """Read a lock's key. The fencing token is its create revision."""
        record = LockRecord.FromString(kv.value)
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


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept of a session after its end."""

    retention_ms: int = 0
    """How long, as history of its project is; 0 is as long as by itself."""
    archive: bool = False
    """Whether the log of its work is."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms somebody wants a lock, and what is written down of it."""

    mode: "LockMode.ValueType" = LockMode.LOCK_MODE_EXCLUSIVE
    scope: "LockScope.ValueType" = LockScope.LOCK_SCOPE_REPOSITORY
    branch: str = ""
    commit: str = ""
    reason: str = ""
    is_reason_given: bool = False
    """Whether somebody gave it for these locks: then it is that of what the asker has, too."""
    lock_timeout_ms: int = 0
    """Unused for longer, it may be taken away; 0 is never."""
    lasts_ms: int = 0
    """It ends by itself after so long; 0 is never."""

    @property
    def idle_ms(self) -> int:
        """How long it may be unused: for ever, where its end is set, or nothing shows its use."""
        return 0 if self.lasts_ms or self.mode == _SHARED else self.lock_timeout_ms


@dataclass(frozen=True, slots=True)
class Asker:
    """Who gives a command: a live session of a project, on its lease."""

    request_id: RequestId
    project: ProjectId
    session: SessionId
    lease: LeaseId
    agent: AgentId = AgentId("")


@dataclass(frozen=True, slots=True)
class Acquire:
    """Take ``names``, all or none."""

    asker: Asker
    names: tuple[LockName, ...]
    terms: Terms = Terms()
    enqueue: bool = False
    overlaps: bool = False
    yields: bool = False
    """Whether it does without what it is refused: then the refusal is written down."""
    claim_ms: int = 0
    """How long a path is kept for the asker once its turn has come."""
    takes_nothing: bool = False
    """Whether it only asks what became of it."""

    @property
    def claimant(self) -> Claimant:
        """The asker, on its terms."""
        return claimant_of(self.asker, self.terms)


@dataclass(frozen=True, slots=True)
class PlaceRef:
    """A place in the queue of ``name``, as it was last asked for at ``revision``.

    With 0, whatever place there is.
    """

    name: LockName
    revision: int = 0
    branch: str = ""
    """The branch it is confined to; empty when it is for every branch."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Take all that ``pattern`` matches."""

    asker: Asker
    pattern: str
    terms: Terms = Terms()
    takes_nothing: bool = False
    """As of an acquire."""

    @property
    def claimant(self) -> Claimant:
        """The asker, on its terms."""
        return claimant_of(self.asker, self.terms)


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Take ``name`` again, unless it was granted to anybody since ``lost``."""

    asker: Asker
    name: LockName
    lost: FencingToken
    terms: Terms = Terms()
    away_ms: int = 0
    """Since the asker last knew that its lease stood."""


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """It is the asker's again."""

    token: FencingToken
    edits: tuple[TraceRecord, ...] = ()
    """Those by others since the lost grant, without a lock; oldest first."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Somebody was granted it since, or nobody knows: ``last`` is then empty."""

    last: TraceRecord


@dataclass(frozen=True, slots=True)
class Report:
    """An edit that was made without a lock."""

    asker: Asker
    name: LockName
    kind: str
    heard_revision: int
    terms: Terms = Terms()
    person: str = ""
    """Whose session it was, as the caller says."""
    ago_ms: int = 0
    relied: bool = False
    """On the grant that ``heard_revision`` names: if that stood, nobody was met."""


@dataclass(frozen=True, slots=True)
class Granted:
    """All taken: for each name, in order, its token, and as what the asker has it.

    That may be more than it asked for: what it has alone it need not share.
    """

    tokens: tuple[FencingToken, ...]
    claimants: tuple[Claimant, ...]

    def at(self, positions: Sequence[int]) -> "Granted":
        """The same of the names at ``positions``, in their order."""
        return Granted(
            tuple(self.tokens[i] for i in positions), tuple(self.claimants[i] for i in positions)
        )


@dataclass(frozen=True, slots=True)
class Conflict:
    """One name that another has, or is next to have, and the asker's place in its queue."""

    name: LockName
    by: LockFact | WaiterFact
    place: int = 0
    """From 1; 0 is not queued."""
    place_revision: int = 0
    """When the place was last asked for, which is by this command."""


@dataclass(frozen=True, slots=True)
class Held:
    """None taken."""

    conflicts: tuple[Conflict, ...]


@dataclass(frozen=True, slots=True)
class Raced:
    """The store was not as assumed; ``known`` is how it was. Plan again."""

    known: Known = Known()


@dataclass(frozen=True, slots=True)
class Said:
    """What is said to a session, and by whom."""

    by: str
    text: str
    through: Holder | None = None
    """The coding session that says it; None for a person at a terminal of their own."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a grant is to end, for its trace."""

    how: str
    request_id: RequestId
    by: str = ""
    reason: str = ""
    through: Holder | None = None
    """The coding session that ends it, when that is not the holder's."""
    branch: str = ""
    """What is checked out where it was said."""

    @property
    def others(self) -> tuple[Holder, ...]:
        """Whom it concerns beside the holder."""
        return (self.through,) if self.through else ()


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as its holder, or whoever saw it, names it."""

    project: ProjectId
    name: LockName
    token: FencingToken
    is_pattern: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The grant is over, by this command."""

    unrecorded: bool = False
    """Whether nothing was written down of it, as the store takes nothing more."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The grant was over before; ``current`` is what stands now, if anything."""

    current: LockFact | None


@dataclass(frozen=True, slots=True)
class Registered:
    """The session is live."""

    alias: str
    lease: LeaseId
    ttl_s: int
    resumed: bool = False
    locks: tuple[LockFact, ...] = ()
    unused: str = ""
    """Why the lease that it had before was ended as unused."""


@dataclass(frozen=True, slots=True)
class AliasTaken:
    """Someone was faster; choose another alias."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What is checked out now where a grant is held."""

    name: LockName
    token: FencingToken
    branch: str
    commit: str


@dataclass(frozen=True, slots=True)
class Beat:
    """One session's part of a heartbeat."""

    project: ProjectId
    session: SessionId
    lease: LeaseId
    active: bool = False
    touched: tuple[tuple[LockName, FencingToken], ...] = ()
    moved: tuple[Moved, ...] = ()


@dataclass(frozen=True, slots=True)
class Pulse:
    """Whether the session lives, and for how many seconds more without a heartbeat."""

    live: bool
    remaining_s: int


def claimant_of(asker: Asker, terms: Terms) -> Claimant:
    """Who asks, and how far."""
    confined = terms.scope == _BRANCH
    return Claimant(
        asker.session,
        asker.agent,
        shared=terms.mode == _SHARED,
        branch=terms.branch if confined else "",
    )
