"""What one replica has seen of the store, change by change. No I/O.

It answers who holds what, who waits, and whose turn it is; ``seen.py`` has the answers.

A value that cannot be read, as a newer program may have written it, is left out
and said once: one strange key must not end the picture of all others. Of a grant is
remembered since when there is one: nothing beside it is granted by this picture alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from google.protobuf.message import DecodeError

from scoord.clock import Clock
from scoord.ids import FencingToken, ProjectId, SessionId
from scoord.patterns import matches
from scoord.v1.records_pb2 import NoticeRecord, OfferRecord, TraceRecord
from scoord_server.at_path import AtPath
from scoord_server.model import conflicts
from scoord_server.model.facts import LockFact, Room, SessionFact, WaiterFact
from scoord_server.seen import (
    Change,
    LockGone,
    OfferGone,
    Overdue,
    SeenLock,
    SeenNotice,
    SeenOffer,
    SeenSession,
    SeenWaiter,
    SessionGone,
    Turn,
    WaiterGone,
    granted_at,
)
from scoord_server.store import keys
from scoord_server.store.port import Event, KeyValue
from scoord_server.store.readable import readable, say_unreadable

Place = tuple[str, str]
"""A project, and the key of a path in it."""


class Picture:
    """Sessions, grants, queues and notices, as last seen."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[Place, SeenSession] = {}
        self._paths: dict[Place, AtPath] = {}
        self._reservations: dict[str, dict[bytes, SeenLock]] = {}
        self._notices: dict[bytes, SeenNotice] = {}
        self._offers: dict[bytes, SeenOffer] = {}
        self._unread: dict[bytes, tuple[str, int]] = {}
        """The grants that cannot be read: their projects, and their modification revisions."""
        self._touched: dict[Place, None] = {}
        self._granted: list[SeenLock] = []
        self._gone: list[SeenLock] = []

    # -- what there is ------------------------------------------------------------

    def sessions(self) -> tuple[SeenSession, ...]:
        """All live sessions."""
        return tuple(self._sessions.values())

    def locks(self) -> tuple[SeenLock, ...]:
        """All grants, of paths and of patterns."""
        of_paths = (seen for path in self._paths.values() for seen in path.holds.values())
        of_patterns = (seen for some in self._reservations.values() for seen in some.values())
        return (*of_paths, *of_patterns)

    def waiters(self) -> tuple[SeenWaiter, ...]:
        """All places in all queues, those of one path in order."""
        return tuple(
            replace(waiter, place=place, shown=path.shown)
            for path in self._paths.values()
            for waiter, place in zip(
                path.queue(), conflicts.places(path.queue_facts()), strict=True
            )
        )

    def notices(self) -> tuple[SeenNotice, ...]:
        """All that sessions are to be told."""
        return tuple(self._notices.values())

    def overdue(self, now: float) -> Overdue:
        """What may be ended at ``now``. Most of the time that is nothing."""
        locks = self.locks()
        waiters = (waiter for path in self._paths.values() for waiter in path.waiters.values())
        return Overdue(
            tuple(seen for seen in self._sessions.values() if seen.is_overdue(now)),
            tuple(seen for seen in locks if seen.overdue(now)),
            tuple(seen for seen in locks if self._is_orphan(seen)),
            tuple(waiter for waiter in waiters if waiter.is_overdue(now)),
        )

    def _is_orphan(self, lock: SeenLock) -> bool:
        return (lock.project, lock.fact.record.holder.session_id) not in self._sessions

    def offers(self) -> tuple[SeenOffer, ...]:
        """All work that is kept for somebody."""
        return tuple(self._offers.values())

    def session(self, project: str, session: str) -> SeenSession | None:
        """A live session."""
        return self._sessions.get((project, session))

    def grant(self, project: str, key: str, token: FencingToken) -> SeenLock | None:
        """The grant of a path or pattern that ``token`` names."""
        path = self._paths.get((project, key))
        patterns = self._reservations.get(project, {}).values()
        seen = (*(path.holds.values() if path else ()), *(p for p in patterns if p.key == key))
        return next((lock for lock in seen if lock.fact.token == token), None)

    def hold(self, store_key: bytes) -> SeenLock | None:
        """The grant that is kept under ``store_key``."""
        parsed = keys.parse(store_key)
        if parsed.kind == keys.RESERVATIONS:
            return self._reservations.get(parsed.project, {}).get(store_key)
        path = self._paths.get((parsed.project, parsed.name))
        return path.holds.get(store_key) if path else None

    def reckoned(self, project: str, fact: LockFact) -> SeenLock:
        """A grant that was read, with when it was made: as it was seen, else as it says."""
        seen, now = self.hold(fact.key), self._now()
        if seen and seen.is_of(fact):
            return replace(seen, fact=fact)
        made_at = granted_at(fact.record, now, self._clock.wall_ms())
        return SeenLock(ProjectId(project), keys.parse(fact.key).name, fact, made_at, now)

    def waiter(self, store_key: bytes) -> SeenWaiter | None:
        """The place that is kept under ``store_key``."""
        parsed = keys.parse(store_key)
        path = self._paths.get((parsed.project, parsed.name))
        return path.waiters.get(store_key) if path else None

    def reservations(self, project: str) -> tuple[LockFact, ...]:
        """The patterns that are held."""
        return tuple(seen.fact for seen in self._reservations.get(project, {}).values())

    def everything(self, project: str) -> tuple[tuple[LockFact, ...], tuple[WaiterFact, ...]]:
        """All grants of a project, and all places in its queues, those of one path in order."""
        paths = (path for at, path in self._paths.items() if at[0] == project)
        holds = (seen.fact for seen in self.locks() if seen.project == project)
        return tuple(holds), tuple(fact for path in paths for fact in path.queue_facts())

    def whole_until(self, project: str, revision: int) -> int:
        """Up to which revision, at most this one, all grants of a project are in the picture."""
        unread = (at - 1 for of, at in self._unread.values() if of == project)
        return min((revision, *unread))

    # -- what changes -------------------------------------------------------------

    def apply(self, events: Iterable[Event]) -> list[Change]:
        """Take whole revisions in; what they changed, in order."""
        events = tuple(events)
        traces, changes = _traces(events), list[Change]()
        for _, of_revision in groupby(events, key=lambda event: event.kv.mod_revision):
            for event in of_revision:
                change = self._drop(event.kv.key, traces) if event.deleted else self._put(event.kv)
                changes += [change] if change else []
            self._end_turns_behind()
        return [*map(self._completed, changes), *self._asked_anew(), *self._turns()]

    def load(self, kvs: Iterable[KeyValue]) -> list[Change]:
        """Begin anew from a listing; what vanished while nobody watched is told too."""
        kvs = tuple(kvs)
        gone = list(self._forget_missing({kv.key for kv in kvs}))
        changes = [change for kv in kvs if (change := self._put(kv, listed=True))]
        return [*gone, *changes, *self._turns()]

    def _put(self, kv: KeyValue, *, listed: bool = False) -> Change | None:
        parsed = keys.parse(kv.key)
        self._unread.pop(kv.key, None)
        try:
            return self._see(kv, parsed, listed=listed)
        except DecodeError:
            say_unreadable(kv)
            if parsed.kind in keys.HOLDS:
                self._unread[kv.key] = parsed.project, kv.mod_revision
                self._touch((parsed.project, parsed.name), parsed.kind)
            return None

    def _see(self, kv: KeyValue, parsed: keys.ParsedKey, *, listed: bool) -> Change | None:
        place, project, now = (parsed.project, parsed.name), ProjectId(parsed.project), self._now()
        match parsed.kind:
            case keys.SESSIONS:
                return self._see_session(place, SeenSession(SessionFact.of(kv), now))
            case keys.QUEUE:
                waiter = SeenWaiter(project, parsed.name, WaiterFact.of(kv))
                return self._see_waiter(place, waiter, listed=listed)
            case keys.INBOX:
                record = NoticeRecord.FromString(kv.value)
                notice = SeenNotice(project, SessionId(parsed.name), parsed.rest[0], record)
                return self._notices.setdefault(kv.key, notice)
            case keys.OFFERS:
                offer = OfferRecord.FromString(kv.value)
                seen = SeenOffer(project, parsed.name, parsed.rest[0], offer)
                self._offers[kv.key] = seen
                return seen
            case kind if kind in keys.HOLDS:
                return self._see_lock(place, LockFact.of(kv), kind, listed=listed)
        return None

    def _see_session(self, place: Place, seen: SeenSession) -> SeenSession | None:
        before = self._sessions.get(place)
        if before and before.fact.mod_revision == seen.fact.mod_revision:
            return None
        if before and not _is_active(before.fact, seen.fact):
            seen = replace(seen, seen_at=before.seen_at)
        self._sessions[place] = seen
        return seen

    def _see_lock(
        self, place: Place, fact: LockFact, kind: str, *, listed: bool
    ) -> SeenLock | None:
        holds, now = self._holds_at(place, kind), self._now()
        before = holds.get(fact.key)
        if before and before.fact.mod_revision == fact.mod_revision:
            return None
        seen = self.reckoned(place[0], fact)
        same = before if before and before.is_of(fact) else None
        used_at = same.used_at if same and not _is_used(same.fact, fact) else now
        # What is made while we follow is made now, whatever the clock of who made it shows.
        made_at = seen.granted_at if same or listed else now
        holds[fact.key] = replace(seen, granted_at=made_at, used_at=used_at)
        if not (listed or (same and same.fact.claimant == fact.claimant)):
            self._granted.append(holds[fact.key])
        self._touch(place, kind)
        return holds[fact.key]

    def _see_waiter(self, place: Place, seen: SeenWaiter, *, listed: bool) -> SeenWaiter | None:
        path = self._paths.setdefault(place, AtPath())
        waiters, who = path.waiters, seen.fact.claimant
        before = waiters.get(seen.fact.key)
        is_new = before is None or before.fact.create_revision != seen.fact.create_revision
        # Whether a turn went on while nobody watched is not known: it begins anew.
        turn_at = None if before is None or is_new or listed else before.turn_at
        waiters[seen.fact.key] = replace(seen, turn_at=turn_at)
        self._touched[place] = None
        if before is None or is_new:
            return seen
        if before.fact.claimant == who:
            return None
        # Who wants to write now, and wanted to share, waits for more.
        path.interrupt(who, behind=seen.fact.create_revision)
        return replace(seen, again=True)

    def _completed(self, change: Change) -> Change:
        """Add what only the whole batch tells."""
        match change:
            case SeenWaiter():
                return self._with_holders(change)
            case LockGone(last, None):
                return replace(change, taken=self._is_missed(last))
        return change

    def _is_missed(self, lost: SeenLock) -> bool:
        """Whether a grant is gone, though its session lives on the lease that it was on.

        A share that its holder made exclusive is not: that is still held, as far as it was,
        or was given back in the same batch. Nor is what a subagent took over together with
        other branches.
        """
        fact, place = lost.fact, (lost.project, lost.key)
        session = self._sessions.get((lost.project, fact.record.holder.session_id))
        holds = self._paths[place].holds.values() if place in self._paths else ()
        came = (seen for seen in self._granted if (seen.project, seen.key) == place)
        later = (now.fact for now in (*holds, *came) if now.fact.token >= fact.token)
        kept = any(fact.claimant.gives_way_to(it.claimant) for it in later if it.key != fact.key)
        return session is not None and session.fact.lease == fact.lease and not kept

    def _with_holders(self, change: SeenWaiter) -> SeenWaiter:
        """Add whom a new waiter waits for."""
        path = self._paths.get((change.project, change.key), AtPath())
        who = change.fact.claimant
        covering = conflicts.covering(self.reservations(change.project), change.key)
        facts = (*(seen.fact for seen in path.holds.values()), *covering)
        holders = tuple(fact.record.holder for fact in facts if fact.claimant.excludes(who))
        return replace(change, holders=holders, shown=path.shown)

    def _drop(self, key: bytes, traces: dict[Place, list[TraceRecord]]) -> Change | None:
        parsed = keys.parse(key)
        place = (parsed.project, parsed.name)
        self._unread.pop(key, None)
        if parsed.kind == keys.SESSIONS and (session := self._sessions.pop(place, None)):
            return SessionGone(session.fact)
        if parsed.kind == keys.INBOX:
            self._notices.pop(key, None)
        if parsed.kind == keys.OFFERS and (offer := self._offers.pop(key, None)):
            return OfferGone(offer)
        if parsed.kind == keys.QUEUE and place in self._paths:
            waiter = self._paths[place].waiters.pop(key, None)
            self._touched[place] = None
            return WaiterGone(waiter) if waiter else None
        if parsed.kind in keys.HOLDS:
            lock = self._holds_at(place, parsed.kind).pop(key, None)
            self._touch(place, parsed.kind)
            if lock is None:
                return None
            self._gone.append(lock)
            return LockGone(lock, _of_grant(traces.get(place, []), lock.fact.token))
        return None

    def _end_turns_behind(self) -> None:
        """End the turns that are none without what has just gone, if only for a moment.

        Those ahead of them waited for what their own session had by that.
        """
        gone, self._gone = self._gone, []
        for at in dict.fromkeys(at for lock in gone for at in self._waited_for_in(lock)):
            path = self._paths[at]
            if any(waiter.turn_at is not None for waiter in path.waiters.values()):
                path.end_turns(except_of=self._ready(at, path))

    def _forget_missing(self, present: set[bytes]) -> Iterator[Change]:
        """What vanished while nobody watched: after compaction no event tells of it."""
        for key in (*self._known_keys(),):
            if key not in present and (change := self._drop(key, {})):
                yield change

    def _known_keys(self) -> Iterator[bytes]:
        for project, session in self._sessions:
            yield keys.session(project, session)
        for path in self._paths.values():
            yield from (*path.holds, *path.waiters)
        for reservations in self._reservations.values():
            yield from reservations
        yield from self._notices
        yield from self._offers
        yield from self._unread

    # -- who is asked ---------------------------------------------------------------

    def _asked_anew(self) -> Iterator[SeenWaiter]:
        """Those who wait for what was just granted: who has it now was not told of them."""
        granted, self._granted = self._granted, []
        for lock in granted:
            for at in self._waited_for_in(lock):
                self._paths[at].interrupt(lock.fact.claimant)
                yield from self._paths[at].kept_out(lock)

    def _waited_for_in(self, lock: SeenLock) -> list[Place]:
        """The paths of a grant that somebody waits for."""
        record, at = lock.fact.record, (lock.project, lock.key)
        if not record.is_pattern:
            return [at] if at in self._paths else []
        mine = (at for at, path in self._paths.items() if at[0] == lock.project and path.waiters)
        return [at for at in mine if matches(record.path, at[1])]

    # -- turns --------------------------------------------------------------------

    def _turns(self) -> Iterator[Turn]:
        """Those whose turn has come by what has just changed; each once."""
        touched, self._touched = self._touched, {}
        for place in touched:
            path = self._paths.setdefault(place, AtPath())
            if path.waiters:
                yield from self._turns_at(place, path)
            elif not path.holds:
                del self._paths[place]

    def _turns_at(self, place: Place, path: AtPath) -> Iterator[Turn]:
        ready = self._ready(place, path)
        path.end_turns(except_of=ready)
        for key, seen in path.waiters.items():
            if key in ready and seen.turn_at is None:
                path.waiters[key] = replace(seen, turn_at=self._now())
                yield Turn(path.waiters[key])

    def _ready(self, place: Place, path: AtPath) -> set[bytes]:
        """The places of those whom nothing keeps from a path as it is."""
        if self._may_be_kept(place):
            return set()
        room = Room(0, tuple(s.fact for s in path.holds.values()), path.queue_facts())
        return {w.key for w in conflicts.turns(room, self.reservations(place[0]), place[1])}

    def _may_be_kept(self, place: Place) -> bool:
        """Whether what cannot be read may be in the way at a path: nothing is granted there."""
        unread = (of for of in map(keys.parse, self._unread) if of.project == place[0])
        return any(of.kind == keys.RESERVATIONS or of.name == place[1] for of in unread)

    def _touch(self, place: Place, kind: str) -> None:
        """Note whose turn may have come: behind a pattern, anybody's of its project."""
        if kind != keys.RESERVATIONS:
            self._touched[place] = None
            return
        waited_for = (at for at, path in self._paths.items() if at[0] == place[0] and path.waiters)
        self._touched.update(dict.fromkeys(waited_for))

    def _holds_at(self, place: Place, kind: str) -> dict[bytes, SeenLock]:
        if kind == keys.RESERVATIONS:
            return self._reservations.setdefault(place[0], {})
        return self._paths.setdefault(place, AtPath()).holds

    def _now(self) -> float:
        return self._clock.now()


