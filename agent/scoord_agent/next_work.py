"""What a session could do next: ranked here, and kept for it by the coordinator."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scoord.ids import ProjectId, SessionId
from scoord.paths import Locator, Worktree
from scoord.v1 import tasks_pb2 as pb
from scoord.v1.locks_pb2 import Lock
from scoord.v1.sessions_pb2 import Session
from scoord_agent import wording_work
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.held import HeldLocks
from scoord_agent.knowledge import areas as area_rules
from scoord_agent.knowledge import backlog
from scoord_agent.knowledge.backlog import FileTask
from scoord_agent.knowledge.knowing import Knowing
from scoord_agent.knowledge.ranking import Ranked, Work, judged
from scoord_agent.knowledge.repository import Knowledge
from scoord_agent.knowledge.works import OpenTask, others_of, tasks_first, wholly_free, works
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.offers import offer
from scoord_agent.places import place_of
from scoord_agent.pursuits import Pursuits
from scoord_agent.settings import SettingsFor

_MOST_ASKED_FOR: Final = 50
"""So many pieces of work an offer takes."""
_MOST_AREAS: Final = 3

LEARN_WITHIN_S: Final = 6.0
"""How long a command waits for a repository that was never read."""

_LEARN_AT_START_S: Final = 0.15
"""How long a start waits for a repository that was never read: most are read by then."""

_LOOKED_AT_S: Final = 1
"""How long a coordinator that does not know of looking keeps what was looked at."""
KEPT_AT_START_S: Final = 60
"""How long a start's suggestion is kept: shorter than one that was asked for, since most
sessions begin with work of their own."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The sessions and locks of a project, as the coordinator was asked for them."""

    sessions: Sequence[Session]
    locks: Sequence[Lock]

    @classmethod
    async def of(
        cls, client: CoordinatorClient, project: ProjectId, patience_s: float = 0.0
    ) -> "Listed":
        """Ask for them. Raises what the coordinator says."""
        sessions, locks = await asyncio.gather(
            client.list_sessions(project, patience_s), client.list_locks(project, patience_s)
        )
        return cls(sessions.sessions, locks.locks)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where somebody stands, and what is known there."""

    project: ProjectId
    worktree: Worktree | None
    knowledge: Knowledge
    areas: area_rules.Areas
    known: bool


@dataclass(frozen=True, slots=True)
class AtStart:
    """What a session is told of work when it starts, in words."""

    kept: str = ""
    """The work that nobody else is told of meanwhile, and why."""
    areas: Sequence[str] = ()
    """Other areas where nobody works or holds a file."""


class NextWork:
    """Ranks the free tasks, areas and files of a repository, and has them kept."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        held: HeldLocks,
        neighbours: Neighbours,
        knowing: Knowing,
        pursuits: Pursuits,
        locator: Locator,
        settings: SettingsFor,
    ) -> None:
        self._client = client
        self._held = held
        self._neighbours = neighbours
        self._knowing = knowing
        self._pursuits = pursuits
        self._locator = locator
        self._settings = settings

    async def at_start(self, session: LocalSession, listed: Listed, *, keep: bool) -> AtStart:
        """The best for a session that starts, kept for it where ``keep`` is said.

        Nothing where the repository is not read in time. Raises what the coordinator says.
        """
        root = session.root
        ground = await self.ground(str(root), _LEARN_AT_START_S) if root else None
        if ground is None or not ground.known:
            return AtStart()
        best = await self.best(session.session_id, ground, session.intent, listed)
        free = [one for one in wholly_free(best) if one.work.kind != "file"]
        keep_s = KEPT_AT_START_S if keep else 0.0
        kept = await self.keep(session, ground.project, free, 1, keep_s)
        others = [one for one in free if one.work.kind == "area" and one not in kept]
        return _in_words(kept, others[:_MOST_AREAS], ground.areas, session.intent)

    async def ground(self, cwd: str, within_s: float) -> Ground:
        """What is known where ``cwd`` is; reading a repository anew is waited for so long."""
        worktree, project = await place_of(self._locator, cwd)
        known = await self._knowing.of(worktree, within_s) if worktree else None
        found = self._knowing.areas(worktree) if worktree else None
        knowledge, areas = known or Knowledge("", {}), found or area_rules.NOTHING
        return Ground(project, worktree, knowledge, areas, known is not None)

    async def best(
        self, own_id: SessionId, ground: Ground, intent: str, listed: Listed
    ) -> list[Ranked]:
        """All there is to do, the best first, also what others are in the way of.

        Raises what the coordinator says.
        """
        offered = self.offered_to_others(own_id, ground.project)
        others = others_of(own_id, listed.sessions, listed.locks, offered)
        held = [lock for lock in self._held.of(own_id) if lock.project == ground.project]
        own = [lock.key for lock in held if not lock.is_pattern]
        patterns = [lock.key for lock in held if lock.is_pattern]
        tasks = await self._open_tasks(ground)
        knowledge, areas = ground.knowledge, ground.areas

        def rank() -> list[Ranked]:
            every = works(knowledge, areas, tasks, own, intent, own_patterns=patterns)
            return tasks_first(judged(every, others, knowledge, intent), every)

        return await asyncio.to_thread(rank)

    def offered_to_others(
        self, own_id: SessionId, project: ProjectId
    ) -> frozenset[tuple[str, str]]:
        """What is kept for other sessions, by kind and name, as far as this machine has heard."""
        return self._neighbours.of(project).set_aside.offers_to_others(own_id)

    def kept_for(self, project: ProjectId, task_id: str) -> str:
        """The short name of the session that a task of a file is kept for; empty for nobody.

        As far as this machine has heard: of what such tasks say the coordinator knows nothing.
        """
        return self._neighbours.of(project).set_aside.offered_to("task", task_id)

    async def keep(
        self,
        session: LocalSession,
        project: ProjectId,
        best: Sequence[Ranked],
        count: int,
        lasts_s: float,
    ) -> list[Ranked]:
        """The first ``count`` that nobody else was offered, by the coordinator's word."""
        if not best or not lasts_s:
            return []
        works = [_named(one.work) for one in best[:_MOST_ASKED_FOR]]
        own_id = session.session_id
        async with session.work.offering:
            offered = await offer(
                self._client, own_id, project, works, count=count, lasts_s=lasts_s
            )
            kept = [one for one in best if (one.work.kind, one.work.name) in offered]
            self._pursuits.given(session, project, kept)
        return kept

    async def free(
        self, session: LocalSession, project: ProjectId, best: Sequence[Ranked], count: int
    ) -> list[Ranked]:
        """As ``keep``, for whoever only looks: nothing is kept, nor said to be worked on."""
        if not best:
            return []
        works = [_named(one.work) for one in best[:_MOST_ASKED_FOR]]
        free = await offer(
            self._client,
            session.session_id,
            project,
            works,
            count=count,
            lasts_s=_LOOKED_AT_S,
            keeps_nothing=True,
        )
        return [one for one in best if (one.work.kind, one.work.name) in free]

    async def tasks(
        self, project: ProjectId, worktree: Worktree | None
    ) -> tuple[list[pb.Task], list[FileTask]]:
        """The team's tasks and those of the repository's files, done ones too.

        A title that is the team's is none of a file's, also where the team is done with it and
        the file does not say so yet. Raises what the coordinator says.
        """
        request = pb.ListTasksRequest(project=project, done_too=True)
        of_team = list((await self._client.ask(lambda e: e.tasks.ListTasks, request)).tasks)
        files = self._settings.of(worktree).tasks
        if worktree is None or not files:
            return of_team, []
        known = {task.title.casefold() for task in of_team}
        found = await asyncio.to_thread(backlog.read, worktree.root, files)
        return of_team, [task for task in found if task.title.casefold() not in known]

    async def _open_tasks(self, ground: Ground) -> list[OpenTask]:
        of_team, of_files = await self.tasks(ground.project, ground.worktree)
        open_ones = [OpenTask(t.task_id, t.title, t.area) for t in of_team if not t.done]
        return open_ones + [
            OpenTask(task.task_id, task.title, topics=task.topics)
            for task in of_files
            if not task.done
        ]


def _named(work: Work) -> pb.Work:
    """How the coordinator is told of it; of areas and files the name says it all."""
    title = work.title if work.kind == "task" else ""
    return pb.Work(kind=work.kind, name=work.name, title=title)


def _in_words(
    kept: Sequence[Ranked], others: Sequence[Ranked], areas: area_rules.Areas, intent: str
) -> AtStart:
    described = {area.name: area.description for area in areas.all}
    suggested = [
        wording_work.at_start(
            one,
            described.get(one.work.name, ""),
            has_intent=bool(intent),
            kept_s=KEPT_AT_START_S,
        )
        for one in kept
    ]
    free = [wording_work.area(one, described[one.work.name]) for one in others]
    return AtStart("\n".join(suggested), free)
