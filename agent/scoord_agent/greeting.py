"""Gathers what a session is told when it starts, in the time that its hook has."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from scoord.config import Settings
from scoord.errors import ScoordError
from scoord.ids import ProjectId
from scoord.v1.history_pb2 import HistoryFilter, ReadHistoryResponse
from scoord.v1.locks_pb2 import Lock
from scoord.v1.sessions_pb2 import Session
from scoord_agent import wording_others
from scoord_agent.coordinator import CoordinatorClient, seconds
from scoord_agent.held import HeldLocks
from scoord_agent.history_pages import add_page
from scoord_agent.last_seen import LastSeen
from scoord_agent.local_session import LocalSession
from scoord_agent.missed import KINDS, Meanwhile, meanwhile
from scoord_agent.next_work import AtStart, Listed, NextWork
from scoord_agent.relevance import by_relevance, is_worth_telling
from scoord_agent.wording_others import Other, Scene

_log = logging.getLogger(__name__)

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
        work: NextWork | None = None,
    ) -> None:
        self._client = client
        self._held = held
        self._last_seen = last_seen
        self._work = work

    async def words(
        self,
        session: LocalSession,
        project: ProjectId,
        settings: Settings,
        *,
        anew: bool,
        patience_s: float,
    ) -> str:
        """What ``session`` is told; without ``anew`` it has been here all the time.

        One that is registered already asks nothing before: a coordinator that is just being
        replaced may not answer yet.
        Raises what the coordinator says to the question who is here.
        """
        seen = self._last_seen.of(project, session.worktree) if anew else None
        away_s = self._last_seen.away_s(seen) if seen else 0.0
        own = {session.session_id, *(seen.sessions if seen else ())}
        # Asked for: of a project that was not watched until now nothing has been heard.
        listed = await Listed.of(self._client, project, patience_s)
        lost, work = await asyncio.gather(
            self._missed(project, away_s, own),
            self._next_work(session, project, listed, keep=anew),
        )
        return wording_others.welcome(
            Scene(
                alias=session.aliases.get(project, ""),
                project=project,
                others=_others(session, listed),
                settings=settings.session_coordination,
                suggested=work.kept,
                free=work.areas,
                missed=lost,
                away_s=away_s,
                kept=self._kept(session, listed),
            )
        )

    def _kept(self, session: LocalSession, listed: Listed) -> Sequence[str]:
        """What it holds; one of the agent before us may not have been taken up yet."""
        if session.inherited:
            return _by_holder(listed.locks).get(session.session_id, ())
        return [lock.shown for lock in self._held.of(session.session_id)]

    async def _missed(self, project: ProjectId, away_s: float, own: Iterable[str]) -> Meanwhile:
        """What others did meanwhile; nothing where nobody can tell in time."""
        if away_s < _LEAST_AWAY_S:
            return Meanwhile()
        found = ReadHistoryResponse()
        try:
            async with asyncio.timeout(EXTRA_S):
                await self._read_missed(project, away_s, found)
        except (ScoordError, TimeoutError) as error:
            _log.info("what was missed in %s is not known, or not all: %s", project, error)
        return meanwhile(found, frozenset(own))

    async def _read_missed(
        self, project: ProjectId, away_s: float, found: ReadHistoryResponse
    ) -> None:
        """Add page by page: lines of states and refusals may fill one, and are not told."""
        wanted = HistoryFilter(kinds=KINDS, since=seconds(away_s))
        more = True
        while more and (left := _MOST_EVENTS - len(found.events)) > 0:
            more = await add_page(self._client, project, wanted, left, found)

    async def _next_work(
        self, session: LocalSession, project: ProjectId, listed: Listed, *, keep: bool
    ) -> AtStart:
        """What may be done next; nothing where nobody can tell in time."""
        if self._work is None:
            return AtStart()
        try:
            async with asyncio.timeout(EXTRA_S):
                return await self._work.at_start(session, listed, keep=keep)
        except (ScoordError, TimeoutError) as error:
            _log.info("what is free in %s is not known: %s", project, error)
            return AtStart()


def _others(session: LocalSession, listed: Listed) -> list[Other]:
    held = _by_holder(listed.locks)
    found = [
        Other(other, held.get(other.session_id, ()))
        for other in listed.sessions
        if other.session_id != session.session_id
    ]
    return by_relevance(filter(is_worth_telling, found), _itself(session, listed.sessions))


def _by_holder(locks: Iterable[Lock]) -> dict[str, list[str]]:
    held: dict[str, list[str]] = {}
    for lock in locks:
        held.setdefault(lock.holder.session_id, []).append(lock.path)
    return held


def _itself(session: LocalSession, listed: Iterable[Session]) -> Session:
    """The session as others see it; a list may be from before it registered."""
    seen = (other for other in listed if other.session_id == session.session_id)
    return next(seen, Session(branch=session.branch, intent=session.intent))