def _is_active(before: SessionFact, after: SessionFact) -> bool:
    """Whether a change of a session is something that it did; else others brought it about."""
    is_same = before.create_revision == after.create_revision
    return not is_same or before.record.active_unix_ms != after.record.active_unix_ms


def _is_used(before: LockFact, after: LockFact) -> bool:
    """Whether a change of a grant is a use of it; else its holder has moved to another commit."""
    return before.record.touched_unix_ms != after.record.touched_unix_ms


def _traces(events: tuple[Event, ...]) -> dict[Place, list[TraceRecord]]:
    """A grant and the trace of its end change in one transaction, so in one batch."""
    found: dict[Place, list[TraceRecord]] = {}
    left = (event.kv for event in events if not event.deleted and _is_trace(event.kv))
    for place, record in readable(_trace, left):
        found.setdefault(place, []).append(record)
    return found


def _is_trace(kv: KeyValue) -> bool:
    return keys.parse(kv.key).kind in keys.LEFT


def _trace(kv: KeyValue) -> tuple[Place, TraceRecord]:
    parsed = keys.parse(kv.key)
    return (parsed.project, parsed.name), TraceRecord.FromString(kv.value)


def _of_grant(traces: Iterable[TraceRecord], token: FencingToken) -> TraceRecord | None:
    return next((trace for trace in traces if trace.token == token), None)
