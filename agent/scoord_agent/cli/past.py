"""The agent's answers about the past, as values; built to outlive versions, as ``pictures``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoord_agent.cli.pictures import read_row


@dataclass(frozen=True, slots=True)
class Who:
    """A session, as it is named in history. Texts are other people's."""

    session_id: str = ""
    alias: str = ""
    agent_id: str = ""
    person: str = ""
    host: str = ""
    branch: str = ""
    idle_s: float = 0.0


@dataclass(frozen=True, slots=True)
class EventRow:
    """One line of history."""

    who: Who = Who()
    others: tuple[Who, ...] = ()
    kind: str = ""
    paths: tuple[str, ...] = ()
    by: str = ""
    reason: str = ""
    ago_s: float = 0.0


@dataclass(frozen=True, slots=True)
class HoldRow:
    """What became of one path in a session's hands."""

    path: str = ""
    grants: int = 0
    held_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LogRow:
    """The log of a finished session."""

    who: Who = Who()
    holds: tuple[HoldRow, ...] = ()
    files: tuple[str, ...] = ()
    """Which it edited, as far as that is kept."""
    how: str = ""
    why: str = ""
    lasted_s: float = 0.0
    ended_ago_s: float = 0.0
    summary: str = ""
    edits: int = 0
    commits: int = 0
    refusals: int = 0
    waited_s: float = 0.0


def event_row(answer: Mapping[str, Any]) -> EventRow:
    """Read one line of history."""
    others = tuple(read_row(Who, other) for other in answer.get("others", ()))
    made = {"who": read_row(Who, answer), "others": others, "paths": tuple(answer.get("paths", ()))}
    return read_row(EventRow, {**answer, **made})


def log_row(answer: Mapping[str, Any]) -> LogRow:
    """Read one log."""
    holds = tuple(read_row(HoldRow, hold) for hold in answer.get("holds", ()))
    made = {"who": read_row(Who, answer), "holds": holds, "files": tuple(answer.get("files", ()))}
    return read_row(LogRow, {**answer, **made})


def who(answer: Mapping[str, Any]) -> Who:
    """Read how a session is named."""
    return read_row(Who, answer)
