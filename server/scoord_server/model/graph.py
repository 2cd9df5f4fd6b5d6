"""The state of a project as a graph: what follows from sessions, locks, areas and tasks.

Facts are lines of ``label: value``. What others wrote in them is cut and stripped
here, where it becomes part of a line, and once more where it is shown.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration

from scoord.graph_limits import (
    AREA,
    AREA_NAME,
    DEPENDS_ON,
    HOLDS_LOCK,
    LOCK,
    LOCK_NAME,
    MOST_SHOWN_NAME,
    SESSION,
    SESSION_NAME,
    TASK,
    TASK_NAME,
    WAITS_FOR,
    WORKING_ON,
)
from scoord.sessions import status_name
from scoord.text import ALL_DONE, age, one_line, remaining
from scoord.v1.graph_pb2 import Entity, ReadGraphResponse, Relation
from scoord.v1.locks_pb2 import Holder, Lock, LockMode, LockScope, Waiter
from scoord.v1.records_pb2 import ArchiveRecord, EntityRecord, RelationRecord, TaskRecord
from scoord.v1.sessions_pb2 import Estimate, Session

_Item = TypeVar("_Item", Entity, Relation)

FINISHED_SHOWN_MS = 5 * 60 * 1000
"""How long a session stays in the graph when it has ended."""

ENTITY_BYTES = 1024 * 1024
RELATION_BYTES = 512 * 1024
"""How much of a graph may follow from the state: a message has 4 MiB at most, and half
of it is for what was added."""


@dataclass(frozen=True, slots=True)
class Present:
    """What lives in a project now."""

    sessions: tuple[Session, ...] = ()
    locks: tuple[Lock, ...] = ()
    waiters: tuple[Waiter, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """What lives in a project now, as far as its entities are called by it."""

    sessions: tuple[Session, ...] = ()
    paths: tuple[str, ...] = ()
    """Of locks and patterns."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store keeps beside that."""

    finished: tuple[ArchiveRecord, ...] = ()
    tasks: tuple[tuple[str, TaskRecord], ...] = ()
    entities: tuple[EntityRecord, ...] = ()
    relations: tuple[RelationRecord, ...] = ()


def graph(present: Present, kept: Kept, now_ms: int) -> ReadGraphResponse:
    """The whole graph: what follows from the state, and what was added to it."""
    names = _session_names(present.sessions, kept, now_ms)
    derived = list(_derived_entities(present, kept, names, now_ms))
    shown = _within(derived, ENTITY_BYTES)
    entities = _by_name(shown)
    for record in kept.entities:
        _add_stored(entities, record)
    stored = (_stored_relation(record) for record in kept.relations)
    linked = _without_repeats(_derived_relations(present, names), entities)
    linked = _within(linked, RELATION_BYTES)
    return ReadGraphResponse(
        entities=sorted(entities.values(), key=lambda e: (e.entity_type, e.name)),
        relations=sorted((*linked, *stored), key=_order),
        left_out=len(derived) - len(shown),
    )


def derived_names(named: Named, kept: Kept, now_ms: int) -> frozenset[str]:
    """What the entities are called that follow from the state, those without room too."""
    sessions = _session_names(named.sessions, kept, now_ms)
    areas = {area for session in named.sessions for area in session.areas}
    return frozenset(
        (
            *sessions.values(),
            *map(lock_name, named.paths),
            *map(_area_name, areas),
            *(_task_name(task_id) for task_id, _ in kept.tasks),
        )
    )


def lock_name(path: str) -> str:
    """What the entity of a lock is called."""
    return one_line(f"{LOCK_NAME}{path}", MOST_SHOWN_NAME)


def _session_names(living: Iterable[Session], kept: Kept, now_ms: int) -> dict[str, str]:
    """Names by session id. A short name is given again when it is free: the living have it."""
    names = {s.session_id: s.alias or s.session_id for s in living}
    taken = set(names.values())
    for record in _just_finished(kept, now_ms):
        session = record.session
        alias = session.alias if session.alias not in taken else ""
        names.setdefault(session.session_id, alias or session.session_id)
        taken.add(names[session.session_id])
    return {key: one_line(f"{SESSION_NAME}{name}", MOST_SHOWN_NAME) for key, name in names.items()}


