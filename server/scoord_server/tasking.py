"""The use cases of tasks: the team's backlog, and who was offered what of it."""

import contextlib
from collections.abc import Sequence

from scoord.errors import Contended, TaskNotFound
from scoord.ids import LeaseId, ProjectId
from scoord.v1.locks_pb2 import Holder
from scoord_server.ground import TRIES, Ground, PlanAgain, not_live
from scoord_server.model import tasks as rules
from scoord_server.model.commands import Asker, Terms
from scoord_server.model.tasks import (
    AddTasks,
    FinishTask,
    Offer,
    OfferFact,
    OffersRead,
    TaskFact,
    Work,
)
from scoord_server.rolling import new_lease_id
from scoord_server.store import keys
from scoord_server.store.port import KeyValue


class Tasking:
    """Adds, lists, finishes and offers work."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def add(self, command: AddTasks) -> tuple[TaskFact, ...]:
        """Add tasks; the task behind each title, in order. Raises LimitReached, Contended."""
        seen = await self._ground.store.txn(rules.plan_look_at_backlog(command.project))
        for _ in range(TRIES):
            journal = await self._ground.journal(command.project)
            plan, tasks = rules.plan_add(command, rules.read_backlog(seen), journal)
            try:
                result = await self._ground.txn(plan)
            except PlanAgain:
                continue
            if result.succeeded:
                return tasks
            seen = result
        raise Contended(f"too many tasks are added to {command.project} at once; try again")

    async def list(self, project: ProjectId) -> tuple[tuple[TaskFact, ...], tuple[OfferFact, ...]]:
        """All tasks that were not removed, oldest first, and what is offered to whom."""
        result = await self._ground.store.txn(rules.plan_list(project))
        tasks, offers = result.results
        return rules.not_removed(rules.read_tasks(tasks.kvs)), rules.read_offers(offers.kvs)

    async def finish(self, command: FinishTask) -> TaskFact:
        """Say that a task is done or removed; how it is now. Raises TaskNotFound, Contended."""
        key = keys.task(command.project, command.task_id)
        kvs = (await self._ground.store.range(key)).kvs
        for _ in range(TRIES):
            fact = _listed(command, kvs)
            if command.is_met_by(fact.record):
                return fact
            plan, after = rules.plan_finish(
                command, fact, await self._ground.journal(command.project)
            )
            try:
                result = await self._ground.txn(plan)
            except PlanAgain:
                continue
            if result.succeeded:
                return after
            kvs = result.results[0].kvs
        raise Contended(f"task {command.task_id} is being changed from elsewhere; try again")

    async def offer(self, command: Offer) -> tuple[Work, ...]:
        """Keep for the session what nobody else was offered. Raises SessionEnded, Contended."""
        asker = Asker(command.request_id, command.project, command.session, LeaseId(0))
        holder = await self._ground.holder(asker, Terms())
        seen = rules.read_look(await self._ground.store.txn(rules.plan_look_at_offers(command)))
        if command.keeps_nothing:
            _check_live(command, seen)
            return rules.choose(command, seen.offers)
        lease = new_lease_id()
        await self._ground.store.grant(lease, command.lasts_s)
        async with contextlib.AsyncExitStack() as unless_kept:
            unless_kept.push_async_callback(self._ground.revoke, lease)
            for _ in range(TRIES):
                _check_live(command, seen)
                if again := rules.offered_before(command, seen.offers):
                    return again
                chosen = rules.choose(command, seen.offers)
                after = await self._try_offer(command, holder, lease, chosen, seen)
                if after is None:
                    if chosen:
                        unless_kept.pop_all()
                    return chosen
                seen = after
        raise Contended(f"too many sessions ask for work in {command.project} at once; try again")

    async def _try_offer(
        self,
        command: Offer,
        holder: Holder,
        lease: LeaseId,
        chosen: tuple[Work, ...],
        seen: OffersRead,
    ) -> OffersRead | None:
        """One try to keep what was chosen; how things are when it is not kept."""
        journal = await self._ground.journal(command.project)
        plan = rules.plan_offer(command, holder, lease, chosen, seen.offers, journal=journal)
        try:
            result = await self._ground.txn(plan, command.session)
        except PlanAgain:
            return seen
        return None if result.succeeded else rules.read_look(result)


def _listed(command: FinishTask, kvs: Sequence[KeyValue]) -> TaskFact:
    """The task that is meant. Raises TaskNotFound; one that was removed is not there to finish."""
    fact = TaskFact.of(kvs[0]) if kvs else None
    if fact is None or (fact.record.removed and not command.removed):
        raise TaskNotFound(
            f"{command.project} has no task {command.task_id}; see `scoord task list`"
        )
    return fact


def _check_live(command: Offer, seen: OffersRead) -> None:
    if not seen.live:
        raise not_live(command.session, command.project)
