"""Whom a session depends on: as was said, by the queues it waits in, by what it imports.

What others hold is known from the watch stream; nobody is asked.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from scoord.ids import ProjectId, SessionId
from scoord.limits import MOST_DEPENDENCIES
from scoord.names import path_key
from scoord.v1.locks_pb2 import Holder, Lock
from scoord.v1.sessions_pb2 import Dependency
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.published import dependency
from scoord_agent.work import On


class Relations:
    """Tells whom a session depends on now."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    def of(self, session: LocalSession, project: ProjectId) -> list[Dependency]:
        """All that is known in a project, what was said first; each once."""
        found = (
            *(dependency(on, "said") for on in self._said(session, project)),
            *(dependency(on, "waits") for on in self._waited_for(session, project)),
            *(dependency(on, "imports") for on in self._imported(session, project)),
        )
        once = {(each.session_id, each.why, each.path): each for each in found}
        return list(islice(once.values(), MOST_DEPENDENCIES))

    def held(self, session: LocalSession, project: ProjectId, path: str) -> list[Lock]:
        """The locks that other sessions have on ``path``."""
        locks = self._neighbours.of(project).paths.get(path_key(path), {}).values()
        return [lock for lock in locks if lock.holder.session_id != session.session_id]

    def _said(self, session: LocalSession, project: ProjectId) -> Iterator[On]:
        """Those that have ended are not depended on any more."""
        live = self._neighbours.of(project).sessions
        return (on for on in session.work.depends.values() if on.session in live)

    def _waited_for(self, session: LocalSession, project: ProjectId) -> Iterable[On]:
        """Who holds it now; who was in the way when it was refused, where nobody does."""
        for (where, _), on in session.work.waits.items():
            if where == project:
                locks = self.held(session, project, on.path)
                # Another thread of its own is in the way of this one, not of the session.
                before = (on,) if on.session != session.session_id else ()
                yield from (_on(lock.holder, on.path) for lock in locks) if locks else before

    def _imported(self, session: LocalSession, project: ProjectId) -> Iterable[On]:
        for (where, _), importer in session.work.imports.items():
            for path in importer.paths.values() if where == project else ():
                for lock in self.held(session, project, path):
                    yield _on(lock.holder, path)


def _on(holder: Holder, path: str) -> On:
    return On(SessionId(holder.session_id), holder.alias, path)
