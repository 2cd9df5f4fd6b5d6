"""The rules of reading history: what a line is about, who wants it, what was held how long.

Times are those of the replicas that wrote the lines, for display and for estimates;
where one thing must be told from another, revisions and tokens do it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat

from scoord.errors import InvalidConfig
from scoord.happenings import Kind
from scoord.names import path_key
from scoord.patterns import check_pattern, matches
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import EventRecord
from scoord.v1.sessions_pb2 import Session
from scoord_server.model.history import Holding
from scoord_server.store.port import KeyValue
from scoord_server.store.readable import readable

GRANTS = frozenset({Kind.GRANTED, Kind.RESERVED, Kind.RECLAIMED})
"""Kinds whose token is the revision of their line."""

ENDS_OF_GRANTS = frozenset({Kind.RELEASED, Kind.BROKEN, Kind.IDLE, Kind.LASTED, Kind.ORPHANED})
REFUSALS = frozenset({Kind.WAITING, Kind.REFUSED})
"""Each path in a line of them was refused, with a place in its queue or without."""

ENDS_OF_PLACES = frozenset({Kind.GRANTED, Kind.RECLAIMED, Kind.LEFT, Kind.UNUSED})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of history."""

    event_id: str
    revision: int
    record: EventRecord

    @classmethod
    def of(cls, kv: KeyValue, prefix: bytes) -> "Line":
        """Read a line's key, which begins with ``prefix``."""
        name = kv.key[len(prefix) :].decode()
        return cls(name, kv.mod_revision, EventRecord.FromString(kv.value))

    @property
    def session_id(self) -> str:
        """Whose session it is about."""
        return self.record.session.session_id

    @property
    def order(self) -> tuple[int, bool]:
        """What it is sorted by: a session registers first, then come the states it has."""
        return self.revision, self.record.kind != Kind.REGISTERED

    @property
    def ends_session(self) -> bool:
        """Whether it tells of the end of a session."""
        kind = self.record.kind
        return kind in {Kind.ENDED, Kind.EXPIRED} or (kind == Kind.IDLE and not self.record.tokens)

    @property
    def tells_of_holds(self) -> bool:
        """Whether a grant begins or ends with it: most lines are of refusals."""
        return self.ends_session or self.record.kind in GRANTS | ENDS_OF_GRANTS

    def concerns(self, wanted: str) -> bool:
        """Whether it is about the file, or about one in the folder, ``wanted``: a key.

        What does not say that it is a pattern is a file, whatever it looks like: read as a
        pattern, its name would match others, or take for ever.
        """
        are_patterns = chain(self.record.are_patterns, repeat(self.record.kind == Kind.RESERVED))
        paths = zip(self.record.paths, are_patterns, strict=False)
        return any(_concerns(shown, wanted, is_pattern=is_one) for shown, is_one in paths)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The tokens, one for each path: those that it names, or its own."""
        if self.record.kind in GRANTS:
            return (self.revision,) * len(self.record.paths)
        return tuple(self.record.tokens)


def read_lines(kvs: Iterable[KeyValue], prefix: bytes) -> Iterator[Line]:
    """The lines at ``kvs``, whose keys begin with ``prefix``; what cannot be read is none."""
    return readable(partial(Line.of, prefix=prefix), kvs)


def lines_of(session_id: str, kvs: Iterable[KeyValue], prefix: bytes) -> Iterator[Line]:
    """Those of the lines at ``kvs`` that are about one session, in their order."""
    # Most are about others: to look for the name is cheaper than to read them.
    named = (kv for kv in kvs if session_id.encode() in kv.value)
    return (line for line in read_lines(named, prefix) if line.session_id == session_id)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines somebody wants; what is empty selects all."""

    session: str = ""
    """A session's id or short name."""
    path: str = ""
    """Key of a file, or of a folder with all that is in it."""
    person: str = ""
    kinds: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    """Kinds that are not wanted."""
    since_ms: int = 0
    """Not older than this."""

    def lets_through(self, line: Line, now_ms: int) -> bool:
        """Whether it is a line that is wanted, and still to be shown."""
        record = line.record
        return (
            is_kept(record.at_unix_ms, record.kept_ms, now_ms)
            and (not self.since_ms or now_ms - record.at_unix_ms <= self.since_ms)
            and (not self.kinds or record.kind in self.kinds)
            and record.kind not in self.without
            and any(map(self.is_session, (record.session, *record.others)))
            and (self.is_of(record.session) or self._is_by(record.by))
            and (not self.path or line.concerns(self.path))
        )

    def is_session(self, one: Holder | Session) -> bool:
        """Whether it is the session that is wanted, by its id or short name in any case."""
        return not self.session or _is_one_of(self.session, one.session_id, one.alias)

    def is_of(self, one: Holder | Session) -> bool:
        """Whether it is a session of the person that is wanted: ``alice`` or ``alice@mbp``."""
        return not self.person or _is_one_of(self.person, one.person, f"{one.person}@{one.host}")

    def _is_by(self, by: str) -> bool:
        return _is_one_of(self.person, by, by.partition("@")[0])


