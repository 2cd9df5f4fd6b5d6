"""The layout of keys, and the only place that knows it.

::

    /scoord/v1/p/{project}/sessions/{session}
    /scoord/v1/p/{project}/aliases/{alias}
    /scoord/v1/p/{project}/locks/{path key}                     exclusive, on every branch
    /scoord/v1/p/{project}/paths/{path key}/branches/{branch}   exclusive, on one branch
    /scoord/v1/p/{project}/paths/{path key}/shares/{holder}
    /scoord/v1/p/{project}/paths/{path key}/queue/{holder}
    /scoord/v1/p/{project}/reservations/{pattern key}/{holder}
    /scoord/v1/p/{project}/traces/{path key}/{domain}
    /scoord/v1/p/{project}/patterns/{pattern key}/{domain}/{session}/{agent}   their traces
    /scoord/v1/p/{project}/inbox/{session}/{notice}
    /scoord/v1/p/{project}/tasks/{task}
    /scoord/v1/p/{project}/offers/{kind}/{name}
    /scoord/v1/begun/{project}/{session}/{register}             its end is not written down yet
    /scoord/v1/ended/{project}/{session}/{request}              its end is, by this command
    /scoord/v1/taken/{project}/{token}/{key}/{request}          a grant that was taken away
    /scoord/v1/unused/{session}                                 why it was ended as unused
    /scoord/v1/events/{project}/{unix ms}-{request}
    /scoord/v1/archive/{project}/{unix ms}-{session}
    /scoord/v1/numbered/{project}                               which number a task had last
    /scoord/v1/compaction
    /scoord/v1/graph/{project}/entities/{name}
    /scoord/v1/graph/{project}/relations/{source}/{type}/{target}

A *holder* is ``{session}/{agent}``, or ``{session}/{agent}@{branch}`` where what it has, or
waits for, is confined to a branch: it may have one on each.

What is in the way of a path, beside its lock, lies under one prefix, its *room*:
so one range tells whether a free path has anything else in its way. History lies
outside of ``p/``, so that whoever follows the present does not read the past; so do what
commands alone look up, the revision that was last compacted to, and what was added to the
graph.

A name that ends a key stands as it is, so a path keeps its slashes and a folder
is a prefix. A name that something follows is percent-encoded, slashes too, so
that no prefix of one name is a prefix of another's.
"""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote

from scoord.ids import ProjectId
from scoord_server.store.port import Get, prefix_end

SESSIONS = "sessions"
ALIASES = "aliases"
LOCKS = "locks"
BRANCHES = "branches"
SHARES = "shares"
QUEUE = "queue"
RESERVATIONS = "reservations"
TRACES = "traces"
PATTERN_TRACES = "patterns"
INBOX = "inbox"
TASKS = "tasks"
OFFERS = "offers"
UNKNOWN = "unknown"

HOLDS = frozenset({LOCKS, BRANCHES, SHARES, RESERVATIONS})
"""Kinds whose value is a LockRecord."""

LEFT = frozenset({TRACES, PATTERN_TRACES})
"""Kinds whose value is a TraceRecord."""

_PATHS = "paths"
_ROOT = "/scoord/v1/p/"
_HISTORY = "/scoord/v1/events/"
_GRAPH = "/scoord/v1/graph/"
_COMPACTION = "/scoord/v1/compaction"
_NUMBERED = "/scoord/v1/numbered/"
_ARCHIVE = "/scoord/v1/archive/"
_BEGUN = "/scoord/v1/begun/"
_ENDED = "/scoord/v1/ended/"
_TAKEN = "/scoord/v1/taken/"
_UNUSED = "/scoord/v1/unused/"
_ON = "@"
"""Before the branch that a holder is confined to; in a name it would be percent-encoded."""
_MS_DIGITS = 15
_REMEMBERED = 1024
"""Keys parsed and names encoded of late: those of what is worked on. More is memory for nothing."""

