"""What the agent tells people and scripts, as plain dictionaries. Pure."""

from collections.abc import Callable
from typing import Any

from google.protobuf.duration_pb2 import Duration

from scoord.paths import Worktree
from scoord.sessions import status_name
from scoord.v1.locks_pb2 import (
    Conflict,
    Holder,
    Lock,
    LockMode,
    LockRef,
    LockScope,
    Waiter,
)
from scoord.v1.sessions_pb2 import Session
from scoord_agent.estimates import Completion
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import TERMINAL
from scoord_agent.request import Request
from scoord_agent.wording_times import basis_of

Row = dict[str, Any]

IsLocal = Callable[[str], bool]
"""Whether a session is one of this machine."""


def session_row(session: Session, is_local: IsLocal) -> Row:
    """One session."""
    return {
        "session_id": session.session_id,
        "alias": session.alias,
        "project": session.project,
        "machine_id": session.machine_id,
        "host": session.host,
        "person": session.person,
        "client": session.client,
        "client_version": session.client_version,
        "worktree": session.worktree,
        "branch": session.branch,
        "intent": session.intent,
        "status": _status(session),
        "pid": session.pid,
        "terminal": session.terminal,
        "progress": _progress(session),
        "estimate": _estimate(session),
        "areas": list(session.areas),
        "depends_on": [
            {"session_id": on.session_id, "alias": on.alias, "why": on.why, "path": on.path}
            for on in session.depends_on
        ],
        "edits": session.edits,
        "commits": session.commits,
        "live_s": seconds_of(session.live_for),
        "idle_s": seconds_of(session.idle_for),
        "local": is_local(session.session_id),
    }


def _status(session: Session) -> str:
    """What it does; a terminal has no hook that would tell."""
    if session.client == TERMINAL:
        return TERMINAL
    return status_name(session) or "unspecified"


def _progress(session: Session) -> Row | None:
    if not session.HasField("progress"):
        return None
    progress = session.progress
    return {
        "done": progress.done,
        "total": progress.total,
        "percent": progress.percent,
        "step": progress.step,
        "source": progress.source,
    }


def _estimate(session: Session) -> Row | None:
    if not session.HasField("estimate"):
        return None
    estimate = session.estimate
    return {
        "left_s": seconds_of(estimate.left),
        "low_s": seconds_of(estimate.low),
        "high_s": seconds_of(estimate.high),
        "basis": estimate.basis,
        "samples": estimate.samples,
    }


def lock_row(lock: Lock, is_local: IsLocal, left: Completion | None = None) -> Row:
    """One lock; ``left`` is when it will be free, as far as anybody can tell."""
    return {
        "project": lock.project,
        "path": lock.path,
        "token": lock.token,
        **_holder(lock.holder, is_local),
        "commit": lock.holder.commit,
        "reason": lock.reason,
        "mode": _mode(lock),
        "scope": _scope(lock),
        "is_pattern": lock.is_pattern,
        "waiters": lock.waiters,
        "held_s": seconds_of(lock.held_for),
        "idle_s": seconds_of(lock.idle_for),
        "ends_in_s": seconds_of(lock.ends_in) if lock.HasField("ends_in") else None,
        "estimate_s": left.left_s if left else None,
        "estimate_basis": basis_of(left),
    }


def _mode(one: Lock | Waiter) -> str:
    return "shared" if one.mode == LockMode.LOCK_MODE_SHARED else "exclusive"


def _scope(one: Lock | Waiter) -> str:
    return "branch" if one.scope == LockScope.LOCK_SCOPE_BRANCH else "repository"


def is_everywhere(lock: Lock, by_branch: str) -> bool:
    """Whether it holds on every branch, in the project ``by_branch`` where that is not usual."""
    return lock.project == by_branch and lock.scope != LockScope.LOCK_SCOPE_BRANCH


def waiter_row(waiter: Waiter, is_local: IsLocal) -> Row:
    """One place in a queue."""
    return {
        "project": waiter.project,
        "path": waiter.path,
        "place": waiter.place,
        "has_turn": waiter.has_turn,
        **_holder(waiter.holder, is_local),
        "reason": waiter.reason,
        "mode": _mode(waiter),
        "scope": _scope(waiter),
        "waiting_s": seconds_of(waiter.waiting_for),
    }


def conflict_row(
    conflict: Conflict, message: str, is_local: IsLocal, left: Completion | None = None
) -> Row:
    """One path that was not granted, the ``message`` why, and when it will be free."""
    return {
        "path": conflict.path,
        "place": conflict.place,
        "is_claim": conflict.is_claim,
        "lock": lock_row(conflict.lock, is_local, left),
        "message": message,
    }


def project_row(worktree: Worktree | None) -> Row | None:
    """The project of a worktree; None outside of any."""
    if worktree is None:
        return None
    return {
        "id": worktree.project,
        "shared": worktree.shared,
        "named_by": str(worktree.named_by),
        "root": str(worktree.root),
    }


def granted_row(request: Request, ref: LockRef, lock: HeldLock | None, now: float) -> Row:
    """What a session got or has; ``lock`` is how it is held, unless that is over by now."""
    shared = lock.shared if lock else request.shared
    return {
        "path": ref.path,
        "token": ref.token,
        "mode": "shared" if shared else "exclusive",
        "ends_in_s": (lock and lock.left_s(now)) or None,
        "project": request.project,
        "outside": request.files[0].worktree is None,
    }


def seconds_of(duration: Duration) -> float:
    """A duration from the wire."""
    return duration.ToMilliseconds() / 1000


def holder_row(holder: Holder) -> Row:
    """Who holds, waits or did something."""
    return {
        "session_id": holder.session_id,
        "alias": holder.alias,
        "agent_id": holder.agent_id,
        "person": holder.person,
        "host": holder.host,
        "branch": holder.branch,
    }


def _holder(holder: Holder, is_local: IsLocal) -> Row:
    return {**holder_row(holder), "local": is_local(holder.session_id)}
