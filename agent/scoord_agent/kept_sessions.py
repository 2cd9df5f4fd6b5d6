"""A session as it is written down, one line of JSON: what an agent after us takes up."""

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scoord.ids import AgentId, LeaseId, ProjectId, SessionId
from scoord.names import path_key
from scoord.v1.sessions_pb2 import SessionStatus
from scoord_agent import kept_locks
from scoord_agent.held_lock import HeldLock
from scoord_agent.kept_work import KeptWork, from_kept, to_json
from scoord_agent.local_session import MAX_NOTICED, LocalSession
from scoord_agent.processes import Process
from scoord_agent.turns import NOT_KNOWN, Asked, Place, Queued
from scoord_agent.wanted import Waiters, Wanted

_MOST_KEPT_IDS = 50


def to_line(
    session: LocalSession,
    held: Sequence[HeldLock],
    stood_at: float,
    waits: Mapping[Place, Queued],
) -> str:
    """``session``, which has or has lost ``held``; all of that stood at ``stood_at``.

    It is yet to hear of its turn where it ``waits``. No text costs the session: where one
    cannot be written, as half a surrogate pair, what stands for that is.
    """
    beside = [*kept_locks.all_to_json(session.had_beside), *kept_locks.left_out_to_json(held)]
    locks = {"held": kept_locks.to_json((*session.had, *held)), "beside": beside}
    at = {"stood_at": session.had_at if session.had else stood_at}
    waited = {"waits": [_place_to_json(place, queued) for place, queued in waits.items()]}
    line = json.dumps(_to_json(session) | locks | at | waited, ensure_ascii=False)
    return line.encode(errors="replace").decode()


def _place_to_json(place: Place, queued: Queued) -> list[Any]:
    where = place.project, place.agent, place.branch
    return [*where, queued.path, queued.revision, astuple(queued.asked)]


def _to_json(session: LocalSession) -> dict[str, Any]:
    process = session.process
    return {
        "session_id": session.session_id,
        "client": session.client,
        "client_version": session.client_version,
        "pid": process.pid if process else None,
        "started": process.started if process else None,
        "cwd": session.cwd,
        "client_session_ids": sorted(session.client_session_ids),
        "lease": session.lease,
        "lapsed": session.lapsed,
        "aliases": session.aliases,
        "home": session.home,
        "worktree": session.worktree,
        "branch": session.branch,
        "intent": session.intent,
        "intent_is_said": session.intent_is_said,
        "status": session.status,
        "terminal": session.terminal,
        "work": to_json(session.work),
        "losses": list(session.losses),
        "subagents": {agent: list(told) for agent, told in session.subagents.items()},
        "asides": {agent: list(told) for agent, told in session.asides.items()},
        "wanted_by": [
            [agent, *astuple(place), it.told, it.more]
            for agent, waiters in session.wanted.items()
            for place, it in waiters.items()
        ],
        "notices": list(session.notices),
        "left_out": session.left_out,
        "to_greet": session.to_greet,
        "noticed": list(session.noticed)[-_MOST_KEPT_IDS:],
        "acted_at": session.acted_at,
        "publish_within_s": _finite(session.publish_within_s),
        "owed": kept_locks.all_to_json(session.owed),
    }


def _finite(number: float) -> float | None:
    """JSON has no infinity."""
    return number if math.isfinite(number) else None


_KeptWanted = tuple[AgentId, ProjectId, str, SessionId, AgentId, str, str, int]
"""A thread, a place in a queue, what it is to be told of that, and how many more there are."""


def _wanted(kept: "_Line") -> dict[AgentId, Waiters]:
    found: dict[AgentId, Waiters] = {}
    for thread, project, key, session, agent, branch, told, more in kept.wanted_by:
        place = Place(project, key, session, agent, branch)
        found.setdefault(thread, {})[place] = Wanted(told, more)
    return found


_Revision = Annotated[int, Field(ge=0, lt=2**63)]
_KeptAsked = tuple[str, Annotated[float, Field(ge=0)], bool]
_KeptPlace = (
    tuple[ProjectId, AgentId, str, str, _Revision]
    | tuple[ProjectId, AgentId, str, str, _Revision, _KeptAsked]
)
"""Where it waits: the project, the thread, the branch, the path, and when that was asked for and
how, which older agents did not write."""


