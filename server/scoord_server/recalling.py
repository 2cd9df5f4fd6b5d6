"""The use cases of history: read it, follow it, and what it says of holds that are over."""

import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from scoord.bounded import BoundedDict
from scoord.errors import Lagging
from scoord.v1.records_pb2 import ArchiveRecord
from scoord_server.ground import Ground
from scoord_server.model.recall import Holds, Line, PastHold, Wanted, is_kept, read_lines
from scoord_server.pages import newest_first
from scoord_server.store import keys
from scoord_server.store.port import Compacted, KeyValue, WatchBatch
from scoord_server.store.readable import readable

MOST_READ = 5_000
"""Lines that are read for one page, whatever the filter lets through."""

MOST_BYTES = 1 << 20
"""Of one page; a message may have four times as many."""

HOLD_LINES = 5_000
"""Lines of grants and their ends that the latest holds are found in."""

MOST_READ_FOR_HOLDS = 20_000
"""Lines of any kind that are read for these: most tell of refusals, or of states."""

MOST_HOLDS = 1_000
HOLDS_FOR_S = 30.0
"""How long the latest holds of a project are good for."""

_MOST_PROJECTS = 1_000


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines, newest first; ``before`` is where the next page begins, empty for none."""

    lines: tuple[Line, ...]
    before: str
    revision: int


@dataclass(frozen=True, slots=True)
class Logs:
    """Some work logs, newest first; ``before`` is where the next page begins, empty for none."""

    records: tuple[ArchiveRecord, ...]
    before: str


@dataclass(frozen=True, slots=True)
class _Known:
    holds: tuple[PastHold, ...]
    read_at: float


class Recalling:
    """Reads what was written down. Decides nothing."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._holds = BoundedDict[str, _Known](_MOST_PROJECTS)
        self._is_closing = False

    def hang_up(self) -> None:
        """End all that follow, at the next word of the store: a draining server is left."""
        self._is_closing = True

    async def read(self, project: str, wanted: Wanted, limit: int, before: str = "") -> Page:
        """Lines that are wanted, newest first."""
        budget, prefix = _Budget(limit), keys.event_prefix(project)
        lines, revision, now_ms = list[Line](), 0, self._ground.clock.wall_ms()
        async with contextlib.aclosing(self._pages(prefix, before, wanted.since_ms)) as pages:
            async for kvs, at in pages:
                revision = revision or at
                for kv, line in readable(lambda kv: (kv, Line.of(kv, prefix)), kvs):
                    is_wanted = wanted.lets_through(line, now_ms)
                    lines += [line] if is_wanted else []
                    if budget.spend(kv, counts=is_wanted):
                        return Page(_in_order(lines), line.event_id, revision)
        return Page(_in_order(lines), "", revision)

    async def logs(self, project: str, wanted: Wanted, limit: int, before: str = "") -> Logs:
        """Logs of finished sessions that are wanted, by session, person and age; newest first."""
        budget, prefix = _Budget(limit), keys.archive_prefix(project)
        records, now_ms = list[ArchiveRecord](), self._ground.clock.wall_ms()
        async with contextlib.aclosing(self._pages(prefix, before, wanted.since_ms)) as pages:
            async for kvs, _ in pages:
                for kv, record in readable(_log_of, kvs):
                    is_wanted = _is_wanted(record, wanted, now_ms)
                    records += [record] if is_wanted else []
                    if budget.spend(kv, counts=is_wanted):
                        return Logs(tuple(records), kv.key[len(prefix) :].decode())
        return Logs(tuple(records), "")

    async def follow(
        self, project: str, wanted: Wanted, after_revision: int = 0
    ) -> AsyncGenerator[Line, None]:
        """Every line after a revision that is wanted, each once. Raises Lagging as we drain."""
        async with contextlib.aclosing(self._all_since(project, after_revision)) as lines:
            async for line in lines:
                if wanted.lets_through(line, self._ground.clock.wall_ms()):
                    yield line

    async def _all_since(self, project: str, revision: int) -> AsyncGenerator[Line, None]:
        """Every line after a revision; over compaction, as far as they are still there."""
        prefix = keys.event_prefix(project)
        while True:
            start = revision + 1 if revision else 0
            try:
                async with contextlib.aclosing(self._ground.store.watch(prefix, start)) as batches:
                    async for batch in batches:
                        if self._is_closing:
                            raise Lagging("the coordinator is stopping; follow another one")
                        revision = max(revision, batch.revision)
                        for line in _new_lines(batch, prefix):
                            yield line
            except Compacted:
                missed, revision = await self._since(prefix, revision)
                for line in missed:
                    yield line

    async def hold_times(self, project: str) -> tuple[PastHold, ...]:
        """The latest holds of paths that are over, newest first."""
        known, now = self._holds.get(project), self._ground.clock.now()
        if known is None or now - known.read_at > HOLDS_FOR_S:
            known = self._holds[project] = _Known(await self._read_holds(project), now)
        return known.holds

    async def _read_holds(self, project: str) -> tuple[PastHold, ...]:
        prefix, lines, read = keys.event_prefix(project), list[Line](), 0
        async with contextlib.aclosing(self._pages(prefix, "", 0)) as pages:
            async for kvs, _ in pages:
                lines += (line for line in read_lines(kvs, prefix) if line.tells_of_holds)
                read += len(kvs)
                if len(lines) >= HOLD_LINES or read >= MOST_READ_FOR_HOLDS:
                    break
        holds = Holds()
        for line in reversed(lines):
            holds.take_in(line)
        of_files = [hold for hold in reversed(holds.over) if not hold.is_pattern]
        return tuple(of_files[:MOST_HOLDS])

    async def _since(self, prefix: bytes, revision: int) -> tuple[Sequence[Line], int]:
        """What was written after ``revision``, oldest first, and up to which revision that is.

        Of what is older than the watch could tell, as much as a work log would read.
        """
        lines, at, old = list[Line](), 0, 0
        async with contextlib.aclosing(self._pages(prefix, "", 0)) as pages:
            async for kvs, read_at in pages:
                at = at or read_at
                new = [kv for kv in kvs if kv.mod_revision > revision]
                lines += read_lines(new, prefix)
                old += len(kvs) - len(new)
                if old >= MOST_READ:
                    break
        return sorted(lines, key=lambda line: line.order), at

    async def _pages(
        self, prefix: bytes, before: str, since_ms: int
    ) -> AsyncGenerator[tuple[tuple[KeyValue, ...], int], None]:
        now_ms = self._ground.clock.wall_ms()
        oldest_ms = max(0, now_ms - since_ms) if since_ms else 0
        store = self._ground.store
        reads = newest_first(store, prefix, now_ms, before=before, oldest_ms=oldest_ms)
        async with contextlib.aclosing(reads):
            async for read in reads:
                yield read.kvs, read.revision


