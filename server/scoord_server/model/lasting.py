"""Until when, and why, its holder has a grant that it asks for once more, under its token."""

from collections.abc import Iterable, Iterator, Mapping

from scoord.happenings import Kind
from scoord.text import age
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import LockRecord
from scoord_server.model.commands import Asker, Terms
from scoord_server.model.facts import LockFact
from scoord_server.model.history import Journal
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


def keep_end(record: LockRecord, over: Iterable[LockFact], left_ms: Mapping[bytes, int]) -> None:
    """``record``, under a token of its own, is in place of ``over``: it lasts for what remains.

    Of several ends the last one counts. A grant whose time is over has 1 ms: 0 is for ever.
    """
    left = [max(1, left_ms[fact.key]) for fact in over if fact.key in left_ms]
    if left and not record.lasts_ms:
        record.lasts_ms, record.lock_timeout_ms = max(left), 0


def keep_reason(record: LockRecord, terms: Terms, own: Iterable[LockFact]) -> None:
    """``record`` comes after its asker's ``own``: who gives no reason leaves theirs."""
    if not terms.is_reason_given:
        before = (fact.record.reason for fact in own)
        record.reason = next(filter(None, before), record.reason)


def puts_anew(
    asker: Asker, holder: Holder, own: Iterable[LockFact], terms: Terms, journal: Journal
) -> Iterator[Put]:
    """What the asker has already gets the end and the reason that it asks for now, if it does."""
    others = [fact for fact in own if fact.record.request_id != asker.request_id]
    timed = others if terms.lasts_ms else []
    explained = [fact for fact in others if _is_explained(fact, terms)]
    for fact in timed or explained:
        record = _anew(fact, asker, terms, journal.now_ms)
        yield Put(fact.key, record.SerializeToString(), fact.lease)
    until = f"it ends {age(terms.lasts_ms / 1000)} from then on"
    for kind, facts, why in ((Kind.TIMED, timed, until), (Kind.EXPLAINED, explained, terms.reason)):
        if facts:
            yield journal.line(
                asker.project,
                kind,
                holder,
                asker.request_id,
                paths=(fact.record.path for fact in facts),
                tokens=(fact.token for fact in facts),
                are_patterns=(fact.record.is_pattern for fact in facts),
                reason=why,
            )


def _is_explained(fact: LockFact, terms: Terms) -> bool:
    return terms.is_reason_given and fact.record.reason != terms.reason


def _anew(fact: LockFact, asker: Asker, terms: Terms, now_ms: int) -> LockRecord:
    record = LockRecord()
    record.CopyFrom(fact.record)
    record.request_id, record.touched_unix_ms = asker.request_id, now_ms
    if terms.lasts_ms:
        record.lasts_ms, record.acquired_unix_ms = terms.lasts_ms, now_ms
        record.lock_timeout_ms = 0
    if terms.is_reason_given:
        record.reason = terms.reason
    return record
