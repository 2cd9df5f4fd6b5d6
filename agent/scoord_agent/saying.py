"""What people and scripts say of a session, and to one: intent, progress, dependence, words."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from scoord.clock import Clock
from scoord.errors import InvalidRequest, NotAllowed, SessionNotFound, Unknown
from scoord.ids import ProjectId, SessionId
from scoord.paths import Locator
from scoord.text import one_line
from scoord.v1.sessions_pb2 import Session, SessionStatus, TellRequest, TellResponse
from scoord_agent.actors import Actors
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.lifecycle import MAX_INTENT, Lifecycle
from scoord_agent.local_session import TERMINAL, LocalSession
from scoord_agent.places import project_of
from scoord_agent.published import MOST_STEP
from scoord_agent.publishing import Publishing
from scoord_agent.registration import Registration
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from scoord_agent.taking import PATIENCE_S
from scoord_agent.work import On

Answer = dict[str, Any]

_MOST_NAMES: Final = 20
"""Of the sessions that there are, where one was named that is not."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who says something, and of which session; of the one above, if none is named."""

    cwd: str
    pid: int
    session: str = ""


class Saying:
    """Answers with plain dictionaries, ready for JSON."""

    def __init__(
        self,
        *,
        actors: Actors,
        client: CoordinatorClient,
        sessions: Sessions,
        lifecycle: Lifecycle,
        registration: Registration,
        publishing: Publishing,
        locator: Locator,
        settings: SettingsFor,
        clock: Clock,
    ) -> None:
        self._actors = actors
        self._client = client
        self._sessions = sessions
        self._lifecycle = lifecycle
        self._registration = registration
        self._publishing = publishing
        self._locator = locator
        self._settings = settings
        self._clock = clock

    async def intent(self, speaker: Speaker, text: str) -> Answer:
        """Say what a session is about to do."""
        session = await self._session_of(speaker)
        session.say_intent(one_line(text, MAX_INTENT))
        owed = await self._publish(session)
        return {**_named(session), "intent": session.intent, **owed}

    async def progress(self, speaker: Speaker, percent: int, step: str) -> Answer:
        """Say how far a session is, until its task list tells more."""
        if percent > 100:
            raise InvalidRequest(f"percent is {percent}; 0 to 100 are allowed")
        session = await self._session_of(speaker)
        now = self._clock.now()
        if session.status != SessionStatus.SESSION_STATUS_IDLE:
            session.work.works(now)
        session.work.said_percent(percent, one_line(step, MOST_STEP), now)
        owed = await self._publish(session)
        return {**_named(session), "percent": percent, "step": session.work.step, **owed}

    async def depends(self, speaker: Speaker, names: Sequence[str]) -> Answer:
        """Say on whom a session depends; on nobody any more, if nobody is named."""
        session = await self._session_of(speaker)
        project = await project_of(self._locator, speaker.cwd)
        found = [await self._find(project, name) for name in names]
        if any(other.session_id == session.session_id for other in found):
            raise InvalidRequest("a session does not depend on itself; name another one")
        if not found:
            session.work.depends.clear()
        for other in found:
            session_id = SessionId(other.session_id)
            session.work.depends[session_id] = On(session_id, other.alias)
        owed = await self._publish(session)
        on = [{"session_id": o.session, "alias": o.alias} for o in session.work.depends.values()]
        return {**_named(session), "depends_on": on, **owed}

    async def tell(self, speaker: Speaker, name: str, text: str) -> Answer:
        """Lay a message into a session's inbox; it is told at its next hook, and by whom.

        ``reads`` is whether it is: a terminal reads no messages. ``is_cut``, whether there
        was more than one line has room for.
        """
        said = one_line(text)
        if not said:
            raise InvalidRequest("text is empty; say something")
        project = await project_of(self._locator, speaker.cwd)
        other = await self._find(project, name)
        is_cut = said != one_line(text, len(text) + 1)
        told = {"session_id": other.session_id, "alias": other.alias, "text": said}
        if other.client == TERMINAL:
            # When it would read that, nobody knows: nothing is sent, or written down.
            return {**told, "reads": False}
        actor = self._actors.above(speaker.pid, project)
        request = TellRequest(
            request_id=new_request_id(),
            project=project,
            session_id=other.session_id,
            by=actor.by,
            text=said,
            through=actor.through,
        )
        _: TellResponse = await self._client.ask(lambda e: e.sessions.Tell, request, PATIENCE_S)
        return {**told, "reads": True, "is_cut": is_cut}

    async def _session_of(self, speaker: Speaker) -> LocalSession:
        """The session that is spoken of, registered."""
        if speaker.session:
            session = await self._named(speaker)
            session.act(self._clock.now())  # who speaks for it works for it
        else:
            session = await self._lifecycle.terminal_session(speaker.pid, speaker.cwd)
        settings = self._settings.at(session.root)
        await self._registration.enter(session, session.home, settings, PATIENCE_S)
        return session

    async def _named(self, speaker: Speaker) -> LocalSession:
        project = await project_of(self._locator, speaker.cwd)
        here = (s for s in self._sessions if _is_called(s, project, speaker.session))
        session = next(here, None)
        if session is None:
            other = await self._find(project, speaker.session)
            raise NotAllowed(
                f"{one_line(other.alias, 60)} runs on {one_line(other.host, 40)}: say it there"
            )
        return session

    async def _find(self, project: ProjectId, name: str) -> Session:
        """The live session that is called so. Raises SessionNotFound, with those there are."""
        sessions = (await self._client.list_sessions(project)).sessions
        names = name, name.casefold()
        for session in sessions:
            if session.session_id == names[0] or session.alias.casefold() == names[1]:
                return session
        raise SessionNotFound(
            f"no session is called {one_line(name, 60)} in {one_line(project, 100)};"
            f" {_those_there_are(sessions)}"
        )

    async def _publish(self, session: LocalSession) -> Answer:
        """Publish what the session says by now; ``owed`` is whether others hear it later only."""
        with suppress(Unknown):
            await self._publishing.publish(session)
        # What says nothing new may still be on its way, from an event or a command before.
        owed = not self._publishing.is_heard(session)
        if owed:
            self._publishing.note(session)  # a later beat says it
        return {"owed": owed}


def _is_called(session: LocalSession, project: ProjectId, name: str) -> bool:
    alias = session.aliases.get(project, "")
    return session.session_id == name or (alias != "" and alias.casefold() == name.casefold())


def _those_there_are(sessions: Iterable[Session]) -> str:
    names = [one_line(session.alias, 60) for session in sessions]
    if not names:
        return "there is none"
    more = len(names) - _MOST_NAMES
    rest = f" and {more} more" if more > 0 else ""
    return f"there are: {', '.join(names[:_MOST_NAMES])}{rest}"


def _named(session: LocalSession) -> Answer:
    return {"session_id": session.session_id, "alias": session.alias}
