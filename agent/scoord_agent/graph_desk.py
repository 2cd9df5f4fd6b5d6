"""What people and tools ask of the graph: to read it, to add to it, to remove from it.

What follows from sessions, locks and tasks is changed by changing those. So the
entity of a lock is deleted by breaking the lock, under the grant that was shown,
recorded as every break is; the entity of a live session is not deleted at all.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from scoord.errors import NotAllowed
from scoord.graph_limits import LOCK, MOST_NAME
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.paths import Locator
from scoord.text import one_line
from scoord.v1 import graph_pb2 as pb
from scoord.v1.locks_pb2 import BreakRequest, Lock
from scoord_agent import graph_ground
from scoord_agent import wording_graph as wording
from scoord_agent.actors import Actors
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.estimates import Completion
from scoord_agent.graph_shapes import (
    Additions,
    Command,
    Removals,
    add_request,
    changed_hands,
    check,
    entity_row,
    facts_row,
    graph_answer,
    relation_row,
    remove_request,
)
from scoord_agent.local_api import Routes
from scoord_agent.local_body import body_of, number, text
from scoord_agent.next_work import LEARN_WITHIN_S, Ground, NextWork
from scoord_agent.places import project_of, worktree_of
from scoord_agent.settings import SettingsFor
from scoord_agent.taking import PATIENCE_S
from scoord_agent.wording_times import completed

Answer = dict[str, Any]

FreeIn = Callable[[ProjectId, Sequence[Lock]], Awaitable[Sequence[Completion | None]]]
"""When each lock of a project will be free, as far as can be told."""


class GraphDesk:
    """Answers with plain dictionaries, ready for JSON."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        actors: Actors,
        locator: Locator,
        settings: SettingsFor,
        work: NextWork,
        free_in: FreeIn,
    ) -> None:
        """``free_in`` may ask the coordinator when locks will be free."""
        self._client = client
        self._actors = actors
        self._locator = locator
        self._settings = settings
        self._work = work
        self._free_in = free_in

    def routes(self) -> Routes:
        """What the local API serves of it."""
        return {
            ("GET", "/v1/graph"): self._read,
            ("POST", "/v1/graph/add"): self._add,
            ("POST", "/v1/graph/remove"): self._remove,
        }

    async def _read(self, request: web.Request) -> Answer:
        return await self.read(request.query.get("cwd", "/"))

    async def _add(self, request: web.Request) -> Answer:
        body = await body_of(request)
        cwd, pid = text(body, "cwd"), number(body, "pid")
        return await self.add(cwd, pid, check(Additions, body))

    async def _remove(self, request: web.Request) -> Answer:
        body = await body_of(request)
        cwd, pid = text(body, "cwd"), number(body, "pid")
        return await self.remove(cwd, pid, check(Removals, body), text(body, "reason"))

    async def read(self, cwd: str) -> Answer:
        """The whole graph, and what the settings call it."""
        worktree = await worktree_of(self._locator, cwd)
        coordination = self._settings.now(worktree).session_coordination
        ground = await self._work.ground(cwd, LEARN_WITHIN_S)
        graph = await self._graph(ground)
        return {
            "project": ground.project,
            "known": ground.known or worktree is None,
            "context": coordination.kg_context,
            "location": coordination.kg_location,
            **graph_answer(graph),
        }

    async def add(self, cwd: str, pid: int, wanted: Additions) -> Answer:
        """Add what is not there yet, for whoever runs ``pid``; what was added."""
        request = add_request(wanted, await self._command(cwd, pid))
        added = await self._client.ask(lambda e: e.graph.AddToGraph, request, PATIENCE_S)
        return {
            "entities": [entity_row(entity) for entity in added.entities],
            "observations": [facts_row(facts) for facts in added.observations],
            "relations": [relation_row(relation) for relation in added.relations],
        }

    async def remove(self, cwd: str, pid: int, unwanted: Removals, reason: str) -> Answer:
        """Remove what was added, and break the locks whose entities are named. Raises NotAllowed.

        Everything is checked before anything is done.
        """
        command = await self._command(cwd, pid)
        graph = await self._graph(await self._work.ground(cwd, 0.0))
        _check_removable(graph, unwanted)
        named = [e for e in graph.entities if e.derived and e.name in set(unwanted.entities)]
        broken = [entity.name for entity in named if await self._break(command, entity, reason)]
        known = {e.name for e in graph.entities if len(e.name) <= MOST_NAME}
        stored = unwanted.model_copy(
            update={"entities": [name for name in unwanted.entities if name in known]}
        )
        removed = await self._client.ask(
            lambda e: e.graph.RemoveFromGraph, remove_request(stored, command), PATIENCE_S
        )
        return {"entities": list(removed.entities), "broken": broken}

    async def _break(self, command: Command, entity: pb.Entity, reason: str) -> bool:
        """End the grants that ``entity`` stands for; whether any stood."""
        broken = False
        for grant in entity.grants:
            request = BreakRequest(
                request_id=new_request_id(),
                project=command.project,
                lock=grant,
                by=command.actor.by,
                reason=one_line(reason) or wording.DELETED,
                through=command.actor.through,
            )
            answer = await self._client.break_lock(request, PATIENCE_S)
            broken |= answer.WhichOneof("outcome") == "broken"
        return broken

    async def _graph(self, ground: Ground) -> pb.ReadGraphResponse:
        """What the coordinator has of it, and what the repository and this agent add."""
        request = pb.ReadGraphRequest(project=ground.project)
        graph = await self._client.ask(lambda e: e.graph.ReadGraph, request, PATIENCE_S)
        of_team, of_files = await self._work.tasks(ground.project, ground.worktree)
        open_ones = [task for task in of_files if not task.done]
        graph_ground.add(graph, ground.areas, open_ones)
        kept = {t.task_id: t.offered_to.alias for t in of_team if not t.done}
        kept |= {t.task_id: self._work.kept_for(ground.project, t.task_id) for t in open_ones}
        graph_ground.add_kept(graph, kept)
        locks = (await self._client.list_locks(ground.project)).locks
        left = await self._free_in(ground.project, locks)
        graph_ground.add_completions(graph, zip(locks, map(completed, left), strict=True))
        return graph

    async def _command(self, cwd: str, pid: int) -> Command:
        project = await project_of(self._locator, cwd)
        return Command(new_request_id(), project, self._actors.above(pid, project))


