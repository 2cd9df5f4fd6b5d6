"""Ends what is stale now, by conditional deletes, and says what it ended.

Each replica measures idleness on its own clock from when it saw the last change, and
each delete compares the revision it saw, so that two that sweep, or one and a holder,
never undo each other.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from scoord.happenings import Kind
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


class Sweeping:
    """Sweeps the view for idle sessions, locks that are over, and unused turns."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        ground = coordinator.ground
        self._store, self._view, self._clock = ground.store, ground.view, ground.clock

    async def refresh(self, project: str = "") -> Refreshed:
        """Sweep by the store as it is now, not as it was last seen. Raises Unknown.

        Who lists things after it does not find what it ended.
        """
        until = self._clock.now() + CATCH_UP_S
        before = await self._truth(project)
        # Not to the store's own revision: that moves on with history and with other teams,
        # of which the view hears nothing. A delete it has not seen yet costs a try.
        await self._view.caught_up(before.last_change, CATCH_UP_S)
        swept = await self.sweep(project)
        expired = await self._coordinator.farewells.look(project)
        after = await self._truth(project)
        if swept != Swept():
            # What was ended here is not to be seen as if it stood.
            await self._view.caught_up(after.revision, until - self._clock.now())
        return Refreshed(swept, tuple(expired), after)

    async def sweep(self, project: str = "") -> Swept:
        """End every session, lock and claim of ``project`` (empty: of all) that is overdue now."""
        seen = self._view.overdue()
        return Swept(
            await self._end_sessions(seen.sessions, project),
            await self._end_locks(seen, project),
            await self._end_turns(seen.waiters, project),
        )

    async def _end_sessions(
        self, overdue: Iterable[SeenSession], project: str
    ) -> tuple[SessionFact, ...]:
        ended = list[SessionFact]()
        for session in overdue:
            about = session.fact.record.session
            if _is_of(about.project, project) and await self._coordinator.end_idle(session.fact):
                _log.info("ended idle session %s", about.session_id)
                ended.append(session.fact)
        return tuple(ended)

    async def _end_locks(self, seen: Overdue, project: str) -> tuple[SweptLock, ...]:
        ended, locking, now = list[SweptLock](), self._coordinator.locks, self._clock.now()
        ends = [(lock, lock.overdue(now), locking.end_overdue) for lock in seen.locks]
        ends += [(lock, Kind.ORPHANED, locking.end_orphan) for lock in seen.orphans]
        for lock, how, end in ends:
            if how and _is_of(lock.project, project) and await end(lock):
                _log.info("took lock %s of %s away: %s", lock.key, lock.project, how)
                ended.append(SweptLock(lock, how))
        return tuple(ended)

    async def _end_turns(self, overdue: Iterable[SeenWaiter], project: str) -> int:
        ended = 0
        for waiter in overdue:
            if _is_of(waiter.project, project) and await self._coordinator.locks.end_claim(waiter):
                _log.info("a turn at %s of %s was not used", waiter.key, waiter.project)
                ended += 1
        return ended

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


def _is_of(project: str, wanted: str) -> bool:
    return wanted in {"", project}
