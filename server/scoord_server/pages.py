"""Reads what is sorted by time, newest first, without reading what is older than need be.

A store reads an interval whole before it cuts it from its end. So the way back goes in
steps: short ones where much happened, ever longer ones where little did.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from scoord_server.store import keys
from scoord_server.store.port import KeyValue, Store, prefix_end

PAGE = 250
"""Keys that are read at once."""

_FIRST_MS = 3_600_000
_SHORTEST_MS = 60_000
_LONGEST_MS = 40 * 24 * 3_600_000
"""Beyond this the rest is read at once."""


@dataclass(frozen=True, slots=True)
class Read:
    """Some keys, newest first, and the revision at which they were read."""

    kvs: tuple[KeyValue, ...]
    revision: int


async def newest_first(
    store: Store, prefix: bytes, now_ms: int, *, before: str = "", oldest_ms: int = 0
) -> AsyncGenerator[Read, None]:
    """All keys under ``prefix`` whose name is below ``before``, and not older than ``oldest_ms``.

    Pages may be empty; the first one is at the highest revision that is whole.
    """
    end = prefix + before.encode() if before else prefix_end(prefix)
    until_ms = min(keys.time_of(before) or now_ms, now_ms)
    step_ms = _FIRST_MS
    while True:
        since_ms = until_ms - step_ms if step_ms < _LONGEST_MS else 0
        since_ms = max(since_ms, oldest_ms, 0)
        start = keys.at_time(prefix, since_ms)
        found = await store.range(start, end, limit=PAGE, descending=True)
        yield Read(found.kvs, found.revision)
        # An embedded store never waits: commands have their turn between two pages.
        await asyncio.sleep(0)
        if len(found.kvs) == PAGE:
            end = found.kvs[-1].key
            until_ms = min(keys.time_of(end[len(prefix) :].decode()), until_ms)
            step_ms = max(_SHORTEST_MS, step_ms // 2)
        elif since_ms <= oldest_ms:
            return
        else:
            end, until_ms, step_ms = start, since_ms, step_ms * 4