def _check_removable(graph: pb.ReadGraphResponse, unwanted: Removals) -> None:
    derived = {entity.name: entity for entity in graph.entities if entity.derived}
    for name in unwanted.entities:
        entity = derived.get(name)
        if entity and entity.HasField("leaves_in"):
            leaves_in_s = entity.leaves_in.ToMilliseconds() / 1000
            raise NotAllowed(wording.is_over(name, leaves_in_s))
        if entity and entity.entity_type != LOCK:
            raise NotAllowed(wording.not_deletable(name, entity.entity_type))
        if entity and len({path_key(grant.path) for grant in entity.grants}) > 1:
            raise NotAllowed(wording.several_files(name))
        if entity and changed_hands(entity.grants, name, unwanted.seen):
            raise NotAllowed(wording.changed_hands(name, entity.observations))
    for facts in unwanted.observations:
        if facts.entity in derived and set(facts.contents) & set(
            derived[facts.entity].observations
        ):
            raise NotAllowed(wording.derived_facts(facts.entity))
    _check_relations(graph, unwanted)


def _check_relations(graph: pb.ReadGraphResponse, unwanted: Removals) -> None:
    derived = {(r.source, r.relation_type, r.target) for r in graph.relations if r.derived}
    for relation in unwanted.relations:
        triple = relation.source, relation.relation_type, relation.target
        if triple in derived:
            raise NotAllowed(wording.derived_relation(*triple))
