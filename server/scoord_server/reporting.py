"""The use cases after a failure: locks taken again, edits that nobody had asked for."""

import logging
from functools import partial

from scoord.errors import Contended
from scoord.ids import ProjectId, SessionId
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import NoticeRecord, TraceRecord
from scoord_server.ground import TRIES, Begun, Ground, not_live
from scoord_server.model import reclaims
from scoord_server.model.values import (
    Known,
    Lost,
    Raced,
    Reclaim,
    Reclaimed,
    Report,
)
from scoord_server.rolling import SURE_S
from scoord_server.store import keys
from scoord_server.store.port import Delete, StoreFull, Txn

_log = logging.getLogger(__name__)


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
            except Begun:
                continue
            if isinstance(outcome, Lost):
                await self._note_lost(command, holder, outcome)
            if not isinstance(outcome, Raced):
                return outcome
            known = outcome.known
        raise Contended(f"{command.name.shown} changes too fast; try again")

    async def report(self, command: Report) -> tuple[TraceRecord, ...]:
        """Record an edit without a lock; tell those it overlaps, and say who they are.

        It is recorded although its session has ended: those whom it met still are to know.
        """
        editor = await self._editor(command)
        plan_of = partial(reclaims.plan_report, command, editor)
        result = await self._ground.note(command.asker.project, plan_of)
        met = reclaims.read_overlaps(command, result)
        await self._record(command, editor, [trace.holder for trace in met])
        for trace in met:
            if trace.holder.session_id != command.asker.session:
                await self._tell(command, editor, trace)
        return met

    async def acknowledge(
        self, project: ProjectId, session: SessionId, notices: tuple[str, ...]
    ) -> None:
        """Take notices out of a session's inbox: it was told."""
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
            plan_of = partial(reclaims.plan_note_lost, command, holder, lost.last)
            await self._ground.note(command.asker.project, plan_of)
        except StoreFull as error:
            _log.warning("a lost lock is not in history: %s", error)

    async def _editor(self, command: Report) -> Holder:
        editor = await self._ground.holder(command.asker, command.terms)
        if editor.alias:
            return editor
        plan = reclaims.plan_find_editor(command)
        return reclaims.read_editor(command, await self._ground.store.txn(plan))

    async def _record(self, command: Report, holder: Holder, others: list[Holder]) -> None:
        asker = command.asker
        await self._ground.note(
            asker.project,
            lambda journal: Txn(
                (),
                (
                    journal.line(
                        asker.project,
                        command.kind,
                        holder,
                        asker.request_id,
                        paths=(command.name.shown,),
                        others=others,
                    ),
                ),
            ),
        )

    async def _tell(self, command: Report, editor: Holder, met: TraceRecord) -> None:
        """Tell one of those that the edit met, if its session still lives."""
        project = command.asker.project
        session = await self._ground.find_session(project, SessionId(met.holder.session_id))
        if session is None:
            return
        notice = NoticeRecord(kind=command.kind, path=command.name.shown, sender=editor)
        notice_id = f"{command.kind}-{command.asker.request_id}"
        await self._ground.tell(project, met.holder, session.lease, notice_id, notice)
