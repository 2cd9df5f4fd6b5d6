"""What an agent adds to the graph: areas and tasks of the repository, and what it reckons.

Only an agent reads the repository, and reckons when a lock will be free. What the
coordinator tells of an area, that somebody works on it, stays beside what the repository
says of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from scoord.graph_limits import AREA, AREA_NAME, LOCK, MOST_SHOWN_NAME, TASK, TASK_NAME
from scoord.names import path_key
from scoord.text import one_line
from scoord.v1 import graph_pb2 as pb
from scoord.v1.locks_pb2 import Lock
from scoord_agent.knowledge.areas import Area, Areas
from scoord_agent.knowledge.backlog import FileTask
from scoord_agent.wording_times import NOT_KNOWN

MOST_TASKS: Final = 200
"""Tasks of files that the graph has room for."""


def add(graph: pb.ReadGraphResponse, areas: Areas, tasks: Sequence[FileTask]) -> None:
    """Add what the repository has to ``graph``; what has no room is counted."""
    known = {entity.name: entity for entity in graph.entities}
    of_tasks = (_task(task, areas) for task in tasks[:MOST_TASKS])
    for entity in (*map(_area, areas.all), *of_tasks):
        _add(graph, known.get(entity.name), entity)
    graph.left_out += max(0, len(tasks) - MOST_TASKS)


def add_kept(graph: pb.ReadGraphResponse, kept_for: Mapping[str, str]) -> None:
    """Say of tasks, by their ids, for whom they are kept."""
    for entity in _derived(graph, TASK):
        if whom := kept_for.get(entity.name.removeprefix(TASK_NAME)):
            entity.observations.append(f"kept for: {one_line(whom, 60)}")


def add_completions(graph: pb.ReadGraphResponse, locks: Iterable[tuple[Lock, str]]) -> None:
    """Say of locks when they will be free; of one that several share, for each of them."""
    found = {(path_key(lock.path), lock.token): (lock, left) for lock, left in locks}
    for entity in _derived(graph, LOCK):
        for grant in entity.grants:
            lock, left = found.get((path_key(grant.path), grant.token), (Lock(), NOT_KNOWN))
            of = f" of {one_line(_holder(lock), 60)}" if len(entity.grants) > 1 else ""
            entity.observations.append(f"estimated completion{of}: {left}")


def _derived(graph: pb.ReadGraphResponse, kind: str) -> Iterator[pb.Entity]:
    return (each for each in graph.entities if each.derived and each.entity_type == kind)


def _holder(lock: Lock) -> str:
    return lock.holder.alias or lock.holder.session_id or "one that has just come"


def _add(graph: pb.ReadGraphResponse, known: pb.Entity | None, entity: pb.Entity) -> None:
    """Add an entity, or its facts; a note that has its name stays what was noted."""
    if known is None:
        graph.entities.append(entity)
    elif known.derived:
        known.observations.extend(entity.observations)


def _area(area: Area) -> pb.Entity:
    facts = [f"files: {len(area.files)}"]
    if area.description:
        facts.insert(0, f"description: {one_line(area.description)}")
    return _entity(AREA, f"{AREA_NAME}{area.name}", facts)


def _task(task: FileTask, areas: Areas) -> pb.Entity:
    facts = [f"title: {one_line(task.title)}", f"from: {one_line(task.source, 100)}"]
    if area := areas.among(task.topics):
        facts.insert(1, f"area: {one_line(area.name, 100)}")
    return _entity(TASK, f"{TASK_NAME}{task.task_id}", [*facts, "status: open"])


def _entity(kind: str, name: str, facts: Iterable[str]) -> pb.Entity:
    return pb.Entity(
        name=one_line(name, MOST_SHOWN_NAME),
        entity_type=kind,
        observations=facts,
        derived=True,
    )