def _just_finished(kept: Kept, now_ms: int) -> list[ArchiveRecord]:
    """The newest first, since its short name is the one that is remembered."""
    since = now_ms - FINISHED_SHOWN_MS
    found = (record for record in kept.finished if record.ended_unix_ms >= since)
    return sorted(found, key=lambda record: record.ended_unix_ms, reverse=True)


def _derived_entities(
    present: Present, kept: Kept, names: Mapping[str, str], now_ms: int
) -> Iterator[Entity]:
    for session in present.sessions:
        yield _entity(names[session.session_id], SESSION, _session_facts(session))
    living = {session.session_id for session in present.sessions}
    for record in _just_finished(kept, now_ms):
        if record.session.session_id not in living:
            yield _finished(names[record.session.session_id], record, now_ms)
    for lock in present.locks:
        yield _lock_entity(lock)
    yield from _areas(present)
    for task_id, task in kept.tasks:
        yield _entity(_task_name(task_id), TASK, _task_facts(task, now_ms))


def _within(items: Sequence[_Item], most_bytes: int) -> list[_Item]:
    """As many of the first ones as have room."""
    sizes = accumulate(item.ByteSize() for item in items)
    return [item for item, size in zip(items, sizes, strict=True) if size <= most_bytes]


def _by_name(entities: Iterable[Entity]) -> dict[str, Entity]:
    """Entities by name; of several under one name, as of a shared lock, the facts of all."""
    found: dict[str, Entity] = {}
    for entity in entities:
        if entity.name in found:
            found[entity.name].observations.extend(entity.observations)
            found[entity.name].grants.extend(entity.grants)
        else:
            found[entity.name] = entity
    return found


def _entity(name: str, entity_type: str, facts: Iterable[str]) -> Entity:
    return Entity(
        name=name, entity_type=entity_type, observations=filter(None, facts), derived=True
    )


def _fact(label: str, value: str, limit: int = 200) -> str:
    """One fact; nothing where nothing is known."""
    shown = one_line(value, limit)
    return f"{label}: {shown}" if shown else ""


def _session_facts(session: Session) -> Iterator[str]:
    yield from _who_facts(session)
    yield _fact("status", status_name(session))
    yield _fact("intent", session.intent)
    yield _progress(session)
    yield _estimate(session)
    yield _fact("files edited", str(session.edits or ""))
    yield _fact("commits", str(session.commits or ""))
    yield f"live for: {_age(session.live_for)}"
    yield f"idle for: {_age(session.idle_for)}"


def _who_facts(session: Session) -> Iterator[str]:
    yield _fact("session", session.session_id)
    yield _fact("person", session.person, 60)
    yield _fact("host", session.host, 60)
    yield _fact("client", f"{session.client} {session.client_version}", 60)
    yield _fact("terminal", session.terminal, 60)
    yield _fact("worktree", session.worktree)
    yield _fact("branch", session.branch, 100)


def _progress(session: Session) -> str:
    if not session.HasField("progress"):
        return ""
    work = session.progress
    steps = f" ({work.done} of {work.total})" if work.total else ""
    step = f", at: {one_line(work.step)}" if work.step else ""
    return f"progress: {work.percent} %{steps}{step}"


def _estimate(session: Session) -> str:
    """When it will be done, and how sure that is; or that there is no basis to tell."""
    estimate: Estimate = session.estimate
    if not estimate.HasField("left"):
        if session.progress.percent >= 100:
            return f"estimated completion: {remaining(0)} ({ALL_DONE})"
        return "estimated completion: not known"
    spread = f"{_age(estimate.low)} to {_age(estimate.high)}"
    basis = one_line(estimate.basis, 40)
    return (
        f"estimated completion: {_age(estimate.left)} ({spread}, from {basis},"
        f" {estimate.samples} samples)"
    )


def _finished(name: str, record: ArchiveRecord, now_ms: int) -> Entity:
    entity = _entity(name, SESSION, _finished_facts(record, now_ms))
    left_ms = record.ended_unix_ms + FINISHED_SHOWN_MS - now_ms
    entity.leaves_in.FromMilliseconds(max(0, min(left_ms, FINISHED_SHOWN_MS)))
    return entity


def _finished_facts(record: ArchiveRecord, now_ms: int) -> Iterator[str]:
    yield from _who_facts(record.session)
    yield _fact("status", f"finished {_ago(now_ms - record.ended_unix_ms)} ago ({record.how})")
    yield _fact("why", record.why)
    yield _fact("intent", record.session.intent)
    yield _fact("files held", str(len(record.holds) or ""))
    yield _fact("commits", str(record.session.commits or ""))


