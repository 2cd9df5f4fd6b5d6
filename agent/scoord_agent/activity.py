"""What a session does, as its hooks tell: written down in memory, and published behind them."""

from collections.abc import Callable

from scoord.clock import Clock
from scoord.paths import FileIdentity
from scoord.v1.sessions_pb2 import SessionStatus
from scoord_agent.local_session import MAIN, LocalSession
from scoord_agent.publishing import Publishing
from scoord_hooks.neutral import HookEvent

AreaOf = Callable[[FileIdentity], str]
"""The name of the area that a file is in; empty when it is in none. No I/O: edits ask."""


class Activity:
    """Takes down what sessions do."""

    def __init__(self, *, publishing: Publishing, clock: Clock, area_of: AreaOf) -> None:
        self._publishing = publishing
        self._clock = clock
        self._area_of = area_of

    def prompted(self, session: LocalSession) -> None:
        """It works on a prompt from now on."""
        self._becomes(session, SessionStatus.SESSION_STATUS_WORKING)

    def rested(self, session: LocalSession) -> None:
        """Its turn is over; it waits for its person."""
        self._becomes(session, SessionStatus.SESSION_STATUS_IDLE)

    def acted(self, session: LocalSession, event: HookEvent) -> None:
        """Its main thread does something: it works, also where its prompt was not seen."""
        if event.agent_id == MAIN and session.work.working_since is None:
            self.prompted(session)

    def progressed(self, session: LocalSession, event: HookEvent) -> None:
        """Its coding CLI has told of its task list."""
        if event.steps is None:
            return
        self.acted(session, event)
        session.work.told_steps(event.steps, self._clock.now())
        self._publishing.note(session)

    def edited(self, session: LocalSession, file: FileIdentity) -> None:
        """It has edited a file."""
        if not file.coordinated:
            return
        if session.work.edit(file.project, file.shown, self._area_of(file)):
            self._publishing.note(session)

    def committed(self, session: LocalSession, commits: int) -> None:
        """It has made so many commits more."""
        if commits:
            session.work.commits += commits
            self._publishing.note(session)

    def _becomes(self, session: LocalSession, status: "SessionStatus.ValueType") -> None:
        session.status = status
        if status == SessionStatus.SESSION_STATUS_IDLE:
            session.work.rests(self._clock.now())
        else:
            session.work.works(self._clock.now())
        self._publishing.note(session)


def top_folder(file: FileIdentity) -> str:
    """The area of a file where no areas are named: its folder at the project's top."""
    folder, _, rest = file.shown.partition("/")
    return folder if rest and file.worktree else ""
