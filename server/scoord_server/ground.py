"""What all use cases stand on: transactions, the leases behind them, who is who."""

import contextlib
from collections.abc import Callable

from scoord.clock import Clock
from scoord.errors import Contended, SessionEnded, StoreFull
from scoord.ids import LeaseId, ProjectId, SessionId
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import NoticeRecord
from scoord.v1.sessions_pb2 import Session
from scoord_server.model.commands import Asker, Terms
from scoord_server.model.facts import SessionFact
from scoord_server.model.history import Journal
from scoord_server.model.notices import plan_notice
from scoord_server.retention import Retention
from scoord_server.rolling import TRACE_S, RollingLease
from scoord_server.store import keys
from scoord_server.store.port import LeaseNotFound, Put, Store, Txn, TxnResult
from scoord_server.view import View

TRIES = 16
"""Races lost in a row before a command gives up; each is another's progress."""


def not_live(session: str, project: str) -> SessionEnded:
    """What a command of a session that is over is answered."""
    return SessionEnded(f"{session} is not live in {project}; register it anew")


class PlanAgain(Exception):  # noqa: N818 (not a failure)
    """A lease of ours was lost by the store, and the next plan begins it anew."""


class Ground:
    """The store, the view, the clock, and this replica's own leases."""

    def __init__(self, store: Store, view: View, clock: Clock) -> None:
        self.store = store
        self.view = view
        self.clock = clock
        self._traces = RollingLease(store, clock, TRACE_S)
        self._retention = Retention(store, view, clock)

    async def journal(self, project: str, asked_ms: int = 0) -> Journal:
        """Where lines of a project's history, and traces, go that are written now.

        ``asked_ms`` is how long a session wants them kept that nobody sees live.
        """
        kept, traces = await self._retention.of(project, asked_ms), await self._traces.lease()
        return Journal(kept.lease, traces, self.clock.wall_ms(), kept.kept_ms)

    async def txn(self, plan: Txn, session: str = "") -> TxnResult:
        """Run ``plan``. Raises PlanAgain, and SessionEnded when a lease is gone."""
        try:
            return await self.store.txn(plan)
        except LeaseNotFound as gone:
            if await self._are_ours_gone(plan):
                raise PlanAgain from gone
            raise SessionEnded(f"the lease of {session} is over; register it anew") from gone

    async def note(self, project: str, plan_of: Callable[[Journal], Txn]) -> TxnResult:
        """Run a plan that needs no lease but those of its journal. Raises Contended."""
        for _ in range(TRIES):
            try:
                return await self.txn(plan_of(await self.journal(project)))
            except PlanAgain:
                continue
        raise Contended("the store loses our leases as fast as we begin them")

    async def note_if_room(
        self, project: str, plan_of: Callable[[Journal | None], Txn]
    ) -> TxnResult:
        """As ``note``; in a store that takes nothing more it is done without a word of it."""
        try:
            return await self.note(project, plan_of)
        except StoreFull:
            return await self.store.txn(plan_of(None))

    async def revoke(self, lease: LeaseId) -> None:
        """End a lease, unless it has expired or another replica was faster."""
        with contextlib.suppress(LeaseNotFound):
            await self.store.revoke(lease)

    async def tell(
        self, project: ProjectId, to: Holder, lease: LeaseId, notice_id: str, notice: NoticeRecord
    ) -> None:
        """Lay something into a session's inbox, once; one that has ended needs it no more."""
        with contextlib.suppress(LeaseNotFound):
            await self.store.txn(plan_notice(project, to, lease, notice_id, notice))

    async def find_session(self, project: ProjectId, session: SessionId) -> SessionFact | None:
        """Read a session from the store."""
        listing = await self.store.range(keys.session(project, session))
        return SessionFact.of(listing.kvs[0]) if listing.kvs else None

    async def holder(self, asker: Asker, terms: Terms) -> Holder:
        """Describe who asks, as others are to be told."""
        session = await self._session(asker.project, asker.session)
        return Holder(
            session_id=asker.session,
            alias=session.alias,
            agent_id=asker.agent,
            person=session.person,
            host=session.host,
            branch=terms.branch,
            commit=terms.commit,
        )

    async def _are_ours_gone(self, plan: Txn) -> bool:
        used = {op.lease for op in (*plan.then, *plan.otherwise) if isinstance(op, Put)}
        return await self._traces.is_gone(used) or await self._retention.is_gone(used)

    async def _session(self, project: ProjectId, session: SessionId) -> Session:
        seen = self.view.session(project, session)
        fact = seen.fact if seen else await self.find_session(project, session)
        return fact.record.session if fact else Session()
