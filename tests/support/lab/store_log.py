"""All that ever happened in the store, and when each member showed it.

A follower on each member reads the history from revision 1 on, so it does not
matter which of them a fault takes away. What the followers have is the truth
that answers are compared with: also those that nobody received.
"""

import base64
import contextlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from scoord.v1.records_pb2 import LockRecord
from scoord_server.store import keys
from scoord_server.store.port import prefix_end
from support.etcd import Member
from support.processes import wait_until

_AGAIN_S = 0.1
_CONNECT_S = 1.0
_PID = re.compile(r"_([0-9]+)_")


class Place(Protocol):
    """A member of etcd, and how to get to it."""

    member: Member

    def post(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Ask its JSON gateway."""

    @property
    def space(self) -> Any:
        """Where it is, with ``entered()``."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key at one revision."""

    revision: int
    key: bytes
    created: int
    """The create revision, which is a lock's token; 0 when the key is gone."""
    value: bytes


@dataclass(frozen=True, slots=True)
class Holding:
    """One grant of one path, as the store has it. Times are when it was seen."""

    path: str
    token: int
    pid: int
    granted_seen: float
    ended_seen: float = float("inf")


@dataclass
class StoreLog:
    """What the followers saw so far."""

    changes: dict[int, tuple[Change, ...]] = field(default_factory=dict)
    seen_at: dict[int, float] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    """Revisions that were not the same whenever and wherever they were read."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _followers: list["_Follower"] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def following(cls, places: Iterable[Place]) -> "Iterator[StoreLog]":
        """A log that grows until the end."""
        log = cls()
        log._followers = [_Follower(place, log) for place in places]
        for follower in log._followers:
            follower.start()
        try:
            yield log
        finally:
            for follower in log._followers:
                follower.stop()

    def see(self, revision: int, changes: tuple[Change, ...], now: float) -> None:
        """A follower has read a revision; the first one to do so counts, and all must agree."""
        with self._lock:
            before = self.changes.setdefault(revision, changes)
            self.seen_at.setdefault(revision, now)
            if before != changes:
                self.rewritten.append(f"{revision} was {before}, and is {changes}")

    def caught_up(self, place: Place) -> None:
        """Wait until every follower has read all there is now."""
        key = _encoded(keys.root_prefix() + b"marker")
        answer = place.post("/v3/kv/put", {"key": key, "value": key})
        revision = int(answer["header"]["revision"])
        wait_until(
            "the followers catch up", lambda: all(f.next > revision for f in self._followers)
        )

    def check_present(self, place: Place) -> None:
        """Fail unless the locks that the store has are those of its history."""
        prefix = keys.root_prefix()
        span = {"key": _encoded(prefix), "range_end": _encoded(prefix_end(prefix))}
        answer = place.post("/v3/kv/range", span)
        self.caught_up(place)
        found = {
            base64.b64decode(kv["key"]): int(kv["create_revision"]) for kv in answer.get("kvs", [])
        }
        held = self.tokens(int(answer["header"]["revision"]))
        here = {key: token for key, token in found.items() if _is_lock(key)}
        assert here == held, f"the store has {here}, by its history {held}"

    def tokens(self, until: int) -> dict[bytes, int]:
        """The token of each lock that was held at a revision, by its key."""
        with self._lock:
            revisions = sorted(self.changes.items())
        last = {
            change.key: change.created
            for revision, changes in revisions
            for change in changes
            if revision <= until and _is_lock(change.key)
        }
        return {key: token for key, token in last.items() if token}

    def holdings(self) -> list[Holding]:
        """Every grant there was. Fails where a lock changed hands without being free."""
        with self._lock:
            revisions = sorted(self.changes.items())
        held: dict[bytes, Holding] = {}
        over: list[Holding] = []
        for revision, changes in revisions:
            for change in changes:
                if _is_lock(change.key):
                    over += _replay(held, change, self.seen_at[revision])
        return over + list(held.values())


def _is_lock(key: bytes) -> bool:
    return keys.parse(key).kind == keys.LOCKS


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _replay(held: dict[bytes, Holding], change: Change, seen: float) -> Iterator[Holding]:
    """Bring ``held`` to the change; yields the grant that it ended."""
    before = held.pop(change.key, None)
    if not change.created:
        assert before is not None, f"a lock ends that nobody had: {change}"
        yield Holding(before.path, before.token, before.pid, before.granted_seen, seen)
        return
    record = LockRecord.FromString(change.value)
    found = _PID.search(record.holder.session_id)
    pid = int(found[1]) if found else 0
    if before is None:
        assert change.created == change.revision, f"a grant nobody saw: {change}"
        held[change.key] = Holding(record.path, change.created, pid, seen)
        return
    assert before.pid == pid, f"{record.path} passes from {before.pid} to {pid} while it is held"
    assert before.token == change.created, f"{record.path} changes its token while it is held"
    held[change.key] = before


class _Follower(threading.Thread):
    """Reads one member's history, over breaks."""

    def __init__(self, place: Place, log: StoreLog) -> None:
        super().__init__(name=f"follower-{place.member.name}", daemon=True)
        self.next = 1
        self._place = place
        self._log = log
        self._ended = threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                self._read()
            self._ended.wait(_AGAIN_S)

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        self.join(timeout=10)

    def _read(self) -> None:
        member = self._place.member
        with self._place.space.entered():
            connection = http.client.HTTPConnection(member.host, member.client_port, _CONNECT_S)
            self._connection = connection
            with contextlib.closing(connection):
                connection.connect()
                connection.sock.settimeout(None)
                connection.request("POST", "/v3/watch", json.dumps(self._request()))
                with connection.getresponse() as lines:
                    while not self._ended.is_set() and (line := lines.readline()):
                        self._take(json.loads(line)["result"], time.monotonic())

    def _request(self) -> dict[str, object]:
        key, end = keys.root_prefix(), prefix_end(keys.root_prefix())
        wanted = {
            "key": _encoded(key),
            "range_end": _encoded(end),
            "start_revision": self.next,
        }
        return {"create_request": wanted}

    def _take(self, result: dict[str, Any], now: float) -> None:
        if compacted := int(result.get("compact_revision", 0)):
            self._log.gaps.append(f"{self.name} lacks {self.next} to {compacted}")
            self.next = compacted
            raise OSError(f"compacted at {compacted}")
        by_revision: dict[int, list[Change]] = {}
        for event in result.get("events", []):
            change = _change(event)
            by_revision.setdefault(change.revision, []).append(change)
        for revision, changes in by_revision.items():
            self._log.see(revision, tuple(changes), now)
            self.next = revision + 1


def _change(event: dict[str, Any]) -> Change:
    kv = event["kv"]
    deleted = event.get("type") == "DELETE"
    return Change(
        revision=int(kv["mod_revision"]),
        key=base64.b64decode(kv["key"]),
        created=0 if deleted else int(kv["create_revision"]),
        value=base64.b64decode(kv.get("value", "")),
    )
