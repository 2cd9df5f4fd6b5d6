"""What a change at the coordinator means for the sessions of this machine."""

from collections.abc import Callable, Collection, Iterable

from scoord.bounded import BoundedDict
from scoord.claimant import Claimant
from scoord.ids import AgentId, FencingToken, ProjectId, SessionId
from scoord.limits import MOST_NOTICES
from scoord.names import path_key
from scoord.patterns import matches
from scoord.v1.events_pb2 import LockGone, Notice, SessionGone, Snapshot, Waiting, WatchResponse
from scoord.v1.locks_pb2 import Holder, Lock, LockMode, Waiter
from scoord_agent import crossings, wording, wording_held, wording_losses
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import MAIN, LocalSession
from scoord_agent.neighbours import claimant
from scoord_agent.sessions import Sessions
from scoord_agent.turns import Place, Turns
from scoord_agent.waits import Waits
from scoord_agent.wanted import Wanted

Acknowledge = Callable[[ProjectId, SessionId, list[str]], None]
"""Tells the coordinator that some notices, up to ``MOST_NOTICES``, have been taken note of; does
not wait."""


_MOST_ASKED = 2_000

_Thread = tuple[str, str]
"""A session and, for what a subagent holds, that subagent."""


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
        waits: Waits,
    ) -> None:
        self._sessions = sessions
        self._held = held
        self._turns = turns
        self._lapsed = lapsed
        self._acknowledge = acknowledge
        self._waits = waits
        self._asked = BoundedDict[Place, frozenset[_Thread]](_MOST_ASKED)
        """Which holders were told of a place in a queue."""
        self._heard: dict[ProjectId, int] = {}
        """How far each project's stream had come."""

    def react(self, project: ProjectId, response: WatchResponse) -> None:
        """One step of a project's stream."""
        heard = self._heard.get(project, 0)
        self._heard[project] = response.revision
        match response.WhichOneof("event"):
            case "snapshot":
                self._reconcile(project, response.revision, heard, response.snapshot)
            case "lock":
                self._lock(project, response.lock)
            case "lock_gone":
                self._lock_gone(project, response.lock_gone)
            case "session_gone":
                self._session_gone(project, response.session_gone)
            case "notice":
                self._notice(project, [response.notice])
            case _:
                self._queue(project, response)

    def _queue(self, project: ProjectId, response: WatchResponse) -> None:
        """A place in a queue has come, moved on or gone."""
        match response.WhichOneof("event"):
            case "waiting":
                self._waiting(project, response.waiting)
            case "turn":
                self._turn(project, response.turn)
            case "waiting_gone":
                self._waiting_gone(project, response.revision, response.waiting_gone)

    def _reconcile(self, project: ProjectId, revision: int, heard: int, snapshot: Snapshot) -> None:
        """After an outage: what we hold and the snapshot does not know is lost.

        How, nobody tells: that is asked for. A token above the snapshot's revision is a
        grant that is newer than it. Unless more was heard before: then this is of a replica
        that lags behind, or the store was restored from a backup, and has it no more. Of what
        is held alone the store says which, under its token; of the rest it cannot.
        """
        standing = {(path_key(lock.path), lock.is_pattern, lock.token) for lock in snapshot.locks}
        for lock in (*self._held, *self._held.overtaken()):
            known = (lock.key, lock.is_pattern, lock.token) in standing
            until = revision if lock.shared or lock.is_pattern else max(revision, heard)
            if lock.project == project and not known and lock.token <= until:
                self._held.lose(lock)
        for waiter in snapshot.waiters:
            self._queued(project, waiter)
            if waiter.has_turn and not self._turns.has_come(waits_at(project, waiter)):
                self._turn(project, waiter)
        places = {waits_at(project, waiter) for waiter in snapshot.waiters}
        self._missed(project, revision, places)
        self._forget_asked(project, lambda place: place not in places)
        self._ask_holders(project, snapshot)
        for seen in snapshot.locks:
            self._lock(project, seen)
        self._notice(project, snapshot.notices)

    def _queued(self, project: ProjectId, waiter: Waiter) -> None:
        """A place that one of ours has: the agent before us may have been given it."""
        place = waits_at(project, waiter)
        # A coordinator that is behind may show one that is known to be gone.
        is_gone = self._has(place) or self._turns.is_gone(place, waiter.revision)
        if self._sessions.get(place.session) and not is_gone:
            self._turns.queued(place, waiter.path, waiter.revision)

    def _missed(self, project: ProjectId, revision: int, places: Collection[Place]) -> None:
        """What nobody told: places of ours are gone. They are told so at their next hooks."""
        ours = {place for place in places if self._sessions.is_here(place.session)}
        self._turns.seen(project, revision, ours)
        for session in self._sessions:
            missed = [at for at in self._turns.missed(session.session_id) if at.project == project]
            standing = {place.key for place in ours if place.session == session.session_id}
            over = [place.key for place in missed if place.key not in standing]
            self._waits.over(session, project, over)

    def _lock(self, project: ProjectId, lock: Lock) -> None:
        """Tell those of ours that hold the same path on another branch."""
        mine = () if lock.is_pattern else self._held.at(project, path_key(lock.path))
        for held in mine:
            if session := self._sessions.get(held.session):
                crossings.look(session, held, [lock])

    def _lock_gone(self, project: ProjectId, gone: LockGone) -> None:
        key, token = path_key(gone.lock.path), FencingToken(gone.lock.token)
        lock = self._held.grant(project, key, token, is_pattern=gone.lock.is_pattern)
        told = wording_losses.ended(gone.lock.path, gone, is_pattern=gone.lock.is_pattern)
        if lock is None:
            self._unknown_gone(project, gone, told)
        elif told:
            self._drop(lock, told)
        else:
            self._held.end(lock)

    def _unknown_gone(self, project: ProjectId, gone: LockGone, told: str) -> None:
        """A grant whose answer came to nobody; its edit may have gone through unasked."""
        session = self._sessions.get(gone.lock.holder.session_id)
        if session is None or not told or gone.how == "taken":
            return  # what the session gave back itself is no news
        if self._held.find(project, path_key(gone.lock.path), claimant(gone.lock)) is None:
            session.tell_loss(told, AgentId(gone.lock.holder.agent_id))

    def _session_gone(self, project: ProjectId, gone: SessionGone) -> None:
        """Its places in queues went with it."""
        self._forget_asked(project, lambda place: place.session == gone.session_id)
        session = self._sessions.get(gone.session_id)
        if session is not None and session.registered:
            self._lapsed(session.session_id)

    def _waiting(self, project: ProjectId, waiting: Waiting) -> None:
        """Ask our holders, each once of a place: also who was granted what others wait for."""
        waiter = Waiter(
            path=waiting.path, holder=waiting.waiter, reason=waiting.reason, scope=waiting.scope
        )
        if not waiting.again:
            self._asked.pop(waits_at(project, waiter), None)
        self._ask(project, waiter, waiting.holders, waiting.more)

    def _waiting_gone(self, project: ProjectId, revision: int, waiter: Waiter) -> None:
        """Nobody is to be told any more that it waits; if it is ours, how it went shows later."""
        gone = waits_at(project, waiter)
        self._forget_asked(project, lambda place: place == gone)
        session = self._sessions.get(gone.session)
        if session is not None and self._turns.revision(gone) <= revision:
            self._turns.ended(gone, revision)
            if not self._turns.waits(project, gone.key, gone.session):
                self._waits.over(session, project, [gone.key])

    def _ask_holders(self, project: ProjectId, snapshot: Snapshot) -> None:
        """Ask those of ours that somebody began to wait for while nobody listened here."""
        ours = _Ours(lock for lock in snapshot.locks if self._sessions.get(lock.holder.session_id))
        for waiter in snapshot.waiters:
            if not waiter.has_turn:
                self._ask(project, waiter, ours.in_the_way_of(waiter))

    def _ask(
        self, project: ProjectId, waiter: Waiter, holders: Iterable[Holder], more: int = 0
    ) -> None:
        """Tell holders who waits for them, unless they were told of this place."""
        place = waits_at(project, waiter)
        told = self._asked.get(place, frozenset())
        threads = dict.fromkeys(map(self._hears, holders))
        new = [one for one in threads if one not in {*told, (place.session, place.agent)}]
        for session_id, agent_id in new:
            if session := self._sessions.get(session_id):
                words = _words(waiter, is_own=place.session == session_id)
                session.tell_wanted(place, Wanted(words, more), AgentId(agent_id))
        self._asked[place] = told.union(new)

    def _hears(self, holder: Holder) -> _Thread:
        """Which thread is told for a holder; another subagent of its name may begin later."""
        session, agent = self._sessions.get(holder.session_id), AgentId(holder.agent_id)
        return holder.session_id, session.thread(agent) if session else agent

    def _forget_asked(self, project: ProjectId, is_gone: Callable[[Place], bool]) -> None:
        """Forget who was told of places that are gone, and who is yet to be."""
        for place in tuple(self._asked):
            if place.project == project and is_gone(place):
                self._asked.pop(place, None)
        for session in self._sessions:
            session.withdraw_wanted(lambda place: place.project == project and is_gone(place))

    def _turn(self, project: ProjectId, waiter: Waiter) -> None:
        """Wake the command that waits, else tell the session: what it has already is no news."""
        session, place = self._sessions.get(waiter.holder.session_id), waits_at(project, waiter)
        self._forget_asked(project, lambda at: at == place)
        if session is None or self._has(place):
            return
        self._waits.over(session, project, [place.key])
        if self._turns.come(place):
            return
        shared = waiter.mode == LockMode.LOCK_MODE_SHARED
        self._turns.keep(place, waiter.path, shared=shared)
        if not place.agent:
            session.tell_person(wording.turn(waiter.path, place.branch, shared=shared))

    def _has(self, place: Place) -> bool:
        return self._held.right(place.project, place.key, place.claimant) is not None

    def _notice(self, project: ProjectId, notices: Iterable[Notice]) -> None:
        """Tell our sessions what lies in their inboxes, and empty these.

        What was told before, too: its acknowledgement may have been lost, and would not be sent
        again.
        """
        told: dict[SessionId, list[str]] = {}
        for notice in notices:
            if session := self._sessions.get(notice.session_id):
                self._tell_once(session, project, notice)
                told.setdefault(session.session_id, []).append(notice.notice_id)
        for session_id, notice_ids in told.items():
            for start in range(0, len(notice_ids), MOST_NOTICES):
                part = notice_ids[start : start + MOST_NOTICES]
                self._acknowledge(project, session_id, part)

    def _tell_once(self, session: LocalSession, project: ProjectId, notice: Notice) -> None:
        """Tell a notice unless it was told before its acknowledgement arrived."""
        if notice.notice_id in session.noticed:
            return
        session.noticed.append(notice.notice_id)
        thread = self._thread_of(project, notice)
        session.tell_editor(wording.noticed(notice), thread, person=True)

    def _thread_of(self, project: ProjectId, notice: Notice) -> AgentId:
        """Which thread of its session has the path of a notice; the main one where none does."""
        key, sender = path_key(notice.path), notice.sender
        mine = (k for k in self._held.of(SessionId(notice.session_id)) if k.covers(project, key))
        own = sender.agent_id if sender.session_id == notice.session_id else None
        # The main thread's name is empty: it comes first.
        return min((lock.agent for lock in mine if lock.agent != own), default=MAIN)

    def _drop(self, lock: HeldLock, notice: str) -> None:
        self._held.void(lock)
        if self._held.drop(lock) and (session := self._sessions.get(lock.session)):
            session.tell_loss(notice, lock.agent)


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

    def in_the_way_of(self, waiter: Waiter) -> list[Holder]:
        """Those who hold what ``waiter`` waits for, as if it wanted all of it.

        Whether it would share it, nobody tells; who waits is in somebody's way.
        """
        key = path_key(waiter.path)
        covering = (lock for lock in self._patterns if matches(lock.path, key))
        found = (*self._paths.get(key, ()), *covering)
        return [lock.holder for lock in found if _keeps_out(lock, waiter)]


def _words(waiter: Waiter, *, is_own: bool) -> str:
    if is_own:
        return wording_held.wanted_within(waiter.path, waiter.holder)
    return wording.wanted(waiter.path, waiter.holder, waiter.reason)


def _keeps_out(lock: Lock, waiter: Waiter) -> bool:
    return claimant(lock).excludes(_who(waiter))


def waits_at(project: ProjectId, waiter: Waiter) -> Place:
    """The place in a queue that a waiter has."""
    who = _who(waiter)
    return Place(project, path_key(waiter.path), who.session, who.agent, who.branch)


def _who(waiter: Waiter) -> Claimant:
    return Claimant.of(waiter.holder, LockMode.LOCK_MODE_EXCLUSIVE, waiter.scope)
