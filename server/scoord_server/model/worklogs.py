"""The rules of a session's end: how it is written down, once, and what is kept of its work."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from scoord.happenings import Kind
from scoord.ids import RequestId
from scoord.names import path_key
from scoord.v1.records_pb2 import ArchiveRecord, EventRecord, HoldRecord, SessionRecord
from scoord_server.model.compares import absent, is_grant
from scoord_server.model.history import Holding, Journal, room_for
from scoord_server.model.recall import Holds, Line, Waits
from scoord_server.store import keys
from scoord_server.store.port import Delete, KeyValue, Operation, Put, Txn


@dataclass(frozen=True, slots=True)
class Unended:
    """A session whose end is to be written down."""

    record: SessionRecord
    key: bytes
    revision: int
    """Create revision of ``key``: when the session registered."""

    @classmethod
    def of(cls, kv: KeyValue) -> "Unended":
        """Read the key of an end to come."""
        return cls(SessionRecord.FromString(kv.value), kv.key, kv.create_revision)


@dataclass(frozen=True, slots=True)
class Found:
    """What history says of a session: its own lines, oldest first; not all, when ``partial``."""

    lines: Sequence[Line] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """How a session ended, why, and when."""

    how: Kind
    why: str
    at_ms: int


def of_one_life(lines: Iterable[Line], register: str) -> tuple[Line, ...]:
    """A session's lines since the request ``register``, in order; not of a next life."""
    in_order = sorted(lines, key=lambda line: line.order)
    return tuple(takewhile(lambda line: not _begins_another(line.record, register), in_order))


def _begins_another(record: EventRecord, register: str) -> bool:
    return record.kind == Kind.REGISTERED and record.request_id != register


def end_of(found: Found, now_ms: int) -> End:
    """How it ended: as its last line says; without such a line its lease ran out."""
    said = next((line.record for line in reversed(found.lines) if line.ends_session), None)
    if said:
        return End(Kind(said.kind), said.reason, said.at_unix_ms)
    return End(Kind.EXPIRED, "its lease ran out", now_ms)


def plan_finish(
    unended: Unended, last: SessionRecord, found: Found, successor: int, journal: Journal
) -> Txn:
    """Write the end of a session down, if nobody has, and it is over.

    ``successor`` is the create revision of the session that lives under its id since; 0
    when none does.
    """
    session, end = last.session, end_of(found, journal.now_ms)
    session_key = keys.session(session.project, session.session_id)
    is_over = is_grant(session_key, successor) if successor else absent(session_key)
    done: list[Operation] = [Delete(unended.key)]
    if end.how == Kind.EXPIRED:
        request = RequestId(f"{Kind.EXPIRED}-{unended.record.request_id}")
        done.append(journal.over(session, Kind.EXPIRED, request, end.why, _still_held(found)))
    if last.archive:
        log = work_log(last, found, end, journal.kept_ms)
        key = keys.archive(session.project, end.at_ms, session.session_id)
        done.append(Put(key, log.SerializeToString(), journal.lease))
    return Txn((is_grant(unended.key, unended.revision), is_over), tuple(done))


def _still_held(found: Found) -> Iterable[Holding]:
    """As its lines tell: the keys are gone with the lease."""
    holds = Holds()
    for line in found.lines:
        holds.take_in(line)
    return holds.still()


def work_log(last: SessionRecord, found: Found, end: End, kept_ms: int) -> ArchiveRecord:
    """What is kept of a session's work."""
    holds, waits = Holds(), Waits()
    for line in found.lines:
        holds.take_in(line)
        waits.take_in(line)
    holds.end(last.session.session_id, end.at_ms)
    return ArchiveRecord(
        session=last.session,
        how=end.how,
        why=end.why,
        registered_unix_ms=last.registered_unix_ms,
        ended_unix_ms=end.at_ms,
        holds=_by_path(holds),
        refusals=waits.number,
        waited_ms=waits.total_ms(end.at_ms),
        partial=found.partial,
        kept_ms=kept_ms,
    )


def _by_path(holds: Holds) -> Iterable[HoldRecord]:
    """One for each path, in the order they were first held; of too many those held longest."""
    records: dict[str, HoldRecord] = {}
    for hold in holds.over:
        record = records.setdefault(path_key(hold.path), HoldRecord(path=hold.path))
        record.grants += 1
        record.held_ms += hold.held_ms
    if room_for(record.path for record in records.values()) == len(records):
        return records.values()
    longest = sorted(records.values(), key=lambda record: -record.held_ms)
    return longest[: room_for(record.path for record in longest)]
