"""What people and scripts ask the agent to see: who is here, what is locked, what is wrong."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scoord.clock import Clock
from scoord.errors import ScoordError, Unknown
from scoord.ids import MachineId
from scoord.paths import Locator, Worktree
from scoord.v1.locks_pb2 import Lock, Waiter
from scoord.v1.sessions_pb2 import Session
from scoord_agent.connection import State
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.hold_times import HoldTimes
from scoord_agent.neighbours import Neighbours
from scoord_agent.places import worktree_of
from scoord_agent.registration import Machine
from scoord_agent.rehearsal import rehearse
from scoord_agent.rows import (
    is_everywhere,
    lock_row,
    project_row,
    seconds_of,
    session_row,
    waiter_row,
)
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Listing:
    """What there is in a project, and how old that is; None when it was never heard.

    ``waiters`` is None where nobody knows: a stream tells of queues only as it begins.
    """

    sessions: Iterable[Session]
    locks: Iterable[Lock]
    waiters: Iterable[Waiter] | None
    age_s: float | None


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """What an agent says of itself."""

    pid: int
    version: str
    port: int
    machine_id: MachineId
    host: str
    state_dir: str
    log: str
    settings: Mapping[str, Any]
    """Those that it read at its start only; files may say something else by now."""


class StatusDesk:
    """Answers with plain dictionaries, ready for JSON."""

    def __init__(
        self,
        *,
        facts: AgentFacts,
        machine: Machine,
        client: CoordinatorClient,
        sessions: Sessions,
        neighbours: Neighbours,
        hold_times: HoldTimes,
        locator: Locator,
        settings: SettingsFor,
        clock: Clock,
    ) -> None:
        self._facts = facts
        self._machine = machine
        self._client = client
        self._sessions = sessions
        self._neighbours = neighbours
        self._hold_times = hold_times
        self._locator = locator
        self._settings = settings
        self._clock = clock
        self._started_at = clock.now()

    async def status(self, cwd: str, *, everything: bool) -> Answer:
        """Who is here, what is locked, and whether the coordinator can be asked."""
        worktree = await worktree_of(self._locator, cwd)
        scope = self._settings.now(worktree).session_coordination.scope
        by_branch = self._locator.project_of(worktree) if scope == "branch" else ""
        project = "" if everything else self._locator.project_of(worktree)
        seen = await self._listing(project)
        return {
            "agent": {**asdict(self._facts), "uptime_s": self._clock.now() - self._started_at},
            "coordinator": self._coordinator(),
            "project": project_row(worktree),
            "sessions": [session_row(session, self._sessions.is_here) for session in seen.sessions],
            "locks": await self._lock_rows(seen, by_branch),
            "waiters": self._waiter_rows(seen),
            "view_age_s": seen.age_s,
            "problems": self._problems(worktree, everything=everything),
        }

    async def problems(self, cwd: str) -> Answer:
        """What is wrong with the settings there, a line each; the last good ones are in force."""
        worktree = await worktree_of(self._locator, cwd)
        self._settings.now(worktree)
        told = self._problems(worktree, everything=False)
        return {"problems": told} if told else {}

    def news(self, pid: int) -> Answer:
        """What the terminal above ``pid`` was not told yet: it has no hook that would tell it."""
        session = self._sessions.above(pid)
        if session is None or session.has_hooks:
            return {"news": []}
        return {"news": session.take_notices()}

    def _problems(self, worktree: Worktree | None, *, everything: bool) -> list[str]:
        """Of other repositories of this machine only who asks for everything is told."""
        if everything:
            return self._settings.problems()
        return self._settings.problem(worktree.root if worktree else None).splitlines()

    async def rehearse(self) -> Answer:
        """See that the coordinator can take something in. Raises what it says."""
        await rehearse(self._client, self._machine)
        return {"ok": True}

    def _waiter_rows(self, seen: _Listing) -> list[Answer] | None:
        if seen.waiters is None:
            return None
        return [waiter_row(waiter, self._sessions.is_here) for waiter in seen.waiters]

    async def _lock_rows(self, seen: _Listing, by_branch: str) -> list[Answer]:
        """Locks with when they will be free; people wait for what that rests on.

        In the project ``by_branch`` each is on a branch: of others it is said that they are not.
        """
        found = tuple(seen.locks)
        waiting = {"waiters": None} if seen.waiters is None else {}
        connected = self._client.connection.look(self._clock.now()) is State.CONNECTED
        with contextlib.suppress(ScoordError):
            for project in {lock.project for lock in found} if connected else ():
                await self._hold_times.ask(project)
        left = self._hold_times.completion
        return [
            lock_row(lock, self._sessions.is_here, left(lock.project, lock, self._neighbours))
            | ({"is_everywhere": True} if is_everywhere(lock, by_branch) else {})
            | waiting
            for lock in found
        ]

    async def _listing(self, project: str) -> _Listing:
        """From the coordinator; while it cannot be asked, as last heard."""
        try:
            sessions = await self._client.list_sessions(project)
            locks = await self._client.list_locks(project)
        except Unknown:
            return self._last_heard(project)
        age = seconds_of(sessions.view_age)
        return _Listing(sessions.sessions, locks.locks, locks.waiters, age)

    def _last_heard(self, project: str) -> _Listing:
        homes = {home for s in self._sessions for home in s.aliases if project in ("", home)}
        known, now = [self._neighbours.of(home) for home in sorted(homes)], self._clock.now()
        heard = [n.heard_at for n in known if n.heard_at is not None]
        age = now - min(heard) if heard else None
        sessions = [session for n in known for session in n.sessions.values()]
        locks = [n.lock_at(lock, now) for n in known for lock in n.locks]
        return _Listing(sessions, locks, None, age)

    def _coordinator(self) -> Answer:
        connection, now = self._client.connection, self._clock.now()
        heard_at = connection.heard_at
        return {
            "state": str(connection.look(now)),
            "address": self._client.address,
            "heard_s": None if heard_at is None else now - heard_at,
            "error": connection.error,
        }
