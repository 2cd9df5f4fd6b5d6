"""Who says or does something by a command: a person, or a coding session of theirs.

What runs below a coding session is that session's doing, whoever typed its prompt; what
others are told of it names the session. Otherwise it would speak with its user's authority.
"""

from dataclasses import dataclass

from scoord.ids import ProjectId
from scoord.v1.locks_pb2 import Holder
from scoord_agent.local_session import LocalSession
from scoord_agent.registration import Machine
from scoord_agent.sessions import Sessions
from scoord_agent.wording import who


@dataclass(frozen=True, slots=True)
class Actor:
    """Who it is, as others are told."""

    by: str
    """The person, as ``alice@mbp``."""
    through: Holder | None
    """The coding session; None for a person at a terminal of their own."""

    person: str
    """The person, without their machine."""

    @property
    def name(self) -> str:
        """Whose doing others read it to be."""
        return who(self.through) if self.through else self.person


class Actors:
    """Finds who is behind a command of this machine."""

    def __init__(self, machine: Machine, sessions: Sessions) -> None:
        self._machine = machine
        self._sessions = sessions

    def above(self, pid: int, project: ProjectId) -> Actor:
        """Who runs the process ``pid``, as they are known in ``project``."""
        session = self._sessions.above(pid)
        by = f"{self._machine.person}@{self._machine.host}"
        is_coding = session is not None and session.has_hooks
        through = self._holder(session, project) if session and is_coding else None
        return Actor(by, through, self._machine.person)

    def _holder(self, session: LocalSession, project: ProjectId) -> Holder:
        return Holder(
            session_id=session.session_id,
            # Its name elsewhere may be another's here; without one it is shown by its id.
            alias=session.aliases.get(project, ""),
            person=self._machine.person,
            host=self._machine.host,
            branch=session.branch if project == session.home else "",
        )
