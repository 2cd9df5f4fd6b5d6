"""Lines of history: what a command did, put in the transaction that did it."""

from collections.abc import Iterable
from dataclasses import dataclass

from scoord.ids import LeaseId
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import EventRecord
from scoord_server.store import keys
from scoord_server.store.port import Put


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
        kind: str,
        about: Holder,
        request_id: str,
        *,
        paths: Iterable[str] = (),
        tokens: Iterable[int] = (),
        by: str = "",
        reason: str = "",
        others: Iterable[Holder] = (),
    ) -> Put:
        """Say what happened. A grant's token is the mod revision of its line.

        One command may end several grants at once: each has a line, told apart by its token.
        """
        tokens = tuple(tokens)
        name = "-".join((request_id, kind, *map(str, tokens[:1])))
        record = EventRecord(
            kind=kind,
            session=about,
            paths=paths,
            tokens=tokens,
            by=by,
            reason=reason,
            at_unix_ms=self.now_ms,
            request_id=request_id,
            others=others,
            kept_ms=self.kept_ms,
        )
        key = keys.event(project, self.now_ms, name)
        return Put(key, record.SerializeToString(), self.lease)
