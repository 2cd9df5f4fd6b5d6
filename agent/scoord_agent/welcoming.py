"""Tells a session what there is to know when it starts: then, or where that failed, later.

The start of a session may find no agent, or one whose coordinator starts with it. What it
would have told then comes with the first prompt, or after the first edit, that can tell it.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from scoord.clock import Clock
from scoord.config import Settings
from scoord.errors import ScoordError
from scoord.ids import ProjectId
from scoord.paths import Locator
from scoord_agent import wording
from scoord_agent.delivery import Delivery
from scoord_agent.greeting import Greeting
from scoord_agent.last_seen import LastSeen
from scoord_agent.local_session import MAIN, LocalSession
from scoord_agent.places import place_of
from scoord_agent.registration import Registration
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from scoord_hooks.neutral import Decision, HookEvent

_log = logging.getLogger(__name__)

WELCOME_WITHIN_S = 1.7
"""A start hook waits 2 s; a coordinator that does not answer yet is tried again."""

_STILL_HERE = frozenset({"clear", "compact"})
"""Reasons of a session start before which it has missed nothing."""


class Welcoming:
    """Registers a session that has started, and tells it who else is here."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        registration: Registration,
        greeting: Greeting,
        last_seen: LastSeen,
        locator: Locator,
        settings: SettingsFor,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._sessions = sessions
        self._registration = registration
        self._greeting = greeting
        self._last_seen = last_seen
        self._locator = locator
        self._settings = settings
        self._clock = clock
        self._changed = changed

    async def at_start(
        self, session: LocalSession, event: HookEvent, delivery: Delivery
    ) -> Decision:
        """Answer the start of a session. Raises what says whose settings do not load."""
        worktree, project = await place_of(self._locator, event.cwd)
        settings = self._settings.of(worktree)
        began, session.to_greet = self._clock.now(), True
        anew = event.reason not in _STILL_HERE
        try:
            async with asyncio.timeout(WELCOME_WITHIN_S):
                told = await self._words(session, project, settings, WELCOME_WITHIN_S, anew=anew)
        except (ScoordError, TimeoutError) as error:
            _log.warning("%s is not registered yet: %s", session.session_id, error)
            told = wording.not_registered(str(error) or self._registration.why_silent(began))
            return Decision(context=told, notice=told)
        finally:
            self._sessions.save()
            self._changed()
        self._has_told(session, delivery)
        return Decision(context=told)

    async def late(
        self, session: LocalSession, event: HookEvent, delivery: Delivery, within_s: float
    ) -> str:
        """What its start would have told; empty if nobody can tell now.

        A subagent is not told in the place of its main thread.
        """
        if event.agent_id != MAIN or self._registration.is_known_silent:
            return ""
        project, settings = session.home, self._settings.at(session.root)
        try:
            async with asyncio.timeout(within_s):
                told = await self._words(session, project, settings, within_s, anew=True)
        except (ScoordError, TimeoutError) as error:
            _log.info("%s is not greeted yet: %s", session.session_id, error)
            return ""
        self._has_told(session, delivery)
        return told

    async def _words(
        self,
        session: LocalSession,
        project: ProjectId,
        settings: Settings,
        patience_s: float,
        *,
        anew: bool,
    ) -> str:
        await self._registration.enter(session, project, settings, patience_s)
        return await self._greeting.words(
            session, project, settings, anew=anew, patience_s=patience_s
        )

    def _has_told(self, session: LocalSession, delivery: Delivery) -> None:
        """Only now: what it has missed until then is told with the rest."""
        session.to_greet = False
        delivery.takes(partial(_greet_again, session))
        self._last_seen.note(session, save=True)
        self._sessions.save()


def _greet_again(session: LocalSession) -> None:
    """The answer did not get there."""
    session.to_greet = True
