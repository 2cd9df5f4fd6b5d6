"""The sessions of this machine: who they are, and where that is written down.

A session is a process. The coding CLI's own session id is an attribute of it:
after ``/clear`` it changes while the process stays, so one session may have had
several. What is written down lets an agent that was killed take its sessions up
again under their names and leases.
"""

import itertools
import json
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scoord.ids import LeaseId, ProjectId, SessionId
from scoord.local import atomic_write
from scoord.v1.sessions_pb2 import SessionStatus
from scoord_agent import kept_locks
from scoord_agent.held import HeldLock
from scoord_agent.kept_work import KeptWork, from_kept, to_json
from scoord_agent.processes import Process
from scoord_agent.work import Work

_log = logging.getLogger(__name__)

TERMINAL = "terminal"
"""The client of a session that is a person's shell."""

MAX_NOTICES = 20
"""A session that is told nothing for long is told the latest, not all."""

MAX_NOTICED = 200
_MOST_KEPT_IDS = 50


@dataclass(slots=True)
class LocalSession:
    """One session of this machine. The only value here that changes in place."""

    session_id: SessionId
    client: str
    process: Process | None
    cwd: str
    client_session_ids: set[str] = field(default_factory=set)
    lease: LeaseId = LeaseId(0)
    aliases: dict[ProjectId, str] = field(default_factory=dict)
    """Its short name in each project it is registered in; the first is its own."""
    home: ProjectId = ProjectId("")
    worktree: str = ""
    branch: str = ""
    intent: str = ""
    client_version: str = ""
    terminal: str = ""
    """The terminal it runs in, as ``pts/3``; empty when there is none."""
    status: "SessionStatus.ValueType" = SessionStatus.SESSION_STATUS_UNSPECIFIED
    """What its coding CLI does; that it waits for a lock is seen from its work."""
    work: Work = field(default_factory=Work)
    active: bool = True
    """Whether it did something since that was last published."""
    acted_at: float = 0.0
    """When it last did something, by the agent's clock."""
    published_at: float = 0.0
    inherited: bool = False
    """Whether it is of the agent before us, and what it holds is not known yet."""
    had: Sequence[HeldLock] = ()
    """What it held when the agent before us last wrote it down, until that is confirmed."""
    had_at: float = 0.0
    """When all of that was known to stand, on the machine's clock: a session does not
    outlive its boot."""
    ended: bool = False
    """Whether it is over; one that is still being registered must then not go on."""
    notices: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_NOTICES))
    """What it is told at its next hooks, once."""
    losses: deque[str] = field(default_factory=deque)
    """The same, of locks it has lost: told first, and crowded out by nothing."""
    noticed: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_NOTICED))
    """Ids of what came from its inbox, lately."""
    person: "Callable[[LocalSession, str], None] | None" = None
    """Tells the person in front of it; None where nobody is to be told."""
    changed: "Callable[[], None] | None" = None
    """Is called when something else than before is to be told: an agent after us tells it."""

    @property
    def root(self) -> Path | None:
        """Where its own worktree is, and so its settings."""
        return _path(self.worktree) if self.worktree else None

    @property
    def alias(self) -> str:
        """Its short name in its own project."""
        return self.aliases.get(self.home, "")

    @property
    def has_hooks(self) -> bool:
        """Whether it can be told something later: a terminal has no hook that asks."""
        return self.client != TERMINAL

    @property
    def registered(self) -> bool:
        """Whether it has a lease."""
        return self.lease != 0

    def act(self, now: float) -> None:
        """It did something."""
        self.active, self.acted_at = True, now

    def tell(self, notice: str, *, person: bool = False) -> None:
        """Keep ``notice`` for its next hook, unless that is waiting already.

        With ``person``, it is for the one in front of the session as well, and now.
        """
        if notice in self.notices:
            return
        self.notices.append(notice)
        self._change()
        if person:
            self.tell_person(notice)

    def tell_person(self, notice: str) -> None:
        """For the one in front of it alone, and now."""
        if self.person:
            self.person(self, notice)

    def tell_loss(self, notice: str) -> None:
        """Keep ``notice``, of a lock that is lost, for its next hook."""
        if notice in self.losses:
            return
        self.losses.append(notice)
        self._change()
        self.tell_person(notice)

    def take_notices(self, most: int = MAX_NOTICES) -> list[str]:
        """What it has not been told yet, losses first; what there is no room for waits."""
        losses = self.take_losses(most)
        return losses + self._taken(self.notices, most - len(losses))

    def take_losses(self, most: int) -> list[str]:
        """The same, of losses alone."""
        return self._taken(self.losses, most)

    def _taken(self, waiting: deque[str], most: int) -> list[str]:
        taken = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        if taken:
            self._change()
        return taken

    def _change(self) -> None:
        if self.changed:
            self.changed()

    def begin_anew(self) -> None:
        """Its conversation is over and another begins; the process, and what it holds, stay."""
        self.intent = ""
        self.work.begin_anew()

    def lapse(self) -> None:
        """Its lease is over; it registers again at its next chance."""
        self.lease = LeaseId(0)


@lru_cache(512)
def _path(worktree: str) -> Path:
    """Every hook asks: a path is taken apart anew each time that it is made."""
    return Path(worktree)