_NAMED_TO_THE_END = frozenset({SESSIONS, ALIASES, LOCKS, TASKS})
_PARTS = {RESERVATIONS: 3, TRACES: 2, PATTERN_TRACES: 4, INBOX: 2, OFFERS: 2}
_ROOM_PARTS = {BRANCHES: 1, SHARES: 2, QUEUE: 2}


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """What a key is about: ``name`` is a session id, an alias, a path key or a pattern key.

    ``rest`` is what follows the name: a branch, a notice, a session and its subagent
    with the branch if there is one. A key that no version of this layout made has the
    kind ``UNKNOWN``.
    """

    project: str
    kind: str
    name: str
    rest: tuple[str, ...] = ()


def root_prefix() -> bytes:
    """Where the keys of all projects are, without their history."""
    return _ROOT.encode()


def project_prefix(project: str) -> bytes:
    """Where all keys of ``project`` are."""
    return f"{_ROOT}{_segment(project)}/".encode()


def session(project: str, session_id: str) -> bytes:
    """Where a session is."""
    return _kind_prefix(project, SESSIONS) + session_id.encode()


def alias(project: str, alias: str) -> bytes:
    """Where the holder of a short name is."""
    return _kind_prefix(project, ALIASES) + alias.encode()


def alias_prefix(project: str) -> bytes:
    """Where the short names of ``project`` are."""
    return _kind_prefix(project, ALIASES)


def lock(project: str, path_key: str) -> bytes:
    """Where the exclusive lock of a path is, if it is for every branch."""
    return _kind_prefix(project, LOCKS) + path_key.encode()


def lock_prefix(project: str) -> bytes:
    """Where the locks of ``project`` are."""
    return _kind_prefix(project, LOCKS)


def room(project: str, path_key: str) -> bytes:
    """Where everything else is that may be in the way of a path."""
    return _kind_prefix(project, _PATHS) + f"{_segment(path_key)}/".encode()


def branch_lock(project: str, path_key: str, branch: str) -> bytes:
    """Where the exclusive lock of a path on one branch is."""
    return room(project, path_key) + f"{BRANCHES}/{_segment(branch)}".encode()


def share(project: str, path_key: str, session_id: str, agent_id: str, branch: str = "") -> bytes:
    """Where one holder's share of a path is, on one branch or on all."""
    holder = _holder(session_id, agent_id, branch)
    return room(project, path_key) + f"{SHARES}/{holder}".encode()


def waiter(project: str, path_key: str, session_id: str, agent_id: str, branch: str = "") -> bytes:
    """Where a holder-to-be waits for a path, on one branch or on all."""
    return queue_prefix(project, path_key) + _holder(session_id, agent_id, branch).encode()


def queue_prefix(project: str, path_key: str) -> bytes:
    """Where all waiters of a path are."""
    return room(project, path_key) + f"{QUEUE}/".encode()


def waits(room_key: bytes) -> bool:
    """Whether a key of a room is a place in the queue."""
    return parse(room_key).kind == QUEUE


def room_prefix(project: str, folder_key: str) -> bytes:
    """Where the rooms of all paths are that begin with ``folder_key``."""
    return _kind_prefix(project, _PATHS) + _segment(folder_key).encode()


def reservation(
    project: str, pattern_key: str, session_id: str, agent_id: str, branch: str = ""
) -> bytes:
    """Where one holder's reservation of a pattern is, on one branch or on all."""
    place = f"{_segment(pattern_key)}/{_holder(session_id, agent_id, branch)}"
    return reservation_prefix(project) + place.encode()


def reservation_prefix(project: str) -> bytes:
    """Where the reservations of ``project`` are."""
    return _kind_prefix(project, RESERVATIONS)


def trace(project: str, path_key: str, domain: str) -> bytes:
    """Where it stands what became of the last grant of a path in a domain."""
    return trace_prefix(project, path_key) + _segment(domain).encode()


def trace_prefix(project: str, path_key: str) -> bytes:
    """Where the traces of a path are, in all its domains."""
    return _kind_prefix(project, TRACES) + f"{_segment(path_key)}/".encode()


