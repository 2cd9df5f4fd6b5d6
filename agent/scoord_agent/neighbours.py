"""What is known of the other sessions: one watch stream for each project.

For people, for suggestions, and for telling sessions what concerns them. No edit
is allowed by what stands here; a conflict that stands here is kept while the
coordinator cannot be asked. That a lock was broken comes this way alone: what is
held is believed in only while the stream is heard.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from scoord.claimant import Claimant
from scoord.clock import Clock
from scoord.errors import ScoordError
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.patterns import matches
from scoord.sessions import count_down
from scoord.v1.events_pb2 import Snapshot, WatchResponse
from scoord.v1.locks_pb2 import Lock
from scoord.v1.sessions_pb2 import Session
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.held import QUIET_S
from scoord_agent.held_lock import HeldLock
from scoord_agent.set_aside import SetAside

_log = logging.getLogger(__name__)

_RETRY_S = 0.5


@dataclass(slots=True)
class Neighbourhood:
    """One project as last heard."""

    sessions: dict[str, Session] = field(default_factory=dict)
    paths: dict[str, dict[int, Lock]] = field(default_factory=dict)
    """Grants of paths, by path key and token."""
    patterns: dict[tuple[str, int], Lock] = field(default_factory=dict)
    """Grants of patterns, by pattern key and token."""
    set_aside: SetAside = field(default_factory=SetAside)
    """What is kept for somebody without a lock."""
    revision: int = 0
    heard_at: float | None = None
    sessions_heard_at: dict[str, float] = field(default_factory=dict)
    """When each session was last told of."""
    locks_heard_at: dict[tuple[str, int], float] = field(default_factory=dict)
    """The same of each grant, by key and token."""
    by_area: dict[str, dict[str, None]] = field(default_factory=dict)
    """Who works where: the ids of sessions by the areas they name, as these are compared."""
    followed_at: float | None = None
    """When it last brought a change, or said that there was none."""
    _whole_to: int = 0
    """The last revision of which everything has been heard."""
    _gone: set[tuple[str, int]] = field(default_factory=set)
    """Grants whose end was heard since then, by key and token."""

    def apply(self, response: WatchResponse, now: float) -> None:
        """Bring the picture to the response's revision."""
        if response.revision != self.revision:
            self._note_whole_to(self.revision)
        self.revision, self.heard_at = response.revision, now
        event = response.WhichOneof("event")
        if event != "snapshot":
            # A snapshot may be as old as its replica's view, and nobody says how old.
            self.followed_at = now
        if event in {"snapshot", "progress"}:
            self._note_whole_to(response.revision)
        self._take_in(response)
        self.set_aside.apply(response, now)
        self._note_heard(response, now)

    def is_heard(self, now: float) -> bool:
        """Whether it is the present as far as can be told: the stream is not silent."""
        return self.heard_at is not None and now - self.heard_at <= QUIET_S

    def session_at(self, session_id: str, now: float) -> Session | None:
        """A session as last heard, with what is left of its estimate at ``now``, if anything."""
        known = self.sessions.get(session_id)
        if known is None or not known.HasField("estimate"):
            return known
        aged = Session()
        aged.CopyFrom(known)
        count_down(aged, round(1000 * max(0.0, now - self.sessions_heard_at.get(session_id, now))))
        return aged

    def lock_at(self, lock: Lock, now: float) -> Lock:
        """A grant that stands, with how long it has been held at ``now``, and when it ends."""
        heard_at = self.locks_heard_at.get(_grant(lock), now)
        aged, gone_ms = Lock(), round(1000 * max(0.0, now - heard_at))
        aged.CopyFrom(lock)
        aged.held_for.FromMilliseconds(lock.held_for.ToMilliseconds() + gone_ms)
        if lock.HasField("ends_in"):
            aged.ends_in.FromMilliseconds(max(0, lock.ends_in.ToMilliseconds() - gone_ms))
        return aged

    def _note_heard(self, response: WatchResponse, now: float) -> None:
        match response.WhichOneof("event"):
            case "snapshot":
                self.sessions_heard_at = dict.fromkeys(self.sessions, now)
                locks = response.snapshot.locks
                self.locks_heard_at = dict.fromkeys(map(_grant, locks), now)
            case "session":
                self.sessions_heard_at[response.session.session_id] = now
            case "session_gone":
                self.sessions_heard_at.pop(response.session_gone.session_id, None)
            case "lock":
                self.locks_heard_at[_grant(response.lock)] = now
            case "lock_gone":
                self.locks_heard_at.pop(_grant(response.lock_gone.lock), None)

    def _take_in(self, response: WatchResponse) -> None:
        match response.WhichOneof("event"):
            case "snapshot":
                self._replace(response.snapshot)
            case "session":
                self._put_session(response.session)
            case "session_gone":
                self._drop_session(response.session_gone.session_id)
            case "lock":
                self._put(response.lock)
            case "lock_gone":
                self._drop(response.lock_gone.lock)

    @property
    def locks(self) -> list[Lock]:
        """All grants, of paths and of patterns."""
        of_paths = (lock for path in self.paths.values() for lock in path.values())
        return [*of_paths, *self.patterns.values()]

    def in_the_way(self, who: Claimant, key: str) -> Lock | None:
        """The lock on ``key`` beside which ``who`` would not be granted it, as last heard."""
        covering = (lock for lock in self.patterns.values() if matches(lock.path, key))
        found = (*self.paths.get(key, {}).values(), *covering)
        return next((lock for lock in found if claimant(lock).excludes(who)), None)

    def is_over(self, key: str, token: int, *, is_pattern: bool = False) -> bool:
        """Whether a grant is known to have ended.

        One that should have been heard of by now, and does not stand, is over too.
        """
        stands = (key, token) in self.patterns if is_pattern else token in self.paths.get(key, {})
        if stands:
            return False
        return token <= self._whole_to or (key, token) in self._gone

    def _note_whole_to(self, revision: int) -> None:
        """Changes of one revision come one by one; with the next they have all come."""
        self._whole_to = revision
        self._gone.clear()

    def _replace(self, snapshot: Snapshot) -> None:
        self.sessions, self.by_area = {}, {}
        for session in snapshot.sessions:
            self._put_session(session)
        self.paths, self.patterns = {}, {}
        for lock in snapshot.locks:
            self._put(lock)

    def in_area(self, area: str) -> list[Session]:
        """The sessions that work in an area."""
        return [self.sessions[one] for one in self.by_area.get(area.casefold(), {})]

    def _put_session(self, session: Session) -> None:
        self._drop_session(session.session_id)
        self.sessions[session.session_id] = session
        for area in session.areas:
            self.by_area.setdefault(area.casefold(), {})[session.session_id] = None

    def _drop_session(self, session_id: str) -> None:
        gone = self.sessions.pop(session_id, None)
        for area in gone.areas if gone else ():
            there = self.by_area.get(area.casefold(), {})
            there.pop(session_id, None)
            if not there:
                self.by_area.pop(area.casefold(), None)

    def _put(self, lock: Lock) -> None:
        key = path_key(lock.path)
        if lock.is_pattern:
            self.patterns[key, lock.token] = lock
        else:
            self.paths.setdefault(key, {})[lock.token] = lock

    def _drop(self, gone: Lock) -> None:
        key = path_key(gone.path)
        self._gone.add((key, gone.token))
        if gone.is_pattern:
            self.patterns.pop((key, gone.token), None)
            return
        path = self.paths.get(key, {})
        path.pop(gone.token, None)
        if not path:
            self.paths.pop(key, None)


