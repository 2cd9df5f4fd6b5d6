"""Ends what is stale now, by conditional deletes, and says what it ended.

Each replica measures idleness on its own clock from when it saw the last change, and
each delete compares the revision it saw, so that two that sweep, or one and a holder,
never undo each other.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from scoord.bounded import MOST_SAID, Once
from scoord.errors import Unknown
from scoord.happenings import Kind
from scoord.ids import LeaseId
from scoord.v1.records_pb2 import SessionRecord
from scoord_server.coordinator import Coordinator
from scoord_server.model.facts import SessionFact
from scoord_server.seen import Overdue, SeenLock, SeenSession, SeenWaiter
from scoord_server.store import keys
from scoord_server.store.port import prefix_end

_log = logging.getLogger(__name__)

CATCH_UP_S = 0.5
"""How long a view may need to see what the store had a moment ago, in all.

Well below any rpc_timeout: what others write into the same etcd it sees only now and then.
"""

WORK_S = 0.7
"""How long what is over is worked off while somebody waits for it: below any rpc_timeout, too."""

SWEEP_S = 1.0
"""How long a sweep that nobody waits for goes on. What else the reaper does waits for it, and
so does a lock whose time is over meanwhile."""

AT_ONCE = 16
"""Ends that are under way at the same time: a store takes several in one step."""

_NOT_ENDED = "what is at %r is over and is not ended; each sweep tries again: %s"


@dataclass(frozen=True, slots=True)
class SweptLock:
    """A lock that was taken away, and why: idle, lasted or orphaned."""

    lock: SeenLock
    how: Kind


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep ended."""

    sessions: tuple[SessionFact, ...] = ()
    """Idle for too long."""
    locks: tuple[SweptLock, ...] = ()
    turns: int = 0
    """Waiters that did not use theirs."""