def pattern_trace(
    project: str, pattern_key: str, domain: str, session_id: str, agent_id: str
) -> bytes:
    """Where it stands what became of one holder's last grant of a pattern in a domain."""
    place = f"{_segment(domain)}/{_holder(session_id, agent_id)}"
    return pattern_trace_prefix(project, pattern_key) + place.encode()


def pattern_trace_prefix(project: str, pattern_key: str) -> bytes:
    """Where the traces of a pattern are."""
    return pattern_traces_prefix(project) + f"{_segment(pattern_key)}/".encode()


def pattern_traces_prefix(project: str) -> bytes:
    """Where the traces of all patterns of ``project`` are."""
    return _kind_prefix(project, PATTERN_TRACES)


def notice(project: str, session_id: str, notice_id: str) -> bytes:
    """Where something lies that a session is to be told."""
    return inbox_prefix(project, session_id) + _segment(notice_id).encode()


def inbox_prefix(project: str, session_id: str) -> bytes:
    """Where everything lies that a session is to be told."""
    return _kind_prefix(project, INBOX) + f"{_segment(session_id)}/".encode()


def begun(project: str, session_id: str, request_id: str) -> bytes:
    """Where it stands that the end of a session, by the register that made it, is to come."""
    return begun_of(project) + _holder(session_id, request_id).encode()


def begun_of(project: str) -> bytes:
    """Where it stands which sessions' ends are to come in a project."""
    return begun_prefix() + f"{_segment(project)}/".encode()


def begun_prefix() -> bytes:
    """Where it stands which sessions' ends are to come, of all projects."""
    return _BEGUN.encode()


def ended_by(project: str, session_id: str, request_id: str) -> bytes:
    """Where it stands that this very command has written the end of a session down."""
    return f"{_ENDED}{_segment(project)}/{_holder(session_id, request_id)}".encode()


def taken_by(project: str, token: int, name_key: str, request_id: str) -> bytes:
    """Where it stands that this very command took that grant of a path or pattern away."""
    return taken_prefix(project, token, name_key) + request_id.encode()


def taken_prefix(project: str, token: int, name_key: str) -> bytes:
    """Where it stands by which commands a grant was taken away: one token names several."""
    return all_taken_prefix() + f"{_segment(project)}/{token}/{_segment(name_key)}/".encode()


def unused(session_id: str) -> bytes:
    """Where it stands that a session was ended as unused, in all its projects."""
    return unused_prefix() + _segment(session_id).encode()


def unused_prefix() -> bytes:
    """Where it stands which sessions were ended as unused."""
    return _UNUSED.encode()


def all_taken_prefix() -> bytes:
    """Where it stands which grants were taken away, of all projects."""
    return _TAKEN.encode()


def task(project: str, task_id: str) -> bytes:
    """Where a piece of work is that the project has."""
    return task_prefix(project) + task_id.encode()


def task_prefix(project: str) -> bytes:
    """Where all work of ``project`` is."""
    return _kind_prefix(project, TASKS)


def numbered(project: str) -> bytes:
    """Where it stands which number the last task had that was added to ``project``."""
    return f"{_NUMBERED}{_segment(project)}".encode()


def offer(project: str, kind: str, name: str) -> bytes:
    """Where it stands to whom a piece of work is offered."""
    return offer_prefix(project) + f"{_segment(kind)}/{_segment(name)}".encode()


def offer_prefix(project: str) -> bytes:
    """Where all that is offered in ``project`` is."""
    return _kind_prefix(project, OFFERS)


def event(project: str, unix_ms: int, request_id: str) -> bytes:
    """Where a line of history is; sorted by time."""
    return at_time(event_prefix(project), unix_ms) + f"-{_segment(request_id)}".encode()


def event_prefix(project: str) -> bytes:
    """Where the history of ``project`` is."""
    return f"{_HISTORY}{_segment(project)}/".encode()


def compaction() -> bytes:
    """Where it stands up to which revision the store's own history was to be forgotten."""
    return _COMPACTION.encode()


