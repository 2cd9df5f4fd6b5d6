"""The rules of tasks and offers.

A task is a key without a lease while it is open, on the lease of history once it is
done. An add is guarded by "no task is new since I looked", so no title is open
twice. An offer is a key on a short lease of its own: who puts it first has it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from scoord.errors import LimitReached
from scoord.ids import LeaseId, ProjectId, RequestId, SessionId
from scoord.text import one_line
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import OfferRecord, TaskRecord
from scoord_server.model.compares import absent, lives, none_created_since, unchanged
from scoord_server.model.history import Journal
from scoord_server.store import keys
from scoord_server.store.port import Compare, Delete, Get, KeyValue, Put, Txn, TxnResult

MOST_OPEN = 1000
"""Open tasks of one project."""


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to add."""

    title: str
    area: str = ""


@dataclass(frozen=True, slots=True)
class AddTasks:
    """Add ``tasks``, each once."""

    request_id: RequestId
    project: ProjectId
    tasks: tuple[NewTask, ...]
    source: str = ""
    person: str = ""


@dataclass(frozen=True, slots=True)
class FinishTask:
    """Say that a task is done."""

    request_id: RequestId
    project: ProjectId
    task_id: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class TaskFact:
    """A task as the store had it at some revision."""

    task_id: str
    record: TaskRecord
    create_revision: int
    mod_revision: int

    @classmethod
    def of(cls, kv: KeyValue) -> "TaskFact":
        """Read a task's key."""
        record = TaskRecord.FromString(kv.value)
        return cls(keys.parse(kv.key).name, record, kv.create_revision, kv.mod_revision)

    @property
    def number(self) -> int:
        """Its id as a number; 0 for one that is none."""
        return int(self.task_id) if self.task_id.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work that may be offered: a task, an area or a file."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Offer:
    """Keep the first ``count`` of ``candidates`` that no other session was offered."""

    request_id: RequestId
    project: ProjectId
    session: SessionId
    candidates: tuple[Work, ...]
    count: int = 1


@dataclass(frozen=True, slots=True)
class OfferFact:
    """An offer as the store had it at some revision."""

    work: Work
    record: OfferRecord
    mod_revision: int
    key: bytes

    @classmethod
    def of(cls, kv: KeyValue) -> "OfferFact":
        """Read an offer's key."""
        parsed = keys.parse(kv.key)
        work = Work(parsed.name, parsed.rest[0])
        return cls(work, OfferRecord.FromString(kv.value), kv.mod_revision, kv.key)


@dataclass(frozen=True, slots=True)
class OffersRead:
    """All offers of a project, and whether the session that asks is live."""

    offers: tuple[OfferFact, ...]
    live: bool


# -- tasks ------------------------------------------------------------------------


def plan_list(project: ProjectId) -> Txn:
    """Read all tasks, and what is offered of them."""
    tasks, offers = keys.task_prefix(project), keys.offer_prefix(project)
    return Txn((), (keys.get_prefix(tasks), keys.get_prefix(offers)))


def read_tasks(kvs: Iterable[KeyValue]) -> tuple[TaskFact, ...]:
    """The tasks, oldest first."""
    facts = map(TaskFact.of, kvs)
    return tuple(sorted(facts, key=lambda fact: (fact.create_revision, fact.number)))


def read_offers(kvs: Iterable[KeyValue]) -> tuple[OfferFact, ...]:
    """The offers."""
    return tuple(map(OfferFact.of, kvs))


def plan_add(
    command: AddTasks, known: Iterable[TaskFact], seen: int, journal: Journal
) -> tuple[Txn, tuple[TaskFact, ...]]:
    """What to do, and the tasks as they are once it is done. Raises LimitReached.

    Without anything new to add, the transaction does nothing.
    """
    facts, new = _resolved(command, tuple(known), journal.now_ms)
    guard = none_created_since(keys.task_prefix(command.project), seen)
    puts = tuple(
        Put(keys.task(command.project, fact.task_id), fact.record.SerializeToString())
        for fact in new
    )
    line = journal.line(
        command.project,
        "task_added",
        Holder(person=command.person),
        command.request_id,
        by=command.source,
        reason=one_line("; ".join(f"{fact.task_id} {fact.record.title}" for fact in new)),
    )
    look = (keys.get_prefix(keys.task_prefix(command.project)),)
    return Txn((guard,), (*puts, line) if new else (), look), facts


