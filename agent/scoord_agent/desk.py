"""What people and scripts ask the agent for: to look, to lock, to wait, to unlock."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from scoord.clock import Clock
from scoord.errors import InvalidRequest, ScoordError, Unknown
from scoord.ids import AgentId, FencingToken, MachineId
from scoord.names import path_key
from scoord.paths import FileIdentity, Locator, Worktree
from scoord.text import one_line
from scoord.v1.locks_pb2 import BreakRequest, Conflict, Lock, LockRef, Waiter
from scoord.v1.sessions_pb2 import Session
from scoord_agent import turned_away, unguarded
from scoord_agent.actors import Actors
from scoord_agent.all_or_none import AllOrNone, Refusal, names_of
from scoord_agent.arguments import identify, together
from scoord_agent.connection import State
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.giving_up import GivingUp
from scoord_agent.having import all_of
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.hold_times import HoldTimes
from scoord_agent.lifecycle import Lifecycle
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.places import worktree_of
from scoord_agent.queueing import Queueing
from scoord_agent.registration import Machine
from scoord_agent.rehearsal import rehearse
from scoord_agent.request import Request, confined_to
from scoord_agent.rows import (
    conflict_row,
    granted_row,
    is_everywhere,
    lock_row,
    project_row,
    seconds_of,
    session_row,
    waiter_row,
)
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from scoord_agent.standing import Spot
from scoord_agent.suggest import Instead
from scoord_agent.taking import PATIENCE_S, Taking
from scoord_agent.turns import Turns
from scoord_agent.wishes import Breaking, Wish
from scoord_agent.within import pattern_of, within
from scoord_agent.wording_times import completed

Answer = dict[str, Any]
Saying = Callable[[Request, Conflict, str], str]
"""What is said of a request's conflict, with when it will be over in words."""


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
        giving_up: GivingUp,
        actors: Actors,
        held: HeldLocks,
        turns: Turns,
        queueing: Queueing,
        neighbours: Neighbours,
        hold_times: HoldTimes,
        instead: Instead,
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
        self._giving_up = giving_up
        self._all_or_none = AllOrNone(taking, held, turns)
        self._actors = actors
        self._held = held
        self._queueing = queueing
        self._neighbours = neighbours
        self._hold_times = hold_times
        self._instead = instead
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
            "sessions": [session_row(session, self._is_local) for session in seen.sessions],
            "locks": await self._lock_rows(seen.locks, by_branch),
            "waiters": [waiter_row(waiter, self._is_local) for waiter in seen.waiters],
            "view_age_s": seen.age_s,
            "problems": self._problems(worktree, everything=everything),
        }

    async def problems(self, cwd: str) -> Answer:
        """What is wrong with the settings there, a line each; the last good ones are in force."""
        worktree = await worktree_of(self._locator, cwd)
        self._settings.now(worktree)
        told = self._problems(worktree, everything=False)
        return {"problems": told} if told else {}

    def _problems(self, worktree: Worktree | None, *, everything: bool) -> list[str]:
        """Of other repositories of this machine only who asks for everything is told."""
        if everything:
            return self._settings.problems()
        return self._settings.problem(worktree.root if worktree else None).splitlines()

    async def rehearse(self) -> Answer:
        """See that the coordinator can take something in. Raises what it says."""
        await rehearse(self._client, self._machine)
        return {"ok": True}

    async def acquire(self, wish: Wish) -> Answer:
        """Take all of it for the session above, or nothing."""
        session = await self._lifecycle.terminal_session(wish.pid, wish.cwd)
        requests = await self._guarded(session, wish)
        asked = [replace(request, queues=session.has_hooks) for request in requests]
        say = partial(turned_away.refused, self._instead, wish.paths)
        return await self._take(session, asked, say)

    async def wait(self, wish: Wish, within_s: float) -> Answer:
        """As ``acquire``; wait for up to ``within_s`` seconds for the turn, if it is held.

        The places in the queues stay: who calls again goes on waiting.
        """
        session = await self._lifecycle.terminal_session(wish.pid, wish.cwd)
        say = partial(turned_away.awaited, self._instead)
        ask = partial(self._guarded, session, wish)
        return await self._queueing.wait(ask, partial(self._take, session, say=say), within_s)

    async def leave(self, wish: Wish) -> Answer:
        """Give up the places in the queues where no other command of the session waits."""
        session = await self._lifecycle.terminal_session(wish.pid, wish.cwd)
        await self._queueing.leave(await self._requests(session, wish))
        return {}

    def close(self) -> None:
        """The agent ends, and may be replaced: who waits keeps its place."""
        self._queueing.close()

    async def release(self, cwd: str, paths: Sequence[str], pid: int) -> Answer:
        """Give back what the session above ``pid`` holds of ``paths``, and its places there.

        What nobody could be asked to free is owed: it is not held from now on.
        """
        session = await self._lifecycle.terminal_session(pid, cwd)
        files, patterns = await asyncio.to_thread(identify, self._locator, paths, cwd)
        own = all_of(session, self._held)
        mine = self._there(own, files, patterns)
        with contextlib.suppress(Unknown):  # they are owed then
            await self._taking.release(session, [*dict.fromkeys(chain(*mine.values()))])
        owed = self._there(session.owed, files, patterns)
        given = {named for named in mine if mine[named] or owed[named]}
        left = {*await self._giving_up.of(session, files, given)} - given
        return {
            "released": [named.shown for named in mine if mine[named] and not owed[named]],
            "owed": [named.shown for named in mine if owed[named]],
            "left": [named.shown for named in mine if named in left],
            "not_held": [named.shown for named in mine if named not in given | left],
            "within": _within(
                [file for file in files if file not in given | left],
                ((lock.project, lock.shown) for lock in own if lock.is_pattern),
                cwd,
            ),
        }

    def _there(
        self,
        locks: Sequence[HeldLock],
        files: Iterable[FileIdentity],
        patterns: Iterable[FileIdentity],
    ) -> dict[FileIdentity, list[HeldLock]]:
        """Which of ``locks`` each of these names."""
        single = [lock for lock in locks if not lock.is_pattern]
        whole = [lock for lock in locks if lock.is_pattern]
        of_files = {file: [k for k in single if self._is_there(k, file)] for file in files}
        return of_files | {p: [k for k in whole if self._is_there(k, p)] for p in patterns}

    def _is_there(self, lock: HeldLock, named: FileIdentity) -> bool:
        """Whether it is of that name, and holds in that worktree or was taken there."""
        if (lock.project, lock.key) != (named.project, named.key):
            return False
        root = str(named.worktree.root) if named.worktree else ""
        branch = one_line(self._locator.head(named.worktree).branch)
        return lock.branch in ("", branch) or lock.worktree == root

    async def break_lock(self, wanted: Breaking) -> Answer:
        """Take a lock away, while the grant that its token names stands; say what is there then.

        Of a name that several hold each is told, and for whom it is kept once it is free.
        """
        cwd, path = wanted.cwd, wanted.path
        files, patterns = await asyncio.to_thread(identify, self._locator, [path], cwd)
        (named,) = (*files, *patterns)
        spot = self._spot(named, wanted.pid, is_pattern=bool(patterns))
        request = BreakRequest(
            request_id=new_request_id(),
            project=named.project,
            lock=LockRef(path=named.shown, token=wanted.token, is_pattern=spot.is_pattern),
            by=one_line(wanted.by),
            reason=one_line(wanted.reason),
            through=self._actors.above(wanted.pid, named.project).through,
            branch=spot.branch,
        )
        response = await self._client.break_lock(request, PATIENCE_S)
        if response.WhichOneof("outcome") == "broken":
            unrecorded, kept = response.broken.unrecorded, await self._kept(spot)
            return {"broken": True, "unrecorded": unrecorded, "kept": kept}
        if response.not_broken.HasField("current"):
            return {"broken": False, **await self._standing(spot, response.not_broken.current)}
        return {"broken": False, "current": None, "within": await self._within(files, cwd)}

    def _spot(self, named: FileIdentity, pid: int, *, is_pattern: bool) -> Spot:
        session = self._sessions.above(pid)
        branch = one_line(self._locator.head(named.worktree).branch)
        return Spot(named, is_pattern, branch, session.session_id if session else "")

    async def _standing(self, spot: Spot, current: Lock) -> Answer:
        """What stands, as the store has it, and what else does, by the list."""
        listed = await self._client.list_locks(spot.named.project)
        locks = [current, *spot.beside(current, listed.locks)]
        first, *others = (
            {**lock_row(lock, self._is_local), "own": spot.is_own(lock)} for lock in locks
        )
        return {"current": first, "others": others}

    async def _kept(self, spot: Spot) -> Answer | None:
        """For whom it is kept now, and for how long at most, if it is."""
        with contextlib.suppress(ScoordError):  # that it is broken is true all the same
            listed = await self._client.list_locks(spot.named.project)
            if waiter := spot.next(listed.waiters):
                settings = self._settings.now(spot.named.worktree).session_coordination
                row = waiter_row(waiter, self._is_local)
                return {**row, "kept_s": settings.claim_timeout}
        return None

    async def _within(self, files: Sequence[FileIdentity], cwd: str) -> list[Answer]:
        """The patterns that anybody holds, in which ``files`` lie."""
        if not files:
            return []
        locks = (await self._client.list_locks(files[0].project)).locks
        held = ((lock.project, lock.path) for lock in locks if lock.is_pattern)
        return _within(files, held, cwd)

    async def _take(
        self, session: LocalSession, requests: Sequence[Request], say: Saying
    ) -> Answer:
        """All of it, or nothing."""
        outcome = await self._all_or_none.take(session, requests)
        if isinstance(outcome, Refusal):
            request = outcome.request
            rows = (self._conflict_row(request, one, say) for one in outcome.conflicts)
            return {"held": [{"project": request.project, **row} for row in rows]}
        refs = ((request, outcome[name]) for request in requests for name in names_of(request))
        return {"granted": [self._granted_row(request, ref) for request, ref in refs]}

    def _granted_row(self, request: Request, ref: LockRef) -> Answer:
        key, token = path_key(ref.path), FencingToken(ref.token)
        lock = self._held.grant(request.project, key, token, is_pattern=ref.is_pattern)
        return granted_row(request, ref, lock, self._clock.now())

    def _conflict_row(self, request: Request, conflict: Conflict, say: Saying) -> Answer:
        left = self._hold_times.completion(request.project, conflict.lock, self._neighbours)
        said = say(request, conflict, completed(left))
        return conflict_row(conflict, said, self._is_local, left)

    async def _lock_rows(self, locks: Iterable[Lock], by_branch: str) -> list[Answer]:
        """Locks with when they will be free; people wait for what that rests on.

        In the project ``by_branch`` each is on a branch: of others it is said that they are not.
        """
        found = tuple(locks)
        connected = self._client.connection.look(self._clock.now()) is State.CONNECTED
        with contextlib.suppress(ScoordError):
            for project in {lock.project for lock in found} if connected else ():
                await self._hold_times.ask(project)
        left = self._hold_times.completion
        return [
            lock_row(lock, self._is_local, left(lock.project, lock, self._neighbours))
            | ({"is_everywhere": True} if is_everywhere(lock, by_branch) else {})
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
        return _Listing(sessions, locks, (), age)

    async def _guarded(self, session: LocalSession, wish: Wish) -> list[Request]:
        """As below. Raises where what is wanted is coordinated by nobody."""
        requests = await self._requests(session, wish)
        unguarded.check(requests)
        return requests

    async def _requests(self, session: LocalSession, wish: Wish) -> list[Request]:
        files, patterns = await asyncio.to_thread(identify, self._locator, wish.paths, wish.cwd)
        if any(not each.coordinated for each in (*files, *patterns)):
            raise InvalidRequest("files inside .git cannot be locked")
        groups = together(files, self._confined_to)
        of_files = [self._request(session, group, wish) for group in groups]
        each = {(pattern.project, pattern.key): pattern for pattern in patterns}
        alone = (self._request(session, (pattern,), wish) for pattern in each.values())
        return of_files + [replace(request, is_pattern=True) for request in alone]

    def _confined_to(self, file: FileIdentity) -> str:
        return confined_to(self._settings.now(file.worktree), self._locator.head(file.worktree))

    def _request(
        self, session: LocalSession, files: tuple[FileIdentity, ...], wish: Wish
    ) -> Request:
        worktree, given = files[0].worktree, one_line(wish.reason)
        return Request(
            session,
            AgentId(""),
            files[0].project,
            files,
            settings=self._settings.now(worktree),
            reason=given or session.intent,
            reason_given=bool(given),
            conflict_action="block",
            head=self._locator.head(files[0].worktree),
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


def _within(
    files: Iterable[FileIdentity], patterns: Iterable[tuple[str, str]], cwd: str
) -> list[Answer]:
    known = tuple(patterns)
    found = ((file, pattern_of(file, known)) for file in files)
    return [within(file, pattern, cwd) for file, pattern in found if pattern]
