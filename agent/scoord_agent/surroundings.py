"""What is known of a repository, as those ask for it who watch what sessions do.

No one here waits for what is not known yet: the rough answer stands in until it is.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from scoord.paths import FileIdentity, Locator
from scoord.v1.locks_pb2 import Lock
from scoord.v1.sessions_pb2 import Session
from scoord_agent import wording_work
from scoord_agent.activity import top_folder
from scoord_agent.knowledge.knowing import Knowing
from scoord_agent.knowledge.works import free_areas, others_of
from scoord_agent.neighbours import Neighbours
from scoord_agent.places import worktree_of
from scoord_agent.sessions import LocalSession

_MOST_FREE = 3


@dataclass(frozen=True, slots=True)
class Listed:
    """The sessions and locks of a project, as the coordinator was asked for them."""

    sessions: Sequence[Session]
    locks: Sequence[Lock]


class Surroundings:
    """Areas and imports of files, and areas that are free."""

    def __init__(self, *, knowing: Knowing, locator: Locator, neighbours: Neighbours) -> None:
        self._knowing = knowing
        self._locator = locator
        self._neighbours = neighbours

    def area_of(self, file: FileIdentity) -> str:
        """The first area that a file is in; its folder at the top while none is known."""
        areas = self._knowing.areas(file.worktree) if file.worktree else None
        return next(iter(areas.of(file.key)), "") if areas else top_folder(file)

    def imports_of(self, file: FileIdentity) -> Sequence[str]:
        """The files of the repository that a file imports, as it did at the last commit."""
        knowledge = self._knowing.at_once(file.worktree) if file.worktree else None
        return knowledge.imports.imports(file.key) if knowledge else ()

    async def free_areas(self, session: LocalSession, listed: Listed) -> Sequence[str]:
        """The areas where nobody else works or holds a file, best first, with what they are for."""
        root = session.root
        worktree = await worktree_of(self._locator, str(root)) if root else None
        knowledge = self._knowing.at_once(worktree) if worktree else None
        areas = self._knowing.areas(worktree) if worktree else None
        if knowledge is None or areas is None:
            return ()
        own_id, project = session.session_id, self._locator.project_of(worktree)
        offered = self._neighbours.of(project).kept.offers_to_others(own_id)
        others = others_of(own_id, listed.sessions, listed.locks, offered)
        free = await asyncio.to_thread(
            free_areas, knowledge, areas, others, session.intent, _MOST_FREE
        )
        described = {area.name: area.description for area in areas.all}
        return [wording_work.area(one, described[one.work.name]) for one in free]
