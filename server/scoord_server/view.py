"""The in-memory picture of the store, fed by one watch.

It serves lists, streams and the reaper, and knows its age. It decides nothing:
every decision is a transaction. ``picture.py`` has what is in it; here is how it
is kept fresh, and handed on.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from dataclasses import dataclass

from scoord.clock import Clock
from scoord.errors import DeadlineExceeded, Lagging, ScoordError, StoreUnavailable
from scoord.ids import FencingToken, LeaseId, ProjectId, SessionId
from scoord_server.model.facts import LockFact, Room, SessionFact
from scoord_server.past import Past, Span
from scoord_server.picture import Picture
from scoord_server.seen import (
    Change,
    Overdue,
    SeenLock,
    SeenNotice,
    SeenOffer,
    SeenSession,
    SeenWaiter,
    project_of,
)
from scoord_server.store import keys
from scoord_server.store.port import Compacted, Replaced, Store, prefix_end

_log = logging.getLogger(__name__)

YIELD_S = 0.002
QUIET_S = 0.02
"""Where changes come faster than this, the view must keep up instead."""

_RETRY_S = 0.5
_LISTING_S = (0.0, 3.0, 10.0, 30.0)
"""How long a listing may take: at first as long as any call, since of several members one
may stand still, and more each time that it was not enough. A large store takes seconds."""
_LOOK_AGAIN_S = 0.005
_SUBSCRIBER_BACKLOG = 10_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All there is at one revision."""

    revision: int
    sessions: tuple[SeenSession, ...]
    locks: tuple[SeenLock, ...]
    waiters: tuple[SeenWaiter, ...]
    notices: tuple[SeenNotice, ...]
    offers: tuple[SeenOffer, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """Changes of whole revisions; none, when it only says that nothing was missed."""

    revision: int
    changes: tuple[Change, ...] = ()
    picture: Snapshot | None = None
    """All there is, where something may have come and gone that no change tells of."""


Backlog = asyncio.Queue[Step | None]
"""What a subscriber has not taken yet; None when it is cut off."""


@dataclass(slots=True, eq=False)
class _Subscriber:
    """Who is handed steps: all, or those of one project, and of the rest one now and then."""

    project: str
    every_s: float
    backlog: Backlog
    handed_at: float = float("-inf")

    def wants(self, step: Step, about: Collection[str], now: float) -> bool:
        """Whether it is handed a step, which is ``about`` some projects."""
        if not self.project or self.project in about or not step.changes or step.picture:
            return True
        return now - self.handed_at >= self.every_s


class View:
    """What this replica has seen of the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._picture = Picture(clock)
        self._revision = 0
        self._late = 0
        """How many listings in a row did not come in time."""
        self._heard_at: float | None = None
        self._newest: Snapshot | None = None
        """The picture as it is, if somebody asked for it: one for all who ask."""
        self.past = Past()
        """Between which revisions the store was when, as far as is known here."""
        # In the order they came; a set's order would differ from run to run.
        self._subscribers: dict[_Subscriber, None] = {}
        self._is_closing = False

    def age_s(self) -> float:
        """Seconds since the store was last heard; infinite before the first time."""
        return float("inf") if self._heard_at is None else self._clock.now() - self._heard_at

    def snapshot(self) -> Snapshot:
        """All there is. Raises StoreUnavailable before the first load."""
        if self._heard_at is None:
            raise _not_loaded()
        if self._newest is None:
            self._newest = self._taken_at(self._revision)
        return self._newest

    def overdue(self) -> Overdue:
        """What may be ended now. Raises StoreUnavailable before the first load."""
        if self._heard_at is None:
            raise _not_loaded()
        return self._picture.overdue(self._clock.now())

    def session(self, project: ProjectId, session: SessionId) -> SeenSession | None:
        """A live session, as last seen."""
        return self._picture.session(project, session)

    def of_lease(self, lease: LeaseId) -> tuple[SessionFact, ...]:
        """The sessions that live on ``lease``, one for each project, as last seen."""
        facts = (seen.fact for seen in self._picture.sessions())
        return tuple(fact for fact in facts if fact.lease == lease)

    def retention_ms(self, project: str) -> int:
        """How long the live sessions of a project ask history to be kept; 0 where none does."""
        records = (seen.fact.record for seen in self._picture.sessions())
        asked = (r.retention_ms for r in records if r.session.project == project)
        return max(asked, default=0)

    async def caught_up(self, revision: int, within_s: float) -> bool:
        """Wait until all up to ``revision`` is seen; False when that is not so in time."""
        until = self._clock.now() + within_s
        while self._revision < revision:
            if self._clock.now() >= until:
                return False
            await asyncio.sleep(_LOOK_AGAIN_S)
        return True

    @property
    def revision(self) -> int:
        """Up to which revision all is seen."""
        return self._revision

    def revisions(self, ago_s: float) -> Span:
        """Between which revisions the store was so long ago, as far as is known here."""
        return self.past.span(self._clock.now() - ago_s)

    def grant(self, project: ProjectId, key: str, token: FencingToken) -> SeenLock | None:
        """The grant of a path or pattern that ``token`` names, as last seen."""
        return self._picture.grant(project, key, token)

    def hold(self, store_key: bytes) -> SeenLock | None:
        """The grant that is kept under ``store_key``, as last seen."""
        return self._picture.hold(store_key)

    def held_by(self, project: ProjectId, session: SessionId) -> tuple[int, tuple[LockFact, ...]]:
        """What a session holds, and the revision up to which this is all that can be read."""
        facts = (seen.fact for seen in self._picture.locks() if seen.project == project)
        return self._revision, tuple(fact for fact in facts if fact.claimant.session == session)

    def reckoned(self, project: ProjectId, fact: LockFact) -> SeenLock:
        """A grant that was just read, with when it was made."""
        return self._picture.reckoned(project, fact)

    def turn(self, store_key: bytes) -> SeenWaiter | None:
        """The place that is kept under ``store_key``, as last seen."""
        return self._picture.waiter(store_key)

    def reservations(self, project: ProjectId) -> tuple[int, tuple[LockFact, ...]]:
        """The patterns held in a project, and the revision up to which these are all."""
        seen = self._picture.whole_until(project, self._revision)
        return seen, self._picture.reservations(project)

    def everything(self, project: ProjectId) -> Room:
        """All grants of a project, and all places in its queues, as last seen."""
        seen = self._picture.whole_until(project, self._revision)
        return Room(seen, *self._picture.everything(project))

    def forget(self) -> None:
        """Know nothing, as before the first load: the store is not the one that was seen.

        What is compared with the revision that was seen would hold of all that is new in it.
        With 0, and nothing, only that holds which is so.
        """
        self._picture = Picture(self._clock)
        self._revision, self._heard_at, self._newest = 0, None, None
        self.past.forget()

    async def run(self) -> None:
        """Follow the store until cancelled. Every failure is tried again."""
        while True:
            try:
                await self._load()
                await self._follow()
            except Replaced as other:
                _log.warning("all that was seen is gone, listing anew: %s", other)
                self.forget()
            except Compacted as gone:
                _log.warning("watch history is gone, listing anew: %s", gone)
            except ScoordError as error:
                _log.warning("the view lost its store, trying again: %s", error)
                await asyncio.sleep(_RETRY_S)

    @contextlib.contextmanager
    def _subscription(self, project: str, every_s: float) -> Iterator[Backlog]:
        one = _Subscriber(project, every_s, asyncio.Queue(_SUBSCRIBER_BACKLOG))
        self._subscribers[one] = None
        try:
            yield one.backlog
        finally:
            self._subscribers.pop(one, None)

    async def subscribe(
        self, project: str = "", every_s: float = 0.0
    ) -> AsyncGenerator[Snapshot | Step, None]:
        """The picture now, then every step after it. Raises Lagging when too slow, or at the end.

        Steps that have come since the last one was taken come as one. A new picture
        comes where steps are missing, the same for all, and then the steps after it.
        For one ``project``, of steps that are about others one in ``every_s`` comes.
        """
        with self._subscription(project, every_s) as queue:
            yield self.snapshot()
            while (steps := await self._next(queue)) is not None:
                for step in steps:
                    yield step
        if self._is_closing:
            raise Lagging("the coordinator is stopping; watch another one")
        raise Lagging("the subscriber fell too far behind; start over")

    def hang_up(self) -> None:
        """End every subscription, so that a draining server is left at once."""
        self._is_closing = True
        for one in tuple(self._subscribers):
            self._cut_off(one)

    async def _load(self) -> None:
        root = keys.root_prefix()
        within_s = _LISTING_S[min(self._late, len(_LISTING_S) - 1)]
        try:
            listing = await self._store.range(root, prefix_end(root), within_s=within_s)
        except DeadlineExceeded:
            self._late += 1
            raise
        self._late = 0
        if listing.revision < self._revision:
            self.forget()
        changes = tuple(self._picture.load(listing.kvs))
        self._advance(Step(listing.revision, changes, self._taken_at(listing.revision)))

    async def _follow(self) -> None:
        root = keys.root_prefix()
        async with contextlib.aclosing(self._store.watch(root, self._revision + 1)) as batches:
            async for batch in batches:
                # Nobody waits for the view, but commands wait for this process: the
                # answer of the one that caused this batch goes out first.
                if self.age_s() > QUIET_S:
                    await asyncio.sleep(YIELD_S)
                if self._heard_at is None:  # forgotten: this may still be of the one before
                    raise Replaced(batch.revision)
                self._advance(Step(batch.revision, tuple(self._picture.apply(batch.events))))

    def _advance(self, step: Step) -> None:
        self._revision, self._newest = step.revision, step.picture
        self._heard_at = self._clock.now()
        self.past.seen(self._heard_at, step.revision)
        about = {project_of(change) for change in step.changes}
        for one in tuple(self._subscribers):
            if one.wants(step, about, self._heard_at):
                self._hand(one, step)

    def _hand(self, one: _Subscriber, step: Step) -> None:
        one.handed_at = self._clock.now()
        try:
            one.backlog.put_nowait(step)
        except asyncio.QueueFull:
            self._cut_off(one)

    def _taken_at(self, revision: int) -> Snapshot:
        seen = self._picture
        return Snapshot(
            revision,
            seen.sessions(),
            seen.locks(),
            seen.waiters(),
            seen.notices(),
            seen.offers(),
        )

    async def _next(self, queue: Backlog) -> Sequence[Snapshot | Step] | None:
        """All that has come; None when the subscriber is cut off."""
        steps = [await queue.get()]
        while not queue.empty():
            steps.append(queue.get_nowait())
        whole = [step for step in steps if step is not None]
        if len(whole) < len(steps):
            return None
        return self._joined(whole)

    def _joined(self, steps: Sequence[Step]) -> Sequence[Snapshot | Step]:
        """``steps`` as one; where one has a picture, only that tells all there was by then.

        A lock that was granted and lost while the view did not follow is in no change,
        and its holder would believe in it for ever.
        """
        picture, later = None, list[Step]()
        for step in steps:
            if step.picture:
                picture, later = step.picture, []
            else:
                later.append(step)
        changes = tuple(change for step in later for change in step.changes)
        joined = [Step(later[-1].revision, changes)] if later else []
        return [picture, *joined] if picture else joined

    def _cut_off(self, one: _Subscriber) -> None:
        self._subscribers.pop(one, None)
        while not one.backlog.empty():
            one.backlog.get_nowait()
        one.backlog.put_nowait(None)


def _not_loaded() -> StoreUnavailable:
    return StoreUnavailable("the coordinator has not read its store yet; try again")
