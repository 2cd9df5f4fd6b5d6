"""Lines of history: what a command did, put in the transaction that did it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, takewhile
from typing import Final

from scoord.happenings import Kind
from scoord.ids import LeaseId
from scoord.names import path_digest
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import EventRecord
from scoord.v1.sessions_pb2 import Session
from scoord_server.store import keys
from scoord_server.store.port import Put

MOST_PATHS: Final = 500
MOST_PATH_BYTES: Final = 64 * 1024
"""How many paths a line or a work log has room for, where there may be many."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A path or pattern that is held, and its token."""

    path: str
    token: int
    is_pattern: bool = False


@dataclass(frozen=True, slots=True)
class Journal:
    """Where and when lines and traces are written: the leases they live on, and the time now."""

    lease: LeaseId
    traces: LeaseId
    now_ms: int
    kept_ms: int = 0
    """How long a line is kept at least; 0 is not said."""

    def line(
        self,
        project: str,
        kind: Kind,
        about: Holder,
        request_id: str,
        *,
        paths: Iterable[str] = (),
        tokens: Iterable[int] = (),
        are_patterns: Iterable[bool] = (),
        by: str = "",
        reason: str = "",
        others: Iterable[Holder] = (),
    ) -> Put:
        """Say what happened. A grant's token is the mod revision of its line.

        Whoever has several things in the way is named once.
        One command may end several grants at once: each has a line of its own.
        """
        paths, tokens, are_patterns = tuple(paths), tuple(tokens), tuple(are_patterns)
        record = EventRecord(
            kind=kind,
            session=about,
            paths=paths,
            tokens=tokens,
            by=by,
            reason=reason,
            at_unix_ms=self.now_ms,
            request_id=request_id,
            others=_each_once(others),
            kept_ms=self.kept_ms,
            are_patterns=are_patterns if any(are_patterns) else (),
        )
        key = keys.event(project, self.now_ms, _name(request_id, kind, paths, tokens))
        return Put(key, record.SerializeToString(), self.lease)

    def over(
        self, about: Session, how: Kind, request_id: str, reason: str, held: Iterable[Holding]
    ) -> Put:
        """Say that a session is over, and what it still held: as much as there is room for.

        The line of an idle lock has its token. That of an idle session has none: this is
        how they are told apart.
        """
        told = list(held)
        told = told[: room_for(holding.path for holding in told)]
        tokens = () if how == Kind.IDLE else (holding.token for holding in told)
        return self.line(
            about.project,
            how,
            holder_of(about),
            request_id,
            paths=(holding.path for holding in told),
            tokens=tokens,
            are_patterns=(holding.is_pattern for holding in told),
            reason=reason,
        )


def holder_of(session: Session) -> Holder:
    """A session as it is named in history."""
    return Holder(
        session_id=session.session_id,
        alias=session.alias,
        person=session.person,
        host=session.host,
        branch=session.branch,
    )


def room_for(paths: Iterable[str]) -> int:
    """How many of ``paths`` a line or a work log has room for."""
    sizes = accumulate(len(path.encode()) for path in islice(paths, MOST_PATHS))
    return sum(1 for _ in takewhile(lambda size: size <= MOST_PATH_BYTES, sizes))


def _name(request_id: str, kind: Kind, paths: Sequence[str], tokens: Sequence[int]) -> str:
    """What tells apart the lines of one command: files that were taken together have one token."""
    about = (*map(str, tokens[:1]), *map(path_digest, paths[:1]))
    return "-".join((request_id, kind, *about))


def _each_once(holders: Iterable[Holder]) -> Iterable[Holder]:
    first = dict[tuple[str, str], Holder]()
    for holder in holders:
        first.setdefault((holder.session_id, holder.agent_id), holder)
    return first.values()
