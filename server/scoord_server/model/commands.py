"""What is asked of the rules: commands, and what they are made of. All frozen."""

from dataclasses import dataclass

from scoord.claimant import Claimant
from scoord.happenings import Kind
from scoord.ids import AgentId, FencingToken, LeaseId, ProjectId, RequestId, SessionId
from scoord.v1.locks_pb2 import Holder, LockMode, LockScope
from scoord_server.model.facts import LockName

# Read once: a protobuf enum looks its names up at every use.
_SHARED = LockMode.LOCK_MODE_SHARED


@dataclass(frozen=True, slots=True)
class Asker:
    """Who gives a command: a live session of a project, on its lease."""

    request_id: RequestId
    project: ProjectId
    session: SessionId
    lease: LeaseId
    agent: AgentId = AgentId("")


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


class _OnTerms:
    """A command of somebody who wants, or had, something on terms."""

    __slots__ = ()

    asker: Asker
    terms: Terms

    @property
    def claimant(self) -> Claimant:
        """The asker, on its terms."""
        asker, terms = Claimant(self.asker.session, self.asker.agent), self.terms
        return asker.on(terms.branch, terms.mode, terms.scope)


@dataclass(frozen=True, slots=True)
class Acquire(_OnTerms):
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
class Reserve(_OnTerms):
    """Take all that ``pattern`` matches."""

    asker: Asker
    pattern: str
    terms: Terms = Terms()
    takes_nothing: bool = False
    """As of an acquire."""


@dataclass(frozen=True, slots=True)
class Reclaim(_OnTerms):
    """Take ``name`` again, unless it was granted to anybody since ``lost``."""

    asker: Asker
    name: LockName
    lost: FencingToken
    terms: Terms = Terms()
    away_ms: int = 0
    """Since the asker last knew that its lease stood."""


@dataclass(frozen=True, slots=True)
class Report(_OnTerms):
    """An edit that was made without a lock."""

    asker: Asker
    name: LockName
    kind: Kind
    heard_revision: int
    terms: Terms = Terms()
    person: str = ""
    """Whose session it was, as the caller says."""
    ago_ms: int = 0
    relied: bool = False
    """On the grant that ``heard_revision`` names: if that stood, nobody was met."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as its holder, or whoever saw it, names it."""

    project: ProjectId
    name: LockName
    token: FencingToken
    is_pattern: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """How a grant is to end, for its trace."""

    how: Kind
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
class Said:
    """What is said to a session, and by whom."""

    by: str
    text: str
    through: Holder | None = None
    """The coding session that says it; None for a person at a terminal of their own."""


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept of a session after its end."""

    retention_ms: int = 0
    """How long, as history of its project is; 0 is as long as by itself."""
    archive: bool = False
    """Whether the log of its work is."""


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
