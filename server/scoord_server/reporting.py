"""The use cases after a failure: locks taken again, edits that nobody had asked for."""

import contextlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from scoord.errors import Contended, SessionEnded, StoreFull
from scoord.ids import ProjectId, SessionId
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import TraceRecord
from scoord_server.ground import TRIES, Ground, PlanAgain, not_live
from scoord_server.model import endings, reclaims, reliance, reports
from scoord_server.model.answers import Lost, Raced, Reclaimed
from scoord_server.model.commands import Asker, Grant, Reclaim, Report
from scoord_server.model.facts import Known, SessionFact
from scoord_server.model.recall import lines_of
from scoord_server.pages import newest_first
from scoord_server.past import Span
from scoord_server.rolling import SURE_S
from scoord_server.store import keys
from scoord_server.store.port import Delete, Txn, TxnResult

_log = logging.getLogger(__name__)

MOST_LOOKED_AT: Final = 20_000
"""Lines of history in which the name of a session that is over is looked for, once a report."""


class Reporting:
    """Reclaims, reports and notices."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def reclaim(self, command: Reclaim) -> Reclaimed | Lost:
        """Take a lost lock again, unless somebody was granted it since. Raises SessionEnded."""
        ground, known = self._ground, Known()
        holder = await ground.holder(command.asker, command.terms)
        if command.away_ms > SURE_S * 1000:
            nobody_knows = Lost(TraceRecord())
            await self._note_lost(command, holder, nobody_knows)
            return nobody_knows
        for _ in range(TRIES):
            try:
                outcome = await self._try_reclaim(command, holder, known)
            except PlanAgain:
                continue
            if isinstance(outcome, Lost):
                await self._note_lost(command, holder, outcome)
            if not isinstance(outcome, Raced):
                return outcome
            known = outcome.known
        raise Contended(f"{command.name.shown} changes too fast; try again")

    async def read_trace(self, asker: Asker, grant: Grant) -> endings.Found:
        """How a grant of the asker ended, or that it stands. Raises SessionEnded."""
        result = await self._ground.store.txn(endings.plan_read_trace(asker, grant))
        found = endings.read_trace(asker, grant, result)
        if found is None:
            raise not_live(asker.session, asker.project)
        return found

    async def report(self, command: Report) -> tuple[TraceRecord, ...]:
        """Record an edit without a lock; tell those it overlaps, and say who they are.

        It is recorded although its session has ended: those whom it met still are to know.
        Repeated, it is answered as it was, and tells and records nothing again.
        """
        editor: Holder | None = None
        # How long ago the edit was, is said as of now: the store may take its time.
        then = self._ground.view.revisions(command.ago_ms / 1000)
        if not command.heard_revision:
            # Its agent had heard nothing: it met nobody who was gone before the edit.
            command = replace(command, heard_revision=then.low)
        for _ in range(TRIES):
            found = await self._ground.store.txn(reports.plan_look(command))
            if (answer := reports.read_answer(command, found)) is not None:
                return answer
            if command.relied and not await self._was_over(command, found, then):
                return ()
            met = reports.read_overlaps(command, found)
            editor = editor or await self._editor(command)
            if await self._record(command, editor, met, found.revision):
                return met
        raise Contended(f"{command.name.shown} changes too fast; try again")

    async def _was_over(self, command: Report, found: TxnResult, then: Span) -> bool:
        """Whether the grant that an edit relied on was over by then; or may have been."""
        ends = await self._ground.store.txn(reliance.plan_look_ends(command))
        since = reliance.over_since(command, found, ends)
        return since is not None and since <= then.high

    async def acknowledge(
        self, project: ProjectId, session: SessionId, notices: tuple[str, ...]
    ) -> None:
        """Take notices out of a session's inbox: it was told.

        Nothing is compared: a notice's key names what it says, so there is no other there.
        """
        own = (keys.notice(project, session, notice) for notice in notices)
        await self._ground.store.txn(Txn((), tuple(map(Delete, own))))

    async def _try_reclaim(
        self, command: Reclaim, holder: Holder, known: Known
    ) -> Reclaimed | Lost | Raced:
        ground, asker = self._ground, command.asker
        plan = reclaims.plan_reclaim(command, holder, known, await ground.journal(asker.project))
        outcome = reclaims.read_reclaim(command, await ground.txn(plan, asker.session))
        if outcome is None:
            raise not_live(asker.session, asker.project)
        return outcome

    async def _note_lost(self, command: Reclaim, holder: Holder, lost: Lost) -> None:
        """The answer is the same whether it is written down or not."""
        try:
            ends = await self._ground.store.range(keys.unused(command.asker.session))
            why = reclaims.why_lost(command, ends.kvs)
            plan_of = partial(reclaims.plan_note_lost, command, holder, lost.last, why)
            await self._ground.note(command.asker.project, plan_of)
        except StoreFull as error:
            _log.warning("a lost lock is not in history: %s", error)

    async def _record(
        self, command: Report, editor: Holder, met: Sequence[TraceRecord], seen: int
    ) -> bool:
        """Write down and tell whom it met. False if that is not so any more: look again."""
        ground, project = self._ground, command.asker.project
        told, journal = await self._live(command, met), await ground.journal(project)
        plan = reports.plan_report(command, editor, met, told, journal, seen=seen)
        try:
            return (await ground.txn(plan)).succeeded
        except (PlanAgain, SessionEnded):
            return False  # a lease is gone: ours, or of one that is told

    async def _editor(self, command: Report) -> Holder:
        editor = await self._ground.holder(command.asker, command.terms)
        if editor.alias:
            return editor
        return reports.editor_of(command, await self._remembered(command.asker))

    async def _remembered(self, asker: Asker) -> Holder | None:
        """A session that is over, as its latest line of history names it.

        Its keys went with its lease, and what it left at a path may be another's by now.
        """
        prefix, read = keys.event_prefix(asker.project), 0
        now_ms = self._ground.clock.wall_ms()
        async with contextlib.aclosing(newest_first(self._ground.store, prefix, now_ms)) as pages:
            async for page in pages:
                for line in lines_of(asker.session, page.kvs, prefix):
                    if line.record.session.alias:
                        return line.record.session
                read += len(page.kvs)
                if read >= MOST_LOOKED_AT:
                    break
        return None

    async def _live(self, command: Report, met: Iterable[TraceRecord]) -> list[SessionFact]:
        """The sessions of others that it met, each once: one that has ended is not told."""
        others = dict.fromkeys(SessionId(trace.holder.session_id) for trace in met)
        others.pop(command.asker.session, None)
        find = partial(self._ground.find_session, command.asker.project)
        return [fact for other in others if (fact := await find(other))]
