"""Makes this machine's sessions live at the coordinator, and ends them there."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from scoord.clock import Clock
from scoord.config import Settings
from scoord.errors import Refused, SessionEnded, SessionNotFound, Unknown
from scoord.ids import AgentId, FencingToken, LeaseId, MachineId, ProjectId, SessionId
from scoord.names import MOST_PATH_BYTES, path_key
from scoord.sections import SessionCoordination
from scoord.text import one_line
from scoord.v1.locks_pb2 import Holder, Lock
from scoord.v1.sessions_pb2 import (
    EndRequest,
    HeartbeatRequest,
    RegisterRequest,
    RegisterResponse,
    Session,
    SessionBeat,
    UpdateRequest,
)
from scoord_agent import wording_losses
from scoord_agent.coordinator import CoordinatorClient, new_request_id, seconds
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock, has_passed
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import claimant
from scoord_agent.turns import Turns

DAY_S = 24 * 3600

SAID_AGAIN_FOR_TTLS = 10
"""How long an end is said again, in TTLs: each new leader of etcd lets every lease begin anew."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where all sessions of this agent run, and whose they are."""

    machine_id: MachineId
    host: str
    person: str


@dataclass(frozen=True, slots=True)
class _Unsaid:
    """The end of a session that the coordinator does not know of, and until when it matters."""

    request: EndRequest
    until: float