def _waited(kept: "_Line") -> dict[Place, Queued]:
    found: dict[Place, Queued] = {}
    for project, agent, branch, path, revision, *rest in kept.waits:
        place = Place(project, path_key(path), SessionId(kept.session_id), agent, branch)
        asked = Asked(*rest[0]) if rest else _asked(kept, project, branch)
        found[place] = Queued(path, revision, branch, asked)
    return found


def _asked(kept: "_Line", project: ProjectId, branch: str) -> Asked:
    """One for the branch that its session is on was asked for in its worktree, as far as we know.

    An older agent did not write that.
    """
    is_own = branch and (project, branch) == (kept.home, kept.branch)
    return Asked(kept.worktree) if is_own else NOT_KNOWN


class _Line(BaseModel):
    """One session as it is written down. A full disk or a crash may have left anything."""

    model_config = ConfigDict(strict=True, extra="ignore")

    session_id: str
    client: str
    client_version: str
    pid: Annotated[int, Field(gt=0, lt=2**31)] | None
    started: float | None
    cwd: str
    client_session_ids: list[str]
    lease: Annotated[int, Field(ge=0, lt=2**63)]
    lapsed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    aliases: dict[str, str]
    home: str
    worktree: str
    branch: str
    intent: str
    intent_is_said: bool = False
    status: Annotated[int, Field(ge=0, le=SessionStatus.SESSION_STATUS_WORKING)] = 0
    terminal: str = ""
    work: KeptWork = KeptWork()
    losses: list[str] = []
    subagents: dict[AgentId, list[str]] = {}
    asides: dict[AgentId, list[str]] = {}
    wanted_by: list[_KeptWanted] = []
    waits: list[_KeptPlace] = []
    notices: list[str] = []
    left_out: Annotated[int, Field(ge=0)] = 0
    to_greet: bool = False
    noticed: list[str] = []
    held: list[kept_locks.KeptLock] = []
    beside: list[kept_locks.KeptLock] = []
    owed: list[kept_locks.KeptLock] = []
    stood_at: float = 0.0
    acted_at: float = 0.0
    publish_within_s: Annotated[float, Field(gt=0)] | None = None

    @property
    def process(self) -> Process | None:
        if self.pid is None or self.started is None:
            return None
        return Process(self.pid, self.started)


def from_line(line: bytes) -> LocalSession | None:
    """A session that was written down; None where it cannot be read which one it is."""
    kept = _read(line)
    return _session(kept) if kept else None


def _read(line: bytes) -> _Line | None:
    """What cannot be read, as of a newer agent, is left out: of lists and tables one entry."""
    try:
        return _Line.model_validate_json(line)
    except ValidationError as error:
        wrong = {each["loc"][:2] for each in error.errors()}
    if any(not at or _Line.model_fields[str(at[0])].is_required() for at in wrong):
        return None
    kept = json.loads(line)
    for name, *entry in sorted(wrong, reverse=True):  # so that what is before it stays there
        if entry:
            del kept[name][entry[0]]
        else:
            del kept[name]
    return _Line.model_validate_json(json.dumps(kept))


def _session(kept: _Line) -> LocalSession:
    return LocalSession(
        session_id=SessionId(kept.session_id),
        client=kept.client,
        client_version=kept.client_version,
        process=kept.process,
        cwd=kept.cwd,
        client_session_ids=set(kept.client_session_ids),
        lease=LeaseId(kept.lease),
        lapsed=LeaseId(kept.lapsed),
        aliases={ProjectId(project): alias for project, alias in kept.aliases.items()},
        home=ProjectId(kept.home),
        worktree=kept.worktree,
        branch=kept.branch,
        intent=kept.intent,
        intent_is_said=kept.intent_is_said,
        status=SessionStatus.ValueType(kept.status),
        terminal=kept.terminal,
        work=from_kept(kept.work),
        losses=deque(kept.losses),
        subagents={agent: deque(told) for agent, told in kept.subagents.items()},
        asides={agent: deque(told) for agent, told in kept.asides.items()},
        wanted=_wanted(kept),
        waited=_waited(kept),
        notices=deque(kept.notices),
        left_out=kept.left_out,
        to_greet=kept.to_greet,
        noticed=deque(kept.noticed, maxlen=MAX_NOTICED),
        had=tuple(kept_locks.from_kept(SessionId(kept.session_id), kept.held)),
        had_beside=tuple(kept_locks.from_kept(SessionId(kept.session_id), kept.beside)),
        had_at=kept.stood_at,
        acted_at=kept.acted_at,
        publish_within_s=kept.publish_within_s or math.inf,
        owed=kept_locks.from_kept(SessionId(kept.session_id), kept.owed),
    )
