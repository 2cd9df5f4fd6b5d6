"""The rules of tasks and offers.

A task is a key without a lease while it is open, on the lease of history once it is
done. An add is guarded by "no task is new since I looked", so no title is open
twice. It writes down the last number, which is given once: a done task goes, and its
number is still said. An offer is a key on a short lease of its own: who puts it first has it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from scoord.errors import LimitReached
from scoord.happenings import Kind
from scoord.ids import LeaseId, ProjectId, RequestId, SessionId
from scoord.text import age, one_line
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import OfferRecord, SessionRecord, TaskRecord
from scoord_server.model.compares import absent, lives, none_created_since, unchanged
from scoord_server.model.history import Journal, holder_of, room_for
from scoord_server.store import keys
from scoord_server.store.port import Compare, Delete, Get, KeyValue, Put, Txn, TxnResult
from scoord_server.store.readable import readable

MOST_OPEN = 1000
"""Open tasks of one project."""

MOST_OFFERS = 50
"""Offers of one session: what a transaction has room for to make anew, and to let go of."""

MOST_DONE = 1000
"""Tasks of one project that are done; those that were done first go first."""


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
    by: Holder = field(default_factory=Holder)
    """The coding session that adds them, else the person."""


@dataclass(frozen=True, slots=True)
class FinishTask:
    """Say that a task is done, or take it off the backlog."""

    request_id: RequestId
    project: ProjectId
    task_id: str
    by: str = ""
    through: Holder | None = None
    """The coding session that does; None for a person at a terminal of their own."""
    removed: bool = False
    """Whether it is not wanted any more, done or not."""

    def is_met_by(self, record: TaskRecord) -> bool:
        """Whether nothing is left to be done about it."""
        return record.done and record.removed >= self.removed


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
class Backlog:
    """All tasks of a project as the store had them at some revision."""

    facts: tuple[TaskFact, ...]
    last: int
    """The highest number that was given, also to a task that is gone."""
    revision: int


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work that may be offered: a task, an area or a file."""

    kind: str
    name: str
    title: str = field(default="", compare=False)
    """What a task says, as far as was told; one line."""

    @property
    def shown(self) -> str:
        """How a line names it."""
        return f"{self.kind} {self.name}" + (f' "{self.title}"' if self.title else "")


@dataclass(frozen=True, slots=True)
class Offer:
    """Keep the first ``count`` of ``candidates`` that no other session was offered."""

    request_id: RequestId
    project: ProjectId
    session: SessionId
    candidates: tuple[Work, ...]
    lasts_s: int
    """How long it is kept, if it is not asked for again."""
    count: int = 1
    keeps_rest: bool = False
    """Whether what else the session was offered stays so, for as long as was said then."""
    keeps_nothing: bool = False
    """Whether it only says what that would be."""


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
        parsed, record = keys.parse(kv.key), OfferRecord.FromString(kv.value)
        work = Work(parsed.name, parsed.rest[0], record.title)
        return cls(work, record, kv.mod_revision, kv.key)


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
    """The tasks, oldest first; what cannot be read is none."""
    return _in_order(readable(TaskFact.of, kvs))


def plan_look_at_backlog(project: ProjectId) -> Txn:
    """Only read; ``read_backlog`` reads the answer."""
    return Txn((), _backlog(project))


def read_backlog(result: TxnResult) -> Backlog:
    """The backlog as it was, by a look or by an add that lost a race.

    No task may be missing: it may have the title of a new one. Raises DecodeError.
    """
    tasks, numbered = result.results
    facts = _in_order(map(TaskFact.of, tasks.kvs))
    numbers = (*(int(kv.value) for kv in numbered.kvs), *(fact.number for fact in facts))
    return Backlog(facts, max(numbers, default=0), result.revision)


def _backlog(project: ProjectId) -> tuple[Get, ...]:
    return keys.get_prefix(keys.task_prefix(project)), Get(keys.numbered(project))


def _in_order(facts: Iterable[TaskFact]) -> tuple[TaskFact, ...]:
    return tuple(sorted(facts, key=lambda fact: (fact.create_revision, fact.number)))


def not_removed(facts: Iterable[TaskFact]) -> tuple[TaskFact, ...]:
    """Those that are on the backlog, or were done."""
    return tuple(fact for fact in facts if not fact.record.removed)


def read_offers(kvs: Iterable[KeyValue]) -> tuple[OfferFact, ...]:
    """The offers; what cannot be read is none."""
    return tuple(readable(OfferFact.of, kvs))


def plan_add(
    command: AddTasks, known: Backlog, journal: Journal
) -> tuple[Txn, tuple[TaskFact, ...]]:
    """What to do, and the tasks as they are once it is done. Raises LimitReached.

    Without anything new to add, the transaction does nothing.
    """
    facts, new = _resolved(command, known, journal.now_ms)
    guard = none_created_since(keys.task_prefix(command.project), known.revision)
    puts = tuple(
        Put(keys.task(command.project, fact.task_id), fact.record.SerializeToString())
        for fact in new
    )
    line = journal.line(
        command.project,
        Kind.TASK_ADDED,
        command.by,
        command.request_id,
        by=command.source,
        reason=one_line("; ".join(f"{fact.task_id} {fact.record.title}" for fact in new)),
    )
    numbered = Put(keys.numbered(command.project), str(known.last + len(new)).encode())
    return Txn((guard,), (*puts, numbered, line) if new else (), _backlog(command.project)), facts


