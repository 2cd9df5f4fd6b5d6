"""The sessions of this machine, and where they are written down.

What is written down lets an agent that was killed take its sessions up again under
their names and leases.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from scoord.ids import SessionId
from scoord_agent import kept_sessions, processes
from scoord_agent.held_lock import HeldLock
from scoord_agent.kept_file import KeptFile
from scoord_agent.local_session import LocalSession
from scoord_agent.processes import Process
from scoord_agent.turns import Place, Queued

_log = logging.getLogger(__name__)


class Sessions:
    """All sessions of this machine, by id, by the client's id, and by process."""

    def __init__(self, file: Path) -> None:
        self._path = file
        self.file = KeptFile(file, self._content)
        self._sessions: dict[SessionId, LocalSession] = {}
        self.person: Callable[[LocalSession, str], None] | None = None
        """Tells the person in front of a session, of all that come from now on."""
        self.changed: Callable[[], None] | None = None
        """Is called when a session is to be told something, of all that come from now on."""
        self.held: Callable[[SessionId], Sequence[HeldLock]] = lambda _session: ()
        """What a session has or has lost, to be written down with it."""
        self.stood_at: Callable[[SessionId], float] = lambda _session: 0.0
        """When all of that was last known to stand."""
        self.unheard: Callable[[SessionId], Mapping[Place, Queued]] = lambda _session: {}
        """Where it waits to hear of its turn, to be written down with it."""

    def __iter__(self) -> Iterator[LocalSession]:
        return iter(tuple(self._sessions.values()))

    def get(self, session: str) -> LocalSession | None:
        """The session with this id."""
        return self._sessions.get(SessionId(session))

    def is_here(self, session: str) -> bool:
        """Whether it is one of this machine."""
        return SessionId(session) in self._sessions

    def all_by_client_id(self, client: str, client_session_id: str) -> list[LocalSession]:
        """The sessions that the coding CLI knows under this id.

        More than one when a session was resumed in a second process.
        """
        return [s for s in self if s.client == client and client_session_id in s.client_session_ids]

    def by_process(self, process: Process) -> LocalSession | None:
        """The session that is this process."""
        return next((s for s in self if s.process == process), None)

    def above(self, pid: int) -> LocalSession | None:
        """The nearest session above the process ``pid``, or that is it."""
        by_pid = {session.process.pid: session for session in self if session.process}
        return next((by_pid[each] for each in processes.ancestors(pid) if each in by_pid), None)

    def add(self, session: LocalSession) -> None:
        """Remember a session."""
        self._take_in(session)
        self.save()

    def remove(self, session: LocalSession) -> None:
        """Forget a session."""
        self._sessions.pop(session.session_id, None)
        self.save()

    def has_missed_start(self, pid: int) -> bool:
        """Whether a hook of this process could not tell us of a start: its mark goes with this."""
        try:
            self._path.with_name(f"ungreeted.{pid}").unlink()
        except OSError:
            return False
        return True

    def save(self) -> None:
        """Have written down what a restarted agent needs. This one works without."""
        self.file.changed()

    def _content(self) -> bytes:
        return "\n".join(map(self._to_line, self)).encode() + b"\n"

    def _to_line(self, session: LocalSession) -> str:
        who = session.session_id
        held, stood_at, waits = self.held(who), self.stood_at(who), self.unheard(who)
        return kept_sessions.to_line(session, held, stood_at, waits)

    def load(self, now: float) -> None:
        """Read what the agent before us wrote down; what cannot be read is left out.

        Each counts as having acted ``now``, as what is written down may be old; but one without
        a process, which would never be over.
        """
        for line in filter(None, self.file.lines()):
            if session := kept_sessions.from_line(line):
                if session.process or not 0 < session.acted_at <= now:
                    session.acted_at = now
                session.inherited = {*session.aliases, *(lock.project for lock in session.had)}
                # Of before a boot nothing is known: then it is as if it had never stood.
                session.had_at = session.had_at if session.had_at <= now else 0.0
                self._take_in(session)
            else:
                _log.warning("a session of %s cannot be read: it is left out", self._path)

    def _take_in(self, session: LocalSession) -> None:
        session.person, session.changed = self.person, self.changed
        self._sessions[session.session_id] = session
