"""Publishes what the sessions of this machine do, behind their hooks' backs.

Changes of one session are gathered: the first goes out at once, then at most one in a
second, the last value wins. What says nothing new is not published, but for a sign now
and then of those that act. What did not get through is published by a later beat.
"""

import asyncio
from typing import Final

from scoord.clock import Clock
from scoord.errors import SessionEnded, SessionNotFound, Unknown
from scoord.ids import ProjectId, SessionId
from scoord.v1.sessions_pb2 import Session, UpdateRequest
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.local_session import LocalSession
from scoord_agent.published import Said, add_work, status_of, update_of
from scoord_agent.relations import Relations
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor, publish_interval_s

PAUSE_S: Final = 1.0
"""Between two updates of one session, at the least."""

SAVE_S: Final = 10.0
"""What a restarted agent is to know of the work is written down at most that often."""


class Publishing:
    """One update after the other for each session that changed."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        sessions: Sessions,
        settings: SettingsFor,
        relations: Relations,
        background: Background,
        clock: Clock,
    ) -> None:
        self._client = client
        self._sessions = sessions
        self._settings = settings
        self._relations = relations
        self._background = background
        self._clock = clock
        self._changed: set[SessionId] = set()
        self._running: set[SessionId] = set()
        self._said: dict[tuple[SessionId, ProjectId], Said] = {}
        """What was published last; nothing of what may not be known there."""
        self._heard: dict[tuple[SessionId, ProjectId], Said] = {}
        """What was answered last of that."""
        self._published_at: dict[SessionId, float] = {}
        self._overdue_at: dict[SessionId, float] = {}
        """When nothing is left of the estimate that was published last."""
        self._saved_at = clock.now()
        self._unsaved = False

    def note(self, session: LocalSession) -> None:
        """Something may have changed that others are to see; it is not waited for."""
        self._changed.add(session.session_id)
        self._unsaved = True
        self._begin(session)

    def renew(self) -> None:
        """Publish what did not get through, and what sessions that act have not said for long."""
        known = {session.session_id for session in self._sessions}
        self._changed &= known
        for times in (self._published_at, self._overdue_at):
            for ended in times.keys() - known:
                del times[ended]
        for gone in [name for name in (*self._said, *self._heard) if name[0] not in known]:
            self._said.pop(gone, None)
            self._heard.pop(gone, None)
        for session in self._sessions:
            if self._is_due(session):
                self._forget(session)
                self._changed.add(session.session_id)
            self._begin(session)
        if self._unsaved and self._clock.now() - self._saved_at >= SAVE_S:
            self.save()

    def save(self) -> None:
        """Write down what a restarted agent is to know, if there is anything new."""
        if self._unsaved:
            self._unsaved, self._saved_at = False, self._clock.now()
            self._sessions.save()

    async def publish(self, session: LocalSession) -> bool:
        """Publish what is new of a session now; whether anything was.

        Raises what the coordinator says.
        """
        self._changed.discard(session.session_id)
        self._unsaved, is_new = True, False
        for project in tuple(session.aliases) if session.registered else ():
            before = self._said.get((session.session_id, project))
            said = self._says(session, project)
            if before is None or not before.covers(said):
                await self._say(session, project, said)
                is_new = True
        return is_new

    def is_heard(self, session: LocalSession) -> bool:
        """Whether what was published last was answered: else nobody may have heard it."""
        names = [(session.session_id, project) for project in session.aliases]
        answered = (
            name in self._said and self._said[name] is self._heard.get(name) for name in names
        )
        return session.registered and all(answered)

    def last_of(self, session: LocalSession) -> list[UpdateRequest]:
        """All that a session publishes where it is, as it is now: it ends, and takes that along.

        Also what seems to be known there: what was sent a moment ago may be on its way yet. Nothing
        of whom nobody told through us: there more may be known than the agent before wrote down.
        """
        name = session.session_id
        if name not in self._published_at and name not in self._changed:
            return []
        return [self._says(session, project).update for project in session.aliases]

    async def _say(self, session: LocalSession, project: ProjectId, said: Said) -> None:
        name = session.session_id, project
        self._published_at[session.session_id] = said.at
        left = session.work.left(said.at)
        self._overdue_at[session.session_id] = said.at + left.middle_s if left else float("inf")
        self._said[name] = said
        try:
            await self._client.update(said.update)
        except BaseException:
            self._said.pop(name, None)  # nobody knows whether it was heard
            raise
        self._heard[name] = said

    def _says(self, session: LocalSession, project: ProjectId) -> Said:
        """What it says now; where it has done nothing since, others have brought that about."""
        now, depends = self._clock.now(), self._relations.of(session, project)
        share, acted_at = self._shares_steps(session), session.acted_at
        heard = self._heard.get((session.session_id, project))
        passive = heard is not None and acted_at <= heard.acted_at
        update = update_of(session, project, depends, now, share_steps=share, passive=passive)
        return Said(update, now, acted_at)

    def _forget(self, session: LocalSession) -> None:
        """Publish it whatever it says: that it acts is news by itself."""
        for project in session.aliases:
            self._said.pop((session.session_id, project), None)

    def describe(self, message: Session, session: LocalSession) -> None:
        """Add to what a session registers with what is known of its work."""
        self._said.pop((session.session_id, ProjectId(message.project)), None)
        message.status = status_of(session)
        depends = self._relations.of(session, ProjectId(message.project))
        share = self._shares_steps(session)
        add_work(message, session.work, depends, self._clock.now(), share_steps=share)

    def _begin(self, session: LocalSession) -> None:
        name = session.session_id
        if name in self._changed and name not in self._running and session.registered:
            self._running.add(name)
            self._background.start(self._run(session))

    async def _run(self, session: LocalSession) -> None:
        try:
            while session.session_id in self._changed and session.registered:
                if await self._publish_or_keep(session):
                    await asyncio.sleep(PAUSE_S)
        finally:
            self._running.discard(session.session_id)

    async def _publish_or_keep(self, session: LocalSession) -> bool:
        try:
            return await self.publish(session)
        except (SessionNotFound, SessionEnded):
            return False  # it is registered anew, with all that is known of it
        except Unknown:
            self._changed.add(session.session_id)
            raise

    def _is_due(self, session: LocalSession) -> bool:
        """Whether it acted since it was last published, and that is long ago or overdue."""
        now, published_at = self._clock.now(), self._published_at.get(session.session_id, 0.0)
        interval_s = publish_interval_s(self._settings, session)
        overdue = now >= self._overdue_at.get(session.session_id, float("inf"))
        acted = session.acted_at > published_at
        return acted and (overdue or now - published_at >= interval_s)

    def _shares_steps(self, session: LocalSession) -> bool:
        return self._settings.at(session.root).session_coordination.share_prompts
