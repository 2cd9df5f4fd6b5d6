"""The rules of what people and tools write into the graph: bounded, and never twice.

A change is planned against all that was written before, and holds only while
nothing was put since; so the bounds hold however many write at once. A repeated
command finds its own name in the records, and gets its first answer.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from scoord import graph_limits as limits
from scoord.errors import InvalidRequest, NotAllowed
from scoord.happenings import Kind
from scoord.ids import ProjectId, RequestId
from scoord.text import one_line
from scoord.v1.graph_pb2 import (
    AddToGraphResponse,
    Entity,
    Observations,
    Relation,
    RemoveFromGraphResponse,
)
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import EntityRecord, RelationRecord
from scoord_server.model.compares import none_put_since, unchanged
from scoord_server.model.history import Journal
from scoord_server.store import keys
from scoord_server.store.limits import MAX_BYTES, weight_of
from scoord_server.store.port import Compare, Delete, KeyValue, Operation, Put, Txn

_INSTEAD = {
    limits.SESSION: "sessions register themselves",
    limits.LOCK: "a lock is taken, with `scoord lock` or the tool `claim`",
    limits.AREA: "areas are found in the repository, or named in its coordination.yaml",
    limits.TASK: "a task is added with `scoord task add`",
    limits.HOLDS_LOCK: "a lock is taken, with `scoord lock` or the tool `claim`",
    limits.WAITS_FOR: "a session waits for what it was refused, or with `scoord wait`",
    limits.WORKING_ON: "what a session works on follows from what it edits",
    limits.DEPENDS_ON: "a session says on whom it depends with `scoord depends`",
}
"""What to do about what follows from the state, which no note may pose as."""

_MOST_SAID = 100
"""Of one entity with its new facts, in a line of history."""

_MOST_STEP_BYTES = MAX_BYTES // 2
"""What a step of a removal puts, if it changes several entities: each is put with all its facts."""

Triple = tuple[str, str, str]
"""Source, type and target of a relation."""


@dataclass(frozen=True, slots=True)
class Stored:
    """All that was written down in a project, at ``revision``."""

    revision: int = 0
    entities: Mapping[str, tuple[EntityRecord, KeyValue]] = field(default_factory=dict)
    relations: Mapping[Triple, tuple[RelationRecord, KeyValue]] = field(default_factory=dict)

    @classmethod
    def of(cls, project: ProjectId, kvs: Iterable[KeyValue], revision: int) -> "Stored":
        """Read what lies under the graph's prefix."""
        entities: dict[str, tuple[EntityRecord, KeyValue]] = {}
        relations: dict[Triple, tuple[RelationRecord, KeyValue]] = {}
        for kv in kvs:
            if kv.key.startswith(keys.entity_prefix(project)):
                entity = EntityRecord.FromString(kv.value)
                entities[entity.name] = entity, kv
            else:
                relation = RelationRecord.FromString(kv.value)
                relations[_triple(relation)] = relation, kv
        return cls(revision, entities, relations)


@dataclass(frozen=True, slots=True)
class Change:
    """What to add to the graph, or to remove from it."""

    request_id: RequestId
    project: ProjectId
    by: str
    entities: tuple[Entity, ...] = ()
    """Of those to remove only the names count."""
    observations: tuple[Observations, ...] = ()
    relations: tuple[Relation, ...] = ()
    through: Holder | None = None
    """The coding session that does it; None for a person at a terminal of their own."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What to write, and what to say once it is written."""

    entities: Mapping[str, EntityRecord]
    relations: Mapping[Triple, RelationRecord]
    answer: AddToGraphResponse


def plan_add(change: Change, stored: Stored, derived: frozenset[str]) -> Planned:
    """What ``change`` adds to what is there. Raises NotAllowed, InvalidRequest.

    ``derived`` are the names that follow from the state now.
    """
    _check_types(change.entities)
    _check_names(entity.name for entity in change.entities if entity.name not in derived)
    draft = _Draft(change.request_id, stored, derived)
    for entity in change.entities:
        draft.add_entity(entity)
    for facts in change.observations:
        draft.add_facts(facts)
    for relation in change.relations:
        _check_relation(relation)
        draft.add_relation(relation)
    _check_bounds(stored, draft)
    return Planned(draft.entities, draft.relations, draft.answer)


def txn_add(change: Change, stored: Stored, planned: Planned, journal: Journal) -> Txn | None:
    """The transaction that writes it; None when there is nothing to write. Raises NotAllowed."""
    project = change.project
    puts: list[Operation] = [
        Put(keys.entity(project, name), record.SerializeToString())
        for name, record in planned.entities.items()
    ]
    puts += [
        Put(keys.relation(project, *triple), record.SerializeToString())
        for triple, record in planned.relations.items()
    ]
    if not puts:
        return None
    told = (*_facts_said(planned.answer), *map(_said, planned.relations))
    puts.append(_line(change, Kind.NOTED, told, journal, change.request_id))
    _check_weight(planned, puts)
    return Txn(_guards(change, stored, planned.entities), tuple(puts))


