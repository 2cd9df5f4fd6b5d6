"""What a change at the coordinator means for the sessions of this machine."""

from collections.abc import Callable, Iterable

from scoord.bounded import BoundedDict
from scoord.claimant import Claimant
from scoord.ids import AgentId, FencingToken, ProjectId, SessionId
from scoord.names import path_key
from scoord.patterns import matches
from scoord.v1.events_pb2 import LockGone, Notice, SessionGone, Snapshot, Waiting, WatchResponse
from scoord.v1.locks_pb2 import Lock, LockMode, Waiter
from scoord_agent import wording
from scoord_agent.crossings import Crossings
from scoord_agent.held import HeldLock, HeldLocks
from scoord_agent.neighbours import claimant
from scoord_agent.sessions import LocalSession, Sessions
from scoord_agent.turns import Place, Turns
from scoord_agent.waits import Waits

Acknowledge = Callable[[ProjectId, SessionId, list[str]], None]
"""Tells the coordinator that notices have been taken note of; does not wait."""


_MOST_ASKED = 2_000


class Reactions:
    """Turns changes into forgotten locks, turns and notices."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        held: HeldLocks,
        turns: Turns,
        lapsed: Callable[[SessionId], None],
        acknowledge: Acknowledge,
        crossings: Crossings | None = None,
        waits: Waits | None = None,
    ) -> None:
        self._sessions = sessions
        self._held = held
        self._turns = turns
        self._lapsed = lapsed
        self._acknowledge = acknowledge
        self._crossings = crossings or Crossings()
        self._waits = waits or Waits(lambda _session: None)
        self._asked = BoundedDict[Place, frozenset[str]](_MOST_ASKED)
        """Which holders were told of a place in a queue."""

    def react(self, project: ProjectId, response: WatchResponse) -> None:
        """One step of a project's stream."""
        match response.WhichOneof("event"):
            case "snapshot":
                self._reconcile(project, response.revision, response.snapshot)
            case "lock":
                self._lock(project, response.lock)
            case "lock_gone":
                self._lock_gone(project, response.lock_gone)
            case "session_gone":
                self._session_gone(response.session_gone)
            case "waiting":
                self._waiting(project, response.waiting)
            case "turn":
                self._turn(project, response.turn)
            case "notice":
                self._notice(project, [response.notice])

    def _reconcile(self, project: ProjectId, revision: int, snapshot: Snapshot) -> None:
        """After an outage: what we hold and the snapshot does not know is lost.

        How, nobody tells: it is found out when it is asked for again. A token above the
        snapshot's revision is a grant that is newer than it.
        """
        standing = {(path_key(lock.path), lock.is_pattern, lock.token) for lock in snapshot.locks}
        for lock in (*self._held, *self._held.overtaken()):
            known = (lock.key, lock.is_pattern, lock.token) in standing
            if lock.project == project and not known and lock.token <= revision:
                self._held.lose(lock)
        for waiter in snapshot.waiters:
            if waiter.has_turn and not self._turns.has_come(_place(project, waiter)):
                self._turn(project, waiter)
        self._ask_holders(project, snapshot)
        for seen in snapshot.locks:
            self._lock(project, seen)
        self._notice(project, snapshot.notices)

    def _lock(self, project: ProjectId, lock: Lock) -> None:
        """Tell those of ours that hold the same path on another branch."""
        mine = () if lock.is_pattern else self._held.at(project, path_key(lock.path))
        for held in mine:
            if session := self._sessions.get(held.session):
                self._crossings.look(session, held, [lock])

    def _lock_gone(self, project: ProjectId, gone: LockGone) -> None:
        key, token = path_key(gone.lock.path), FencingToken(gone.lock.token)
        lock = self._held.grant(project, key, token, is_pattern=gone.lock.is_pattern)
        if lock is None:
            return
        if told := _why(gone):
            self._drop(lock, told)
        else:
            self._held.lose(lock)

    def _session_gone(self, gone: SessionGone) -> None:
        session = self._sessions.get(gone.session_id)
        if session is not None and session.registered:
            self._lapsed(session.session_id)

    def _waiting(self, project: ProjectId, waiting: Waiting) -> None:
        """Ask our holders: each once, since a place in a queue is told of once."""
        waiter = Waiter(path=waiting.path, holder=waiting.waiter, reason=waiting.reason)
        self._asked.pop(_place(project, waiter), None)
        self._ask(project, waiter, (holder.session_id for holder in waiting.holders))

    def _ask_holders(self, project: ProjectId, snapshot: Snapshot) -> None:
        """Ask those of ours that somebody began to wait for while nobody listened here."""
        ours = _Ours(lock for lock in snapshot.locks if self._sessions.get(lock.holder.session_id))
        for waiter in snapshot.waiters:
            if not waiter.has_turn:
                self._ask(project, waiter, ours.in_the_way_of(waiter))

    def _ask(self, project: ProjectId, waiter: Waiter, holders: Iterable[str]) -> None:
        """Tell holders who waits for them, unless they were told of this place."""
        place = _place(project, waiter)
        told = self._asked.get(place, frozenset())
        new = [one for one in dict.fromkeys(holders) if one not in {*told, place.session}]
        for session_id in new:
            notice = wording.wanted(waiter.path, waiter.holder, waiter.reason)
            self._tell(SessionId(session_id), notice)
        self._asked[place] = told.union(new)

    def _turn(self, project: ProjectId, waiter: Waiter) -> None:
        """Wake the command that waits, else tell the session: what it has already is no news."""
        session, place = self._sessions.get(waiter.holder.session_id), _place(project, waiter)
        self._asked.pop(place, None)
        if session is None or self._has(place):
            return
        self._waits.over(session, project, [place.key])
        if self._turns.come(place):
            return
        self._turns.keep(place, waiter.path)
        if not place.agent:
            session.tell_person(wording.turn(waiter.path))

    def _has(self, place: Place) -> bool:
        lock = self._held.find(place.project, place.key, place.session, place.agent)
        return lock is not None and not lock.shared

    def _notice(self, project: ProjectId, notices: Iterable[Notice]) -> None:
        """Tell our sessions what lies in their inboxes, and empty these."""
        told: dict[SessionId, list[str]] = {}
        for notice in notices:
            session = self._sessions.get(notice.session_id)
            if session is not None and _tell_once(session, notice):
                told.setdefault(session.session_id, []).append(notice.notice_id)
        for session_id, notice_ids in told.items():
            self._acknowledge(project, session_id, notice_ids)

    def _drop(self, lock: HeldLock, notice: str) -> None:
        if self._held.drop(lock) and (session := self._sessions.get(lock.session)):
            session.tell_loss(notice)

    def _tell(self, session_id: SessionId, notice: str) -> None:
        if session := self._sessions.get(session_id):
            session.tell(notice, person=True)


