"""What people and scripts ask the agent about work: the backlog, and what to do next."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from scoord.errors import InvalidRequest
from scoord.graph_limits import AREA_NAME
from scoord.ids import ProjectId, SessionId
from scoord.limits import MOST_TASKS
from scoord.paths import Locator, Worktree
from scoord.text import one_line
from scoord.v1 import tasks_pb2 as pb
from scoord_agent import wording_work
from scoord_agent.actors import Actors
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.knowledge import backlog
from scoord_agent.knowledge.areas import NOTHING, Areas
from scoord_agent.knowledge.backlog import FileTask
from scoord_agent.knowledge.ranking import Ranked
from scoord_agent.knowledge.works import avoiding, left_out, wholly_free
from scoord_agent.lifecycle import Lifecycle
from scoord_agent.local_body import body_of, number, text, texts
from scoord_agent.local_session import TERMINAL, LocalSession
from scoord_agent.next_work import LEARN_WITHIN_S, Listed, NextWork
from scoord_agent.places import place_of
from scoord_agent.pursuit import KEPT_S
from scoord_agent.registration import Registration
from scoord_agent.rows import seconds_of
from scoord_agent.settings import SettingsFor
from scoord_agent.taking import PATIENCE_S

Answer = dict[str, Any]
Routes = dict[tuple[str, str], Callable[[web.Request], Awaitable[Answer]]]

MOST_SUGGESTED = 20
MOST_SEEN = 3
"""Of the work that whoever looks around is shown."""
MOST_LEFT_OUT = 20
"""Of the work that others are in the way of."""

_NOBODY = SessionId("")


class WorkDesk:
    """Answers with plain dictionaries, ready for JSON."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        actors: Actors,
        lifecycle: Lifecycle,
        registration: Registration,
        work: NextWork,
        locator: Locator,
        settings: SettingsFor,
    ) -> None:
        self._client = client
        self._actors = actors
        self._lifecycle = lifecycle
        self._registration = registration
        self._work = work
        self._locator = locator
        self._settings = settings

    def routes(self) -> Routes:
        """What the local API is to serve."""
        return {
            ("GET", "/v1/tasks"): self._list,
            ("POST", "/v1/tasks/add"): self._add,
            ("POST", "/v1/tasks/done"): self._done,
            ("POST", "/v1/tasks/remove"): self._remove,
            ("POST", "/v1/suggest"): self._suggest,
            ("GET", "/v1/suggestions"): self._look,
        }

    async def tasks(self, cwd: str, *, done_too: bool) -> Answer:
        """The team's tasks, and those of the repository's files that are not among them."""
        worktree, project = await place_of(self._locator, cwd)
        files = self._settings.now(worktree).tasks
        of_team, of_files = await self._work.tasks(project, worktree)
        rows = [task_row(task) for task in of_team if done_too or not task.done]
        areas = await self._areas(cwd) if of_files else NOTHING
        shown = (task for task in of_files if done_too or not task.done)
        rows += (
            _file_row(task, areas, self._work.kept_for(project, task.task_id)) for task in shown
        )
        wrong = await _problems(worktree, files)
        return {"project": project, "tasks": rows} | ({"problems": wrong} if wrong else {})

    async def add(self, cwd: str, pid: int, titles: Sequence[str], area: str) -> Answer:
        """Add tasks for whoever runs ``pid``; one that is open already is not added twice."""
        if len(titles) > MOST_TASKS:
            raise InvalidRequest(f"{MOST_TASKS} tasks at most can be added at once")
        _, project = await place_of(self._locator, cwd)
        area = await self._area(cwd, area) if area else ""
        actor = self._actors.above(pid, project)
        request = pb.AddTasksRequest(
            request_id=new_request_id(),
            project=project,
            tasks=(pb.NewTask(title=title, area=area) for title in titles),
            source=actor.name,
            through=actor.through,
        )
        answer = await self._client.ask(lambda e: e.tasks.AddTasks, request, PATIENCE_S)
        return {"project": project, "tasks": [task_row(task) for task in answer.tasks]}

    async def _areas(self, cwd: str) -> Areas:
        return (await self._work.ground(cwd, LEARN_WITHIN_S)).areas

    async def _area(self, cwd: str, named: str) -> str:
        """The area of that name as it is written here, or as the graph has it: ``area_web``.

        Where nothing is known, it is taken as it was said. Raises InvalidRequest if there is
        none of that name.
        """
        ground = await self._work.ground(cwd, LEARN_WITHIN_S)
        if not ground.known:
            return named
        in_graph = named.removeprefix(AREA_NAME)
        area = ground.areas.named(named) or ground.areas.named(in_graph)
        if area is None:
            there = [one.name for one in ground.areas.all]
            raise InvalidRequest(wording_work.no_such_area(named, there))
        return area.name

    async def done(self, cwd: str, pid: int, task_id: str) -> Answer:
        """Say that a task is done, for whoever runs ``pid``."""
        project = await self._project_of_task(cwd, task_id, "tick it there")
        request = pb.FinishTaskRequest(**self._about_task(pid, project, task_id))
        answer = await self._client.ask(lambda e: e.tasks.FinishTask, request, PATIENCE_S)
        return {"project": project, "task": task_row(answer.task)}

    async def remove(self, cwd: str, pid: int, task_id: str) -> Answer:
        """Take a task off the backlog, for whoever runs ``pid``."""
        project = await self._project_of_task(cwd, task_id, "take it out there")
        request = pb.RemoveTaskRequest(**self._about_task(pid, project, task_id))
        answer = await self._client.ask(lambda e: e.tasks.RemoveTask, request, PATIENCE_S)
        return {"project": project, "task": task_row(answer.task)}

    def _about_task(self, pid: int, project: ProjectId, task_id: str) -> dict[str, Any]:
        """What is said alike, whatever becomes of a task."""
        actor = self._actors.above(pid, project)
        return {
            "request_id": new_request_id(),
            "project": project,
            "task_id": task_id,
            "by": actor.name,
            "through": actor.through,
        }

    async def _project_of_task(self, cwd: str, task_id: str, instead: str) -> ProjectId:
        """The project of a task of the team's. Raises InvalidRequest for one of a file."""
        worktree, project = await place_of(self._locator, cwd)
        file, mark, _ = task_id.rpartition("#")
        if mark and file in self._settings.now(worktree).tasks:
            raise InvalidRequest(f"{one_line(task_id)} is a task of {one_line(file)}; {instead}")
        return project

    async def suggest(
        self, cwd: str, pid: int, count: int, intent: str = "", *, asks_for_agent: bool = False
    ) -> Answer:
        """What the session above ``pid`` may do next, by ``intent`` or else its own.

        It is kept for a coding session, for a while; for a person who looks at a terminal
        nothing is. ``asks_for_agent`` is of a coding agent that may be no session by its hooks.
        """
        session = await self._lifecycle.terminal_session(pid, cwd)
        ground = await self._work.ground(cwd, LEARN_WITHIN_S)
        settings = self._settings.now(ground.worktree)
        await self._registration.enter(session, ground.project, settings, PATIENCE_S)
        intent = one_line(intent) or session.intent
        listed = await Listed.of(self._client, ground.project)
        found = await self._work.best(session.session_id, ground, intent, listed)
        best = avoiding(found)
        count = min(max(count, 1), MOST_SUGGESTED)
        keep_s = KEPT_S if session.client != TERMINAL or asks_for_agent else 0
        kept = await self._kept(session, ground.project, best, count, keep_s)
        others_have = self._work.offered_to_others(session.session_id, ground.project)
        has_intent = bool(intent)
        return {
            "project": ground.project,
            "session": session.aliases.get(ground.project, ""),
            "intent": intent,
            "in_repository": ground.worktree is not None,
            "known": ground.known,
            "kept_for_others": not kept and bool(best or others_have),
            "kept_s": keep_s,
            "suggestions": [_row(one, has_intent=has_intent) for one in kept],
            "left_out": [_left_out_row(one) for one in left_out(found, best)[:MOST_LEFT_OUT]],
        }

    async def _kept(
        self,
        session: LocalSession,
        project: ProjectId,
        best: Sequence[Ranked],
        count: int,
        keep_s: int,
    ) -> Sequence[Ranked]:
        if not keep_s:
            return await self._work.free(session, project, best, count)
        return await self._work.keep(session, project, best, count, keep_s)

    async def look(self, cwd: str) -> Answer:
        """What is free to be done there, for nobody in particular: nothing of it is kept."""
        ground = await self._work.ground(cwd, 0.0)
        listed = await Listed.of(self._client, ground.project)
        free = wholly_free(await self._work.best(_NOBODY, ground, "", listed))
        return {
            "project": ground.project,
            "known": ground.known,
            "suggestions": [_row(one, has_intent=False) for one in free[:MOST_SEEN]],
        }

    async def _list(self, request: web.Request) -> Answer:
        everything = request.query.get("all") == "1"
        return await self.tasks(request.query.get("cwd", "/"), done_too=everything)

    async def _add(self, request: web.Request) -> Answer:
        body = await body_of(request)
        cwd, pid = text(body, "cwd"), number(body, "pid")
        return await self.add(cwd, pid, texts(body, "titles"), text(body, "area"))

    async def _done(self, request: web.Request) -> Answer:
        body = await body_of(request)
        cwd, pid = text(body, "cwd"), number(body, "pid")
        return await self.done(cwd, pid, text(body, "task_id"))

    async def _remove(self, request: web.Request) -> Answer:
        body = await body_of(request)
        cwd, pid = text(body, "cwd"), number(body, "pid")
        return await self.remove(cwd, pid, text(body, "task_id"))

    async def _look(self, request: web.Request) -> Answer:
        return await self.look(request.query.get("cwd", "/"))

    async def _suggest(self, request: web.Request) -> Answer:
        body = await body_of(request)
        cwd, pid, count = text(body, "cwd"), number(body, "pid"), number(body, "count")
        for_agent = body.get("asks_for_agent") is True
        intent = text(body, "intent")
        return await self.suggest(cwd, pid, count, intent, asks_for_agent=for_agent)


async def _problems(worktree: Worktree | None, files: Sequence[str]) -> list[str]:
    if worktree is None:
        return []
    return await asyncio.to_thread(backlog.problems, worktree.root, files)


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


def _file_row(task: FileTask, areas: Areas, kept_for: str) -> Answer:
    area = areas.among(task.topics)
    return {
        "id": task.task_id,
        "title": task.title,
        "area": area.name if area else "",
        "source": task.source,
        "age_s": None,
        "done": task.done,
        "done_by": "",
        "offered_to": kept_for,
    }


def _left_out_row(one: Ranked) -> Answer:
    work = one.work
    why = wording_work.in_the_way(one)
    return {"kind": work.kind, "name": work.name, "title": work.title, "why": why}


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
