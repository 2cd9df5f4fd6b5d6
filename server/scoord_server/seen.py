"""What a replica has seen, and when, and what it tells of as changes. Frozen values.

What is idle, and how long a turn has lasted, is measured on this replica's own clock
from the moment it saw the last change, so that no two machines' clocks are ever
compared (as client-go's leader election does). There is one exception: how long a lock
has lasted that is taken for a time, and was there before this replica looked, only the
wall clock at its grant says. The time it was taken for bounds what that may be wrong by.
"""

from dataclasses import dataclass

from scoord.happenings import Kind
from scoord.ids import ProjectId, SessionId
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import LockRecord, NoticeRecord, OfferRecord, TraceRecord
from scoord_server.model.facts import LockFact, SessionFact, WaiterFact


@dataclass(frozen=True, slots=True)
class SeenSession:
    """A session, and when this replica last saw that it did something (seconds, own clock)."""

    fact: SessionFact
    seen_at: float

    def is_overdue(self, now: float) -> bool:
        """Whether it has been idle for longer than its own limit."""
        return _over(self.seen_at, self.fact.record.session_timeout_ms, now)


@dataclass(frozen=True, slots=True)
class SeenLock:
    """A grant, when it was made, and when this replica last saw it used (own clock)."""

    project: ProjectId
    key: str
    """Key of its path, or of its pattern."""
    fact: LockFact
    granted_at: float
    used_at: float

    def is_of(self, fact: LockFact) -> bool:
        """Whether it is the same grant, for the same time.

        One that is asked for anew, for a time, keeps its token, and its time begins anew.
        """
        begun_ms = self.fact.record.acquired_unix_ms
        return self.fact.token == fact.token and begun_ms == fact.record.acquired_unix_ms

    def left_ms(self, now: float) -> int:
        """What is left of the time that it was taken for, if it was."""
        return max(0, self.fact.record.lasts_ms - round((now - self.granted_at) * 1000))

    def overdue(self, now: float) -> Kind | None:
        """Why it may be taken away: idle, or lasted; None when it may not."""
        record = self.fact.record
        if _over(self.granted_at, record.lasts_ms, now):
            return Kind.LASTED
        return Kind.IDLE if _over(self.used_at, record.lock_timeout_ms, now) else None


@dataclass(frozen=True, slots=True)
class SeenWaiter:
    """A place in a queue. With ``turn_at``, nothing has been in its way since then."""

    project: ProjectId
    key: str
    fact: WaiterFact
    place: int = 0
    turn_at: float | None = None
    holders: tuple[Holder, ...] = ()
    """Whom it waits for, when it has just come, or they were just granted what it waits for."""
    more: int = 0
    """How many more behind it wait for these, of whom nothing is said now."""
    again: bool = False
    """Whether it was told of before, to those whom it waited for then."""
    shown: str = ""
    """What its path is called to all, however this one spelt it; empty is as it did."""

    def is_overdue(self, now: float) -> bool:
        """Whether it has not used its turn for longer than its claim."""
        return self.turn_at is not None and _over(self.turn_at, self.fact.record.claim_ms, now)


@dataclass(frozen=True, slots=True)
class Turn:
    """A waiter has the first claim from now on."""

    waiter: SeenWaiter


@dataclass(frozen=True, slots=True)
class WaiterGone:
    """A place in a queue is not there any more."""

    last: SeenWaiter


@dataclass(frozen=True, slots=True)
class SeenNotice:
    """Something that a session is to be told."""

    project: ProjectId
    session: SessionId
    notice_id: str
    record: NoticeRecord


@dataclass(frozen=True, slots=True)
class SeenOffer:
    """Work that is kept for a session it was suggested to."""

    project: ProjectId
    kind: str
    name: str
    record: OfferRecord


@dataclass(frozen=True, slots=True)
class OfferGone:
    """It is not kept any more."""

    last: SeenOffer


@dataclass(frozen=True, slots=True)
class SessionGone:
    """A session that was live is not any more."""

    last: SessionFact


@dataclass(frozen=True, slots=True)
class LockGone:
    """A grant is over. Without a trace of its end it ended with its session, or was taken."""

    last: SeenLock
    trace: TraceRecord | None
    taken: bool = False
    """Whether its session goes on without it: a store that was full took no word of it."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """What has been idle, or has lasted, for longer than it may."""

    sessions: tuple[SeenSession, ...]
    locks: tuple[SeenLock, ...]
    orphans: tuple[SeenLock, ...]
    """Whose session is not live, which a lease of its own would have ended too."""
    waiters: tuple[SeenWaiter, ...]


Change = (
    SeenSession
    | SeenLock
    | SeenWaiter
    | Turn
    | SeenNotice
    | SeenOffer
    | SessionGone
    | LockGone
    | WaiterGone
    | OfferGone
)


def project_of(change: Change) -> str:
    """The project that a change is about."""
    match change:
        case SeenSession(fact) | SessionGone(fact):
            return fact.record.session.project
        case Turn(about) | WaiterGone(about) | LockGone(about) | OfferGone(about):
            return about.project
        case _:
            return change.project


def granted_at(record: LockRecord, now: float, wall_ms: int) -> float:
    """When a grant was made that this replica did not see made, by the wall clocks (own clock)."""
    lasted_ms = min(max(0, wall_ms - record.acquired_unix_ms), record.lasts_ms)
    return now - lasted_ms / 1000


def _over(since: float, limit_ms: int, now: float) -> bool:
    return limit_ms > 0 and now - since > limit_ms / 1000