def new_session_id(host: str, process: Process | None, now: datetime) -> SessionId:
    """``Session_{hostname}_{pid}_{UTC timestamp}``; the time has microseconds."""
    pid = process.pid if process else 0
    return SessionId(f"Session_{host}_{pid}_{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}")


class Sessions:
    """All sessions of this machine, by id, by the client's id, and by process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._sessions: dict[SessionId, LocalSession] = {}
        self.person: Callable[[LocalSession, str], None] | None = None
        """Tells the person in front of a session, of all that come from now on."""
        self.changed: Callable[[], None] | None = None
        """Is called when a session is to be told something, of all that come from now on."""
        self.held: Callable[[SessionId], Sequence[HeldLock]] = lambda _session: ()
        """What a session has or has lost, to be written down with it."""
        self.stood_at: Callable[[SessionId], float] = lambda _session: 0.0
        """When all of that was last known to stand."""
        self._writing = Lock()
        self._made = itertools.count(1)
        self._last_written = 0

    def __iter__(self) -> Iterator[LocalSession]:
        return iter(tuple(self._sessions.values()))

    def get(self, session: str) -> LocalSession | None:
        """The session with this id."""
        return self._sessions.get(SessionId(session))

    def all_by_client_id(self, client: str, client_session_id: str) -> list[LocalSession]:
        """The sessions that the coding CLI knows under this id.

        More than one when a session was resumed in a second process.
        """
        return [s for s in self if s.client == client and client_session_id in s.client_session_ids]

    def by_process(self, process: Process) -> LocalSession | None:
        """The session that is this process."""
        return next((s for s in self if s.process == process), None)

    def add(self, session: LocalSession) -> None:
        """Remember a session."""
        self._take_in(session)
        self.save()

    def remove(self, session: LocalSession) -> None:
        """Forget a session."""
        self._sessions.pop(session.session_id, None)
        self.save()

    def save(self) -> None:
        """Write down what a restarted agent needs. This one works without, and says so."""
        self.write(self.written())

    def written(self) -> "Written":
        """What is to be written down now."""
        lines = [json.dumps(self._to_json(session), ensure_ascii=True) for session in self]
        return Written(next(self._made), "\n".join(lines).encode() + b"\n")

    def _to_json(self, session: LocalSession) -> dict[str, Any]:
        locks = (*session.had, *self.held(session.session_id))
        stood_at = session.had_at if session.had else self.stood_at(session.session_id)
        return _to_json(session) | {"held": kept_locks.to_json(locks), "stood_at": stood_at}

    def write(self, written: "Written") -> None:
        """Write it down, unless something newer is; from any thread."""
        with self._writing:
            if written.number < self._last_written:
                return
            self._last_written = written.number
            try:
                atomic_write(self._file, written.data)
            except OSError as error:
                _log.warning("cannot write %s: %s; a restart would lose it", self._file, error)

    def load(self, now: float) -> None:
        """Read what the agent before us wrote down; what cannot be read is left out.

        Each counts as having acted ``now``: nobody knows when it last did.
        """
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return
        for line in lines:
            if session := _from_json(line):
                session.acted_at, session.inherited = now, True
                # Of before a boot nothing is known: then it is as if it had never stood.
                session.had_at = session.had_at if session.had_at <= now else 0.0
                self._take_in(session)

    def _take_in(self, session: LocalSession) -> None:
        session.person, session.changed = self.person, self.changed
        self._sessions[session.session_id] = session


@dataclass(frozen=True, slots=True)
class Written:
    """All sessions as they were at one moment; a higher number is a later one."""

    number: int
    data: bytes


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
        "aliases": session.aliases,
        "home": session.home,
        "worktree": session.worktree,
        "branch": session.branch,
        "intent": session.intent,
        "terminal": session.terminal,
        "work": to_json(session.work),
        "losses": list(session.losses),
        "notices": list(session.notices),
        "noticed": list(session.noticed)[-_MOST_KEPT_IDS:],
    }


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
    aliases: dict[str, str]
    home: str
    worktree: str
    branch: str
    intent: str
    terminal: str = ""
    work: KeptWork = KeptWork()
    losses: list[str] = []
    notices: list[str] = []
    noticed: list[str] = []
    held: list[kept_locks.KeptLock] = []
    stood_at: float = 0.0

    @property
    def process(self) -> Process | None:
        if self.pid is None or self.started is None:
            return None
        return Process(self.pid, self.started)


def _from_json(line: str) -> LocalSession | None:
    try:
        kept = _Line.model_validate_json(line)
    except ValidationError:
        return None
    return LocalSession(
        session_id=SessionId(kept.session_id),
        client=kept.client,
        client_version=kept.client_version,
        process=kept.process,
        cwd=kept.cwd,
        client_session_ids=set(kept.client_session_ids),
        lease=LeaseId(kept.lease),
        aliases={ProjectId(project): alias for project, alias in kept.aliases.items()},
        home=ProjectId(kept.home),
        worktree=kept.worktree,
        branch=kept.branch,
        intent=kept.intent,
        terminal=kept.terminal,
        work=from_kept(kept.work),
        losses=deque(kept.losses),
        notices=deque(kept.notices, maxlen=MAX_NOTICES),
        noticed=deque(kept.noticed, maxlen=MAX_NOTICED),
        had=tuple(kept_locks.from_kept(SessionId(kept.session_id), kept.held)),
        had_at=kept.stood_at,
    )
