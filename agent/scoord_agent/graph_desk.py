"""What people and tools ask of the graph: to read it, to add to it, to remove from it.

What follows from sessions, locks and tasks is changed by changing those. So the
entity of a lock is deleted by breaking the lock, under the grant that was shown,
recorded as every break is; the entity of a live session is not deleted at all.
"""

from typing import Any

from aiohttp import web

from scoord.errors import NotAllowed
from scoord.graph_limits import LOCK, MOST_NAME
from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.paths import Locator
from scoord.text import one_line
from scoord.v1 import graph_pb2 as pb
from scoord.v1.locks_pb2 import BreakRequest
from scoord_agent import wording_graph as wording
from scoord_agent.coordinator import CoordinatorClient, new_request_id
from scoord_agent.graph_shapes import (
    Additions,
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
from scoord_agent.local_body import body_of, text
from scoord_agent.places import project_of, worktree_of
from scoord_agent.registration import Machine
from scoord_agent.settings import SettingsFor
from scoord_agent.taking import PATIENCE_S

Answer = dict[str, Any]


class GraphDesk:
    """Answers with plain dictionaries, ready for JSON."""

    def __init__(
        self, client: CoordinatorClient, machine: Machine, locator: Locator, settings: SettingsFor
    ) -> None:
        self._client = client
        self._by = f"{machine.person}@{machine.host}"
        self._locator = locator
        self._settings = settings

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
        return await self.add(text(body, "cwd"), check(Additions, body))

    async def _remove(self, request: web.Request) -> Answer:
        body = await body_of(request)
        return await self.remove(text(body, "cwd"), check(Removals, body), text(body, "reason"))

    async def read(self, cwd: str) -> Answer:
        """The whole graph, and what the settings call it."""
        worktree = await worktree_of(self._locator, cwd)
        coordination = self._settings.of(worktree).session_coordination
        graph = await self._graph(self._locator.project_of(worktree))
        return {
            "project": self._locator.project_of(worktree),
            "context": coordination.kg_context,
            "location": coordination.kg_location,
            **graph_answer(graph),
        }

    async def add(self, cwd: str, wanted: Additions) -> Answer:
        """Add what is not there yet; what was added."""
        request = add_request(wanted, **await self._command(cwd))
        added = await self._client.ask(lambda e: e.graph.AddToGraph, request, PATIENCE_S)
        return {
            "entities": [entity_row(entity) for entity in added.entities],
            "observations": [facts_row(facts) for facts in added.observations],
            "relations": [relation_row(relation) for relation in added.relations],
        }

    async def remove(self, cwd: str, unwanted: Removals, reason: str) -> Answer:
        """Remove what was added, and break the locks whose entities are named. Raises NotAllowed.

        Everything is checked before anything is done.
        """
        command = await self._command(cwd)
        graph = await self._graph(ProjectId(command["project"]))
        _check_removable(graph, unwanted)
        named = [e for e in graph.entities if e.derived and e.name in set(unwanted.entities)]
        broken = [entity.name for entity in named if await self._break(command, entity, reason)]
        known = {e.name for e in graph.entities if len(e.name) <= MOST_NAME}
        stored = unwanted.model_copy(
            update={"entities": [name for name in unwanted.entities if name in known]}
        )
        removed = await self._client.ask(
            lambda e: e.graph.RemoveFromGraph, remove_request(stored, **command), PATIENCE_S
        )
        return {"entities": list(removed.entities), "broken": broken}

    async def _break(self, command: dict[str, str], entity: pb.Entity, reason: str) -> bool:
        """End the grants that ``entity`` stands for; whether any stood."""
        broken = False
        for grant in entity.grants:
            request = BreakRequest(
                request_id=new_request_id(),
                project=command["project"],
                lock=grant,
                by=self._by,
                reason=one_line(reason) or wording.DELETED,
            )
            answer = await self._client.break_lock(request, PATIENCE_S)
            broken |= answer.WhichOneof("outcome") == "broken"
        return broken

    async def _graph(self, project: ProjectId) -> pb.ReadGraphResponse:
        request = pb.ReadGraphRequest(project=project)
        return await self._client.ask(lambda e: e.graph.ReadGraph, request, PATIENCE_S)

    async def _command(self, cwd: str) -> dict[str, str]:
        project = await project_of(self._locator, cwd)
        return {"request_id": new_request_id(), "project": project, "by": self._by}


def _check_removable(graph: pb.ReadGraphResponse, unwanted: Removals) -> None:
    derived = {entity.name: entity for entity in graph.entities if entity.derived}
    for name in unwanted.entities:
        entity = derived.get(name)
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
