"""What is left of the last grant of a path or a pattern, for some hours.

An exclusive grant of a path leaves one whose mod revision is its token, until a command
ends the grant or another grant follows in the same *domain*: on the same branch, or on
all. Each pattern leaves one for each of its holders, so that none hides another's.
Edits that were made without a lock leave one for each editor and kind, and the end of a
share one for each holder and branch.
"""

from collections.abc import Iterable

from scoord.claimant import Claimant
from scoord.ids import AgentId, LeaseId, SessionId
from scoord.patterns import is_readable, matches
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import TraceRecord
from scoord_server.model.commands import Asker
from scoord_server.model.facts import LockFact
from scoord_server.store import keys
from scoord_server.store.port import KeyValue, Put

GRANTED = "granted"
"""What a trace says while its grant stands, or when that ended with its session."""

_SHARES, _EDITS = "shares:", "edits:"
"""What the domains of shares begin with, and of edits that were made without a lock.
No branch's name has a colon."""


def domain(who: Claimant) -> str:
    """Among which grants of a path only the last one leaves a trace."""
    return f"{_SHARES}{who.session}/{who.agent}/{who.branch}" if who.shared else who.branch


def edit_key(asker: Asker, path_key: str, kind: str) -> bytes:
    """Where the trace of an edit without a lock is, with the answer to its report.

    Those of one kind are reported one after the other, each until it is answered; of
    several kinds they are not.
    """
    return keys.trace(asker.project, path_key, f"{_EDITS}{asker.session}/{asker.agent}/{kind}")


def is_edit(trace: KeyValue) -> bool:
    """Whether an edit without a lock left it."""
    return _domain_of(trace).startswith(_EDITS)


def notice_id(kind: str, request_id: str) -> str:
    """What names the notice of a reported edit."""
    return f"{kind}-{request_id}"


def grant_key(project: str, name_key: str, who: Claimant, *, is_pattern: bool = False) -> bytes:
    """Where the trace of a grant to ``who`` is."""
    if is_pattern:
        return keys.pattern_trace(project, name_key, domain(who), who.session, who.agent)
    return keys.trace(project, name_key, domain(who))


def put_grant(key: bytes, holder: Holder, request_id: str, now_ms: int, lease: LeaseId) -> Put:
    """Write down that something was granted."""
    trace = TraceRecord(holder=holder, how=GRANTED, request_id=request_id, granted_unix_ms=now_ms)
    return Put(key, trace.SerializeToString(), lease)


def of_grant(fact: LockFact) -> TraceRecord:
    """What a grant that stands is told as, where its end may be told of too."""
    record = fact.record
    return TraceRecord(
        holder=record.holder,
        token=fact.token,
        how=GRANTED,
        granted_unix_ms=record.acquired_unix_ms,
    )


def token_of(trace: KeyValue) -> int:
    """Which grant left it, while that stands or when it ended; 0 for an edit without a lock."""
    record = TraceRecord.FromString(trace.value)
    return trace.mod_revision if record.how == GRANTED else record.token


def left_by(trace: KeyValue) -> Claimant | None:
    """Who was granted what left it, and how far; None for an edit without a lock."""
    where, holder = keys.parse(trace.key).rest[0], TraceRecord.FromString(trace.value).holder
    if where.startswith(_EDITS):
        return None
    shared = where.startswith(_SHARES)
    branch = where.split("/", 2)[-1] if shared else where
    return Claimant(SessionId(holder.session_id), AgentId(holder.agent_id), shared, branch)


def is_met_on(branch: str, trace: KeyValue) -> bool:
    """Whether an edit on ``branch`` met what left the trace of a path."""
    where = _domain_of(trace)
    if where.startswith(_EDITS):
        return TraceRecord.FromString(trace.value).holder.branch in ("", branch)
    return where in ("", branch) or where.startswith(_SHARES)


def kept_out(who: Claimant, traces: Iterable[KeyValue]) -> list[KeyValue]:
    """Of the traces of a path those of grants that kept ``who`` from it, whoever had them."""
    return [trace for trace in traces if _meets(who.branch, _domain_of(trace))]


def patterns_kept_out(who: Claimant, path_key: str, traces: Iterable[KeyValue]) -> list[KeyValue]:
    """Of the traces of patterns those of other sessions that kept ``who`` from a path."""
    found = list[KeyValue]()
    for trace in traces:
        parsed = keys.parse(trace.key)
        where, session, _ = parsed.rest
        if session != who.session and _meets(who.branch, where) and _covers(parsed.name, path_key):
            found.append(trace)
    return found


def patterns_met(who: Claimant, path_key: str, traces: Iterable[KeyValue]) -> list[KeyValue]:
    """Of the traces of patterns those of other sessions that an edit of a path by ``who`` met."""
    found = list[KeyValue]()
    for trace in traces:
        parsed = keys.parse(trace.key)
        where, session, _ = parsed.rest
        is_here = not who.branch or where in ("", who.branch) or where.startswith(_SHARES)
        if session != who.session and is_here and _covers(parsed.name, path_key):
            found.append(trace)
    return found


def _covers(pattern: str, path_key: str) -> bool:
    """Whether a pattern matches a path; one that cannot be read may match any."""
    return not is_readable(pattern) or matches(pattern, path_key)


def _domain_of(trace: KeyValue) -> str:
    (where,) = keys.parse(trace.key).rest
    return where


def _meets(branch: str, where: str) -> bool:
    """Who only shares a path, or edits it without a lock, keeps nobody from it."""
    if where.startswith((_SHARES, _EDITS)):
        return False
    return not branch or where in ("", branch)
