"""What a replica has seen, and when, and what it tells of as changes. Frozen values.

What is idle, and how long a turn has lasted, is measured on this replica's own clock
from the moment it saw the last change, so that no two machines' clocks are ever
compared (as client-go's leader election does).
"""

from dataclasses import dataclass

from scoord.ids import ProjectId, SessionId
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import NoticeRecord, OfferRecord, TraceRecord
from scoord_server.model.values import LockFact, SessionFact, WaiterFact


@dataclass(frozen=True, slots=True)
class SeenSession:
    """A session, and when this replica last saw it change (seconds, own clock)."""

    fact: SessionFact
    seen_at: float

    def is_overdue(self, now: float) -> bool:
        """Whether it has been idle for longer than its own limit."""
        return _over(self.seen_at, self.fact.record.session_timeout_ms, now)


@dataclass(frozen=True, slots=True)
class SeenLock:
    """A grant, when this replica first saw it, and when it last saw it change."""

    project: ProjectId
    key: str
    """Key of its path, or of its pattern."""
    fact: LockFact
    granted_at: float
    seen_at: float

    def overdue(self, now: float) -> str:
        """Why it may be taken away: ``idle`` or ``lasted``; empty when it may not."""
        record = self.fact.record
        if _over(self.granted_at, record.lasts_ms, now):
            return "lasted"
        return "idle" if _over(self.seen_at, record.lock_timeout_ms, now) else ""


@dataclass(frozen=True, slots=True)
class SeenWaiter:
    """A place in a queue. With ``turn_at``, nothing has been in its way since then."""

    project: ProjectId
    key: str
    fact: WaiterFact
    place: int = 0
    turn_at: float | None = None
    holders: tuple[Holder, ...] = ()
    """Whom it waits for, when it has just come."""

    def is_overdue(self, now: float) -> bool:
        """Whether it has not used its turn for longer than its claim."""
        return self.turn_at is not None and _over(self.turn_at, self.fact.record.claim_ms, now)


@dataclass(frozen=True, slots=True)
class Turn:
    """A waiter has the first claim from now on."""

    waiter: SeenWaiter


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
    """A grant is over. Without a trace of its end it ended with its session."""

    last: SeenLock
    trace: TraceRecord | None


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
    | OfferGone
)


def _over(since: float, limit_ms: int, now: float) -> bool:
    return limit_ms > 0 and now - since > limit_ms / 1000