def plan_remove(change: Change, stored: Stored, derived: frozenset[str]) -> RemoveFromGraphResponse:
    """What ``change`` finds to remove."""
    names = [entity.name for entity in change.entities]
    return RemoveFromGraphResponse(
        entities=[name for name in names if name in stored.entities],
        derived=[name for name in names if name in derived and name not in stored.entities],
    )


def txn_remove(change: Change, stored: Stored, journal: Journal, step: int) -> Txn | None:
    """The next step of a removal; None when all is gone. Relations go before their entities."""
    goes = {entity.name for entity in change.entities}
    asked = {(r.source, r.relation_type, r.target) for r in change.relations}
    triples = [t for t in stored.relations if t in asked or t[0] in goes or t[2] in goes]
    changed = _without_facts(change, stored, goes)
    named = sorted(goes & stored.entities.keys())
    operations: list[tuple[str, Operation]] = [
        *((_said(t), Delete(stored.relations[t][1].key)) for t in triples),
        *((name, Put(keys.entity(change.project, name), r)) for name, r in changed.items()),
        *((name, Delete(stored.entities[name][1].key)) for name in named),
    ]
    if not operations:
        return None
    some = operations[: _in_one_step([operation for _, operation in operations])]
    # Each step has a line of its own.
    line_id = f"{change.request_id}-{step}"
    line = _line(change, Kind.FORGOTTEN, [name for name, _ in some], journal, line_id)
    guards = _guards(change, stored, changed)
    return Txn(guards, (*(operation for _, operation in some), line))


def _in_one_step(operations: Sequence[Operation]) -> int:
    """How many of them, from the first on, fit into one transaction, with its line of history."""
    weights = accumulate(weight_of((operation,)) for operation in operations[: limits.MOST_CHANGES])
    return max(1, sum(weight <= _MOST_STEP_BYTES for weight in weights))


def _without_facts(change: Change, stored: Stored, goes: set[str]) -> dict[str, bytes]:
    """Records that lose facts and stay."""
    changed: dict[str, bytes] = {}
    for facts in change.observations:
        found = stored.entities.get(facts.entity)
        if found is None or facts.entity in goes:
            continue
        left = [fact for fact in found[0].observations if fact not in set(facts.contents)]
        if len(left) < len(found[0].observations):
            record = EntityRecord(
                name=found[0].name,
                entity_type=found[0].entity_type,
                observations=left,
                request_id=change.request_id,
            )
            changed[facts.entity] = record.SerializeToString()
    return changed


@dataclass(slots=True)
class _Draft:
    """What one command adds, as it is gathered."""

    request_id: RequestId
    stored: Stored
    derived: frozenset[str]
    entities: dict[str, EntityRecord] = field(default_factory=dict)
    relations: dict[Triple, RelationRecord] = field(default_factory=dict)
    answer: AddToGraphResponse = field(default_factory=AddToGraphResponse)

    def add_entity(self, entity: Entity) -> None:
        if found := self.stored.entities.get(entity.name):
            record, kv = found
            if record.request_id == self.request_id and kv.version == 1:
                self.answer.entities.append(_shown(record))
        elif entity.name not in self.entities and entity.name not in self.derived:
            facts = list(dict.fromkeys(entity.observations))
            record = self._record(entity.name, entity.entity_type, facts, len(facts))
            self.answer.entities.append(_shown(record))

    def add_facts(self, facts: Observations) -> None:
        new_here, found = self.entities.get(facts.entity), self.stored.entities.get(facts.entity)
        before = new_here or (found[0] if found else None)
        if before is None:
            raise _no_entity(facts.entity)
        if new_here is None and before.request_id == self.request_id:
            # Done before, by this very command.
            new = list(before.observations)[len(before.observations) - before.added :]
        else:
            new = [f for f in dict.fromkeys(facts.contents) if f not in before.observations]
            added = len(new) + (new_here.added if new_here else 0)
            if new:
                after = [*before.observations, *new]
                self._record(before.name, before.entity_type, after, added)
        self.answer.observations.add(entity=facts.entity, contents=new)

    def add_relation(self, relation: Relation) -> None:
        triple = relation.source, relation.relation_type, relation.target
        if found := self.stored.relations.get(triple):
            is_new = found[0].request_id == self.request_id
        else:
            is_new = triple not in self.relations
            self.relations[triple] = _relation_record(triple, self.request_id)
        if is_new:
            self.answer.relations.add(source=triple[0], relation_type=triple[1], target=triple[2])

    def _record(self, name: str, entity_type: str, facts: list[str], added: int) -> EntityRecord:
        self.entities[name] = EntityRecord(
            name=name,
            entity_type=entity_type,
            observations=facts,
            request_id=self.request_id,
            added=added,
        )
        return self.entities[name]


