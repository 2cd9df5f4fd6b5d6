"""The graph in the shapes that users of knowledge-graph memories know, checked as it comes in.

``entityType``, ``from``, ``to``, ``relationType``, ``entityName`` and ``contents`` are
the names that those tools and their files use.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scoord.errors import InvalidRequest
from scoord.graph_limits import MOST_CHANGES
from scoord.ids import ProjectId, RequestId
from scoord.text import one_line
from scoord.v1 import graph_pb2 as pb
from scoord.v1.locks_pb2 import LockRef
from scoord_agent.actors import Actor

Answer = dict[str, Any]

_MOST_BYTES = 512 * 1024
"""Of one command: requests to the agent have 1 MiB at most."""
_MOST_ITEMS = 10_000

Text = Annotated[str, Field(max_length=100_000)]
Texts = Annotated[list[Text], Field(max_length=1000)]


class Shape(BaseModel):
    """Strict in what it names, and passes over what it does not know, as the original does."""

    model_config = ConfigDict(strict=True, extra="ignore", populate_by_name=True)


class EntityShape(Shape):
    """One entity."""

    name: Text
    entity_type: Text = Field(alias="entityType")
    observations: Texts


class RelationShape(Shape):
    """One relation."""

    source: Text = Field(alias="from")
    target: Text = Field(alias="to")
    relation_type: Text = Field(alias="relationType")


class FactsShape(Shape):
    """Facts to add to an entity."""

    entity: Text = Field(alias="entityName")
    contents: Texts


class DeletionShape(Shape):
    """Facts to remove from an entity."""

    entity: Text = Field(alias="entityName")
    contents: Texts = Field(alias="observations")


class Additions(Shape):
    """What may be added at once."""

    entities: list[EntityShape] = Field(default=[], max_length=_MOST_ITEMS)
    observations: list[FactsShape] = Field(default=[], max_length=_MOST_ITEMS)
    relations: list[RelationShape] = Field(default=[], max_length=_MOST_ITEMS)


class Removals(Shape):
    """What may be removed at once."""

    entities: list[Text] = Field(default=[], max_length=_MOST_ITEMS)
    observations: list[DeletionShape] = Field(default=[], max_length=_MOST_ITEMS)
    relations: list[RelationShape] = Field(default=[], max_length=_MOST_ITEMS)
    seen: dict[str, list[int]] = {}
    """By the name of a lock, the tokens under which it was shown."""


Checked = TypeVar("Checked", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Command:
    """Which command changes the graph of which project, and whose it is."""

    request_id: RequestId
    project: ProjectId
    actor: Actor


def check(shape: type[Checked], value: object) -> Checked:
    """Read ``value`` as ``shape``. Raises InvalidRequest with the place of what is wrong."""
    try:
        return shape.model_validate(value)
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        where = f"{one_line(place, 80)}: " if place else ""
        raise InvalidRequest(f"{where}{one_line(first['msg'], 120)}") from failure


def batches(items: Sequence[Checked]) -> Iterable[list[Checked]]:
    """``items`` in parts that one command may carry."""
    batch, size = list[Checked](), 0
    for item in items:
        grows = len(item.model_dump_json().encode())
        if batch and (len(batch) == MOST_CHANGES or size + grows > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += grows
    if batch:
        yield batch


def graph_answer(graph: pb.ReadGraphResponse) -> Answer:
    """A graph, ready for JSON."""
    return {
        "entities": [entity_row(entity) for entity in graph.entities],
        "relations": [relation_row(relation) for relation in graph.relations],
        "left_out": graph.left_out,
    }


def entity_row(entity: pb.Entity) -> Answer:
    """One entity, and what it stands for."""
    return {
        "name": entity.name,
        "entityType": entity.entity_type,
        "observations": list(entity.observations),
        "derived": entity.derived,
        "tokens": [grant.token for grant in entity.grants],
        "ended": entity.HasField("leaves_in"),
    }


def relation_row(relation: pb.Relation) -> Answer:
    """One relation."""
    return {
        "from": relation.source,
        "to": relation.target,
        "relationType": relation.relation_type,
        "derived": relation.derived,
    }


def facts_row(facts: pb.Observations) -> Answer:
    """Facts of an entity."""
    return {"entityName": facts.entity, "contents": list(facts.contents)}


def add_request(wanted: Additions, command: Command) -> pb.AddToGraphRequest:
    """What asks for ``wanted`` to be added."""
    return pb.AddToGraphRequest(
        request_id=command.request_id,
        project=command.project,
        by=command.actor.by,
        through=command.actor.through,
        entities=(
            pb.Entity(name=e.name, entity_type=e.entity_type, observations=e.observations)
            for e in wanted.entities
        ),
        observations=map(_observations, wanted.observations),
        relations=map(_relation, wanted.relations),
    )


def remove_request(unwanted: Removals, command: Command) -> pb.RemoveFromGraphRequest:
    """What asks for ``unwanted`` to be removed."""
    return pb.RemoveFromGraphRequest(
        request_id=command.request_id,
        project=command.project,
        by=command.actor.by,
        through=command.actor.through,
        entities=unwanted.entities,
        observations=map(_observations, unwanted.observations),
        relations=map(_relation, unwanted.relations),
    )


def changed_hands(grants: Iterable[LockRef], name: str, seen: Mapping[str, Sequence[int]]) -> bool:
    """Whether a lock that was shown is held under another grant by now."""
    return name in seen and any(grant.token not in seen[name] for grant in grants)


def _observations(facts: FactsShape | DeletionShape) -> pb.Observations:
    return pb.Observations(entity=facts.entity, contents=facts.contents)


def _relation(relation: RelationShape) -> pb.Relation:
    return pb.Relation(
        source=relation.source, target=relation.target, relation_type=relation.relation_type
    )
