"""The agent's answers as values: what fields there are, and what they mean.

Built to outlive versions: a field that is missing has its default, one that is
not known here is passed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from scoord.duration_limits import HEALTHY_AGE_S

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Row = TypeVar("_Row", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class LockRow:
    """One lock, as the agent tells it. Texts are other people's."""

    project: str = ""
    path: str = ""
    token: int = 0
    session_id: str = ""
    alias: str = ""
    agent_id: str = ""
    person: str = ""
    host: str = ""
    branch: str = ""
    reason: str = ""
    mode: str = "exclusive"
    scope: str = "repository"
    is_everywhere: bool = False
    """Whether it holds on every branch where locks hold on one."""
    is_pattern: bool = False
    waiters: int | None = 0
    """None where that is not known."""
    held_s: float = 0.0
    idle_s: float = 0.0
    ends_in_s: float | None = None
    """Seconds until it ends by itself; None when it lasts as long as its session."""
    estimate_s: float | None = None
    """Seconds until it is free, as far as anybody can tell; None when nobody can."""
    estimate_basis: str = ""
    """What that rests on."""
    local: bool = False
    own: bool = False
    """Whether it is of the session that asks, where that is told."""

    @property
    def kind(self) -> str:
        """How it holds, where that is not the usual: shared, on one branch, or on each."""
        return _kind(self, "every branch" if self.is_everywhere else "")


@dataclass(frozen=True, slots=True)
class WaiterRow:
    """One place in a queue, as the agent tells it. Texts are other people's."""

    project: str = ""
    path: str = ""
    place: int = 0
    has_turn: bool = False
    """Whether the path is kept for it now."""
    session_id: str = ""
    alias: str = ""
    agent_id: str = ""
    person: str = ""
    host: str = ""
    branch: str = ""
    reason: str = ""
    mode: str = "exclusive"
    scope: str = "repository"
    waiting_s: float = 0.0
    local: bool = False

    @property
    def kind(self) -> str:
        """How it is to hold, where that is not the usual: shared, or on one branch."""
        return _kind(self)


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """How far a session is with its work."""

    done: int = 0
    total: int = 0
    """All steps; 0 when they are not counted."""
    percent: int = 0
    step: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """When a session's work will be done."""

    left_s: float = 0.0
    low_s: float = 0.0
    high_s: float = 0.0
    basis: str = ""
    samples: int = 0


@dataclass(frozen=True, slots=True)
class DependencyRow:
    """That a session depends on another one, and how that is known."""

    session_id: str = ""
    alias: str = ""
    why: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session, as the agent tells it. Texts are other people's."""

    session_id: str = ""
    alias: str = ""
    project: str = ""
    host: str = ""
    person: str = ""
    client: str = ""
    client_version: str = ""
    worktree: str = ""
    branch: str = ""
    intent: str = ""
    status: str = "unspecified"
    pid: int = 0
    """The coding CLI's process; only where the session is local."""
    idle_s: float = 0.0
    local: bool = False
    terminal: str = ""
    edits: int = 0
    commits: int = 0
    areas: tuple[str, ...] = ()
    progress: ProgressRow | None = None
    """How far it is; None when nobody said."""
    estimate: EstimateRow | None = None
    """When it will be done; None when nobody can tell."""
    depends_on: tuple[DependencyRow, ...] = ()


