"""The rules of sessions.

A session is a key on a lease. Its alias is a second key on the same lease, so
that both vanish together and no two live sessions of a project share an alias.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from scoord.errors import LimitReached
from scoord.happenings import Kind
from scoord.ids import LeaseId, ProjectId, RequestId, SessionId
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import AliasRecord, NoticeRecord, SessionRecord, UnusedRecord
from scoord.v1.sessions_pb2 import Estimate, Session, UpdateRequest, WorkProgress
from scoord_server.model import states
from scoord_server.model.answers import AliasTaken
from scoord_server.model.commands import Keep, Said
from scoord_server.model.compares import absent, is_grant, unchanged
from scoord_server.model.endings import longer_than
from scoord_server.model.facts import LockFact, SessionFact
from scoord_server.model.history import Holding, Journal, holder_of
from scoord_server.model.notices import plan_notice
from scoord_server.store import keys
from scoord_server.store.port import Delete, Get, KeyValue, Put, Txn, TxnResult
from scoord_server.store.readable import readable

MOST_KNOWN: Final = 100
"""Holds of a session that are read one by one: etcd refuses more than 128 operations."""

MOST_TO_TELL: Final = 100
"""Notices of one session beside which no more messages are kept: every snapshot has them all."""

_ALIAS: Final = re.compile(r"Session_[1-9][0-9]{0,5}")


def first_free_alias(taken: Iterable[str], wish: str = "") -> str:
    """``wish`` if it is an alias that was once given, and free; else the smallest free one.

    An alias is told outside of quotes, so nobody may call himself what he likes.
    """
    names = set(taken)
    if _ALIAS.fullmatch(wish) and wish not in names:
        return wish
    numbers = range(1, len(names) + 2)
    return next(name for n in numbers if (name := f"Session_{n}") not in names)


def new_record(
    session: Session,
    alias: str,
    request_id: RequestId,
    timeout_ms: int,
    now_ms: int,
    *,
    keep: Keep,
) -> SessionRecord:
    """The record of a session that registers now."""
    record = SessionRecord(
        session=session,
        request_id=request_id,
        registered_unix_ms=now_ms,
        active_unix_ms=now_ms,
        session_timeout_ms=timeout_ms,
        retention_ms=keep.retention_ms,
        archive=keep.archive,
    )
    record.session.alias = alias
    record.session.ClearField("live_for")
    record.session.ClearField("idle_for")
    if session.HasField("estimate"):
        record.estimated_unix_ms = now_ms
    return record


def plan_register(record: SessionRecord, lease: LeaseId, journal: Journal) -> Txn:
    """Make the session live under its alias, if neither is taken.

    What says that its end is to come lives on no lease: whoever finds it without the
    session writes that end down. One that is registered anew, as its lease ran out, goes on
    with its work: what its line does not tell of that has lines of its own.
    """
    session = record.session
    value = record.SerializeToString()
    session_key = keys.session(session.project, session.session_id)
    alias_key = keys.alias(session.project, session.alias)
    alias = AliasRecord(session_id=session.session_id).SerializeToString()
    told = Session(intent=session.intent, branch=session.branch)
    return Txn(
        (absent(session_key), absent(alias_key)),
        (
            Put(session_key, value, lease),
            Put(alias_key, alias, lease),
            Put(keys.begun(session.project, session.session_id, record.request_id), value),
            journal.line(
                session.project,
                Kind.REGISTERED,
                holder_of(session),
                record.request_id,
                reason=session.intent,
            ),
            *states.plan_lines(told, session, RequestId(record.request_id), journal),
        ),
        (Get(session_key),),
    )


def read_register(
    record: SessionRecord, lease: LeaseId, result: TxnResult
) -> SessionFact | AliasTaken:
    """The session as it lives now: as registered, or as it was live already."""
    if result.succeeded:
        return SessionFact(record, lease, result.revision, result.revision)
    (found,) = result.results
    return SessionFact.of(found.kvs[0]) if found.kvs else AliasTaken()


def updated(record: SessionRecord, change: UpdateRequest, now_ms: int) -> SessionRecord:
    """``record`` with what ``change`` says, active now, unless others brought that about."""
    new = SessionRecord()
    new.CopyFrom(record)
    for name in ("intent", "branch", "status", "edits", "commits"):
        if change.HasField(name):
            setattr(new.session, name, getattr(change, name))
    if change.HasField("progress"):
        _go_on(new.session, change.progress)
    if change.HasField("estimate"):
        _reckon(new, change.estimate, now_ms)
    if change.HasField("areas"):
        new.session.areas[:] = change.areas.names
    if change.HasField("edited_files"):
        new.session.edited_files[:] = change.edited_files.paths
    if change.HasField("depends_on"):
        del new.session.depends_on[:]
        new.session.depends_on.extend(change.depends_on.on)
    new.active_unix_ms = record.active_unix_ms if change.passive else now_ms
    return new


def at_end(record: SessionRecord, last: Iterable[UpdateRequest], now_ms: int) -> SessionRecord:
    """``record`` with what its session says last of its work in that project, if it does."""
    said = next((one for one in last if one.project == record.session.project), None)
    return updated(record, said, now_ms) if said else record


def _go_on(session: Session, progress: WorkProgress) -> None:
    """Keep how far it is; nothing of it says that nobody tells any more."""
    if progress == WorkProgress():
        session.ClearField("progress")
    else:
        session.progress.CopyFrom(progress)


def _reckon(record: SessionRecord, estimate: Estimate, now_ms: int) -> None:
    """Keep when its work will be done, with the time it was said; one without "left" clears it."""
    record.estimated_unix_ms = now_ms
    if estimate.HasField("left"):
        record.session.estimate.CopyFrom(estimate)
    else:
        record.session.ClearField("estimate")


def plan_replace(fact: SessionFact, record: SessionRecord) -> Txn:
    """Store ``record`` if the session is still as it was read."""
    key = keys.session(record.session.project, record.session.session_id)
    return Txn(
        (unchanged(key, fact.mod_revision),),
        (Put(key, record.SerializeToString(), fact.lease),),
        (Get(key),),
    )


def plan_update(
    fact: SessionFact, record: SessionRecord, request: RequestId, journal: Journal
) -> Txn:
    """Store ``record`` if the session is still as it was read, with a line for each new state."""
    plan = plan_replace(fact, record)
    lines = states.plan_lines(fact.record.session, record.session, request, journal)
    return Txn(plan.compares, (*plan.then, *lines), plan.otherwise)


def plan_note_end(
    fact: SessionFact,
    request: RequestId,
    why: str,
    held: Iterable[Holding],
    journal: Journal,
    *,
    record: SessionRecord,
) -> Txn:
    """Write down that a session ends, while it lives, once. Its lease is revoked after.

    ``record`` is how it ends: the log of its work is made of what is stored when its key goes.
    Where the revoke fails, the command comes again. The session's name goes with its locks, not
    before: who registers it anew in between finds the lease that they stand on.
    """
    session = record.session
    key = keys.session(session.project, session.session_id)
    noted = keys.ended_by(session.project, session.session_id, request)
    line = journal.over(session, Kind.ENDED, request, why, held)
    # What it said nothing of may be older here than in the store.
    is_new = record != fact.record
    stored = (Put(key, record.SerializeToString(), fact.lease),) if is_new else ()
    said = states.plan_lines(fact.record.session, session, request, journal)
    guards = (is_grant(key, fact.create_revision), absent(noted))
    return Txn(guards, (*stored, *said, line, Put(noted, b"", fact.lease)))


def plan_end_idle(fact: SessionFact, held: Iterable[Holding], journal: Journal | None) -> Txn:
    """End the session if it was not active since it was read. Its lease is revoked after.

    Without a journal nothing is written, for a store that takes nothing more.
    """
    session, timeout_ms = fact.record.session, fact.record.session_timeout_ms
    key = keys.session(session.project, session.session_id)
    done = (Delete(key), Delete(keys.alias(session.project, session.alias)))
    guard = unchanged(key, fact.mod_revision)
    if journal is None:
        return Txn((guard,), done)
    why = f"nothing was done for {longer_than(timeout_ms, 'session_timeout')}"
    request = RequestId(f"idle-{fact.record.request_id}")
    line = journal.over(session, Kind.IDLE, request, why, held)
    told = UnusedRecord(lease_id=fact.lease, why=why).SerializeToString()
    return Txn((guard,), (*done, line, Put(keys.unused(session.session_id), told, journal.traces)))


def why_unused(lease: LeaseId, found: Iterable[KeyValue]) -> str:
    """Why the session on ``lease`` was ended as unused, by what is ``found`` at its key."""
    records = (UnusedRecord.FromString(kv.value) for kv in found)
    return next((record.why for record in records if record.lease_id == lease), "")


def check_room(fact: SessionFact, request: RequestId, inbox: Collection[bytes]) -> None:
    """Refuse a message where too much is to be told, unless it is there. Raises LimitReached."""
    own = keys.notice(fact.record.session.project, fact.session_id, request)
    if len(inbox) >= MOST_TO_TELL and own not in inbox:
        raise LimitReached(
            f"{fact.session_id} has {len(inbox)} notices that it was not told yet, and at most"
            f" {MOST_TO_TELL} are kept for it; say it again once it has worked on"
        )


def plan_tell(fact: SessionFact, request: RequestId, said: Said, journal: Journal) -> Txn:
    """Lay a message of a person or a session into the session's inbox, once."""
    session = fact.record.session
    to, others = holder_of(session), (said.through,) if said.through else ()
    sender = said.through or Holder(person=said.by)
    notice = NoticeRecord(kind="message", sender=sender, text=said.text)
    plan = plan_notice(ProjectId(session.project), to, fact.lease, request, notice)
    line = journal.line(
        session.project, Kind.TOLD, to, request, by=said.by, reason=said.text, others=others
    )
    return Txn(plan.compares, (*plan.then, line))


