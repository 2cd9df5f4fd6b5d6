"""GraphService: read the request, ask the coordinator, build the reply."""

from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from scoord.clock import Clock
from scoord.errors import InvalidRequest
from scoord.graph_limits import MOST_CHANGES, MOST_FACT, MOST_FACTS, MOST_NAME, MOST_TYPE
from scoord.ids import ProjectId
from scoord.text import one_line
from scoord.v1 import graph_pb2 as pb
from scoord.v1.graph_pb2_grpc import GraphServiceServicer
from scoord_server.coordinator import Coordinator
from scoord_server.model.graph import Named, Present
from scoord_server.model.graph_changes import Change
from scoord_server.rpc import checks, messages

Context = grpc.aio.ServicerContext[Any, Any]


class Graph(GraphServiceServicer):
    """Shows the state as a graph, and keeps what is added to it."""

    def __init__(self, coordinator: Coordinator, clock: Clock) -> None:
        self._coordinator = coordinator
        self._clock = clock

    async def ReadGraph(
        self, request: pb.ReadGraphRequest, context: Context
    ) -> pb.ReadGraphResponse:
        """The whole graph of a project."""
        project = checks.project(request.project)
        return await self._coordinator.graph.read(project, await self._present(project))

    async def AddToGraph(
        self, request: pb.AddToGraphRequest, context: Context
    ) -> pb.AddToGraphResponse:
        """Add entities, observations and relations."""
        change = _change(request, map(_entity, request.entities))
        return await self._coordinator.graph.add(change, await self._named(change.project))

    async def RemoveFromGraph(
        self, request: pb.RemoveFromGraphRequest, context: Context
    ) -> pb.RemoveFromGraphResponse:
        """Remove entities, observations and relations."""
        change = _change(request, (pb.Entity(name=_name(name)) for name in request.entities))
        return await self._coordinator.graph.remove(change, await self._named(change.project))

    async def _present(self, project: ProjectId) -> Present:
        seen = await self._coordinator.present()
        return Present(
            tuple(messages.sessions(seen, project, self._clock)),
            tuple(messages.locks(seen, project, self._clock)),
            tuple(messages.waiters(seen, project, self._clock)),
        )

    async def _named(self, project: ProjectId) -> Named:
        """What its entities are called by; to make a message of each lock takes long."""
        seen = await self._coordinator.present()
        records = (one.fact.record.session for one in seen.sessions)
        return Named(
            tuple(session for session in records if session.project == project),
            tuple(one.fact.record.path for one in seen.locks if one.project == project),
        )


def _change(
    request: pb.AddToGraphRequest | pb.RemoveFromGraphRequest, entities: Iterable[pb.Entity]
) -> Change:
    # Before each is looked at: a message has room for a million.
    changes = (*request.entities, *request.observations, *request.relations)
    checks.up_to("changes", changes, MOST_CHANGES)
    return Change(
        checks.request_id(request.request_id),
        checks.project(request.project),
        one_line(request.by),
        tuple(entities),
        tuple(map(_observations, request.observations)),
        tuple(map(_relation, request.relations)),
        messages.through(request),
    )


def _entity(entity: pb.Entity) -> pb.Entity:
    name, entity_type = _name(entity.name), _line("entity type", entity.entity_type, MOST_TYPE)
    return pb.Entity(name=name, entity_type=entity_type, observations=_facts(entity.observations))


def _observations(observations: pb.Observations) -> pb.Observations:
    entity = _name(observations.entity)
    return pb.Observations(entity=entity, contents=_facts(observations.contents))


def _relation(relation: pb.Relation) -> pb.Relation:
    return pb.Relation(
        source=_name(relation.source),
        target=_name(relation.target),
        relation_type=_line("relation type", relation.relation_type, MOST_TYPE),
    )


def _name(name: str) -> str:
    return _line("entity name", name, MOST_NAME)


def _facts(facts: Sequence[str]) -> list[str]:
    checks.up_to("observations", facts, MOST_FACTS)
    return [_line("observation", fact, MOST_FACT) for fact in facts]


def _line(what: str, text: str, most: int) -> str:
    """``text`` on one line, as all will see it. What is too long is refused, never cut."""
    line = one_line(text, most + 1)
    if not line or len(line) > most:
        raise InvalidRequest(
            f"{what} {one_line(text, 40)!r}: 1 to {most} characters are allowed, on one line"
        )
    return line