def archive_since(project: str, unix_ms: int) -> Get:
    """Read the logs of sessions of ``project`` that ended at that time or later."""
    prefix = archive_prefix(project)
    return Get(at_time(prefix, unix_ms), prefix_end(prefix))


def graph_prefix(project: str) -> bytes:
    """Where everything is that was added to the graph of ``project``."""
    return f"{_GRAPH}{_segment(project)}/".encode()


def entity_prefix(project: str) -> bytes:
    """Where the entities are that were added."""
    return graph_prefix(project) + b"entities/"


def entity(project: str, name: str) -> bytes:
    """Where an entity is that was added."""
    return entity_prefix(project) + _segment(name).encode()


def relation(project: str, source: str, relation_type: str, target: str) -> bytes:
    """Where a relation is that was added."""
    parts = "/".join(map(_segment, (source, relation_type, target)))
    return graph_prefix(project) + f"relations/{parts}".encode()


def archive(project: str, unix_ms: int, session_id: str) -> bytes:
    """Where the log of a finished session is; sorted by the time of its end."""
    return at_time(archive_prefix(project), unix_ms) + f"-{_segment(session_id)}".encode()


def archive_prefix(project: str) -> bytes:
    """Where the logs of a project's finished sessions are."""
    return f"{_ARCHIVE}{_segment(project)}/".encode()


def at_time(prefix: bytes, unix_ms: int) -> bytes:
    """Where what is sorted by time under ``prefix`` is not older than ``unix_ms``."""
    return prefix + f"{unix_ms:0{_MS_DIGITS}d}".encode()


def time_of(name: str) -> int:
    """The time in a name that is sorted by time; 0 when it has none."""
    digits = name[:_MS_DIGITS]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def kept_roots() -> tuple[bytes, ...]:
    """Where everything is that is kept for a while, by project and then by time."""
    return _HISTORY.encode(), _ARCHIVE.encode()


def kept_prefix(key: bytes) -> bytes:
    """The prefix of one project's keys, of those of its kind that are kept for a while."""
    return b"/".join(key.split(b"/", 5)[:5]) + b"/"


def kept_project(prefix: bytes) -> ProjectId:
    """The project that a ``kept_prefix`` is of."""
    return ProjectId(unquote(prefix.split(b"/")[4].decode()))


def get_prefix(prefix: bytes, since: int = 0) -> Get:
    """Read all keys under ``prefix`` that were put at revision ``since`` or later."""
    return Get(prefix, prefix_end(prefix), since)


@lru_cache(_REMEMBERED)
def parse(key: bytes) -> ParsedKey:
    """Take a key apart. Never raises: newer programs may keep more kinds here."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return ParsedKey("", UNKNOWN, "")
    project, _, rest = text.removeprefix(_ROOT).partition("/")
    kind, slash, name = rest.partition("/")
    if not text.startswith(_ROOT) or not slash:
        return ParsedKey("", UNKNOWN, "")
    return _parse_name(unquote(project), kind, name)


def _parse_name(project: str, kind: str, name: str) -> ParsedKey:
    if kind in _NAMED_TO_THE_END:
        return ParsedKey(project, kind, name)
    parts, _, branch = name.partition(_ON)
    first, *rest = map(unquote, parts.split("/"))
    on = (unquote(branch),) if branch else ()
    if kind == _PATHS and rest and _ROOM_PARTS.get(rest[0]) == len(rest) - 1:
        return ParsedKey(project, rest[0], first, (*rest[1:], *on))
    if _PARTS.get(kind) == len(rest) + 1:
        return ParsedKey(project, kind, first, (*rest, *on))
    return ParsedKey(project, UNKNOWN, name)


def _kind_prefix(project: str, kind: str) -> bytes:
    return project_prefix(project) + f"{kind}/".encode()


def _holder(session_id: str, agent_id: str, branch: str = "") -> str:
    on = f"{_ON}{_segment(branch)}" if branch else ""
    return f"{_segment(session_id)}/{_segment(agent_id)}{on}"


@lru_cache(_REMEMBERED)
def _segment(name: str) -> str:
    return quote(name, safe="")
