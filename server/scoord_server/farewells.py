"""Writes the end of every session down, once, whoever sees it and whenever.

Each replica follows what goes, and looks at its start, and now and then, for what went
while nobody followed. What makes it once is a transaction on the key that stands for
the end to come: it is deleted in the same step.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from scoord.bounded import MOST_SAID, Once
from scoord.errors import Contended, ScoordError, StoreFull, Unknown
from scoord.happenings import Kind
from scoord.ids import ProjectId, SessionId
from scoord.v1.records_pb2 import SessionRecord
from scoord_server.ground import TRIES, Ground, PlanAgain
from scoord_server.model import worklogs
from scoord_server.model.recall import Line, lines_of
from scoord_server.model.tasks import MOST_OFFERS, offered_to, plan_let_go, read_offers
from scoord_server.pages import newest_first
from scoord_server.seen import SessionGone
from scoord_server.store import keys
from scoord_server.store.port import prefix_end
from scoord_server.store.readable import readable
from scoord_server.view import Step

T = TypeVar("T")

_log = logging.getLogger(__name__)

LOOK_S = 30.0
"""How often what was missed is looked for."""

MOST_AT_ONCE = 200
"""Sessions of a project whose work logs are made of one reading of its history."""

MOST_LINES = 40_000
"""Lines of the project that are read for work logs: most are of others, or of states."""

SKEW_MS = 10 * 60 * 1000
"""How far the clocks of replicas may differ before a work log misses lines."""

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Over:
    """A session that is over, and whose end is not written down."""

    unended: worklogs.Unended
    last: SessionRecord
    """What was last known of it."""
    successor: int
    """Create revision of the session that lives under its id since; 0 when none does."""

    @property
    def since_ms(self) -> int:
        """No line of it is older, by the clock of whichever replica."""
        return self.unended.record.registered_unix_ms - SKEW_MS

    def found(self, lines: Iterable[Line], until_ms: int) -> worklogs.Found:
        """Its own of ``lines``, which were read back ``until_ms``; 0 is all that there are."""
        new = (line for line in lines if line.revision >= self.unended.revision)
        own = worklogs.of_one_life(new, self.last.request_id)
        return worklogs.Found(own, partial=until_ms > 0 and self.since_ms < until_ms)


class Farewells:
    """Notes sessions whose lease ran out, and archives the work of those that are over."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._looked_at = float("-inf")
        self._failed = Once[str](MOST_SAID)
        """Which ends fail, by their registers."""

    async def run(self) -> None:
        """Follow the view until cancelled. Every failure is tried again."""
        while True:
            # Who has just started reads its store first, which is no trouble to tell of.
            started = self._ground.view.age_s() < float("inf")
            try:
                await self._follow()
            except ScoordError as error:
                _log.log(
                    logging.INFO if started else logging.DEBUG,
                    "ends of sessions are written down later: %s",
                    error,
                )
            except Exception:  # noqa: BLE001 (what is over must not bring the coordinator down)
                _log.exception("the end of a session failed in a way nobody foresaw")
            self._looked_at = float("-inf")
            await asyncio.sleep(_RETRY_S)

    async def look(self, project: str = "", within_s: float | None = None) -> list[SessionRecord]:
        """Write down every end that nobody has; those whose lease ran out. Raises Unknown.

        What is not done ``within_s`` is left to who follows, and to the next look.
        """
        expired = list[SessionRecord]()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._finish_each(await self._unended(project), expired)
        return expired

    async def finish(self, last: SessionRecord) -> bool:
        """Write the end of a session down, unless that is done, or it lives on.

        ``last`` is what was last known of it. Whether its lease ran out, and we said so.
        """
        for _ in range(TRIES):
            if (over := await self._over(last)) is None:
                return False
            (found,) = await self._found([over])
            if (how := await self._finish(over, found)) is not None:
                return how == Kind.EXPIRED
        name = last.session.session_id
        raise Contended(f"{name} comes and goes too fast; try again")

    async def _unended(self, project: str) -> list[SessionRecord]:
        """What is known of sessions whose end is to come, but for those that are seen to live."""
        prefix = keys.begun_prefix()
        listing = await self._ground.store.range(prefix, prefix_end(prefix))
        records = (unended.record for unended in readable(worklogs.Unended.of, listing.kvs))
        return [
            record
            for record in records
            if record.session.project
            and project in {"", record.session.project}
            and not self._is_seen(record)
        ]

    async def _finish_each(
        self, lasts: Iterable[SessionRecord], expired: list[SessionRecord]
    ) -> None:
        """As ``finish``, many at once; ``expired`` gets those whose lease ran out.

        What a full store has no room for is left to the next look.
        """
        of_project = dict[str, list[SessionRecord]]()
        for last in lasts:
            of_project.setdefault(last.session.project, []).append(last)
        # It stays so until its operator makes room: to try the rest, too, only reads in vain.
        with contextlib.suppress(StoreFull):
            for some in of_project.values():
                for start in range(0, len(some), MOST_AT_ONCE):
                    await self._finish_together(some[start : start + MOST_AT_ONCE], expired)

    async def _finish_together(
        self, lasts: Iterable[SessionRecord], expired: list[SessionRecord]
    ) -> None:
        """Of one project: history is read once for all of them."""
        found = [await self._singly(last, self._over(last)) for last in lasts]
        over = list(filter(None, found))
        for one, lines in zip(over, await self._found_if_possible(over), strict=True):
            if await self._singly(one.last, self._finish_or_again(one, lines)):
                expired.append(one.last)

    async def _singly(self, last: SessionRecord, step: Awaitable[T]) -> T | None:
        """Take a step to one end. What is wrong with it keeps no other from being written down."""
        try:
            return await step
        except StoreFull as error:
            if self._failed.is_new(last.request_id):
                name = last.session.session_id
                _log.warning("the end of %s is written down when there is room: %s", name, error)
            raise
        except Unknown:
            raise
        except Exception:  # noqa: BLE001 (whatever it is, it is of this one end)
            if self._failed.is_new(last.request_id):
                _log.exception("the end of %s is not written down", last.session.session_id)
            return None

    async def _over(self, last: SessionRecord) -> Over | None:
        """The session, if it is over and its end is not written down."""
        store, session = self._ground.store, last.session
        begun = await store.range(keys.begun(session.project, session.session_id, last.request_id))
        unended = next(readable(worklogs.Unended.of, begun.kvs), None)
        now = await self._ground.find_session(
            ProjectId(session.project), SessionId(session.session_id)
        )
        if not unended or (now and now.record.request_id == last.request_id):
            return None
        return Over(unended, last, now.create_revision if now else 0)

    async def _finish_or_again(self, over: Over, found: worklogs.Found | None) -> bool:
        """As ``finish``, with what was found; from the start when something came between."""
        how = await self._finish(over, found) if found else None
        return how == Kind.EXPIRED if how is not None else await self.finish(over.last)

    async def _finish(self, over: Over, found: worklogs.Found) -> str | None:
        """One try; how the session ended, None when something came between."""
        ground, last = self._ground, over.last
        if not over.successor:
            # First: who is cut short after the end is written down leaves nothing to the next.
            with contextlib.suppress(ScoordError):
                await self._let_go(last)
        journal = await ground.journal(last.session.project, last.retention_ms)
        plan = worklogs.plan_finish(over.unended, last, found, over.successor, journal)
        try:
            result = await ground.txn(plan)
        except PlanAgain:
            return None
        if not result.succeeded:
            return None
        return worklogs.end_of(found, journal.now_ms).how

    async def _let_go(self, last: SessionRecord) -> None:
        """What it was offered may be offered to others; where that fails, it soon may."""
        project = last.session.project
        prefix = keys.offer_prefix(project)
        kvs = (await self._ground.store.range(prefix, prefix_end(prefix))).kvs
        offers = offered_to(SessionId(last.session.session_id), read_offers(kvs))
        for start in range(0, len(offers), MOST_OFFERS):
            some = offers[start : start + MOST_OFFERS]
            await self._ground.note(project, partial(plan_let_go, last, some, start))

    async def _found_if_possible(self, over: Sequence[Over]) -> Sequence[worklogs.Found | None]:
        """As ``_found``; None for each where one of them makes it fail."""
        try:
            return await self._found(over) if over else ()
        except Unknown:
            raise
        except Exception:  # noqa: BLE001 (of whom it is shows when each is read by itself)
            return [None] * len(over)

    async def _found(self, over: Sequence[Over]) -> list[worklogs.Found]:
        """The own lines of each, since it registered, in one way back through history."""
        names = dict.fromkeys(one.last.session.session_id for one in over)
        prefix = keys.event_prefix(over[0].last.session.project)
        lines, read, until_ms = dict[str, list[Line]]((name, []) for name in names), 0, 0
        since = min(one.unended.revision for one in over)
        pages = newest_first(
            self._ground.store,
            prefix,
            self._ground.clock.wall_ms(),
            oldest_ms=min(one.since_ms for one in over),
        )
        async with contextlib.aclosing(pages):
            async for page in pages:
                new = [kv for kv in page.kvs if kv.mod_revision >= since]
                for name in names:
                    lines[name] += lines_of(name, new, prefix)
                read += len(page.kvs)
                if read >= MOST_LINES:
                    until_ms = keys.time_of(page.kvs[-1].key[len(prefix) :].decode())
                    break
        return [one.found(lines[one.last.session.session_id], until_ms) for one in over]

    async def _follow(self) -> None:
        async with contextlib.aclosing(self._ground.view.subscribe()) as steps:
            async for step in steps:
                changes = step.changes if isinstance(step, Step) else ()
                gone = [change for change in changes if isinstance(change, SessionGone)]
                await self._finish_each((one.last.record for one in gone), [])
                if self._ground.clock.now() - self._looked_at >= LOOK_S:
                    self._looked_at = self._ground.clock.now()
                    await self.look()

    def _is_seen(self, record: SessionRecord) -> bool:
        session = record.session
        project, name = ProjectId(session.project), SessionId(session.session_id)
        seen = self._ground.view.session(project, name)
        return seen is not None and seen.fact.record.request_id == record.request_id
