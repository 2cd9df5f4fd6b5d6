"""Keeps history, archive and done tasks within bounds, whatever their leases say.

A lease ends all that was bound to it at once, an eighth later than promised, and a store
that was restarted begins each anew; and a project may write more in a week than anybody
reads. So every replica looks now and then, and deletes the oldest in small steps: what is
older than promised, and what is too much. Two that do so at once delete no more.

How old something is the wall clocks of coordinators say, as it does where it is shown.
"""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from itertools import takewhile

from scoord.clock import Clock
from scoord.ids import ProjectId
from scoord.v1.records_pb2 import ArchiveRecord, EventRecord
from scoord_server.model.compares import unchanged
from scoord_server.model.tasks import MOST_DONE, plan_forget, read_tasks, too_many_done
from scoord_server.store import keys
from scoord_server.store.port import Delete, KeyValue, Store, Txn, prefix_end
from scoord_server.store.readable import readable

INTERVAL_S = 60.0

MOST_LINES = 100_000
"""Lines of history of one project, where nothing else is said; the oldest go first."""

MOST_LOGS = 2_000
"""Work logs of one project."""

STEP = 200
"""Keys that one transaction deletes: few, since commands wait for it in an embedded store."""

_STEPS = 50
"""Of one project and kind in one round; the rest is the next round's."""

_MOST_TASKS = 50
"""Tasks that one transaction deletes, each under a guard of its own."""

_NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class _Kind:
    """How many of a kind there may be, and until when one of them is kept."""

    root: bytes
    most: int
    ends_ms: Callable[[bytes], int]


class Trimming:
    """Deletes what is too old or too much."""

    def __init__(self, store: Store, clock: Clock, most_lines: int) -> None:
        self._store = store
        self._clock = clock
        history, archive = keys.kept_roots()
        self._kinds = (
            _Kind(history, most_lines, _end_of_line),
            _Kind(archive, MOST_LOGS, _end_of_log),
        )

    async def trim(self) -> int:
        """Look through all projects once; how many keys were deleted."""
        deleted = 0
        for kind in self._kinds:
            async for prefix in self._projects(kind.root):
                deleted += await self._trim(kind, prefix)
        # A task that is done has a line of history for as long as it is kept.
        async for prefix in self._projects(self._kinds[0].root):
            deleted += await self._trim_tasks(keys.kept_project(prefix))
        return deleted

    async def _projects(self, root: bytes) -> AsyncGenerator[bytes, None]:
        """Where each project's part is: one read for each, whatever is in it."""
        start, end = root, prefix_end(root)
        while first := (await self._store.range(start, end, limit=1)).kvs:
            prefix = keys.kept_prefix(first[0].key)
            yield prefix
            start = prefix_end(prefix)

    async def _trim(self, kind: _Kind, prefix: bytes) -> int:
        excess = await self._store.count(prefix, prefix_end(prefix)) - kind.most
        deleted = 0
        for _ in range(_STEPS):
            oldest = (await self._store.range(prefix, prefix_end(prefix), limit=STEP)).kvs
            doomed = self._doomed(kind, oldest, excess - deleted)
            if not doomed or not await self._delete_up_to(prefix, doomed[-1]):
                break
            deleted += len(doomed)
        return deleted

    async def _trim_tasks(self, project: ProjectId) -> int:
        """Delete done tasks that are too many: they are not in the order of their ends."""
        tasks = keys.get_prefix(keys.task_prefix(project))
        if await self._store.count(tasks.key, tasks.end) <= MOST_DONE:
            return 0
        listing = await self._store.range(tasks.key, tasks.end)
        doomed, deleted = too_many_done(read_tasks(listing.kvs), MOST_DONE), 0
        for first in range(0, len(doomed), _MOST_TASKS):
            some = doomed[first : first + _MOST_TASKS]
            if not (await self._store.txn(plan_forget(project, some))).succeeded:
                break  # another replica is faster
            deleted += len(some)
        return deleted

    def _doomed(self, kind: _Kind, oldest: tuple[KeyValue, ...], excess: int) -> list[KeyValue]:
        """Those of the oldest that are too many or too old, without a gap.

        For how long one is kept that cannot be read, it does not say: it goes with the next.
        """
        now_ms = self._clock.wall_ms()
        ends = readable(lambda kv: (kv.key, kind.ends_ms(kv.value)), oldest[max(0, excess) :])
        over = (key for key, end in takewhile(lambda one: one[1] <= now_ms, ends))
        last = max(over, default=b"")
        return [kv for number, kv in enumerate(oldest) if number < excess or kv.key <= last]

    async def _delete_up_to(self, prefix: bytes, last: KeyValue) -> bool:
        """Delete all up to ``last``; False when another was faster."""
        guard = unchanged(last.key, last.mod_revision)
        return (await self._store.txn(Txn((guard,), (Delete(prefix, last.key + b"\0"),)))).succeeded


def _end_of_line(value: bytes) -> int:
    record = EventRecord.FromString(value)
    return _end(record.at_unix_ms, record.kept_ms)


def _end_of_log(value: bytes) -> int:
    record = ArchiveRecord.FromString(value)
    return _end(record.ended_unix_ms, record.kept_ms)


def _end(at_ms: int, kept_ms: int) -> int:
    """Until when something is kept; what does not say for how long it is, by its lease."""
    return at_ms + kept_ms if kept_ms else _NEVER
