"""What people and scripts ask the agent about work: the backlog, and what to do next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from scoord.errors import InvalidRequest
from scoord.ids import ProjectId, SessionId
from scoord.paths import Locator, Worktree
from scoord.text import one_line
from scoord.v1 import tasks_pb2 as pb
from scoord_agent import wording_work
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.held import HeldLocks
from scoord_agent.knowledge import areas as area_rules
from scoord_agent.knowledge import backlog
from scoord_agent.knowledge.backlog import FileTask
from scoord_agent.knowledge.knowing import Knowing
from scoord_agent.knowledge.ranking import Ranked, ranked
from scoord_agent.knowledge.repository import Knowledge
from scoord_agent.knowledge.works import OpenTask, others_of, tasks_first, wholly_free, works
from scoord_agent.lifecycle import Lifecycle
from scoord_agent.local_body import body_of, number, text, texts
from scoord_agent.neighbours import Neighbours
from scoord_agent.places import worktree_of
from scoord_agent.registration import Machine, Registration
from scoord_agent.rows import seconds_of
from scoord_agent.sessions import LocalSession
from scoord_agent.settings import SettingsFor
from scoord_agent.taking import PATIENCE_S

Answer = dict[str, Any]
Routes = dict[tuple[str, str], Callable[[web.Request], Awaitable[Answer]]]

LEARN_WITHIN_S = 6.0
"""How long a command waits for a repository that was never read."""

MOST_CANDIDATES = 50
MOST_SUGGESTED = 20
MOST_SEEN = 3
"""Of the work that whoever looks around is shown."""
MOST_ADDED = 100

_NOBODY = SessionId("")


@dataclass(frozen=True, slots=True)
class _Ground:
    """Where a command stands, and what is known there."""

    project: ProjectId
    worktree: Worktree | None
    knowledge: Knowledge
    areas: area_rules.Areas
    known: bool


class WorkDesk:
    """Answers with plain dictionaries, ready for JSON."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        machine: Machine,
        lifecycle: Lifecycle,
        registration: Registration,
        held: HeldLocks,
        neighbours: Neighbours,
        knowing: Knowing,
        locator: Locator,
        settings: SettingsFor,
    ) -> None:
        self._client = client
        self._machine = machine
        self._lifecycle = lifecycle
        self._registration = registration
        self._held = held
        self._neighbours = neighbours
        self._knowing = knowing
        self._locator = locator
        self._settings = settings

    def routes(self) -> Routes:
        """What the local API is to serve."""
        return {
            ("GET", "/v1/tasks"): self._list,
            ("POST", "/v1/tasks/add"): self._add,
            ("POST", "/v1/tasks/done"): self._done,
            ("POST", "/v1/suggest"): self._suggest,
            ("GET", "/v1/suggestions"): self._look,
        }

    async def tasks(self, cwd: str, *, done_too: bool) -> Answer:
        """The team's tasks, and those of the repository's files that are not among them."""
        worktree, project = await self._place(cwd)
        listed = await self._listed(project, done_too=done_too)
        rows = [task_row(task) for task in listed]
        of_files = await self._of_files(worktree, listed)
        rows += (_file_row(task) for task in of_files if done_too or not task.done)
        return {"project": project, "tasks": rows}

    async def add(self, cwd: str, titles: Sequence[str], area: str) -> Answer:
        """Add tasks; one that is open already is not added twice."""
        _, project = await self._place(cwd)
        if len(titles) > MOST_ADDED:
            raise InvalidRequest(f"{MOST_ADDED} tasks at most can be added at once")
        request = pb.AddTasksRequest(
            request_id=new_request_id(),
            project=project,
            tasks=(pb.NewTask(title=title, area=area) for title in titles),
            source=self._machine.person,
        )
        answer = await self._client.ask(lambda e: e.tasks.AddTasks, request, PATIENCE_S)
        return {"project": project, "tasks": [task_row(task) for task in answer.tasks]}

    async def done(self, cwd: str, task_id: str) -> Answer:
        """Say that a task is done."""
        worktree, project = await self._place(cwd)
        file, mark, _ = task_id.rpartition("#")
        if mark and file in self._settings.of(worktree).tasks:
            raise InvalidRequest(
                f"{one_line(task_id)} is a task of {one_line(file)}; tick it there"
            )
        request = pb.FinishTaskRequest(
            request_id=new_request_id(), project=project, task_id=task_id, by=self._machine.person
        )
        answer = await self._client.ask(lambda e: e.tasks.FinishTask, request, PATIENCE_S)
        return {"project": project, "task": task_row(answer.task)}

    async def suggest(self, cwd: str, pid: int, count: int, intent: str = "") -> Answer:
        """What the session above ``pid`` may do next, by ``intent`` or else its own.

        It is kept for the session, for a while.
        """
        session = await self._lifecycle.terminal_session(pid, cwd)
        ground = await self._ground(cwd, LEARN_WITHIN_S)
        settings = self._settings.of(ground.worktree)
        await self._registration.enter(session, ground.project, settings, PATIENCE_S)
        intent = one_line(intent) or session.intent
        best = await self._best(session.session_id, ground, intent)
        kept = await self._keep(session, ground.project, best, count)
        has_intent = bool(intent)
        return {
            "project": ground.project,
            "session": session.aliases.get(ground.project, ""),
            "intent": intent,
            "known": ground.known,
            "suggestions": [_row(one, has_intent=has_intent) for one in kept],
        }

    async def look(self, cwd: str) -> Answer:
        """What is free to be done there, for nobody in particular: nothing of it is kept."""
        ground = await self._ground(cwd, 0.0)
        free = wholly_free(await self._best(_NOBODY, ground, ""))
        return {
            "project": ground.project,
            "known": ground.known,
            "suggestions": [_row(one, has_intent=False) for one in free[:MOST_SEEN]],
        }

    async def _best(self, own_id: SessionId, ground: _Ground, intent: str) -> list[Ranked]:
        sessions = (await self._client.list_sessions(ground.project)).sessions
        locks = (await self._client.list_locks(ground.project)).locks
        kept = self._neighbours.of(ground.project).kept
        others = others_of(own_id, sessions, locks, kept.offers_to_others(own_id))
        own = [lock.key for lock in self._held.of(own_id) if lock.project == ground.project]
        tasks = await self._open_tasks(ground)
        knowledge, areas = ground.knowledge, ground.areas

        def rank() -> list[Ranked]:
            every = works(knowledge, areas, tasks, own, intent)
            return tasks_first(ranked(every, others, knowledge, intent), every)

        return (await asyncio.to_thread(rank))[:MOST_CANDIDATES]

    async def _keep(
        self, session: LocalSession, project: ProjectId, best: Sequence[Ranked], count: int
    ) -> list[Ranked]:
        """Those that nobody else was offered, by the coordinator's word."""
        if not best:
            return []
        request = pb.OfferRequest(
            request_id=new_request_id(),
            project=project,
            session_id=session.session_id,
            candidates=(pb.Work(kind=one.work.kind, name=one.work.name) for one in best),
            count=min(max(count, 1), MOST_SUGGESTED),
        )
        answer = await self._client.ask(lambda e: e.tasks.Offer, request, PATIENCE_S)
        offered = {(work.kind, work.name) for work in answer.offered}
        return [one for one in best if (one.work.kind, one.work.name) in offered]

    async def _open_tasks(self, ground: _Ground) -> list[OpenTask]:
        listed = await self._listed(ground.project, done_too=True)
        open_ones = [OpenTask(t.task_id, t.title, t.area) for t in listed if not t.done]
        of_files = await self._of_files(ground.worktree, listed)
        return open_ones + [
            OpenTask(task.task_id, task.title, topics=task.topics)
            for task in of_files
            if not task.done
        ]

    async def _listed(self, project: ProjectId, *, done_too: bool) -> list[pb.Task]:
        request = pb.ListTasksRequest(project=project, done_too=done_too)
        return list((await self._client.ask(lambda e: e.tasks.ListTasks, request)).tasks)

    async def _of_files(
        self, worktree: Worktree | None, listed: Sequence[pb.Task]
    ) -> list[FileTask]:
        """The tasks of the repository's files that are not ``listed``, by their titles."""
        files = self._settings.of(worktree).tasks
        if worktree is None or not files:
            return []
        known = {task.title.casefold() for task in listed}
        found = await asyncio.to_thread(backlog.read, worktree.root, files)
        return [task for task in found if task.title.casefold() not in known]

    async def _ground(self, cwd: str, within_s: float) -> _Ground:
        worktree, project = await self._place(cwd)
        known = await self._knowing.of(worktree, within_s) if worktree else None
        found = self._knowing.areas(worktree) if worktree else None
        knowledge, areas = known or Knowledge("", {}), found or area_rules.NOTHING
        return _Ground(project, worktree, knowledge, areas, known is not None)

    async def _place(self, cwd: str) -> tuple[Worktree | None, ProjectId]:
        worktree = await worktree_of(self._locator, cwd)
        return worktree, self._locator.project_of(worktree)

    async def _list(self, request: web.Request) -> Answer:
        everything = request.query.get("all") == "1"
        return await self.tasks(request.query.get("cwd", "/"), done_too=everything)

    async def _add(self, request: web.Request) -> Answer:
        body = await body_of(request)
        return await self.add(text(body, "cwd"), texts(body, "titles"), text(body, "area"))

    async def _done(self, request: web.Request) -> Answer:
        body = await body_of(request)
        return await self.done(text(body, "cwd"), text(body, "task_id"))

    async def _look(self, request: web.Request) -> Answer:
        return await self.look(request.query.get("cwd", "/"))

    async def _suggest(self, request: web.Request) -> Answer:
        body = await body_of(request)
        pid, count = number(body, "pid"), number(body, "count")
        return await self.suggest(text(body, "cwd"), pid, count, text(body, "intent"))


def task_row(task: pb.Task) -> Answer:
    """One task of the coordinator."""
    to = task.offered_to
    return {
        "id": task.task_id,
        "title": task.title,
        "area": task.area,
        "source": task.source,
        "age_s": seconds_of(task.age),
        "done": task.done,
        "done_by": task.done_by,
        "offered_to": to.alias or to.session_id,
    }


def _file_row(task: FileTask) -> Answer:
    return {
        "id": task.task_id,
        "title": task.title,
        "area": task.topics[0] if task.topics else "",
        "source": task.source,
        "age_s": None,
        "done": task.done,
        "done_by": "",
        "offered_to": "",
    }


def _row(one: Ranked, *, has_intent: bool) -> Answer:
    work, collision = one.work, one.collision
    return {
        "kind": work.kind,
        "name": work.name,
        "title": work.title,
        "areas": list(work.areas),
        "score": round(one.score, 3),
        "expected_collision": round(collision.expected, 3),
        "fit": round(one.fit, 3),
        "why": wording_work.reasons(one, has_intent=has_intent),
    }