def _check_types(entities: Iterable[Entity]) -> None:
    for entity in entities:
        if instead := _INSTEAD.get(limits.state_type(entity.entity_type)):
            raise NotAllowed(
                f"{entity.name}: an entity of type {entity.entity_type} cannot be written down:"
                f" {instead}"
            )


def _check_names(names: Iterable[str]) -> None:
    """Whoever searches by them must not find a session, lock, area or task that there is not."""
    for name in names:
        if instead := _INSTEAD.get(limits.state_name(name)):
            raise NotAllowed(
                f"{name}: names that begin with {limits.LOCK_NAME}, {limits.SESSION_NAME},"
                f" {limits.AREA_NAME} or {limits.TASK_NAME} are not those of notes: {instead}."
                " A note needs another name"
            )


def _check_relation(relation: Relation) -> None:
    """It would stay when the state has moved on, and be another session's with its name."""
    poses_as = limits.state_relation(relation.source, relation.relation_type, relation.target)
    if poses_as:
        raise NotAllowed(
            f"{relation.source} {relation.relation_type} {relation.target}: {poses_as} follows"
            f" from what sessions do, and cannot be written down: {_INSTEAD[poses_as]}."
            " A note needs another relation type"
        )


def _no_entity(name: str) -> NotAllowed | InvalidRequest:
    """Which areas and tasks a repository has itself, only its agents know."""
    if limits.state_name(name):
        return NotAllowed(
            f"{name} follows from what sessions do; it is changed by them, and takes no notes."
            " To say something to a session, use `scoord tell` or the tool `tell`"
        )
    return InvalidRequest(f"Entity with name {name} not found")


def _check_bounds(stored: Stored, draft: _Draft) -> None:
    """Raises NotAllowed where the project would have too much."""
    if not draft.entities and not draft.relations:
        return
    for name, record in draft.entities.items():
        _check_bound(f"facts of {name}", len(record.observations), limits.MOST_FACTS)
    entities = {name: record for name, (record, _) in stored.entities.items()} | draft.entities
    relations = {triple: record for triple, (record, _) in stored.relations.items()}
    relations |= draft.relations
    _check_bound("entities", len(entities), limits.MOST_ENTITIES)
    _check_bound("relations", len(relations), limits.MOST_RELATIONS)
    records: Sequence[EntityRecord | RelationRecord] = [*entities.values(), *relations.values()]
    _check_bound("bytes", sum(record.ByteSize() for record in records), limits.MOST_BYTES)


def _check_weight(planned: Planned, puts: Sequence[Operation]) -> None:
    """Raises NotAllowed where it is more than a store takes at once, and names the largest."""
    if (weight := weight_of(puts)) > MAX_BYTES:
        largest = max(planned.entities.values(), key=lambda record: record.ByteSize())
        raise NotAllowed(
            f"{weight} bytes would be written at once, and {MAX_BYTES} are allowed: a note that"
            f" changes is written with all its facts, {one_line(largest.name)}"
            f" with {largest.ByteSize()} bytes. Change fewer notes at once, or spread the facts"
        )


def _check_bound(what: str, count: int, most: int) -> None:
    if count > most:
        raise NotAllowed(
            f"the graph of this project would have {count} {what}, and {most} are allowed;"
            " delete what is not needed any more"
        )


def _guards(change: Change, stored: Stored, changed: Iterable[str]) -> tuple[Compare, ...]:
    """Nothing was put since it was read, and what is put again was not deleted."""
    again = (stored.entities[name][1] for name in changed if name in stored.entities)
    return (
        none_put_since(keys.graph_prefix(change.project), stored.revision),
        *(unchanged(kv.key, kv.mod_revision) for kv in again),
    )


def _facts_said(added: AddToGraphResponse) -> Iterator[str]:
    """Each entity with the facts that are new of it."""
    named = [(entity.name, entity.observations) for entity in added.entities]
    named += [(facts.entity, facts.contents) for facts in added.observations if facts.contents]
    for name, facts in named:
        yield one_line(f"{name}: {'; '.join(facts)}", _MOST_SAID) if facts else name


def _line(
    change: Change, kind: Kind, names: Sequence[str], journal: Journal, line_id: str
) -> Operation:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    reason = one_line(", ".join(names[:5])) + more
    others = (change.through,) if change.through else ()
    return journal.line(
        change.project, kind, Holder(), line_id, by=change.by, reason=reason, others=others
    )


def _relation_record(triple: Triple, request_id: RequestId) -> RelationRecord:
    source, relation_type, target = triple
    return RelationRecord(
        source=source, target=target, relation_type=relation_type, request_id=request_id
    )


def _shown(record: EntityRecord) -> Entity:
    return Entity(
        name=record.name, entity_type=record.entity_type, observations=record.observations
    )


def _said(triple: Triple) -> str:
    return " ".join(triple)


def _triple(record: RelationRecord) -> Triple:
    return record.source, record.relation_type, record.target