def _is_one_of(wanted: str, *names: str) -> bool:
    return wanted.casefold() in {name.casefold() for name in names if name}


def is_kept(at_ms: int, kept_ms: int, now_ms: int) -> bool:
    """Whether something is still to be shown: what is older than promised may be gone any time."""
    return not kept_ms or now_ms - at_ms <= kept_ms


def _concerns(shown: str, wanted: str, *, is_pattern: bool) -> bool:
    """Whether a path or pattern is, or matches, the file or is in the folder ``wanted``.

    The slashes at a pattern's ends say where it is anchored and that it is a folder's; they
    are no part of the folder's name, and neither are the backslashes before brackets.
    """
    key, name = path_key(shown).strip("/"), wanted.strip("/")
    spellings = f"{key}/", key.replace("\\[", "[") + "/"
    is_it = any(each.startswith(f"{name}/") for each in spellings)
    return is_it or (is_pattern and _matches(shown, wanted))


def _matches(pattern: str, wanted: str) -> bool:
    """One that a program of another version let through may be none, or take for ever."""
    try:
        return matches(check_pattern(pattern), wanted)
    except InvalidConfig:
        return False


@dataclass(frozen=True, slots=True)
class PastHold:
    """One grant of one path that is over."""

    path: str
    session_id: str
    held_ms: int
    is_pattern: bool


@dataclass(slots=True)
class _Open:
    """A grant that stands, and every token under which it may end."""

    path: str
    since_ms: int
    is_pattern: bool
    tokens: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Holds:
    """Pairs each grant with its end by token, line by line, oldest first."""

    over: list[PastHold] = field(default_factory=list)
    _open: dict[tuple[str, str], _Open] = field(default_factory=dict)

    def take_in(self, line: Line) -> None:
        """Go on by one line. A grant that an earlier line would tell of is not known."""
        record = line.record
        if line.ends_session:
            self.end(line.session_id, record.at_unix_ms)
        elif record.kind in GRANTS:
            for path in record.paths:
                self._begin(line, path)
        elif record.kind in ENDS_OF_GRANTS:
            for token, path in zip(line.tokens, record.paths, strict=False):
                self._end((line.session_id, path_key(path)), record.at_unix_ms, token)

    def end(self, session_id: str, at_ms: int) -> None:
        """All that a session held is over."""
        for place in [place for place in self._open if place[0] == session_id]:
            self._end(place, at_ms)

    def still(self) -> list[Holding]:
        """What is held yet, the latest first, each under the last token that was told of it."""
        last = (Holding(o.path, max(o.tokens), o.is_pattern) for o in self._open.values())
        return sorted(last, key=lambda holding: -holding.token)

    def _begin(self, line: Line, path: str) -> None:
        """What its session has already is named again by later grants, and may change tokens."""
        record, place = line.record, (line.session_id, path_key(path))
        new = _Open(path, record.at_unix_ms, is_pattern=record.kind == Kind.RESERVED)
        self._open.setdefault(place, new).tokens.add(line.revision)

    def _end(self, place: tuple[str, str], at_ms: int, token: int = 0) -> None:
        held = self._open.get(place)
        if held and (not token or token in held.tokens):
            del self._open[place]
            held_ms = max(0, at_ms - held.since_ms)
            self.over.append(PastHold(held.path, place[0], held_ms, held.is_pattern))


@dataclass(slots=True)
class Waits:
    """How often one session was refused a path, and for how long it waited; oldest first.

    A path counts once while the same sessions are in the way, with a place or without. Time
    in which it waits for several counts once.
    """

    number: int = 0
    over_ms: int = 0
    _in_the_way: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    _places: set[tuple[str, str]] = field(default_factory=set)
    _since: int = 0
    """When it began to wait, while it has places."""

    def take_in(self, line: Line) -> None:
        """Go on by one line of the session."""
        record = line.record
        for path in record.paths:
            place = (record.session.agent_id, path_key(path))
            self._count(record, place)
            if record.kind == Kind.WAITING:
                self._begin(place, record.at_unix_ms)
            elif record.kind in ENDS_OF_PLACES:
                self._end(place, record.at_unix_ms)

    def _begin(self, place: tuple[str, str], at_ms: int) -> None:
        if not self._places:
            self._since = at_ms
        self._places.add(place)

    def _end(self, place: tuple[str, str], at_ms: int) -> None:
        if self._places == {place}:
            self.over_ms = self.total_ms(at_ms)
        self._places.discard(place)

    def _count(self, record: EventRecord, place: tuple[str, str]) -> None:
        if record.kind in REFUSALS:
            others = frozenset(other.session_id for other in record.others)
            self.number += others.isdisjoint(self._in_the_way.get(place, ()))
            self._in_the_way[place] = others
        elif record.kind in GRANTS:
            self._in_the_way.pop(place, None)

    def total_ms(self, at_ms: int) -> int:
        """All of it, if the session ended at ``at_ms``."""
        return self.over_ms + (max(0, at_ms - self._since) if self._places else 0)
