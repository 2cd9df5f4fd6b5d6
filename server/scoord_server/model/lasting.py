"""Until when a grant lasts that its holder asks for once more. It stays under its token."""

from collections.abc import Iterable, Iterator, Sequence

from scoord.text import age
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import LockRecord
from scoord_server.model.history import Journal
from scoord_server.model.values import Asker, LockFact, Terms
from scoord_server.store.port import Put


def keep_time(record: LockRecord, before: LockRecord) -> None:
    """``record`` goes on as ``before``: who asks for no time leaves the end as it is.

    What a repeated command asks for has begun already.
    """
    if not record.lasts_ms:
        record.lasts_ms = before.lasts_ms
        record.lock_timeout_ms = 0 if before.lasts_ms else record.lock_timeout_ms
    elif record.request_id != before.request_id:
        return
    record.acquired_unix_ms = before.acquired_unix_ms


def puts_timed(
    asker: Asker, holder: Holder, own: Iterable[LockFact], terms: Terms, journal: Journal
) -> Iterator[Put]:
    """What the asker has already ends after the time that it asks for now, if it does."""
    anew = [fact for fact in own if terms.lasts_ms and fact.record.request_id != asker.request_id]
    for fact in anew:
        record = LockRecord()
        record.CopyFrom(fact.record)
        record.request_id, record.lasts_ms = asker.request_id, terms.lasts_ms
        record.acquired_unix_ms = record.touched_unix_ms = journal.now_ms
        record.lock_timeout_ms = 0
        yield Put(fact.key, record.SerializeToString(), fact.lease)
    if anew:
        yield _line(asker, holder, anew, terms, journal)


def _line(
    asker: Asker, holder: Holder, anew: Sequence[LockFact], terms: Terms, journal: Journal
) -> Put:
    return journal.line(
        asker.project,
        "timed",
        holder,
        asker.request_id,
        paths=(fact.record.path for fact in anew),
        tokens=(fact.token for fact in anew),
        reason=f"it ends {age(terms.lasts_ms / 1000)} from then on",
    )