class _Ours:
    """The locks of sessions of this machine, by what they are in the way of."""

    def __init__(self, locks: Iterable[Lock]) -> None:
        self._paths: dict[str, list[Lock]] = {}
        self._patterns: list[Lock] = []
        for lock in locks:
            if lock.is_pattern:
                self._patterns.append(lock)
            else:
                self._paths.setdefault(path_key(lock.path), []).append(lock)

    def in_the_way_of(self, waiter: Waiter) -> list[str]:
        """The sessions that hold what ``waiter`` waits for, as if it wanted all of it.

        Whether it would share it, nobody tells; who waits is in somebody's way.
        """
        key = path_key(waiter.path)
        covering = (lock for lock in self._patterns if matches(lock.path, key))
        found = (*self._paths.get(key, ()), *covering)
        return [lock.holder.session_id for lock in found if _keeps_out(lock, waiter)]


def _keeps_out(lock: Lock, waiter: Waiter) -> bool:
    wanted = Claimant.of(waiter.holder, LockMode.LOCK_MODE_EXCLUSIVE, lock.scope)
    return claimant(lock).excludes(wanted)


def _place(project: ProjectId, waiter: Waiter) -> Place:
    holder = waiter.holder
    key = path_key(waiter.path)
    return Place(project, key, SessionId(holder.session_id), AgentId(holder.agent_id))


def _tell_once(session: LocalSession, notice: Notice) -> bool:
    """Tell a notice unless it was told before its acknowledgement arrived."""
    if notice.notice_id in session.noticed:
        return False
    session.noticed.append(notice.notice_id)
    session.tell(wording.noticed(notice), person=True)
    return True


def _why(gone: LockGone) -> str:
    """How somebody ended it; empty when it went with its lease, and may be had again."""
    path = gone.lock.path
    match gone.how:
        case "broken":
            return wording.broken(path, gone.by, gone.reason)
        case "idle":
            return wording.idle(path)
        case "lasted":
            return wording.lasted(path)
        case _:
            return ""
