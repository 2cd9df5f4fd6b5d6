"""Locks of our sessions that nobody here asked for: they are given back.

A try of a command may be carried out long after another try was answered, or after
it was given up: then the store has a lock that nobody uses, and everybody else is
refused until its session ends. The stream shows it.
"""

from collections.abc import Iterator

from scoord.clock import Clock
from scoord.ids import FencingToken, ProjectId
from scoord.v1.locks_pb2 import Lock
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.registration import as_held
from scoord_agent.sessions import Sessions
from scoord_agent.taking import Taking

GRACE_S = 3.0
"""How long one must have been seen: what is under way may still explain it."""

_Grant = tuple[ProjectId, str, FencingToken]


class Strays:
    """Finds them in what is heard of the neighbours, which our own sessions are among."""

    def __init__(
        self, *, sessions: Sessions, neighbours: Neighbours, taking: Taking, clock: Clock
    ) -> None:
        self._sessions = sessions
        self._neighbours = neighbours
        self._taking = taking
        self._clock = clock
        self._seen: dict[_Grant, float] = {}
        """Since when each is seen."""

    async def give_back(self) -> None:
        """Give back those that were seen for long enough. Raises what the coordinator says."""
        now = self._clock.now()
        found = tuple(self._found())
        self._seen = {_name(lock): self._seen.get(_name(lock), now) for _, lock in found}
        for session, lock in found:
            is_due = now - self._seen.get(_name(lock), now) >= GRACE_S
            # It may have been asked for while another was given back.
            if is_due and not self._taking.is_known(session, lock):
                await self._taking.give_back_unasked(session, lock)

    def _found(self) -> Iterator[tuple[LocalSession, HeldLock]]:
        sessions = [session for session in self._sessions if session.registered]
        projects = dict.fromkeys(project for session in sessions for project in _known(session))
        ours = {project: self._ours(project) for project in projects}
        for session in sessions:
            for project in _known(session):
                for lock in ours[project].get(session.session_id, ()):
                    own = as_held(session, project, lock, self._clock.now())
                    if not self._taking.is_known(session, own):
                        yield session, own

    def _ours(self, project: ProjectId) -> dict[str, list[Lock]]:
        """What is heard of our sessions' locks, by session: the others' are looked at once."""
        ours: dict[str, list[Lock]] = {}
        for lock in self._neighbours.of(project).locks:
            holder = lock.holder.session_id
            if self._sessions.is_here(holder):
                ours.setdefault(holder, []).append(lock)
        return ours


def _known(session: LocalSession) -> list[ProjectId]:
    """Where it is known here what it holds: not where it is not taken up yet."""
    return [project for project in session.aliases if project not in session.inherited]


def _name(lock: HeldLock) -> _Grant:
    return lock.project, lock.key, lock.token