class Registration:
    """Registers a session in each project it touches, all on one lease."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        held: HeldLocks,
        turns: Turns,
        clock: Clock,
        machine: Machine,
        ttl_s: float,
        changed: Callable[[], None],
        is_over: Callable[[HeldLock], bool],
        describe: Callable[[Session, LocalSession], None],
        last_of: Callable[[LocalSession], list[UpdateRequest]],
        written: Callable[[], Awaitable[None]],
    ) -> None:
        """``describe`` adds what is known of a session's work to what it registers with.

        ``last_of`` tells what that has come to, for its end. ``is_over`` says whether a grant is
        known to have ended. ``written`` waits, as long as a hook can, until all sessions are
        written down.
        """
        self._client = client
        self._held = held
        self._turns = turns
        self._clock = clock
        self._machine = machine
        self._ttl_s = ttl_s
        self._changed = changed
        self._is_over = is_over
        self._describe_work = describe
        self._last_of = last_of
        self._written = written
        self._locks: dict[str, asyncio.Lock] = {}
        self._unsaid: dict[str, _Unsaid] = {}
        self._aliases: dict[SessionId, dict[ProjectId, str]] = {}

    def why_silent(self, since: float) -> str:
        """Why no answer came, as far as is known, to who has waited since ``since``."""
        return self._client.connection.why_silent(since)

    @property
    def is_known_silent(self) -> bool:
        """Whether who asked last got no answer."""
        return bool(self._client.connection.error)

    async def enter(
        self, session: LocalSession, project: ProjectId, settings: Settings, patience_s: float = 0.0
    ) -> None:
        """Make ``session`` live in ``project``, if it is not. Raises what the coordinator says.

        One of the agent before us is asked for, under its name and lease, before it asks for
        anything: what it has would else look like what it is granted then.

        Two events of one session may come at once: the second waits for the first. What it
        asks for after that has its limits by ``settings``, too.
        """
        session.publish_within(settings.session_coordination.heartbeat_interval)
        is_patient = patience_s > 0
        if _is_in(session, project) and not (is_patient and session.unwritten):
            return
        async with self._lock_of(session):
            if not _is_in(session, project):
                await self._register_or_anew(session, project, settings, patience_s)
                self._recall(session, project)
                session.inherited.discard(project)
            if is_patient and session.unwritten:
                # Before it asks for anything on its lease: an agent after us is to know it.
                await self._written()
                session.unwritten = False

    def _lock_of(self, session: LocalSession) -> asyncio.Lock:
        """What whoever registers it holds; of one that has ended none is kept."""
        _check_goes_on(session)
        return self._locks.setdefault(session.session_id, asyncio.Lock())

    async def renew(
        self, session: LocalSession, project: ProjectId, patience_s: float = 0.0
    ) -> None:
        """Renew the lease of a session in whose locks nobody may believe any more.

        It may run out at any moment, and whatever is granted on it goes with it. Raises
        SessionEnded where that is over, and what the coordinator says.
        """
        if self._held.believes(session.session_id, self._clock.now()):
            return
        lease, sent_at = session.lease, self._clock.now()
        if not await self._is_live(session, project, patience_s):
            raise SessionEnded(f"the lease of {session.session_id} is over; register it anew")
        if session.lease == lease:
            self._held.renewed(session.session_id, sent_at)

    async def _is_live(self, session: LocalSession, project: ProjectId, patience_s: float) -> bool:
        """Whether its lease stands, which is renewed then."""
        if not session.registered:
            return False  # another event has found out that it is over
        name, lease = session.session_id, session.lease
        beat = SessionBeat(project=project, session_id=name, lease_id=lease)
        request = HeartbeatRequest(machine_id=self._machine.machine_id, beats=[beat])
        response = await self._client.heartbeat(request, patience_s)
        return all(pulse.live for pulse in response.pulses)

    def holder(self, lock: HeldLock) -> Holder:
        """Who of this machine holds ``lock``, as others would be told."""
        return Holder(
            session_id=lock.session,
            alias=self._aliases.get(lock.session, {}).get(lock.project, ""),
            agent_id=lock.agent,
            person=self._machine.person,
            host=self._machine.host,
        )

    def lock(self, lock: HeldLock) -> Lock:
        """A lock of this machine, as others would be told; for how long, nobody has said."""
        who = lock.claimant
        return Lock(path=lock.shown, holder=self.holder(lock), mode=who.mode, scope=who.scope)

    def lapse(self, session: LocalSession) -> None:
        """The session's lease is over: it goes on under its name, and what it held is lost.

        What became of that is found out once it is registered anew.
        """
        for project in dict.fromkeys(lock.project for lock in session.had):
            self._recall(session, project)
        self._held.lapse(session.session_id)
        session.work.waits.clear()  # its places in queues went with the lease
        self._turns.lapse(session.session_id)
        session.lapse()

    @contextlib.contextmanager
    def noticing(self, session: LocalSession) -> Iterator[None]:
        """Around what is sent on its lease, which lapses if an answer says that it is over.

        Another event of the session may have found out first, and registered it anew.
        """
        lease = session.lease
        try:
            yield
        except (SessionEnded, SessionNotFound):
            if lease and session.lease == lease:
                self.lapse(session)
            raise

    def _recall(self, session: LocalSession, project: ProjectId) -> None:
        """All is known that stands there: what else the agent before us knew of is lost."""
        for lock in session.had:
            if lock.project == project:
                self._held.missing(lock, session.had_at)
        session.had = [lock for lock in session.had if lock.project != project]
        session.had_beside = [lock for lock in session.had_beside if lock.project != project]

    async def end(self, session: LocalSession, why: str, patience_s: float = 0.0) -> None:
        """End ``session`` everywhere: one lease, so one call."""
        session.ended = True
        self._held.forget(session.session_id)
        self._locks.pop(session.session_id, None)
        self._aliases.pop(session.session_id, None)
        if not session.registered:
            return
        lease = session.lease
        session.lapse()
        request = EndRequest(
            request_id=new_request_id(),
            # Any project it is in: an edit elsewhere may have been all it did.
            project=next(iter(session.aliases), session.home),
            session_id=session.session_id,
            lease_id=lease,
            why=why,
            # What it did within the last second is not published yet.
            last=self._last_of(session),
        )
        try:
            await self._client.end(request, patience_s)
        except (Unknown, asyncio.CancelledError):
            # Its hook cannot wait; what it held need not wait for the lease to run out.
            until = self._clock.now() + SAID_AGAIN_FOR_TTLS * self._ttl_s
            self._unsaid[session.session_id] = _Unsaid(request, until)
            raise

    async def say_ends(self) -> None:
        """Say again which sessions have ended, while their leases may stand. Raises Unknown."""
        for session_id, unsaid in tuple(self._unsaid.items()):
            if self._clock.now() < unsaid.until:
                with contextlib.suppress(Refused):  # then it is over in another way
                    await self._client.end(unsaid.request)
            self._unsaid.pop(session_id, None)

    async def _register_or_anew(
        self, session: LocalSession, project: ProjectId, settings: Settings, patience_s: float
    ) -> None:
        try:
            await self._register(session, project, settings, patience_s)
        except SessionEnded:
            # The lease ran out while nobody renewed it.
            self.lapse(session)
            await self._register(session, project, settings, patience_s)

    async def _register(
        self, session: LocalSession, project: ProjectId, settings: Settings, patience_s: float
    ) -> None:
        _check_goes_on(session)
        coordination = settings.session_coordination
        request = RegisterRequest(
            request_id=new_request_id(),
            session=self._describe(session, project),
            lease_ttl=seconds(self._ttl_s),
            lease_id=session.lease,
            session_timeout=seconds(idle_limit_s(coordination.session_timeout, coordination)),
            retention=seconds(coordination.retention_days * DAY_S),
            archive=coordination.archive_completed,
            lapsed_lease_id=session.lapsed,
        )
        sent_at = self._clock.now()
        response = await self._client.register(request, patience_s)
        self._note(session, project, response)
        self._note_held(session, project, response.locks, sent_at)
        self._held.renewed(session.session_id, sent_at)
        self._changed()
        if session.ended:
            # It ended while it was being registered: nobody else would say so.
            await self.end(session, "it ended while it was registered")
            _check_goes_on(session)

    def _note(self, session: LocalSession, project: ProjectId, response: RegisterResponse) -> None:
        if session.lease != response.lease_id:
            # What was held on another lease is not renewed any more.
            self.lapse(session)
            session.aliases = {}
            session.inherited.clear()
        session.lease = LeaseId(response.lease_id)
        session.unwritten |= project not in session.aliases
        session.aliases[project] = response.alias
        self._aliases[session.session_id] = session.aliases
        session.home = session.home or project
        session.lapsed = LeaseId(0)
        if response.unused:
            # Before what it lost by that.
            session.tell_loss(wording_losses.unused(response.unused))

    def _note_held(
        self, session: LocalSession, project: ProjectId, locks: Iterable[Lock], sent_at: float
    ) -> None:
        """What it holds, in the order of the grants: a later one shows that one beside it ended."""
        written = (*session.had_beside, *reversed(session.had))
        now, had = self._clock.now(), {_grant(one): one for one in written}
        for lock in sorted(locks, key=lambda lock: lock.token):
            held = as_held(session, project, lock, now)
            held = _as_it_was(held, had.get(_grant(held)))
            if session.remembered.has_given_back(held):
                continue  # its release is still on its way
            if held.agent in session.ended_subagents:
                self._note_stray(session, held)
                continue
            if self._is_over(held):
                self._held.missing(held, sent_at)  # it ended on the way of the answer
            else:
                self._held.put(held)

    def _note_stray(self, session: LocalSession, lock: HeldLock) -> None:
        """Nobody asked for it who is there: its subagent has ended. It is given back as a stray.

        Its main thread may have had it until the subagent took it over, by a command whose answer
        the agent before us did not hear. It stands, under the same token: if it were asked what
        became of it, it would be the main thread's again. How it ended, where it has, is asked.
        """
        if self._is_over(lock):
            return
        passed = self._held.turn_down(lock) or lock.passed
        session.disown(lock)
        if passed:
            session.tell_loss(wording_losses.went_with_subagent([lock.shown]))

    def _describe(self, session: LocalSession, project: ProjectId) -> Session:
        message = Session(
            session_id=session.session_id,
            alias=session.aliases.get(project, ""),
            project=project,
            machine_id=self._machine.machine_id,
            host=self._machine.host,
            person=self._machine.person,
            client=session.client,
            client_version=session.client_version,
            # For display; a folder's name need not be UTF-8, a message's text must.
            worktree=one_line(session.worktree, MOST_PATH_BYTES),
            branch=session.branch,
            intent=session.intent,
            status=session.status,
            pid=session.process.pid if session.process else 0,
            terminal=session.terminal,
        )
        self._describe_work(message, session)
        return message


def idle_limit_s(timeout_s: float, coordination: SessionCoordination) -> float:
    """How long the coordinator may hear of no use before it takes something for idle.

    Use is published up to one ``heartbeat_interval`` late: what is in use must not
    look idle in between. 0 is never: nothing is to be cleaned up by itself.
    """
    if not coordination.auto_cleanup_stale:
        return 0.0
    return timeout_s + coordination.heartbeat_interval


def _grant(lock: HeldLock) -> tuple[ProjectId, str, FencingToken]:
    return lock.project, lock.key, lock.token


def _as_it_was(lock: HeldLock, before: HeldLock | None) -> HeldLock:
    """With its use, its reason if somebody gave one, and whether it was its main thread's.

    Only the agent before us knew. Others are told of a reason in any case, and of the commit
    that is checked out by now: it may have the file in.
    """
    if before is None:
        return lock
    return replace(
        lock,
        worktree=before.worktree,
        commit=before.commit,
        in_several=before.in_several,
        reason=before.reason,
        passed=has_passed(before, lock),
    )


def _check_goes_on(session: LocalSession) -> None:
    """Raises SessionNotFound where it has ended, as it may while others are registered."""
    if session.ended:
        raise SessionNotFound(f"{session.session_id} has ended")


def _is_in(session: LocalSession, project: ProjectId) -> bool:
    """Whether it is live there, and what it has there is known."""
    is_known = project in session.aliases and project not in session.inherited
    return session.registered and is_known


def as_held(session: LocalSession, project: ProjectId, lock: Lock, now: float) -> HeldLock:
    """A grant as its session would hold it, by what the coordinator tells of it now.

    One of the branch that its session is on was asked for in its worktree, as far as we know.
    """
    who = claimant(lock)
    is_own = (project, lock.holder.branch) == (session.home, session.branch)
    return HeldLock(
        project=project,
        key=path_key(lock.path),
        shown=lock.path,
        session=session.session_id,
        agent=AgentId(lock.holder.agent_id),
        token=FencingToken(lock.token),
        shared=who.shared,
        branch=who.branch,
        is_pattern=lock.is_pattern,
        commit=lock.holder.commit,
        worktree=session.worktree if is_own else "",
        ends_at=now + lock.ends_in.ToMilliseconds() / 1000 if lock.HasField("ends_in") else 0.0,
    )
