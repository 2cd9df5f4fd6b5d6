"""Gathers what a session is told when it starts, in the time that its hook has."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from scoord.config import Settings
from scoord.errors import ScoordError
from scoord.ids import ProjectId
from scoord.v1.history_pb2 import HistoryFilter, ReadHistoryRequest, ReadHistoryResponse
from scoord.v1.locks_pb2 import Lock
from scoord.v1.sessions_pb2 import Session
from scoord_agent import wording_others
from scoord_agent.coordinator import CoordinatorClient, seconds
from scoord_agent.held import HeldLocks
from scoord_agent.last_seen import LastSeen
from scoord_agent.missed import KINDS, Missed, missed
from scoord_agent.relevance import by_relevance
from scoord_agent.sessions import LocalSession
from scoord_agent.surroundings import Listed
from scoord_agent.wording_others import Other, Scene

_log = logging.getLogger(__name__)

FreeAreas = Callable[[LocalSession, Listed], Awaitable[Sequence[str]]]
"""The names of areas that are free, by what was listed, the most fitting first."""

EXTRA_S: Final = 0.3
"""What is good to know, but not worth waiting for, has so long."""

_LEAST_AWAY_S: Final = 60.0
"""Who was away for less has missed nothing to speak of."""
_MOST_EVENTS: Final = 300


class Greeting:
    """Words for a session that starts."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        held: HeldLocks,
        last_seen: LastSeen,
        free_areas: FreeAreas | None = None,
    ) -> None:
        self._client = client
        self._held = held
        self._last_seen = last_seen
        self._free_areas = free_areas

    async def words(
        self, session: LocalSession, project: ProjectId, settings: Settings, *, anew: bool
    ) -> str:
        """What ``session`` is told; without ``anew`` it has been here all the time.

        Raises what the coordinator says to the question who is here.
        """
        seen = self._last_seen.of(project, session.worktree) if anew else None
        away_s = self._last_seen.away_s(seen) if seen else 0.0
        own = {session.session_id, *(seen.sessions if seen else ())}
        listed, lost = await asyncio.gather(
            self._listed(project), self._missed(project, away_s, own)
        )
        free = await self._free(session, project, listed)
        return wording_others.welcome(
            Scene(
                alias=session.aliases.get(project, ""),
                project=project,
                others=_others(session, listed),
                settings=settings.session_coordination,
                free=free,
                missed=lost,
                away_s=away_s,
                kept=[lock.shown for lock in self._held.of(session.session_id)],
            )
        )

    async def _listed(self, project: ProjectId) -> Listed:
        """Asked for, as of a project that was not watched until now nothing has been heard."""
        sessions, locks = await asyncio.gather(
            self._client.list_sessions(project), self._client.list_locks(project)
        )
        return Listed(sessions.sessions, locks.locks)

    async def _missed(
        self, project: ProjectId, away_s: float, own: Iterable[str]
    ) -> Sequence[Missed]:
        """What others did meanwhile; nothing where nobody can tell in time."""
        if away_s < _LEAST_AWAY_S:
            return ()
        request = ReadHistoryRequest(
            project=project,
            filter=HistoryFilter(kinds=KINDS, since=seconds(away_s)),
            limit=_MOST_EVENTS,
        )
        try:
            async with asyncio.timeout(EXTRA_S):
                answer: ReadHistoryResponse = await self._client.ask(
                    lambda e: e.history.ReadHistory, request
                )
        except (ScoordError, TimeoutError) as error:
            _log.info("what was missed in %s is not known: %s", project, error)
            return ()
        return missed(answer.events, frozenset(own))

    async def _free(
        self, session: LocalSession, project: ProjectId, listed: Listed
    ) -> Sequence[str]:
        """Areas that are free; none where nobody can tell in time."""
        if self._free_areas is None:
            return ()
        try:
            async with asyncio.timeout(EXTRA_S):
                return await self._free_areas(session, listed)
        except (ScoordError, TimeoutError) as error:
            _log.info("which areas of %s are free is not known: %s", project, error)
            return ()


def _others(session: LocalSession, listed: Listed) -> list[Other]:
    held = _by_holder(listed.locks)
    found = [
        Other(other, held.get(other.session_id, ()))
        for other in listed.sessions
        if other.session_id != session.session_id
    ]
    return by_relevance(found, _itself(session, listed.sessions))


def _by_holder(locks: Iterable[Lock]) -> dict[str, list[str]]:
    held: dict[str, list[str]] = {}
    for lock in locks:
        held.setdefault(lock.holder.session_id, []).append(lock.path)
    return held


def _itself(session: LocalSession, listed: Iterable[Session]) -> Session:
    """The session as others see it; a list may be from before it registered."""
    seen = (other for other in listed if other.session_id == session.session_id)
    return next(seen, Session(branch=session.branch, intent=session.intent))