def plan_finish(command: FinishTask, fact: TaskFact, journal: Journal) -> tuple[Txn, TaskFact]:
    """Say that it is done or removed, if it is still as it was read; and how it is then."""
    record = TaskRecord()
    record.CopyFrom(fact.record)
    record.done, record.done_by, record.removed = True, command.by, command.removed
    key = keys.task(command.project, command.task_id)
    line = journal.line(
        command.project,
        Kind.TASK_REMOVED if command.removed else Kind.TASK_DONE,
        command.through or Holder(person=command.by),
        command.request_id,
        by=command.by,
        reason=one_line(f"{fact.task_id} {record.title}"),
    )
    put = Put(key, record.SerializeToString(), journal.lease)
    after = TaskFact(fact.task_id, record, fact.create_revision, fact.mod_revision)
    return Txn((unchanged(key, fact.mod_revision),), (put, line), (Get(key),)), after


def too_many_done(known: Iterable[TaskFact], most: int) -> list[TaskFact]:
    """The done tasks that are not among the ``most`` that were done last."""
    done = sorted((f for f in known if f.record.done), key=lambda fact: fact.mod_revision)
    return done[: max(0, len(done) - most)]


def plan_forget(project: ProjectId, facts: Iterable[TaskFact]) -> Txn:
    """Delete tasks that are still as they were read; all or none."""
    found = [(keys.task(project, fact.task_id), fact.mod_revision) for fact in facts]
    guards = tuple(unchanged(key, revision) for key, revision in found)
    return Txn(guards, tuple(Delete(key) for key, _ in found))


def _resolved(
    command: AddTasks, known: Backlog, now_ms: int
) -> tuple[tuple[TaskFact, ...], tuple[TaskFact, ...]]:
    """The task behind each title, and those among them that are new."""
    mine = command.request_id
    found = {
        _title(fact.record.title): fact
        for fact in known.facts
        if not fact.record.done or fact.record.request_id == mine
    }
    new: list[TaskFact] = []
    for task in command.tasks:
        if _title(task.title) not in found:
            number = str(known.last + len(new) + 1)
            fact = TaskFact(number, _record(command, task, now_ms), 0, 0)
            found[_title(task.title)] = fact
            new.append(fact)
    open_already = sum(not fact.record.done for fact in known.facts)
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
    *,
    journal: Journal,
) -> Txn:
    """Keep ``chosen`` for the session, and let go what else it was offered, if that is wanted.

    Of what is to stay, what it was offered first goes where it would be too much.
    Only if the session lives and every key is as it was read: two who ask at once
    never get the same. What it has already is kept for longer, which is no line.
    """
    own = {fact.work: fact for fact in offered_to(command.session, offers)}
    rest = [fact for work, fact in own.items() if work not in chosen]
    let_go = _let_go(rest, MOST_OFFERS - len(chosen) if command.keeps_rest else 0)
    kept = [_keep(command, holder, lease, work, own.get(work)) for work in chosen]
    guards = (
        lives(command.project, command.session),
        *(unchanged(fact.key, fact.mod_revision) for fact in let_go),
        *(guard for guard, _ in kept),
    )
    puts, deletes = (put for _, put in kept), (Delete(fact.key) for fact in let_go)
    line = partial(journal.line, command.project, about=holder, request_id=command.request_id)
    new, gone = [work for work in chosen if work not in own], [fact.work for fact in let_go]
    lines = (
        *_line(new, partial(line, Kind.OFFERED), f"for {age(command.lasts_s)}"),
        *_line(gone, partial(line, Kind.WITHDRAWN), "not wanted any more"),
    )
    return Txn(guards, (*puts, *deletes, *lines), _look(command))


def _let_go(rest: Sequence[OfferFact], room: int) -> list[OfferFact]:
    """All but as many of the latest as there is room for; some of too many end by themselves."""
    oldest_first = sorted(rest, key=lambda fact: fact.mod_revision)
    return oldest_first[: max(0, len(rest) - room)][:MOST_OFFERS]


def _keep(
    command: Offer, holder: Holder, lease: LeaseId, work: Work, mine: OfferFact | None
) -> tuple[Compare, Put]:
    """Keep one piece of work, if it is as it was read: the session's already, or nobody's."""
    key = keys.offer(command.project, work.kind, work.name)
    record = OfferRecord(session=holder, request_id=command.request_id, title=work.title)
    guard = unchanged(key, mine.mod_revision) if mine else absent(key)
    return guard, Put(key, record.SerializeToString(), lease)


def plan_let_go(
    last: SessionRecord, offers: Sequence[OfferFact], step: int, journal: Journal
) -> Txn:
    """Give up ``offers``, which a session was made, if it is over: each step has its own line."""
    session, request = last.session, RequestId(f"over-{last.request_id}-{step}")
    same = (unchanged(fact.key, fact.mod_revision) for fact in offers)
    over = absent(keys.session(session.project, session.session_id))
    line = partial(journal.line, session.project, Kind.WITHDRAWN, holder_of(session), request)
    lines = _line([fact.work for fact in offers], line, "its session is over")
    return Txn((over, *same), (*(Delete(fact.key) for fact in offers), *lines))


def offered_to(session: SessionId, offers: Iterable[OfferFact]) -> list[OfferFact]:
    """Those that were made to a session."""
    return [fact for fact in offers if fact.record.session.session_id == session]


def _line(works: Sequence[Work], line: Callable[..., Put], why: str) -> tuple[Put, ...]:
    """The line of an offer, or of its end; none where nothing is offered, or ends."""
    if not works:
        return ()
    what = one_line(", ".join(work.shown for work in works))
    files = [work.name for work in works if work.kind == "file"]
    return (line(paths=files[: room_for(files)], reason=f"{what}: {why}"),)


def _look(command: Offer) -> tuple[Get, ...]:
    session = Get(keys.session(command.project, command.session))
    return session, keys.get_prefix(keys.offer_prefix(command.project))
