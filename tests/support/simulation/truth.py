"""The store's own account: every change since revision 1, as grants, queues and their ends."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from scoord.claimant import Claimant
from scoord.patterns import matches
from scoord.v1.records_pb2 import (
    EventRecord,
    LockRecord,
    SessionRecord,
    TraceRecord,
    WaiterRecord,
)
from scoord_server.store import keys
from scoord_server.store.keyspace import Change
from scoord_server.store.port import Event
from support.simulation.oracle import excludes
from support.simulation.projects import SECOND, of_project, project_of
from support.simulation.record import Record

_JUST_NOW_S = 2.5
"""Longer than from an acquire's look at the store to its grant: nothing guards it against
the end of a place that it saw."""

EDITED = frozenset({"unasked", "unprotected"})
"""What the trace of an edit that was made without a lock says."""

_HISTORY, _ARCHIVE = keys.kept_roots()
_TAKEN = keys.all_taken_prefix()
_UNUSED = keys.unused_prefix()


@dataclass(slots=True)
class Grant:
    """One grant: who had which path or pattern under which token, from when to when."""

    key: bytes
    path: str
    """Key of its path, or of its pattern."""
    token: int
    who: Claimant
    lease: int
    is_pattern: bool
    request: str
    """The command that it was granted to."""
    since_s: float
    idle_s: float = 0.0
    """Unused for longer than this, it may be taken away; 0 is never."""
    used_s: float = 0.0
    """When its use was last published."""
    lasts_s: float = 0.0
    """For how long it was taken; 0 is for as long as its session lives."""
    begun_s: float = 0.0
    """When that time began."""
    begun_unix_ms: int = 0
    """The same by the wall clock of whoever granted it."""
    until_s: float = float("inf")
    until_revision: float = float("inf")
    how: str = ""
    """How it ended: released, broken, idle, lasted, replaced by its holder's own next
    grant, or ended with its lease."""
    by: str = ""
    trace: bytes = b""
    """Where it was written down how it ended, if it was."""
    first: Claimant = field(init=False)
    """To whom it was granted; it may have passed to a subagent since."""
    _touched_ms: int = 0

    def __post_init__(self) -> None:
        self.first = self.who

    def note_times(self, record: LockRecord, now_s: float) -> None:
        """It is put: taken, used, or taken for another time."""
        lasts_s, touched_ms = record.lasts_ms / 1000, record.touched_unix_ms
        if (lasts_s, record.acquired_unix_ms) != (self.lasts_s, self.begun_unix_ms):
            self.begun_s = now_s
        if touched_ms != self._touched_ms:
            self.used_s = now_s
        self.lasts_s, self.begun_unix_ms = lasts_s, record.acquired_unix_ms
        is_used = not (record.lasts_ms or self.who.shared)
        self.idle_s = record.lock_timeout_ms / 1000 if is_used else 0.0
        self._touched_ms = touched_ms

    @property
    def session(self) -> str:
        """Whose it is."""
        return self.who.session

    def covers(self, path: str) -> bool:
        """Whether it is a grant of ``path``, by name or by pattern."""
        return matches(self.path, path) if self.is_pattern else self.path == path


@dataclass(frozen=True, slots=True)
class Waiter:
    """A place in a queue."""

    path: str
    shown: str
    who: Claimant
    since: int
    since_s: float
    claim_s: float = 0.0
    """How long its turn is kept."""
    wants_s: float = 0.0
    """Since when it wants this: who wanted to share may want to write."""

    @property
    def place(self) -> tuple[str, int]:
        """Its path, and the revision since which it waits there."""
        return self.path, self.since


@dataclass
class Truth:
    """Replays the store's changes. C3: each must be one that locks allow."""

    record: Record
    files: tuple[str, ...] = ()
    """All files of the history: two patterns meet where both match one of them."""
    grants: dict[int, list[Grant]] = field(default_factory=dict)
    """By token: the paths of one command are granted in one revision."""
    standing: dict[bytes, Grant] = field(default_factory=dict)
    waiters: dict[bytes, Waiter] = field(default_factory=dict)
    sessions: dict[tuple[str, str], int] = field(default_factory=dict)
    """Live sessions by their projects, with their leases: one that is in both has one lease."""
    traces: dict[bytes, TraceRecord] = field(default_factory=dict)
    idle: dict[int, str] = field(default_factory=dict)
    """The leases of sessions that were ended although these stood: they were idle there.

    Not the sessions: those come back, under the same name and on another lease.
    """
    moved_s: dict[str, float] = field(default_factory=dict)
    """When who has a path, or waits for it, last changed; patterns count for all."""
    revision: int = 1
    _left: dict[bytes, tuple[float, Waiter]] = field(default_factory=dict)
    """Places that were given up or lost, and when."""
    _turns: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By path: whose turn it is, by the revision of its place, and since when; 0 for nobody."""
    _had_turn: dict[tuple[str, int], float] = field(default_factory=dict)
    """By place: since when it has been its turn."""
    _longest_s: dict[tuple[str, int], float] = field(default_factory=dict)
    """By place: how long the longest turn was that it had before."""
    _replaced: list[Grant] = field(default_factory=list)
    """What this change took from a holder that it gave more."""
    ended: list[Callable[[Grant], None]] = field(default_factory=list)
    """Told of every grant's end, at the moment of it."""
    edited: list[Callable[[str, TraceRecord], None]] = field(default_factory=list)
    """Told of every edit that is reported, with the key of its path."""
    left: list[Callable[[Waiter, str], None]] = field(default_factory=list)
    """Told of every place that ends, and why; empty when nothing says why."""
    _active: dict[tuple[int, str], tuple[float, float]] = field(default_factory=dict)
    """By lease and project: for how long its session may be unused there, and when it was last
    used."""
    _acted: dict[tuple[int, str], int] = field(default_factory=dict)
    """By both, too: which doing of its session's the store told of last."""
    reclaimed: list[Callable[[Grant, int], None]] = field(default_factory=list)
    """Told of every lost lock that is given back, with the token that it had."""

    def observe(self, change: Change) -> None:
        """One change of the store, as it is made."""
        if not change.events:
            return
        if change.revision != self.revision + 1:
            self.record.violate("C3", f"revision {change.revision} follows {self.revision}")
        self.revision, self._replaced, before = change.revision, [], dict(self.sessions)
        ranked = sorted(_ranked(change), key=lambda ranked: ranked[0])
        for _, event, parsed in ranked:
            self._event(event, parsed, change)
        # What a step takes and gives back, as it gives its holder more, is no turn's end.
        for _, _, parsed in ranked:
            for path in self._concerned(parsed):
                self.moved_s[path] = self.record.loop.true_s
                self._note_turn(path)
        if not change.ended:
            self.idle |= {before[gone]: gone[0] for gone in gone_sessions(change)}

    def _concerned(self, parsed: keys.ParsedKey) -> Sequence[str]:
        """The paths of which something changes with a key."""
        if parsed.kind == keys.RESERVATIONS:
            return of_project(parsed.project, self.files)
        return (parsed.name,)

    def lease_of(self, session: str, name: str) -> int | None:
        """The lease of a session where it has a file or pattern; None where it does not live."""
        return self.sessions.get((project_of(name), session))

    def at(self, path: str) -> list[Grant]:
        """All grants of a path that stand, those of patterns too."""
        return [grant for grant in self.standing.values() if grant.covers(path)]

    def of(self, token: int) -> list[Grant]:
        """The grants of one token that stand."""
        return [g for g in self.grants.get(token, ()) if self.standing.get(g.key) is g]

    def later(self, grant: Grant) -> Iterator[Grant]:
        """The grants of its path or pattern that came after it, the next one first."""
        tokens = (token for token in self.grants if token > grant.token)
        return (g for token in tokens for g in self.grants[token] if g.path == grant.path)

    def became(self, grant: Grant) -> Grant:
        """The last of what its session was granted in place of it; itself, if nothing was."""
        while grant.how == "replaced":
            new = self.grants.get(int(grant.until_revision), ())
            (grant,) = (g for g in new if (g.path, g.session) == (grant.path, grant.session))
        return grant

    def regained(self, lost: Grant) -> Grant | None:
        """The next grant of the same to its holder, as far: a share beside it is another."""
        return next((g for g in self.later(lost) if lost.who in (g.first, g.who)), None)

    def queue(self, path: str) -> list[Waiter]:
        """Who waits for a path, the first one first."""
        found = (waiter for waiter in self.waiters.values() if waiter.path == path)
        return sorted(found, key=lambda waiter: waiter.since)

    def waited(self, path: str, since_s: float) -> Iterator[Waiter]:
        """Who waited for a path at some time since then."""
        left = (waiter for at_s, waiter in self._left.values() if at_s >= since_s)
        return (waiter for waiter in (*self.queue(path), *left) if waiter.path == path)

    def _note_turn(self, path: str) -> None:
        first = next(iter(self.queue(path)), None)
        is_free = first and not any(excludes(g.who, first.who) for g in self.at(path))
        turn = first.since if first and is_free else 0
        if self._turns.get(path, (0, 0.0))[0] != turn:
            self._turns[path] = (turn, self.record.loop.true_s)

        self._note_turns(path, at_s=self.record.loop.true_s)

    def _note_turns(self, path: str, at_s: float) -> None:
        """Each for itself: those who wait on different branches have theirs together."""
        held, before = [grant.who for grant in self.at(path)], list[Claimant]()
        for waiter in self.queue(path):
            mine = [who for who in held if who.session == waiter.who.session]
            ahead = (who for who in before if not _waits_for(who, mine))
            if any(excludes(other, waiter.who) for other in (*held, *ahead)):
                self._longest_s[waiter.place] = self.had_turn_s(waiter)
                self._had_turn.pop(waiter.place, None)
            else:
                self._had_turn.setdefault(waiter.place, at_s)
            before.append(waiter.who)

    def had_turn_s(self, waiter: Waiter) -> float:
        """How long it has had its turn, by true time; or had it, and did not use it.

        A replica may see late that a turn is over which was not used for long enough.
        """
        now_s = self.record.loop.true_s
        lasted_s = now_s - self._had_turn.get(waiter.place, now_s)
        return max(lasted_s, self._longest_s.get(waiter.place, 0.0))

    def turn_for_s(self, path: str) -> float:
        """How long whoever is first in a queue has had its turn, by true time."""
        turn, since_s = self._turns.get(path, (0, 0.0))
        return self.record.loop.true_s - since_s if turn else 0.0

    def _event(self, event: Event, parsed: keys.ParsedKey, change: Change) -> None:
        if parsed.kind != keys.SESSIONS and parsed.project != project_of(parsed.name):
            self.record.violate("C3", f"{parsed} is of another project")
        if parsed.kind in keys.LEFT and not event.deleted:
            self._trace(event.kv.key, parsed.name, TraceRecord.FromString(event.kv.value))
        elif parsed.kind in keys.HOLDS:
            if event.deleted:
                self._ends(event.kv.key, change)
            else:
                self._hold(event, parsed, change)
        elif parsed.kind == keys.SESSIONS:
            self._session((parsed.project, parsed.name), event)
        elif parsed.kind == keys.QUEUE:
            self._waiter(parsed.name, event, change)

    def _trace(self, key: bytes, name: str, trace: TraceRecord) -> None:
        self.traces[key] = trace
        if trace.how in EDITED:
            self.record.counts["reports"] += 1
            for listener in self.edited:
                listener(name, trace)

    def _session(self, at: tuple[str, str], event: Event) -> None:
        project, name = at
        if event.deleted:
            self.sessions.pop(at, None)
            self.record.say("store", "session gone", name, *_second(project))
            return
        lease, record = event.kv.lease, SessionRecord.FromString(event.kv.value)
        is_new = event.kv.create_revision == event.kv.mod_revision
        if is_new:
            self._enters(name, project, lease)
        self.sessions[at] = lease
        if is_new or self._acted.get((lease, project)) != record.active_unix_ms:
            limit_s = record.session_timeout_ms / 1000
            self._active[lease, project] = limit_s, self.record.loop.true_s
            self._acted[lease, project] = record.active_unix_ms

    def _enters(self, name: str, project: str, lease: int) -> None:
        others = (own for (of, one), own in self.sessions.items() if one == name and of != project)
        self.record.count_in_trouble("second project: sessions", project == SECOND)
        self.record.count_in_trouble("second project: one lease", lease in others)

    def unused_s(self, lease: int) -> tuple[float, float]:
        """For how long the session on a lease may be unused where it was ended, and was."""
        limit_s, used_s = self._active.get((lease, self.idle.get(lease, "")), (0.0, 0.0))
        return limit_s, self.record.loop.true_s - used_s

    def _waiter(self, path: str, event: Event, change: Change) -> None:
        key = event.kv.key
        if event.deleted:
            left = self.waiters.pop(key, None)
            if left is not None:
                self._left[key] = (self.record.loop.true_s, left)
                self._leaves(left, change)
            self.record.say("store", "waits no more", path, left and left.who.session)
            return
        wish = WaiterRecord.FromString(event.kv.value)
        who = Claimant.of(wish.waiter, wish.mode, wish.scope)
        if self.lease_of(who.session, path) != event.kv.lease:
            self.record.violate("C6", f"a place of {who} is not on the lease of a live session")
        before, since_s = self.waiters.get(key), self.record.loop.true_s
        if before is None:
            self.record.counts["waits"] += 1
            self.record.say("store", "waits", path, who.session, who.agent)
        else:
            since_s = before.since_s
        wants_s = before.wants_s if before and before.who == who else self.record.loop.true_s
        created, claim_s = event.kv.create_revision, wish.claim_ms / 1000
        self.waiters[key] = Waiter(path, wish.path, who, created, since_s, claim_s, wants_s)

    def _leaves(self, left: Waiter, change: Change) -> None:
        for listener in self.left:
            listener(left, _why_left(left, change))

    # -- grants -------------------------------------------------------------------

    def _hold(self, event: Event, parsed: keys.ParsedKey, change: Change) -> None:
        record = LockRecord.FromString(event.kv.value)
        who = Claimant.of(record.holder, record.mode, record.scope)
        before = self.standing.get(event.kv.key)
        if before is None:
            grant = _grant(event, parsed, who, record.request_id, self.record.loop.true_s)
            grant.note_times(record, grant.since_s)
            self._begins(grant, change)
        elif before.token != event.kv.create_revision or before.session != who.session:
            self.record.violate("C3", f"{before.path} went from {before} to {who} unfreed")
        else:
            if before.who != who:
                self._passes(before, who)
            before.note_times(record, self.record.loop.true_s)

    def _begins(self, grant: Grant, change: Change) -> None:
        self._check_alone(grant)
        self._check_turn(grant)
        self._check_given_back(grant, change)
        if self.lease_of(grant.session, grant.path) != grant.lease:
            self.record.violate("C6", f"{grant} is not on the lease of a live session")
        self.standing[grant.key] = grant
        self.grants.setdefault(grant.token, []).append(grant)
        self.record.counts["grants"] += 1
        self.record.counts["shared"] += grant.who.shared
        self.record.counts["patterns"] += grant.is_pattern
        self.record.say("store", "lock", grant.path, grant.token, *_words(grant.who))

    def _passes(self, grant: Grant, who: Claimant) -> None:
        """From its main thread to a subagent; a pattern, to its holder on other terms."""
        same = grant.who.is_same(who) and grant.who.branch == who.branch
        if grant.is_pattern and same:
            grant.who = who
            self._check_alone(grant)
        elif not grant.who.passes_to(who) or grant.who.shared != who.shared:
            self.record.violate("C3", f"{grant} was handed over to {who}")
        self.record.say("store", "passes", grant.path, grant.token, *_words(who))
        grant.who = who

    def _check_alone(self, grant: Grant) -> None:
        """C3: nobody has a path beside whom another is granted it."""
        for other in self.standing.values():
            if excludes(other.who, grant.who) and self._meet(other, grant):
                self.record.violate("C3", f"{grant} was granted beside {other}")

    def _meet(self, one: Grant, other: Grant) -> bool:
        if one.is_pattern and other.is_pattern:
            return any(one.covers(file) and other.covers(file) for file in self.files)
        return other.covers(one.path) if other.is_pattern else one.covers(other.path)

    def _check_turn(self, grant: Grant) -> None:
        """C8: nobody overtakes those who came before, but those who wait for its session.

        Of a pattern that counts for the pattern itself alone: the path may be its least part.
        """
        if grant.is_pattern:
            own = [g for g in self.standing.values() if g.is_pattern and g.path == grant.path]
            mine = [g.who for g in own if g.who.is_same(grant.who)]
            for path in filter(grant.covers, self.files):
                self._check_queue(grant, path, mine)
        else:
            at = (*self.at(grant.path), *self._replaced)
            mine = [g.who for g in at if g.session == grant.session]
            self._check_queue(grant, grant.path, mine)

    def _check_queue(self, grant: Grant, path: str, mine: Iterable[Claimant]) -> None:
        own = self._own_place(grant, path)
        for waiter in self.queue(path):
            if waiter.since >= own:
                self.record.counts["served in turn"] += 1
                return
            if excludes(waiter.who, grant.who) and not _waits_for(waiter.who, mine):
                self.record.violate("C8", f"{grant} overtook {waiter}")

    def _check_given_back(self, grant: Grant, change: Change) -> None:
        """C4: what was lost is had again only if nobody else could have edited it since."""
        for line in _reclaims(change):
            for listener in self.reclaimed:
                listener(grant, line.tokens[0])
            later = (
                g for token in self.grants if token > line.tokens[0] for g in self.grants[token]
            )
            for other in later:
                is_others = other.session != grant.session and excludes(other.who, grant.who)
                if is_others and not other.who.shared and self._meet(other, grant):
                    self.record.violate("C4", f"{grant} was given back after {other}")

    def _own_place(self, grant: Grant, path: str) -> float:
        """Since which revision its holder waits; or did until just now, when its claim ended."""
        just_now_s = self.record.loop.true_s - _JUST_NOW_S
        left = (waiter for at_s, waiter in self._left.values() if at_s > just_now_s)
        at = (w for w in (*self.queue(path), *left) if w.path == path)
        branches = ("", grant.who.branch)
        mine = (w for w in at if w.who.is_same(grant.who) and w.who.branch in branches)
        return min((w.since for w in mine), default=float("inf"))

    def _ends(self, key: bytes, change: Change) -> None:
        grant = self.standing.pop(key, None)
        if grant is None:
            self.record.violate("C3", f"{key!r} was freed and not held")
            return
        grant.until_s, grant.until_revision = self.record.loop.true_s, self.revision
        grant.how = self._how(grant, change)
        self.record.say("store", "free", grant.path, grant.token, *_words(grant.who), grant.how)
        if grant.how == "replaced":
            self._replaced.append(grant)
        for listener in self.ended:
            listener(grant)

    def _how(self, grant: Grant, change: Change) -> str:
        for event in change.events:
            trace = self.traces.get(event.kv.key)
            if trace is not None and trace.token == grant.token and trace.how != "granted":
                grant.trace, grant.by = event.kv.key, trace.by
                return trace.how
        if _is_replaced(grant, change):
            return "replaced"
        return "idle session" if grant.lease in self.idle else "expired"


