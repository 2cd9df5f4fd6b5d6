"""What the agent and every coding CLI's adapter speak with each other.

An adapter (``claude_code.py`` and its like) turns a CLI's own JSON into a
``HookEvent``, and a ``Decision`` back into that CLI's own JSON. Adapters are pure.
"""

from dataclasses import dataclass
from enum import StrEnum

from scoord.ids import AgentId


class EventKind(StrEnum):
    """What happened in the coding CLI, in our words."""

    SESSION_START = "session-start"
    SESSION_END = "session-end"
    PROMPT = "prompt"
    BEFORE_EDIT = "before-edit"
    AFTER_EDIT = "after-edit"
    TURN_END = "turn-end"
    SUBAGENT_END = "subagent-end"
    PROGRESS = "progress"
    OTHER = "other"


class StepState(StrEnum):
    """Where one step of a task list is."""

    PENDING = "pending"
    ACTIVE = "active"
    DONE = "done"
    GONE = "gone"
    """Taken off the list."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a coding CLI's task list, as far as an event tells. Texts are a model's."""

    key: str
    """How the CLI names it."""
    state: StepState | None = None
    """None where it stays as it was."""
    subject: str = ""
    """What is to be done; empty where it stays as it was."""
    doing: str = ""
    """The same, as it is said while it is done."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What an event says of the task list: some steps of it, or all there are."""

    steps: tuple[Step, ...]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class HookEvent:
    """One hook call: who, where, and the files it would write, delete or rename."""

    client: str
    """The coding CLI, e.g. ``claude-code``."""
    kind: EventKind
    name: str
    """The event's own name in that CLI, e.g. ``PreToolUse``."""
    client_session_id: str
    """The CLI's own session id; changes while the process stays (``/clear``)."""
    cwd: str
    """Where the session stands now; relative paths start here."""
    agent_id: AgentId = AgentId("")
    paths: tuple[str, ...] = ()
    """As the tool got them: absolute, or relative to ``cwd``. One event may touch several."""
    prompt: str = ""
    reason: str = ""
    """Why a session started or ended, in the CLI's words (``startup``, ``clear``, ...)."""
    steps: Steps | None = None
    """What is said of the session's task list."""
    is_alone: bool = False
    """Whether the CLI says that nothing works beside the main thread, whose turn is over."""


class Verdict(StrEnum):
    """What becomes of the event."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the agent answers: a verdict, and what the model and the person are told."""

    verdict: Verdict = Verdict.ALLOW
    reason: str = ""
    """Why it is denied; for the model."""
    context: str = ""
    """Facts for the model beside an allowed event; empty says nothing."""
    notice: str = ""
    """One line for the person in front of the CLI; empty says nothing."""


ALLOW = Decision()
"""Allowed, with nothing to say."""