@dataclass(frozen=True, slots=True)
class SuggestionRow:
    """Work that is free to be done. Texts are other people's."""

    kind: str = ""
    name: str = ""
    title: str = ""
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """The agent that answered."""

    pid: int = 0
    version: str = ""
    port: int = 0
    machine_id: str = ""
    host: str = ""
    uptime_s: float = 0.0
    state_dir: str = ""
    log: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What it read at its start only, by section; empty if it does not tell."""


@dataclass(frozen=True, slots=True)
class CoordinatorFacts:
    """The coordinator, as the agent sees it."""

    state: str = "lost"
    address: str = ""
    heard_s: float | None = None
    """Seconds since its last answer; None if it never answered."""
    error: str = ""

    @property
    def connected(self) -> bool:
        """Whether it can be asked now."""
        return self.state == "connected"

    @property
    def standing(self) -> str:
        """How the agent stands to it: what was never heard is not lost."""
        is_known = self.connected or self.heard_s is not None
        return self.state if is_known else "not heard yet"

    @property
    def why(self) -> str:
        """What keeps it from being asked, to be said behind its address; empty if not known."""
        return self.error.removeprefix(f"the coordinator at {self.address} ")


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """The project of the directory the command was called in."""

    id: str = ""
    shared: bool = False
    """Whether other clones and machines can have the same project."""
    named_by: str = ""
    root: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """All that ``/v1/status`` tells."""

    agent: AgentFacts
    coordinator: CoordinatorFacts
    project: ProjectFacts | None
    sessions: tuple[SessionRow, ...]
    locks: tuple[LockRow, ...]
    waiters: tuple[WaiterRow, ...] | None
    """None where nobody knows who waits."""
    suggestions: tuple[SuggestionRow, ...]
    known: bool
    """False while the repository is still being read, of which there may be more to suggest."""
    view_age_s: float | None
    problems: tuple[str, ...]

    @property
    def is_current(self) -> bool:
        """Whether the coordinator can be asked, and can read its store."""
        age_s = self.view_age_s
        return self.coordinator.connected and (age_s is None or age_s < HEALTHY_AGE_S)


def _kind(row: LockRow | WaiterRow, everywhere: str = "") -> str:
    shared = "shared" if row.mode == "shared" else ""
    where = f"branch {row.branch}" if row.scope == "branch" else everywhere
    return ", ".join(filter(None, (shared, where)))


def picture(answer: Mapping[str, Any]) -> Picture:
    """Read the answer of ``/v1/status``."""
    project, waiters = answer.get("project"), answer.get("waiters", ())
    return Picture(
        agent=read_row(AgentFacts, answer.get("agent") or {}),
        coordinator=read_row(CoordinatorFacts, answer.get("coordinator") or {}),
        project=read_row(ProjectFacts, project) if project else None,
        sessions=tuple(map(session_row, answer.get("sessions", ()))),
        locks=tuple(read_row(LockRow, row) for row in answer.get("locks", ())),
        waiters=None if waiters is None else tuple(read_row(WaiterRow, row) for row in waiters),
        suggestions=tuple(map(suggestion_row, answer.get("suggestions", ()))),
        known=answer.get("known") is not False,
        view_age_s=answer.get("view_age_s"),
        problems=tuple(map(str, answer.get("problems", ()))),
    )


def session_row(answer: Mapping[str, Any]) -> SessionRow:
    """Read one session, with what is known of its work."""
    progress, estimate = answer.get("progress"), answer.get("estimate")
    return replace(
        read_row(SessionRow, answer),
        areas=tuple(map(str, answer.get("areas") or ())),
        progress=read_row(ProgressRow, progress) if progress else None,
        estimate=read_row(EstimateRow, estimate) if estimate else None,
        depends_on=tuple(read_row(DependencyRow, row) for row in answer.get("depends_on") or ()),
    )


def suggestion_row(answer: Mapping[str, Any]) -> SuggestionRow:
    """Read one suggestion, with why it is one."""
    why = tuple(map(str, answer.get("why") or ()))
    return replace(read_row(SuggestionRow, answer), why=why)


def lock_row(answer: Mapping[str, Any]) -> LockRow:
    """Read one lock."""
    return read_row(LockRow, answer)


def read_row(kind: type[_Row], values: Mapping[str, Any]) -> _Row:
    """Read any row: what it lacks has its default, what ``kind`` does not know is passed over."""
    known = {each.name for each in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known})