def _grant(
    event: Event, parsed: keys.ParsedKey, who: Claimant, request: str, now_s: float
) -> Grant:
    kv, is_pattern = event.kv, parsed.kind == keys.RESERVATIONS
    token = kv.create_revision
    return Grant(kv.key, parsed.name, token, who, kv.lease, is_pattern, request, now_s)


def gone_sessions(change: Change) -> list[tuple[str, str]]:
    """The sessions that one change ends, and where."""
    found = (keys.parse(event.kv.key) for event in change.events if event.deleted)
    return [(parsed.project, parsed.name) for parsed in found if parsed.kind == keys.SESSIONS]


def is_history(key: bytes) -> bool:
    """Whether a key is a line of history."""
    return key.startswith(_HISTORY)


def is_kept(key: bytes) -> bool:
    """Whether a key is there for longer than its session: history, a log, an answer, an end.

    Or the revision that the store's own history was forgotten to.
    """
    is_compaction = key == keys.compaction()
    return is_compaction or is_history(key) or key.startswith((_ARCHIVE, _TAKEN, _UNUSED))


def _why_left(left: Waiter, change: Change) -> str:
    """Why a place ended: with its lease, by a line of history, or as its holder was served."""
    if change.ended:
        return "ended"
    lines = {line.kind for line in _lines(change)} & {"left", "unused"}
    for event in change.events:
        parsed = keys.parse(event.kv.key)
        if not event.deleted and parsed.kind in keys.HOLDS and parsed.name == left.path:
            record = LockRecord.FromString(event.kv.value)
            if left.who.is_same(Claimant.of(record.holder, record.mode, record.scope)):
                return "served"
    return next(iter(lines), "")


