"""What people and scripts ask the agent for: to look, to lock, to wait, to unlock."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

from scoord.clock import Clock
from scoord.errors import InvalidRequest, ScoordError, Unknown
from scoord.ids import AgentId, MachineId, ProjectId
from scoord.names import path_key
from scoord.paths import FileIdentity, Locator, Worktree
from scoord.text import one_line
from scoord.v1.locks_pb2 import BreakRequest, Conflict, Granted, Lock, LockRef, Waiter
from scoord.v1.sessions_pb2 import Session
from scoord_agent import wording
from scoord_agent.arguments import identify
from scoord_agent.connection import State
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.held import HeldLock, HeldLocks
from scoord_agent.hold_times import HoldTimes
from scoord_agent.lifecycle import Lifecycle
from scoord_agent.neighbours import Neighbours
from scoord_agent.places import worktree_of
from scoord_agent.registration import Machine
from scoord_agent.rehearsal import rehearse
from scoord_agent.request import NO_HEAD, Request
from scoord_agent.rows import conflict_row, lock_row, seconds_of, session_row, waiter_row
from scoord_agent.sessions import LocalSession, Sessions
from scoord_agent.settings import SettingsFor
from scoord_agent.suggest import wait_for
from scoord_agent.taking import PATIENCE_S, Taking
from scoord_agent.turns import Place, Turns
from scoord_agent.wording_times import completed
from scoord_agent.wording_work import ELSEWHERE

Answer = dict[str, Any]
Saying = Callable[[Conflict, str], str]
"""What is said of a conflict, with when it will be over in words."""

WAIT_AT_MOST_S = 20.0
"""How long one call may wait. Who wants to wait longer calls again."""


PATTERN_AGAIN_S = 2.0
"""When a pattern is asked for again: there is no queue for one, so nobody tells."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a command in ``cwd`` wants for the session above the process ``pid``."""

    cwd: str
    paths: tuple[str, ...]
    pid: int
    reason: str = ""
    shared: bool = False
    lasts_s: float = 0.0
    """The locks end by themselves after so many seconds; 0 is never."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """What there is in a project, and how old that is; None when it was never heard."""

    sessions: Iterable[Session]
    locks: Iterable[Lock]
    waiters: Iterable[Waiter]
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


class Desk:
    """Answers with plain dictionaries, ready for JSON."""

    def __init__(
        self,
        *,
        facts: AgentFacts,
        machine: Machine,
        client: CoordinatorClient,
        sessions: Sessions,
        lifecycle: Lifecycle,
        taking: Taking,
        held: HeldLocks,
        turns: Turns,
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
        self._lifecycle = lifecycle
        self._taking = taking
        self._held = held
        self._turns = turns
        self._neighbours = neighbours
        self._hold_times = hold_times
        self._locator = locator
        self._settings = settings
        self._clock = clock
        self._started_at = clock.now()

    async def status(self, cwd: str, *, everything: bool) -> Answer:
        """Who is here, what is locked, and whether the coordinator can be asked."""
        worktree = await worktree_of(self._locator, cwd)
        self._settings.of(worktree)
        project = "" if everything else self._locator.project_of(worktree)
        seen = await self._listing(project)
        return {
            "agent": {**asdict(self._facts), "uptime_s": self._clock.now() - self._started_at},
            "coordinator": self._coordinator(),
            "project": _project_facts(worktree),
            "sessions": [session_row(session, self._is_local) for session in seen.sessions],
            "locks": await self._lock_rows(seen.locks),
            "waiters": [waiter_row(waiter, self._is_local) for waiter in seen.waiters],
            "view_age_s": seen.age_s,
            "problems": self._settings.problems(),
        }

    async def problems(self, cwd: str) -> Answer:
        """What is wrong with the settings there, a line each; the last good ones are in force."""
        worktree = await worktree_of(self._locator, cwd)
        self._settings.of(worktree)
        told = self._settings.problem(worktree.root if worktree else None)
        return {"problems": told.splitlines()} if told else {}

    async def rehearse(self) -> Answer:
        """See that the coordinator can take something in. Raises what it says."""
        await rehearse(self._client, self._machine)
        return {"ok": True}

    async def acquire(self, wish: Wish) -> Answer:
        """Take all of it for the session above, or nothing."""
        session = await self._lifecycle.terminal_session(wish.pid, wish.cwd)
        requests = await self._requests(session, wish)
        asked = [replace(request, queues=session.has_hooks) for request in requests]
        return await self._take(session, asked, partial(_refused, session, wish))

    async def wait(self, wish: Wish, within_s: float) -> Answer:
        """As ``acquire``; wait for up to ``within_s`` seconds for the turn, if it is held.

        The places in the queues stay: who calls again goes on waiting.
        """
        session = await self._lifecycle.terminal_session(wish.pid, wish.cwd)
        requests = await self._requests(session, wish)
        until = self._clock.now() + min(within_s, WAIT_AT_MOST_S)
        while True:
            answer = await self._take(session, requests, partial(_awaited, session))
            left_s = until - self._clock.now()
            if "granted" in answer or left_s <= 0:
                return answer
            if any(request.is_pattern for request in requests):
                left_s = min(left_s, PATTERN_AGAIN_S)
            await self._turns.wait([_place(session, row) for row in answer["held"]], left_s)

    async def leave(self, wish: Wish) -> Answer:
        """Give up the places in the queues."""
        session = await self._lifecycle.terminal_session(wish.pid, wish.cwd)
        for request in await self._requests(session, wish):
            if not request.is_pattern and request.project in session.aliases:
                await self._taking.leave(request)
        return {}

    async def release(self, cwd: str, paths: Sequence[str], pid: int) -> Answer:
        """Give back what the session above ``pid`` holds of ``paths``."""
        session = await self._lifecycle.terminal_session(pid, cwd)
        files, patterns = await asyncio.to_thread(identify, self._locator, paths, cwd)
        wanted = {(f.project, f.key, False): f.shown for f in files}
        wanted |= {(p.project, p.key, True): p.shown for p in patterns}
        own = self._held.of(session.session_id)
        mine = [lock for lock in own if _name(lock) in wanted]
        found = set(map(_name, mine))
        await self._taking.release(session, mine)
        return {
            "released": [shown for name, shown in wanted.items() if name in found],
            "not_held": [shown for name, shown in wanted.items() if name not in found],
        }

    async def break_lock(self, cwd: str, path: str, token: int, by: str, reason: str) -> Answer:
        """Take a lock away, while the grant that ``token`` names stands."""
        files, patterns = await asyncio.to_thread(identify, self._locator, [path], cwd)
        (named,) = (*files, *patterns)
        request = BreakRequest(
            request_id=new_request_id(),
            project=named.project,
            lock=LockRef(path=named.shown, token=token, is_pattern=bool(patterns)),
            by=one_line(by),
            reason=one_line(reason),
        )
        response = await self._client.break_lock(request, PATIENCE_S)
        if response.WhichOneof("outcome") == "broken":
            return {"broken": True}
        stands = response.not_broken.HasField("current")
        current = lock_row(response.not_broken.current, self._is_local) if stands else None
        return {"broken": False, "current": current}

    async def _take(
        self, session: LocalSession, requests: Sequence[Request], say: Saying
    ) -> Answer:
        """Ask for one project, and one pattern, after the other; all or none of them."""
        granted: list[Answer] = []
        before = {(_name(lock), lock.token) for lock in self._held.of(session.session_id)}
        for request in requests:
            outcome = await self._taking.acquire(request)
            if not isinstance(outcome, Granted):
                mine = [k for k in self._held.of(session.session_id) if _is_of(k, requests)]
                new = [lock for lock in mine if (_name(lock), lock.token) not in before]
                await self._taking.release(session, new)
                rows = (self._conflict_row(request.project, c, say) for c in outcome)
                return {"held": [{"project": request.project, **row} for row in rows]}
            where = {"project": request.project, "outside": request.files[0].worktree is None}
            granted += ({"path": ref.path, "token": ref.token, **where} for ref in outcome.locks)
        return {"granted": granted}

    def _conflict_row(self, project: str, conflict: Conflict, say: Saying) -> Answer:
        left = self._hold_times.completion(project, conflict.lock, self._neighbours)
        return conflict_row(conflict, say(conflict, completed(left)), self._is_local, left)

    async def _lock_rows(self, locks: Iterable[Lock]) -> list[Answer]:
        """Locks with when they will be free; people wait for what that rests on."""
        found = tuple(locks)
        connected = self._client.connection.look(self._clock.now()) is State.CONNECTED
        with contextlib.suppress(ScoordError):
            for project in {lock.project for lock in found} if connected else ():
                await self._hold_times.ask(project)
        left = self._hold_times.completion
        return [
            lock_row(lock, self._is_local, left(lock.project, lock, self._neighbours))
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
        known = [self._neighbours.of(home) for home in sorted(homes)]
        heard = [n.heard_at for n in known if n.heard_at is not None]
        age = self._clock.now() - min(heard) if heard else None
        sessions = [session for n in known for session in n.sessions.values()]
        return _Listing(sessions, [lock for n in known for lock in n.locks], (), age)

    async def _requests(self, session: LocalSession, wish: Wish) -> list[Request]:
        files, patterns = await asyncio.to_thread(identify, self._locator, wish.paths, wish.cwd)
        if any(not each.coordinated for each in (*files, *patterns)):
            raise InvalidRequest("files inside .git cannot be locked")
        once = {(file.project, file.key): file for file in reversed(files)}
        in_order = sorted(once.values(), key=lambda file: (file.project, files.index(file)))
        groups = (tuple(group) for _, group in groupby(in_order, key=lambda file: file.project))
        of_files = [self._request(session, group, wish) for group in groups]
        each = {(pattern.project, pattern.key): pattern for pattern in patterns}
        alone = (self._request(session, (pattern,), wish) for pattern in each.values())
        return of_files + [replace(request, is_pattern=True) for request in alone]

    def _request(
        self, session: LocalSession, files: tuple[FileIdentity, ...], wish: Wish
    ) -> Request:
        worktree = files[0].worktree
        return Request(
            session,
            AgentId(""),
            files[0].project,
            files,
            settings=self._settings.of(worktree),
            reason=one_line(wish.reason) or session.intent,
            conflict_action="block",
            head=self._locator.head(worktree) if worktree else NO_HEAD,
            shared=wish.shared,
            lasts_s=wish.lasts_s,
        )

    def _coordinator(self) -> Answer:
        connection, now = self._client.connection, self._clock.now()
        heard_at = connection.heard_at
        return {
            "state": str(connection.look(now)),
            "address": self._client.address,
            "heard_s": None if heard_at is None else now - heard_at,
            "error": connection.error,
        }

    def _is_local(self, session_id: str) -> bool:
        return self._sessions.get(session_id) is not None


def _project_facts(worktree: Worktree | None) -> Answer | None:
    if worktree is None:
        return None
    return {
        "id": worktree.project,
        "shared": worktree.shared,
        "named_by": str(worktree.named_by),
        "root": str(worktree.root),
    }


def _refused(session: LocalSession, wish: Wish, conflict: Conflict, completion: str) -> str:
    """Why it was not taken. Who has no place in the queue may wait for it by a command."""
    waits = conflict.place > 0 or wish.shared or wish.lasts_s > 0
    instead = ELSEWHERE if waits else wait_for(wish.paths)
    return wording.refusal(conflict, wording.Asker(session.session_id), instead, completion)


def _awaited(session: LocalSession, conflict: Conflict, completion: str) -> str:
    """Why it has still to wait: the command is there to be woken, nobody else is told."""
    placeless = Conflict()
    placeless.CopyFrom(conflict)
    placeless.place = 0
    asker = wording.Asker(session.session_id)
    return wording.refusal(placeless, asker, ELSEWHERE, completion)


def _place(session: LocalSession, row: Answer) -> Place:
    project, key = ProjectId(row["project"]), path_key(row["path"])
    return Place(project, key, session.session_id, AgentId(""))


def _name(lock: HeldLock) -> tuple[ProjectId, str, bool]:
    return lock.project, lock.key, lock.is_pattern


def _is_of(lock: HeldLock, requests: Iterable[Request]) -> bool:
    """Whether it is what one of ``requests`` asked for, rather than an edit at the same time."""
    asked = (r for r in requests if r.is_pattern == lock.is_pattern and not lock.agent)
    return any(r.project == lock.project and lock.key in r.keys for r in asked)