def plan_finish(command: FinishTask, fact: TaskFact, journal: Journal) -> tuple[Txn, TaskFact]:
    """Say that it is done, if it is still as it was read; and how it is then."""
    record = TaskRecord()
    record.CopyFrom(fact.record)
    record.done, record.done_by = True, command.by
    key = keys.task(command.project, command.task_id)
    line = journal.line(
        command.project,
        "task_done",
        Holder(person=command.by),
        command.request_id,
        by=command.by,
        reason=one_line(f"{fact.task_id} {record.title}"),
    )
    put = Put(key, record.SerializeToString(), journal.lease)
    after = TaskFact(fact.task_id, record, fact.create_revision, fact.mod_revision)
    return Txn((unchanged(key, fact.mod_revision),), (put, line), (Get(key),)), after


def _resolved(
    command: AddTasks, known: tuple[TaskFact, ...], now_ms: int
) -> tuple[tuple[TaskFact, ...], tuple[TaskFact, ...]]:
    """The task behind each title, and those among them that are new."""
    mine = command.request_id
    found = {
        _title(fact.record.title): fact
        for fact in known
        if not fact.record.done or fact.record.request_id == mine
    }
    number = max((fact.number for fact in known), default=0)
    new: list[TaskFact] = []
    for task in command.tasks:
        if _title(task.title) not in found:
            number += 1
            fact = TaskFact(str(number), _record(command, task, now_ms), 0, 0)
            found[_title(task.title)] = fact
            new.append(fact)
    open_already = sum(not fact.record.done for fact in known)
    if new and open_already + len(new) > MOST_OPEN:
        raise LimitReached(
            f"{command.project} has {open_already} open tasks, and at most {MOST_OPEN} are kept;"
            " finish some first: `scoord task done ID`"
        )
    return tuple(found[_title(task.title)] for task in command.tasks), tuple(new)


def _record(command: AddTasks, task: NewTask, now_ms: int) -> TaskRecord:
    return TaskRecord(
        title=task.title,
        area=task.area,
        source=command.source,
        added_unix_ms=now_ms,
        request_id=command.request_id,
    )


def _title(title: str) -> str:
    """What titles are compared by."""
    return title.casefold()


# -- offers -----------------------------------------------------------------------


def plan_look_at_offers(command: Offer) -> Txn:
    """Only read; ``read_look`` reads the answer."""
    return Txn((), _look(command))


def read_look(result: TxnResult) -> OffersRead:
    """All offers as they were, by a look or by an offer that lost a race."""
    session, offers = result.results
    return OffersRead(read_offers(offers.kvs), bool(session.kvs))


def offered_before(command: Offer, offers: Iterable[OfferFact]) -> tuple[Work, ...]:
    """What this very command was given, when it is repeated."""
    given = {fact.work for fact in offers if fact.record.request_id == command.request_id}
    return tuple(work for work in command.candidates if work in given)


def choose(command: Offer, offers: Iterable[OfferFact]) -> tuple[Work, ...]:
    """The best that no other session was offered."""
    taken = {f.work for f in offers if f.record.session.session_id != command.session}
    free = dict.fromkeys(work for work in command.candidates if work not in taken)
    return tuple(free)[: command.count]


def plan_offer(
    command: Offer,
    holder: Holder,
    lease: LeaseId,
    chosen: tuple[Work, ...],
    offers: Iterable[OfferFact],
) -> Txn:
    """Keep ``chosen`` for the session, and let go what else it was offered.

    Only if the session lives and every key is as it was read: two who ask at once
    never get the same.
    """
    own = {f.work: f for f in offers if f.record.session.session_id == command.session}
    let_go = [fact for work, fact in own.items() if work not in chosen]
    record = OfferRecord(session=holder, request_id=command.request_id).SerializeToString()
    guards: list[Compare] = [lives(command.project, command.session)]
    guards += (unchanged(fact.key, fact.mod_revision) for fact in let_go)
    puts: list[Put] = []
    for work in chosen:
        key = keys.offer(command.project, work.kind, work.name)
        mine = own.get(work)
        guards.append(unchanged(key, mine.mod_revision) if mine else absent(key))
        puts.append(Put(key, record, lease))
    deletes = (Delete(fact.key) for fact in let_go)
    return Txn(tuple(guards), (*puts, *deletes), _look(command))


def _look(command: Offer) -> tuple[Get, ...]:
    session = Get(keys.session(command.project, command.session))
    return session, keys.get_prefix(keys.offer_prefix(command.project))
