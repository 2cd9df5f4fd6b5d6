"""A session's locks as they are written down, so that the loss of one can still be told. Pure.

Nothing is allowed by them: what the coordinator does not confirm is lost, and asked for
again. Shares and patterns are left out: of these a late note would take what was given back.
Beside them it is written down where each of these was asked for, which only we know.
What is being given back is written down, too, whatever it is: nobody may believe in it.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from scoord.ids import AgentId, FencingToken, ProjectId, SessionId
from scoord.names import path_key
from scoord_agent.held_lock import HeldLock


class KeptLock(BaseModel):
    """What is written down. A full disk or a crash may have left anything."""

    model_config = ConfigDict(strict=True, extra="ignore")

    project: str
    path: str
    agent: str
    token: Annotated[int, Field(gt=0, lt=2**63)]
    is_pattern: bool = False
    branch: str = ""
    commit: str = ""
    worktree: str = ""
    in_several: bool = False
    reason: str = ""
    ends_at: Annotated[float, Field(ge=0)] = 0.0
    passed: bool = False


def to_json(locks: Iterable[HeldLock]) -> list[dict[str, Any]]:
    """What is to be known again of those that are held."""
    return all_to_json(lock for lock in locks if not _is_left_out(lock))


def left_out_to_json(locks: Iterable[HeldLock]) -> list[dict[str, Any]]:
    """The same of the shares and patterns among them."""
    return all_to_json(filter(_is_left_out, locks))


def _is_left_out(lock: HeldLock) -> bool:
    return lock.shared or lock.is_pattern


def all_to_json(locks: Iterable[HeldLock]) -> list[dict[str, Any]]:
    """The same of all, as of those that are being given back."""
    return [
        {
            "project": lock.project,
            "path": lock.shown,
            "agent": lock.agent,
            "token": lock.token,
            "is_pattern": lock.is_pattern,
            "branch": lock.branch,
            "commit": lock.commit,
            "worktree": lock.worktree,
            "in_several": lock.in_several,
            "reason": lock.reason,
            "ends_at": lock.ends_at,
            "passed": lock.passed,
        }
        for lock in locks
    ]


def from_kept(session: SessionId, kept: Iterable[KeptLock]) -> list[HeldLock]:
    """The locks that the agent before us knew to be the session's."""
    return [
        HeldLock(
            project=ProjectId(lock.project),
            key=path_key(lock.path),
            shown=lock.path,
            session=session,
            agent=AgentId(lock.agent),
            token=FencingToken(lock.token),
            is_pattern=lock.is_pattern,
            branch=lock.branch,
            commit=lock.commit,
            worktree=lock.worktree,
            in_several=lock.in_several,
            reason=lock.reason,
            ends_at=lock.ends_at,
            passed=lock.passed,
        )
        for lock in kept
    ]
