"""The messages that take files or a pattern, and the grants read from their answers. Pure."""

from dataclasses import replace
from math import inf
from typing import Any

from scoord.claimant import Claimant
from scoord.config import Settings
from scoord.ids import FencingToken
from scoord.names import path_key
from scoord.text import one_line
from scoord.v1.locks_pb2 import (
    AcquireRequest,
    AcquireResponse,
    Conflict,
    Granted,
    Held,
    LockMode,
    LockRef,
    LockScope,
    ReserveRequest,
)
from scoord_agent.coordinator import new_request_id, seconds
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from scoord_agent.places import folder_of
from scoord_agent.registration import idle_limit_s
from scoord_agent.request import Request


def acquire_message(request: Request, *, overlaps: bool) -> AcquireRequest:
    """Ask for files. With ``overlaps``, the holder is told that the edit goes on without."""
    blocks = request.conflict_action == "block"
    return AcquireRequest(
        **_wanted(request),
        paths=request.shown,
        enqueue=request.queues and blocks,
        overlaps=overlaps,
        claim=seconds(request.settings.session_coordination.claim_timeout),
        yields=not request.queues and blocks,
    )


def reserve_message(request: Request) -> ReserveRequest:
    """Ask for a pattern."""
    (pattern,) = request.files
    return ReserveRequest(**_wanted(request), pattern=pattern.shown)


def _wanted(request: Request) -> dict[str, Any]:
    """What is said alike of files and of a pattern."""
    who = request.claimant
    return {
        **_terms(request.session, request.settings, who),
        "project": request.project,
        "reason": request.reason,
        "reason_given": request.reason_given,
        "branch": one_line(request.head.branch),
        "commit": request.head.commit,
        "mode": who.mode,
        "lasts": seconds(request.lasts_s),
    }


def wanted_again(
    session: LocalSession, settings: Settings, lock: HeldLock, now: float
) -> dict[str, Any]:
    """What is said alike of a lock that was lost, however it is asked for again."""
    return {
        **_terms(session, settings, lock.claimant),
        "project": lock.project,
        "reason": lock.reason or session.intent,
        "branch": lock.branch or session.branch,
        "commit": lock.commit,
        "lasts": seconds(lock.left_s(now)),
    }


def _terms(session: LocalSession, settings: Settings, who: Claimant) -> dict[str, Any]:
    """Who asks, and for how far and how long unused."""
    coordination = settings.session_coordination
    return {
        "request_id": new_request_id(),
        "session_id": session.session_id,
        "lease_id": session.lease,
        "agent_id": who.agent,
        "lock_timeout": seconds(idle_limit_s(coordination.lock_timeout, coordination)),
        "scope": who.scope,
    }


def granted_locks(request: Request, granted: Granted, now: float) -> list[HeldLock]:
    """What ``request`` was granted, as its holder knows it ``now``."""
    return [
        HeldLock(
            project=request.project,
            key=file.key,
            shown=file.shown,
            session=request.session.session_id,
            agent=request.agent,
            token=FencingToken(ref.token),
            shared=_shared(ref, asked=request.shared),
            branch=_branch(ref, request.claimant.branch),
            is_pattern=request.is_pattern,
            commit=request.head.commit,
            ends_at=now + request.lasts_s if request.lasts_s else 0.0,
            worktree=folder_of(file.worktree),
            reason=request.reason if request.reason_given else "",
        )
        for file, ref in zip(request.files, granted.locks, strict=True)
    ]


def without_places(held: Held) -> list[Conflict]:
    """Who is in the way; the places in queues went with the asker's lease."""
    conflicts = list(held.conflicts)
    for conflict in conflicts:
        conflict.place = 0
    return conflicts


def granted_again(lock: HeldLock, ref: LockRef) -> HeldLock:
    """What was lost, as it was granted anew."""
    again = lock.granted_anew(FencingToken(ref.token))
    shared = _shared(ref, asked=lock.shared)
    return replace(again, shared=shared, branch=_branch(ref, lock.branch))


def ref_of(lock: HeldLock) -> LockRef:
    """The grant, as a message names it."""
    return LockRef(path=lock.shown, token=lock.token, is_pattern=lock.is_pattern)


def stood_as(lock: HeldLock) -> LockRef:
    """The same, and how and how far it stood."""
    ref, who = ref_of(lock), lock.claimant
    ref.mode, ref.scope = who.mode, who.scope
    return ref


def _shared(ref: LockRef, *, asked: bool) -> bool:
    """Whether it is shared: as it stands, or as it was asked for where nobody says."""
    return ref.mode == LockMode.LOCK_MODE_SHARED if ref.mode else asked


def _branch(ref: LockRef, asked: str) -> str:
    """The branch it is confined to; none where it stands on every one, whatever was asked."""
    return "" if ref.scope == LockScope.LOCK_SCOPE_REPOSITORY else asked


def told_of(request: Request, response: AcquireResponse) -> dict[str, float]:
    """The keys that an outcome says all of, and up to which token.

    What is not in the way may be ours already. Who is in the way with a lock has kept out all
    that was asked for since that was granted, but not what arrives when it is free. A place in
    a queue tells nothing of when, nor does what a sharer is refused for.
    """
    if response.WhichOneof("outcome") == "granted":
        return dict.fromkeys(request.keys, inf)
    return {
        path_key(conflict.path): inf if conflict.is_claim or request.shared else conflict.lock.token
        for conflict in response.held.conflicts
    }