def _grant(lock: Lock) -> tuple[str, int]:
    return path_key(lock.path), lock.token


def claimant(lock: Lock) -> Claimant:
    """Who has a lock, and how far."""
    return Claimant.of(lock.holder, lock.mode, lock.scope)


class Neighbours:
    """Keeps one stream open for each project that has a session here."""

    def __init__(
        self,
        client: CoordinatorClient,
        clock: Clock,
        react: Callable[[ProjectId, WatchResponse], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._react = react
        self._projects: dict[ProjectId, Neighbourhood] = {}
        self._tasks: dict[ProjectId, asyncio.Task[None]] = {}

    def of(self, project: ProjectId) -> Neighbourhood:
        """The project as last heard; empty before the first time."""
        return self._projects.get(project) or Neighbourhood()

    def is_over(self, lock: HeldLock) -> bool:
        """Whether a grant of this machine is known to have ended.

        The stream may be faster than an answer that tells of the grant. What it told is not
        told again: such a grant would be believed in for as long as its session lives.
        """
        known = self.of(lock.project)
        return known.is_over(lock.key, lock.token, is_pattern=lock.is_pattern)

    def watch_only(self, projects: set[ProjectId]) -> None:
        """Watch exactly ``projects`` from now on."""
        for project in set(self._tasks) - projects:
            self._tasks.pop(project).cancel()
            del self._projects[project]
        for project in sorted(projects - set(self._tasks)):
            self._projects[project] = Neighbourhood()
            self._tasks[project] = asyncio.create_task(self._follow(project))

    async def close(self) -> None:
        """End all streams."""
        tasks = list(self._tasks.values())
        self.watch_only(set())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, project: ProjectId) -> None:
        while True:
            try:
                await self._listen(project)
            except ScoordError as error:
                _log.info("the stream of %s broke off, trying again: %s", project, error)
            except Exception:  # noqa: BLE001 (without it the project is never watched again)
                _log.exception("the stream of %s failed in a way nobody foresaw", project)
            await asyncio.sleep(_RETRY_S)

    async def _listen(self, project: ProjectId) -> None:
        neighbourhood = self._projects[project]
        async with contextlib.aclosing(self._client.watch(project)) as responses:
            async for response in responses:
                neighbourhood.apply(response, self._clock.now())
                self._react(project, response)
