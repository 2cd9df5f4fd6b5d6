"""The use cases of the graph: read it, add to it, remove from it."""

import logging

from scoord import graph_limits as limits
from scoord.errors import Contended
from scoord.ids import ProjectId
from scoord.text import counted
from scoord.v1.graph_pb2 import AddToGraphResponse, ReadGraphResponse, RemoveFromGraphResponse
from scoord.v1.records_pb2 import ArchiveRecord, TaskRecord
from scoord_server.ground import TRIES, Ground, PlanAgain
from scoord_server.model import graph as graph_rules
from scoord_server.model import graph_changes as rules
from scoord_server.model.graph import FINISHED_SHOWN_MS, Kept, Named, Present
from scoord_server.model.graph_changes import Change, Planned, Stored
from scoord_server.model.tasks import not_removed, read_tasks
from scoord_server.store import keys
from scoord_server.store.port import Txn, prefix_end
from scoord_server.store.readable import readable

_log = logging.getLogger(__name__)

_STEPS = 8 + limits.MOST_RELATIONS // limits.MOST_CHANGES
"""Steps of a removal that takes all relations there may be."""


class Graphing:
    """The state of a project as a graph, and what people and tools add to it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def read(self, project: ProjectId, present: Present) -> ReadGraphResponse:
        """The whole graph. ``present`` is what the view shows of the project."""
        stored, now_ms = await self._stored(project), self._ground.clock.wall_ms()
        kept = await self._kept(project, stored, now_ms)
        return graph_rules.graph(present, kept, now_ms)

    async def add(self, change: Change, named: Named) -> AddToGraphResponse:
        """Add what is not there yet. Raises NotAllowed, InvalidRequest, Contended."""
        derived = await self._derived(change, named)
        for _ in range(TRIES):
            stored = await self._stored(change.project)
            planned = rules.plan_add(change, stored, derived)
            plan = rules.txn_add(
                change, stored, planned, await self._ground.journal(change.project)
            )
            if plan is None:
                return planned.answer
            if await self._succeeds(plan):
                _log.info("noted %s in %s", _counted(planned), change.project)
                return planned.answer
        raise _contended(change)

    async def remove(self, change: Change, named: Named) -> RemoveFromGraphResponse:
        """Remove what is there. Raises Contended."""
        first, derived = await self._stored(change.project), await self._derived(change, named)
        answer, stored, lost = rules.plan_remove(change, first, derived), first, 0
        for step in range(_STEPS + TRIES):
            plan = rules.txn_remove(
                change, stored, await self._ground.journal(change.project), step
            )
            if plan is None:
                return answer
            lost += not await self._succeeds(plan)
            if lost > TRIES:
                break
            stored = await self._stored(change.project)
        raise _contended(change)

    async def _succeeds(self, plan: Txn) -> bool:
        try:
            return (await self._ground.txn(plan)).succeeded
        except PlanAgain:
            return False

    async def _derived(self, change: Change, named: Named) -> frozenset[str]:
        """The names that follow from the state, if the change says any that might."""
        if not any(limits.state_name(entity.name) for entity in change.entities):
            return frozenset()
        now_ms = self._ground.clock.wall_ms()
        kept = await self._kept(change.project, Stored(), now_ms)
        return graph_rules.derived_names(named, kept, now_ms)

    async def _kept(self, project: ProjectId, stored: Stored, now_ms: int) -> Kept:
        return Kept(
            finished=await self._finished(project, now_ms),
            tasks=await self._tasks(project),
            entities=tuple(record for record, _ in stored.entities.values()),
            relations=tuple(record for record, _ in stored.relations.values()),
        )

    async def _stored(self, project: ProjectId) -> Stored:
        prefix = keys.graph_prefix(project)
        listing = await self._ground.store.range(prefix, prefix_end(prefix))
        return Stored.of(project, listing.kvs, listing.revision)

    async def _finished(self, project: ProjectId, now_ms: int) -> tuple[ArchiveRecord, ...]:
        recent = keys.archive_since(project, max(0, now_ms - FINISHED_SHOWN_MS))
        listing = await self._ground.store.range(recent.key, recent.end)
        return tuple(readable(lambda kv: ArchiveRecord.FromString(kv.value), listing.kvs))

    async def _tasks(self, project: ProjectId) -> tuple[tuple[str, TaskRecord], ...]:
        prefix = keys.task_prefix(project)
        listing = await self._ground.store.range(prefix, prefix_end(prefix))
        return tuple((fact.task_id, fact.record) for fact in not_removed(read_tasks(listing.kvs)))


def _counted(planned: Planned) -> str:
    entities = counted(len(planned.entities), "entity", "entities")
    return f"{entities} and {counted(len(planned.relations), 'relation', 'relations')}"


def _contended(change: Change) -> Contended:
    return Contended(f"the graph of {change.project} changes too fast; try again")