@dataclass(frozen=True, slots=True)
class Truth:
    """How much there is, by the store itself, at a revision."""

    revision: int
    last_change: int
    """At what revision any of it was last put; 0 when there is nothing."""
    sessions: int
    held: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A sweep that was asked for, and what there is after it."""

    swept: Swept
    expired: tuple[SessionRecord, ...]
    truth: Truth


Ended = SessionFact | SweptLock | SeenWaiter


@dataclass(frozen=True, slots=True)
class End:
    """The end of one thing."""

    at: bytes
    """Its key in the store."""
    since: int
    """The revision that it was made at: what is at its key later is another thing."""
    carry_out: Callable[[], Awaitable[Sequence[Ended]]]
    """Ends it, if it is still as it was seen; what was ended."""


class Sweeping:
    """Sweeps the view for idle sessions, locks that are over, and unused turns."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        ground = coordinator.ground
        self._store, self._view, self._clock = ground.store, ground.view, ground.clock
        self._failed = Once[tuple[bytes, int]](MOST_SAID)
        """Which ends fail, by what they are the ends of."""
        self._causes = Once[str](MOST_SAID)
        """Why they do."""

    async def refresh(self, project: str = "") -> Refreshed:
        """Sweep by the store as it is now, not as it was last seen. Raises Unknown.

        Who lists things after it does not find what it ended.
        """
        until = self._clock.now() + CATCH_UP_S
        before = await self._truth(project)
        # Not to the store's own revision: that moves on with history and with other teams,
        # of which the view hears nothing. A delete it has not seen yet costs a try.
        await self._view.caught_up(before.last_change, CATCH_UP_S)
        end_by = self._clock.now() + WORK_S
        swept = await self.sweep(project, WORK_S)
        left_s = max(0.0, end_by - self._clock.now())
        expired = await self._coordinator.farewells.look(project, left_s)
        after = await self._truth(project)
        if swept != Swept():
            # What was ended here is not to be seen as if it stood.
            await self._view.caught_up(after.revision, until - self._clock.now())
        return Refreshed(swept, tuple(expired), after)

    async def sweep(self, project: str = "", within_s: float = SWEEP_S) -> Swept:
        """End every session, lock and claim of ``project`` (empty: of all) that is overdue now.

        What is not begun ``within_s`` is for the next sweep, behind what is more urgent then.
        """
        until, ended = self._clock.now() + within_s, list[Ended]()
        for ends in self._ends(self._view.overdue(), project):
            ended += await self._carry_out(ends, until)
        return Swept(
            tuple(one for one in ended if isinstance(one, SessionFact)),
            tuple(one for one in ended if isinstance(one, SweptLock)),
            sum(isinstance(one, SeenWaiter) for one in ended),
        )

    def _ends(self, seen: Overdue, project: str) -> tuple[list[End], ...]:
        """The ends of these, the most urgent kind first: the end of a time that was asked for."""
        locks = _due(seen, self._clock.now(), project)
        turns = [waiter for waiter in seen.waiters if _is_of(waiter.project, project)]
        return (
            [self._of_lock(lock, how) for lock, how in locks if how == Kind.LASTED],
            [self._of_turn(waiter) for waiter in turns],
            [self._of_lock(lock, how) for lock, how in locks if how != Kind.LASTED],
            [self._of_sessions(some) for some in _by_lease(seen.sessions, project)],
        )

    def _of_lock(self, lock: SeenLock, how: Kind) -> End:
        return End(lock.fact.key, lock.fact.token, partial(self._end_lock, lock, how))

    def _of_turn(self, waiter: SeenWaiter) -> End:
        fact = waiter.fact
        return End(fact.key, fact.create_revision, partial(self._end_turn, waiter))

    def _of_sessions(self, on_one_lease: Sequence[SessionFact]) -> End:
        """One after the other: the first ends the rest, with their lease, and says so."""
        ends = [self._of_session(fact) for fact in on_one_lease]
        return replace(ends[0], carry_out=partial(self._in_turn, ends))

    def _of_session(self, fact: SessionFact) -> End:
        at = keys.session(fact.record.session.project, fact.session_id)
        return End(at, fact.create_revision, partial(self._end_session, fact))

    async def _carry_out(self, ends: Sequence[End], until: float) -> list[Ended]:
        """Some at a time, and the first of them in any case; what was ended."""
        ended = list[Ended]()
        for start in range(0, len(ends), AT_ONCE):
            if start and self._clock.now() >= until:
                _log.info("%d ends are left for the next sweep", len(ends) - start)
                break
            some = await asyncio.gather(*map(self._singly, ends[start : start + AT_ONCE]))
            ended += chain.from_iterable(some)
        return ended

    async def _in_turn(self, ends: Iterable[End]) -> list[Ended]:
        return [one for end in ends for one in await self._singly(end)]

    async def _singly(self, end: End) -> Sequence[Ended]:
        """Carry one end out. What is wrong with it keeps no other from being carried out."""
        try:
            return await end.carry_out()
        except Unknown:
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it is of this one end)
            if self._failed.is_new((end.at, end.since)):
                why = repr(error)  # where in the program, the first of a thousand alike says
                _log.error(_NOT_ENDED, end.at, why, exc_info=self._causes.is_new(why))
            return ()

    async def _end_session(self, fact: SessionFact) -> list[Ended]:
        if not await self._coordinator.end_idle(fact):
            return []
        _log.info("ended idle session %s", fact.session_id)
        return [fact]

    async def _end_lock(self, lock: SeenLock, how: Kind) -> list[Ended]:
        locking = self._coordinator.locks
        end = locking.end_orphan if how == Kind.ORPHANED else locking.end_overdue
        if not await end(lock):
            return []
        _log.info("took lock %s of %s away: %s", lock.key, lock.project, how)
        return [SweptLock(lock, how)]

    async def _end_turn(self, waiter: SeenWaiter) -> list[Ended]:
        if not await self._coordinator.locks.end_claim(waiter):
            return []
        _log.info("a turn at %s of %s was not used", waiter.key, waiter.project)
        return [waiter]

    async def _truth(self, project: str) -> Truth:
        """Read the store itself; what is there is counted, not looked into."""
        prefix = keys.project_prefix(project) if project else keys.root_prefix()
        listing = await self._store.range(prefix, prefix_end(prefix))
        kinds = Counter(keys.parse(kv.key).kind for kv in listing.kvs)
        return Truth(
            revision=listing.revision,
            last_change=max((kv.mod_revision for kv in listing.kvs), default=0),
            sessions=kinds[keys.SESSIONS],
            held=sum(kinds[kind] for kind in keys.HOLDS),
            waiting=kinds[keys.QUEUE],
        )


def _due(seen: Overdue, now: float, project: str) -> list[tuple[SeenLock, Kind]]:
    """The locks to take away, and why.

    What is idle as its whole session is goes with that, in one step, when its turn comes.
    """
    sessions = (one.fact.record.session for one in seen.sessions)
    going = {(session.project, session.session_id) for session in sessions}
    due = [(lock, lock.overdue(now)) for lock in seen.locks]
    due += [(lock, Kind.ORPHANED) for lock in seen.orphans]
    return [
        (lock, how)
        for lock, how in due
        if how and _is_of(lock.project, project)
        if how == Kind.LASTED or (lock.project, lock.fact.record.holder.session_id) not in going
    ]


def _by_lease(overdue: Iterable[SeenSession], project: str) -> Iterable[list[SessionFact]]:
    """The sessions of ``project``, those on one lease together: one in several projects has one."""
    of_lease = dict[LeaseId, list[SessionFact]]()
    for fact in (one.fact for one in overdue):
        if _is_of(fact.record.session.project, project):
            of_lease.setdefault(fact.lease, []).append(fact)
    return of_lease.values()


def _is_of(project: str, wanted: str) -> bool:
    return wanted in {"", project}