class _Budget:
    """How much more goes into one page, and where it ends."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._reads = MOST_READ
        self._bytes = MOST_BYTES

    def spend(self, kv: KeyValue, *, counts: bool) -> bool:
        """Take a key off, in the page when it ``counts``; whether the page ends with it."""
        self._reads -= 1
        self._left -= counts
        self._bytes -= len(kv.value) if counts else 0
        return min(self._left, self._reads, self._bytes) <= 0


def _in_order(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Newest first; of one moment, the one that became true last comes first."""
    return tuple(
        sorted(lines, key=lambda line: (keys.time_of(line.event_id), line.order), reverse=True)
    )


def _new_lines(batch: WatchBatch, prefix: bytes) -> Iterator[Line]:
    return read_lines((event.kv for event in batch.events if not event.deleted), prefix)


def _log_of(kv: KeyValue) -> tuple[KeyValue, ArchiveRecord]:
    return kv, ArchiveRecord.FromString(kv.value)


def _is_wanted(record: ArchiveRecord, wanted: Wanted, now_ms: int) -> bool:
    session, ago_ms = record.session, now_ms - record.ended_unix_ms
    return (
        is_kept(record.ended_unix_ms, record.kept_ms, now_ms)
        and (not wanted.since_ms or ago_ms <= wanted.since_ms)
        and wanted.is_session(session)
        and wanted.is_of(session)
    )