def _ranked(change: Change) -> Iterator[tuple[int, Event, keys.ParsedKey]]:
    """Traces come with the end that they tell of; what is freed may be taken in one step.

    Places in queues come last: a grant is judged by who waited before it.
    """
    for event in change.events:
        parsed = keys.parse(event.kv.key)
        if parsed.kind in keys.LEFT:
            yield 0, event, parsed
        elif parsed.kind in keys.HOLDS:
            yield 1 if event.deleted else 2, event, parsed
        elif parsed.kind in {keys.SESSIONS, keys.QUEUE}:
            yield 3, event, parsed


def _is_replaced(grant: Grant, change: Change) -> bool:
    """Whether the same step gave its holder more: who shared a path now writes it.

    Or gave a subagent of it, on more branches, what its main thread wrote.
    """
    for event in change.events:
        parsed = keys.parse(event.kv.key)
        if event.deleted or parsed.kind not in keys.HOLDS or parsed.name != grant.path:
            continue
        record = LockRecord.FromString(event.kv.value)
        who = Claimant.of(record.holder, record.mode, record.scope)
        passes = grant.who.passes_to(who) and not (grant.who.shared or who.shared or who.branch)
        if who.is_same(grant.who) or (passes and not grant.is_pattern):
            return True
    return False


def _waits_for(who: Claimant, parts: Iterable[Claimant]) -> bool:
    """Whether it waits for what a session has of a path, which lets that pass."""
    return any(_meet(part.branch, who.branch) for part in parts)


def _meet(one: str, other: str) -> bool:
    """Whether what is confined to the one branch holds where the other does."""
    return not (one and other) or one == other


def _reclaims(change: Change) -> Iterator[EventRecord]:
    return (line for line in _lines(change) if line.kind == "reclaimed")


def _lines(change: Change) -> Iterator[EventRecord]:
    """The lines of history that one change writes."""
    for event in change.events:
        if is_history(event.kv.key) and not event.deleted:
            yield EventRecord.FromString(event.kv.value)


def _second(project: str) -> Iterable[str]:
    """What a line of the log says beside what is the same in both projects."""
    return ("in the second",) if project == SECOND else ()


def _words(who: Claimant) -> Iterable[str]:
    return who.session, who.agent, "shared" if who.shared else "", who.branch