def _lock_entity(lock: Lock) -> Entity:
    entity = _entity(lock_name(lock.path), LOCK, _lock_facts(lock))
    entity.grants.add(path=lock.path, token=lock.token, is_pattern=lock.is_pattern)
    return entity


def _lock_facts(lock: Lock) -> Iterator[str]:
    yield _fact("pattern" if lock.is_pattern else "path", lock.path, MOST_SHOWN_NAME)
    yield _fact("held by", _who(lock.holder))
    yield _fact("subagent", lock.holder.agent_id, 60)
    yield _fact("branch", lock.holder.branch, 100)
    yield _fact("reason", lock.reason)
    yield f"held for: {_age(lock.held_for)}"
    if lock.HasField("ends_in"):
        yield f"ends in: {_age(lock.ends_in)} at the latest"
    if lock.mode == LockMode.LOCK_MODE_SHARED:
        yield "mode: shared"
    if lock.scope == LockScope.LOCK_SCOPE_BRANCH:
        yield "scope: its branch"
    yield _fact("waiting", str(lock.waiters or ""))
    yield f"token: {lock.token}"


def _areas(present: Present) -> Iterator[Entity]:
    for session in present.sessions:
        for area in dict.fromkeys(session.areas):
            yield _entity(_area_name(area), AREA, (f"worked on by: {_who(_holder(session))}",))


def _area_name(area: str) -> str:
    return one_line(f"{AREA_NAME}{area}", MOST_SHOWN_NAME)


def _task_name(task_id: str) -> str:
    return one_line(f"{TASK_NAME}{task_id}", MOST_SHOWN_NAME)


def _task_facts(task: TaskRecord, now_ms: int) -> Iterator[str]:
    yield _fact("title", task.title)
    yield _fact("area", task.area, 100)
    yield _fact("from", task.source, 100)
    yield "status: done" if task.done else "status: open"
    yield _fact("done by", task.done_by, 100)
    yield f"added: {_ago(now_ms - task.added_unix_ms)} ago"


def _derived_relations(present: Present, names: Mapping[str, str]) -> Iterator[Relation]:
    for lock in present.locks:
        yield _link(names, lock.holder.session_id, HOLDS_LOCK, lock_name(lock.path))
    for waiter in present.waiters:
        yield _link(names, waiter.holder.session_id, WAITS_FOR, lock_name(waiter.path))
    for session in present.sessions:
        for area in session.areas:
            yield _link(names, session.session_id, WORKING_ON, _area_name(area))
        for other in session.depends_on:
            target = names.get(other.session_id, "")
            yield _link(names, session.session_id, DEPENDS_ON, target)


def _link(names: Mapping[str, str], session_id: str, relation_type: str, target: str) -> Relation:
    source = names.get(session_id, "")
    return Relation(source=source, target=target, relation_type=relation_type, derived=True)


def _without_repeats(
    relations: Iterable[Relation], entities: Mapping[str, Entity]
) -> list[Relation]:
    """Each once, and none that leads to what is not in the graph."""
    found = {_order(one): one for one in relations}
    return [one for one in found.values() if {one.source, one.target} <= entities.keys()]


def _add_stored(entities: dict[str, Entity], record: EntityRecord) -> None:
    """Beside a derived one of its name, what was written down adds its facts."""
    if record.name in entities:
        entities[record.name].observations.extend(record.observations)
    else:
        entities[record.name] = Entity(
            name=record.name, entity_type=record.entity_type, observations=record.observations
        )


def _stored_relation(record: RelationRecord) -> Relation:
    return Relation(source=record.source, target=record.target, relation_type=record.relation_type)


def _order(relation: Relation) -> tuple[str, str, str]:
    return relation.source, relation.relation_type, relation.target


def _holder(session: Session) -> Holder:
    return Holder(
        session_id=session.session_id,
        alias=session.alias,
        person=session.person,
        host=session.host,
    )


def _who(holder: Holder) -> str:
    place = "@".join(one_line(part, 40) for part in (holder.person, holder.host) if part)
    return f"{one_line(holder.alias or holder.session_id, 60)} ({place})"


def _age(duration: Duration) -> str:
    return age(duration.ToMilliseconds() / 1000)


def _ago(milliseconds: int) -> str:
    return age(milliseconds / 1000)
