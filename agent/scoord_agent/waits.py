"""For what the sessions of this machine have places in queues, and who is in their way.

A place begins with a refusal. It ends for us with the grant, with the turn, after which
nothing is in the way any more, or when it is given up.
"""

from collections.abc import Callable, Iterable

from scoord.ids import ProjectId, SessionId
from scoord.names import path_key
from scoord.v1.locks_pb2 import Conflict
from scoord_agent.local_session import LocalSession
from scoord_agent.work import On


class Waits:
    """Keeps what each session waits for, and tells when that changes."""

    def __init__(self, changed: Callable[[LocalSession], None]) -> None:
        self._changed = changed

    def refused(
        self, session: LocalSession, project: ProjectId, conflicts: Iterable[Conflict]
    ) -> None:
        """It was refused, and has places in the queues of some of these."""
        queued = {
            (project, path_key(conflict.path)): On(
                SessionId(conflict.lock.holder.session_id),
                conflict.lock.holder.alias,
                conflict.path,
            )
            for conflict in conflicts
            if conflict.place > 0
        }
        if queued.items() - session.work.waits.items():
            session.work.waits.update(queued)
            self._changed(session)

    def over(self, session: LocalSession, project: ProjectId, keys: Iterable[str]) -> None:
        """It does not wait for these paths, or not any more."""
        ended = [session.work.waits.pop((project, key), None) for key in keys]
        if any(ended):
            self._changed(session)
