"""Writes the end of every session down, once, whoever sees it and whenever.

Each replica follows what goes, and looks at its start, and now and then, for what went
while nobody followed. What makes it once is a transaction on the key that stands for
the end to come: it is deleted in the same step.
"""

import asyncio
import contextlib
import logging
from functools import partial

from scoord.bounded import Once
from scoord.errors import Contended, ScoordError, Unknown
from scoord.happenings import Kind
from scoord.ids import ProjectId, SessionId
from scoord.v1.records_pb2 import SessionRecord
from scoord_server.ground import TRIES, Ground, PlanAgain
from scoord_server.model import worklogs
from scoord_server.model.recall import Line, lines_of
from scoord_server.model.tasks import offered_to, plan_let_go, read_offers
from scoord_server.pages import newest_first
from scoord_server.seen import SessionGone
from scoord_server.store import keys
from scoord_server.store.port import prefix_end
from scoord_server.store.readable import readable
from scoord_server.view import Snapshot, Step

_log = logging.getLogger(__name__)

LOOK_S = 30.0
"""How often what was missed is looked for."""

MOST_LINES = 40_000
"""Lines of the project that are read for one work log: most are of others, or of states."""

SKEW_MS = 10 * 60 * 1000
"""How far the clocks of replicas may differ before a work log misses lines."""

_RETRY_S = 1.0
_MOST_SAID = 1_000


class Farewells:
    """Notes sessions whose lease ran out, and archives the work of those that are over."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._looked_at = float("-inf")
        self._failed = Once[str](_MOST_SAID)
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

    async def look(self, project: str = "") -> list[SessionRecord]:
        """Write down every end that nobody has; those whose lease ran out. Raises Unknown."""
        self._looked_at = self._ground.clock.now()
        prefix = keys.begun_prefix()
        listing = await self._ground.store.range(prefix, prefix_end(prefix))
        records = (unended.record for unended in readable(worklogs.Unended.of, listing.kvs))
        found = [
            record
            for record in records
            if record.session.project
            and project in {"", record.session.project}
            and not self._is_seen(record)
        ]
        return [record for record in found if await self._finish_if_possible(record)]

    async def finish(self, last: SessionRecord) -> bool:
        """Write the end of a session down, unless that is done, or it lives on.

        ``last`` is what was last known of it. Whether its lease ran out, and we said so.
        """
        ground, session = self._ground, last.session
        key = keys.begun(session.project, session.session_id, last.request_id)
        for _ in range(TRIES):
            begun = (await ground.store.range(key)).kvs
            unended = next(readable(worklogs.Unended.of, begun), None)
            now = await ground.find_session(
                ProjectId(session.project), SessionId(session.session_id)
            )
            if not unended or (now and now.record.request_id == last.request_id):
                return False
            with contextlib.suppress(PlanAgain):
                successor = now.create_revision if now else 0
                if (how := await self._finish(unended, last, successor)) is not None:
                    return how == Kind.EXPIRED
        raise Contended(f"{session.session_id} comes and goes too fast; try again")

    async def _finish_if_possible(self, last: SessionRecord) -> bool:
        """As ``finish``. What is wrong with one end keeps no other from being written down."""
        try:
            return await self.finish(last)
        except Unknown:
            raise
        except Exception:  # noqa: BLE001 (whatever it is, it is of this one end)
            if self._failed.is_new(last.request_id):
                _log.exception("the end of %s is not written down", last.session.session_id)
            return False

    async def _finish(
        self, unended: worklogs.Unended, last: SessionRecord, successor: int
    ) -> str | None:
        """One try; how the session ended, None when something came between."""
        ground, session = self._ground, last.session
        journal = await ground.journal(session.project)
        found = await self._lines_of(unended)
        plan = worklogs.plan_finish(unended, last, found, successor, journal)
        if not (await ground.txn(plan)).succeeded:
            return None
        if not successor:
            with contextlib.suppress(ScoordError):
                await self._let_go(last)
        return worklogs.end_of(found, journal.now_ms).how

    async def _let_go(self, last: SessionRecord) -> None:
        """What it was offered may be offered to others; where that fails, it soon may."""
        project = last.session.project
        prefix = keys.offer_prefix(project)
        kvs = (await self._ground.store.range(prefix, prefix_end(prefix))).kvs
        offers = offered_to(SessionId(last.session.session_id), read_offers(kvs))
        if offers:
            await self._ground.note(project, partial(plan_let_go, last, offers))

    async def _lines_of(self, unended: worklogs.Unended) -> worklogs.Found:
        """The session's own lines, since it registered."""
        record, name = unended.record, unended.record.session.session_id
        prefix = keys.event_prefix(record.session.project)
        lines, read, partial = list[Line](), 0, False
        pages = newest_first(
            self._ground.store,
            prefix,
            self._ground.clock.wall_ms(),
            oldest_ms=record.registered_unix_ms - SKEW_MS,
        )
        async with contextlib.aclosing(pages):
            async for page in pages:
                new = (kv for kv in page.kvs if kv.mod_revision >= unended.revision)
                lines += lines_of(name, new, prefix)
                read += len(page.kvs)
                if read >= MOST_LINES:
                    partial = True
                    break
        return worklogs.Found(worklogs.of_one_life(lines, record.request_id), partial)

    async def _follow(self) -> None:
        async with contextlib.aclosing(self._ground.view.subscribe()) as steps:
            async for step in steps:
                await self._take_in(step)
                if self._ground.clock.now() - self._looked_at >= LOOK_S:
                    await self.look()

    async def _take_in(self, step: Snapshot | Step) -> None:
        for change in step.changes if isinstance(step, Step) else ():
            if isinstance(change, SessionGone):
                await self._finish_if_possible(change.last.record)

    def _is_seen(self, record: SessionRecord) -> bool:
        session = record.session
        project, name = ProjectId(session.project), SessionId(session.session_id)
        seen = self._ground.view.session(project, name)
        return seen is not None and seen.fact.record.request_id == record.request_id
