"""The use cases of the coordinator: carry the rules' plans out against the store.

Any number of coordinators may serve one store. None keeps truth of its own, so
any of them may be killed at any moment, and a command may be repeated at another.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from scoord.clock import Clock
from scoord.errors import (
    Contended,
    NotAllowed,
    SessionEnded,
    SessionNotFound,
    StoreFull,
    Unknown,
)
from scoord.ids import LeaseId, ProjectId, RequestId, SessionId
from scoord.v1.sessions_pb2 import Session, UpdateRequest
from scoord_server.dated import DatedStore
from scoord_server.farewells import Farewells
from scoord_server.graphing import Graphing
from scoord_server.ground import TRIES, Ground, PlanAgain
from scoord_server.locking import Locking
from scoord_server.model import locks as lock_rules
from scoord_server.model import looks
from scoord_server.model import sessions as session_rules
from scoord_server.model.answers import AliasTaken, Pulse, Registered
from scoord_server.model.commands import Beat, Keep, Said
from scoord_server.model.facts import LockFact, SessionFact
from scoord_server.model.history import Holding
from scoord_server.own_changes import OwnChangesStore
from scoord_server.recalling import Recalling
from scoord_server.reporting import Reporting
from scoord_server.same_store import SameStore
from scoord_server.store import keys
from scoord_server.store.port import (
    Get,
    LeaseExists,
    LeaseNotFound,
    Store,
    Txn,
    TxnResult,
    prefix_end,
)
from scoord_server.tasking import Tasking
from scoord_server.timely import TimelyStore
from scoord_server.trimming import MOST_LINES, Trimming
from scoord_server.view import Snapshot, View

_log = logging.getLogger(__name__)

_CATCH_UP_S = 0.25
"""How long a list waits for what was done here before; later it shows what there is."""

_CHECKS_PER_TXN = 100
"""etcd refuses more than 128 operations in one transaction."""


class Coordinator:
    """Sessions, as commands and outcomes; beside them what else there is to do, by subject."""

    def __init__(
        self, store: Store, view: View, clock: Clock, *, most_lines: int = MOST_LINES
    ) -> None:
        self._own = OwnChangesStore(DatedStore(SameStore(store, view), clock, view.past))
        store = TimelyStore(self._own)
        self._store = store
        self._view = view
        self._clock = clock
        ground = Ground(store, view, clock)
        self.ground = ground
        self.locks = Locking(ground)
        self.reporting = Reporting(ground)
        self.recalling = Recalling(ground)
        self.farewells = Farewells(ground)
        self.trimming = Trimming(store, clock, most_lines)
        self.tasks = Tasking(ground)
        self.graph = Graphing(ground)

    async def present(self) -> Snapshot:
        """All there is, with all that was done here before. Raises StoreUnavailable."""
        await self._view.caught_up(self._own.revision, _CATCH_UP_S)
        return self._view.snapshot()

    async def look(self) -> None:
        """Ask how far the store is, so that it is known of each moment later. Raises Unknown."""
        await self._store.txn(Txn((), (Get(keys.compaction()),)))

    # -- sessions ---------------------------------------------------------------

    async def register(
        self,
        request: RequestId,
        session: Session,
        ttl_s: int,
        lease: LeaseId,
        timeout_ms: int,
        *,
        lapsed: LeaseId = LeaseId(0),
        keep: Keep = Keep(),  # noqa: B008 (frozen)
    ) -> Registered:
        """Make ``session`` live, or take it up again. Raises SessionEnded, NotAllowed.

        ``lapsed`` is the lease that it had before: nobody believes in what stands on that.
        """
        registered = await self._make_live(
            request, session, ttl_s, lease, timeout_ms, lapsed=lapsed, keep=keep
        )
        if not lapsed:
            return registered
        found = await self._store.range(keys.unused(session.session_id))
        return replace(registered, unused=session_rules.why_unused(lapsed, found.kvs))

    async def _make_live(
        self,
        request: RequestId,
        session: Session,
        ttl_s: int,
        lease: LeaseId,
        timeout_ms: int,
        *,
        lapsed: LeaseId,
        keep: Keep,
    ) -> Registered:
        project, own = ProjectId(session.project), lease or _lease_of(request, session)
        for _ in range(TRIES):
            fact = await self.ground.find_session(project, SessionId(session.session_id))
            if fact is not None and _is_its(fact, session, lease, lapsed):
                return await self._resume(session, fact)
            granted = await self._hold(own, ttl_s, new=not lease)
            # Nobody believes in what stands there. It would be kept where it is asked for
            # again, and go with that lease while it is believed in.
            before = {lapsed, fact.lease if fact else lapsed} - {own}
            await self._end_leases(session.session_id, before)
            fact = await self._enter(session, request, own, timeout_ms, keep=keep)
            if fact.lease == own:
                return Registered(fact.record.session.alias, own, granted)
        raise Contended(f"{session.session_id} is being registered from elsewhere; try again")

    async def heartbeat(self, beats: Sequence[Beat]) -> list[Pulse]:
        """Renew every lease once, then see which sessions still stand."""
        left = await self._store.keep_alive(sorted({beat.lease for beat in beats}))
        live = await self._live(beats)
        await asyncio.gather(
            *(self._publish(beat) for beat in beats if beat.touched or beat.moved or beat.active)
        )
        return [
            Pulse(left[beat.lease] > 0 and alive, left[beat.lease])
            for beat, alive in zip(beats, live, strict=True)
        ]

    async def update(self, change: UpdateRequest) -> None:
        """Publish what a session is doing. Raises SessionNotFound."""
        project, session = ProjectId(change.project), SessionId(change.session_id)
        for _ in range(TRIES):
            fact = await self.ground.find_session(project, session)
            if fact is None:
                raise SessionNotFound(f"{session} is not live in {project}")
            record = session_rules.updated(fact.record, change, self._clock.wall_ms())
            request, journal = RequestId(change.request_id), await self.ground.journal(project)
            plan = session_rules.plan_update(fact, record, request, journal)
            with contextlib.suppress(PlanAgain):
                if (await self.ground.txn(plan, session)).succeeded:
                    return
        raise Contended(f"{session} is being updated from elsewhere; try again")

    async def tell(
        self, request: RequestId, project: ProjectId, session: SessionId, said: Said
    ) -> None:
        """Lay a message into a session's inbox. Raises SessionNotFound, LimitReached."""
        fact = await self.ground.find_session(project, session)
        if fact is None:
            raise SessionNotFound(f"{session} is not live in {project}")
        prefix = keys.inbox_prefix(project, session)
        inbox = (await self._store.range(prefix, prefix_end(prefix))).kvs
        session_rules.check_room(fact, request, [kv.key for kv in inbox])
        plan_of = partial(session_rules.plan_tell, fact, request, said)
        with contextlib.suppress(SessionEnded):  # while it was told: it needs it no more
            await self.ground.note(project, plan_of)
            _log.info("laid a message into the inbox of %s", session)

    async def end(
        self,
        request: RequestId,
        project: ProjectId,
        session: SessionId,
        lease: LeaseId,
        why: str,
        *,
        last: Sequence[UpdateRequest] = (),
    ) -> None:
        """End a session: one revoke, and all it held is free. Ending twice is no error.

        Where it is not live in ``project``, it may be in others on the ``lease`` that is given.
        ``last`` is what it says of its work in each of its projects.
        """
        fact = await self.ground.find_session(project, session)
        if fact and lease and fact.lease != lease:
            raise NotAllowed(f"{session} lives on another lease than the one given")
        if over := fact.lease if fact else lease:
            facts = self._everywhere(over, fact)
            _check_own(session, facts)
            await asyncio.gather(*(self._note_end(one, request, why, last) for one in facts))
            await self.ground.revoke(over)

    async def end_idle(self, fact: SessionFact) -> bool:
        """End a session that was idle for too long, unless it was active since."""
        project = ProjectId(fact.record.session.project)
        plan_of = partial(session_rules.plan_end_idle, fact, await self._holdings(fact))
        result = await self.ground.note_if_room(project, plan_of)
        if result.succeeded:
            await self._note_elsewhere(project, fact)
            await self.ground.revoke(fact.lease)
        return result.succeeded

    # -- steps of end -------------------------------------------------------------

    def _everywhere(self, lease: LeaseId, fact: SessionFact | None) -> list[SessionFact]:
        """The session in all projects that it is in: its one lease ends it in each of them.

        First what was read of it, if it was; the rest is as it was last seen.
        """
        read = [fact] if fact else []
        known = {one.record.session.project for one in read}
        seen = self._view.of_lease(lease)
        return [*read, *(one for one in seen if one.record.session.project not in known)]

    async def _note_elsewhere(self, project: ProjectId, fact: SessionFact) -> None:
        """An idle session ends in all its projects, with its lease."""
        request = RequestId(f"idle-{fact.record.request_id}")
        for one in self._everywhere(fact.lease, fact)[1:]:
            await self._note_end(one, request, f"it was idle in {project}")

    async def _note_end(
        self, fact: SessionFact, request: RequestId, why: str, last: Sequence[UpdateRequest] = ()
    ) -> None:
        session, held = fact.record.session, await self._holdings(fact)
        record = session_rules.at_end(fact.record, last, self._clock.wall_ms())
        plan_of = partial(session_rules.plan_note_end, fact, request, why, held, record=record)
        try:
            await self.ground.note(ProjectId(session.project), plan_of)
        except StoreFull as error:
            _log.warning("the end of %s is not in history: %s", session.session_id, error)

    async def _holdings(self, fact: SessionFact) -> list[Holding]:
        """What goes with the session, the latest first."""
        session = fact.record.session
        locks = await self._locks_of(ProjectId(session.project), SessionId(session.session_id))
        held = (Holding(lock.record.path, lock.token, lock.record.is_pattern) for lock in locks)
        return sorted(held, key=lambda holding: -holding.token)

    # -- steps of register --------------------------------------------------------

    async def _hold(self, lease: LeaseId, ttl_s: int, *, new: bool) -> int:
        # Where it exists, an earlier try of this very request made it: the id is its own.
        with contextlib.suppress(LeaseExists):
            if new:
                return await self._store.grant(lease, ttl_s)
        left = (await self._store.keep_alive([lease]))[lease]
        if left <= 0:
            raise SessionEnded("the session's lease is over; register it anew")
        return left

    async def _end_leases(self, session: str, leases: Iterable[LeaseId]) -> None:
        """End the leases that a session had. Raises NotAllowed where another lives there."""
        _check_own(session, (one for lease in leases for one in self._view.of_lease(lease)))
        await asyncio.gather(*(self.ground.revoke(lease) for lease in sorted(leases) if lease))

    async def _enter(
        self,
        session: Session,
        request: RequestId,
        lease: LeaseId,
        timeout_ms: int,
        *,
        keep: Keep,
    ) -> SessionFact:
        project = ProjectId(session.project)
        for _ in range(TRIES):
            alias = session_rules.first_free_alias(await self._aliases(project), session.alias)
            now = self._clock.wall_ms()
            record = session_rules.new_record(session, alias, request, timeout_ms, now, keep=keep)
            journal = await self.ground.journal(project, keep.retention_ms)
            plan = session_rules.plan_register(record, lease, journal)
            try:
                result = await self.ground.txn(plan, session.session_id)
            except PlanAgain:
                continue
            outcome = session_rules.read_register(record, lease, result)
            if not isinstance(outcome, AliasTaken):
                return outcome
        raise Contended(f"too many sessions register in {project} at once; try again")

    async def _resume(self, session: Session, fact: SessionFact) -> Registered:
        left = (await self._store.keep_alive([fact.lease]))[fact.lease]
        if left <= 0:
            raise SessionEnded(f"the lease of {session.session_id} is over; register it anew")
        locks = await self._locks_of(ProjectId(session.project), SessionId(session.session_id))
        return Registered(fact.record.session.alias, fact.lease, left, resumed=True, locks=locks)

    async def _aliases(self, project: ProjectId) -> list[str]:
        prefix = keys.alias_prefix(project)
        listing = await self._store.range(prefix, prefix_end(prefix))
        return [keys.parse(kv.key).name for kv in listing.kvs]

    async def _locks_of(self, project: ProjectId, session: SessionId) -> tuple[LockFact, ...]:
        """What a session holds: of what was seen what is there, and what is new since."""
        for _ in range(TRIES):
            seen, known = self._view.held_by(project, session)
            found = await self._store.txn(session_rules.plan_find_holds(project, seen, known))
            # Else it is not the store that was seen, and all that is in it is new.
            if found.revision >= seen:
                return session_rules.read_holds(session, found)
        raise Contended("the store is another one each time that it is read")

    # -- steps of heartbeat -------------------------------------------------------

    async def _live(self, beats: Sequence[Beat]) -> list[bool]:
        live: list[bool] = []
        for start in range(0, len(beats), _CHECKS_PER_TXN):
            part = beats[start : start + _CHECKS_PER_TXN]
            plan = session_rules.plan_check((beat.project, beat.session) for beat in part)
            found = (await self._store.txn(plan)).results
            live += [looks.is_live(op, beat.lease) for beat, op in zip(part, found, strict=True)]
        return live

    async def _publish(self, beat: Beat) -> None:
        """Use is display and idleness only: of a lock, a lost race means it is fresher already."""
        now, seen = self._clock.wall_ms(), self._view.session(beat.project, beat.session)
        if beat.active and seen:
            await self._publish_active(seen.fact, now)
        for name, token in beat.touched:
            if lock := self._view.grant(beat.project, name.key, token):
                await self._try(lock_rules.plan_touch(lock.fact, now))
        for moved in beat.moved:
            lock = self._view.grant(beat.project, moved.name.key, moved.token)
            if lock and (plan := lock_rules.plan_move(lock.fact, moved)):
                await self._try(plan)

    async def _publish_active(self, fact: SessionFact, now_ms: int) -> None:
        """Again where a race is lost: it may be to what others brought about, which says less."""
        for _ in range(TRIES):
            record = session_rules.updated(fact.record, UpdateRequest(), now_ms)
            result = await self._try(session_rules.plan_replace(fact, record))
            if result is None or result.succeeded or not (found := result.results[0].kvs):
                return
            fact = SessionFact.of(found[0])

    async def _try(self, plan: Txn) -> TxnResult | None:
        try:
            return await self._store.txn(plan)
        except LeaseNotFound:
            return None  # the pulse of this beat says that the session is gone
        except Unknown as error:
            # The leases are renewed, which a store without space still does: a beat that
            # failed for this would end what its sessions believe.
            _log.warning("what a session does is not published: %s", error)
            return None


def _check_own(session: str, facts: Iterable[SessionFact]) -> None:
    """See that nobody else lives on a lease that a session names. Raises NotAllowed."""
    if any(fact.record.session.session_id != session for fact in facts):
        raise NotAllowed(f"another session lives on a lease that {session} names")


def _is_its(fact: SessionFact, session: Session, lease: LeaseId, lapsed: LeaseId) -> bool:
    """Whether a session that is live is so on the lease that it believes in. Raises NotAllowed.

    It has one in all its projects: that which it names, if it does. Else the answer which
    told it may be lost, but it is not the one before.
    """
    if fact.record.session.machine_id != session.machine_id:
        raise NotAllowed(f"{session.session_id} belongs to another machine")
    return fact.lease == lease if lease else fact.lease != lapsed


def _lease_of(request: RequestId, session: Session) -> LeaseId:
    """A lease id made from the command's: a repeated register finds its own lease."""
    names = "\0".join((request, session.project, session.session_id))
    digest = hashlib.sha256(names.encode()).digest()
    return LeaseId(int.from_bytes(digest[:8], "big") >> 1 or 1)