def plan_find_holds(project: ProjectId, seen: int, known: Sequence[LockFact]) -> Txn:
    """Read what there is of what a session was ``known`` to hold, and all that is new since.

    ``known`` is all of it at the revision ``seen``; what others hold need not be read again.
    """
    prefixes = (
        keys.lock_prefix(project),
        keys.room_prefix(project, ""),
        keys.reservation_prefix(project),
    )
    since = 0 if len(known) > MOST_KNOWN else seen + 1
    again = (Get(fact.key) for fact in known) if since else ()
    return Txn((), (*again, *(keys.get_prefix(prefix, since) for prefix in prefixes)))


def read_holds(session: SessionId, result: TxnResult) -> tuple[LockFact, ...]:
    """What ``session`` holds of that."""
    kvs, name = (kv for found in result.results for kv in found.kvs), session.encode()
    # Where much is new, most is others': to look for the name is cheaper than to read them.
    named = {kv.key: kv for kv in kvs if name in kv.value}
    holds = (kv for key, kv in named.items() if keys.parse(key).kind in keys.HOLDS)
    facts = readable(LockFact.of, holds)
    return tuple(fact for fact in facts if fact.record.holder.session_id == session)


def plan_check(sessions: Iterable[tuple[ProjectId, SessionId]]) -> Txn:
    """Read which of ``sessions`` are live, in one step."""
    return Txn((), tuple(Get(keys.session(project, session)) for project, session in sessions))
