"""The life of a session on this machine: who is behind an event, start, end, death."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile

from scoord.bounded import BoundedDict
from scoord.clock import Clock
from scoord.config import Settings
from scoord.errors import InvalidRequest, ScoordError, SessionNotFound, Unknown
from scoord.git import branch
from scoord.paths import Locator, Worktree
from scoord.text import one_line
from scoord.v1.sessions_pb2 import SessionStatus
from scoord_agent import processes, wording_losses
from scoord_agent.held_lock import HeldLock
from scoord_agent.knowledge.knowing import Knowing
from scoord_agent.last_seen import LastSeen
from scoord_agent.local_session import TERMINAL, LocalSession, new_session_id
from scoord_agent.places import folder_of, worktree_of
from scoord_agent.processes import Process
from scoord_agent.registration import Machine, Registration
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from scoord_hooks.adapters import running_version
from scoord_hooks.neutral import EventKind, HookEvent

_log = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.5
"""How often processes are looked at. A dead session is ended within 2 s."""

END_WITHIN_S = 1.2
"""Coding CLIs give all their end hooks together 1.5 s."""

_GOES_ON = frozenset({"clear", "resume"})
"""Reasons of a session end after which the process stays and starts anew."""

STARTS_ANEW = frozenset({"clear", "resume", "fork"})
"""Reasons of a session start that may mean another conversation in the same process."""

_FORGOTTEN_AFTER = 2
"""How many ``session_timeout`` a session without a process is idle until it is over here: after
the first it is ended at the coordinator, and is told so if it goes on."""

MAX_INTENT = 120

_NOTHING_ABOVE = (
    "no terminal and no session is above this command, so that what it takes would be free again"
    " as it ends; run it, and what needs it, in one shell"
)

_NOT_REGISTERED = (
    "not coordinated here: `auto_register` is false where this coding session was started, so it"
    " is not registered, and holds nothing"
)

_MOST_UNREGISTERED = 1_000

_IDLE = SessionStatus.SESSION_STATUS_IDLE
_UNSPECIFIED = SessionStatus.SESSION_STATUS_UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event came from, as far as its transport tells."""

    pid: int | None = None
    """The coding CLI's process id, from a command hook."""
    port: int | None = None
    """The port its connection leaves from."""
    intent: str = ""
    """What its user said it is about to do (``SCOORD_INTENT``)."""


class Lifecycle:
    """Finds, starts and ends sessions."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        registration: Registration,
        locator: Locator,
        knowing: Knowing,
        settings: SettingsFor,
        machine: Machine,
        clock: Clock,
        last_seen: LastSeen,
        changed: Callable[[], None],
        ending: Callable[[LocalSession], None],
        written: Callable[[], Awaitable[None]],
    ) -> None:
        """``ending`` writes down what is known of a session's edits, while it is known.

        ``written`` waits, as long as a hook can, until that is on the disk.
        """
        self._sessions = sessions
        self._registration = registration
        self._locator = locator
        self._knowing = knowing
        self._settings = settings
        self._machine = machine
        self._clock = clock
        self._last_seen = last_seen
        self._changed = changed
        self._ending = ending
        self._written = written
        self._unregistered = BoundedDict[Process, None](_MOST_UNREGISTERED)
        """The coding CLIs that were seen and are not to be registered."""

    async def session_of(self, event: HookEvent, origin: Origin) -> LocalSession | None:
        """The session behind ``event``, made if need be; None when it is not to be made."""
        session = self.named(event, origin)
        if session is None:
            process = await self._process(origin)
            version = await _version_of(event.client, process)
            worktree = await worktree_of(self._locator, event.cwd)
            # Nothing is awaited from here on: two first events at once make one session.
            session = self._known(event, origin, process)
            if session and process and session.process is None:
                self._adopt(session, process, version)
            if session and not session.has_hooks:
                self._get_hooks(session, event.client, version)
            is_over = event.kind is EventKind.SESSION_END or _has_gone(origin, process)
            if session is None and not is_over:
                session = self._make(event, origin, process, worktree, version)
        if session is not None:
            session.act(self._clock.now())
            if event.kind is EventKind.PROMPT:
                self._see_missed_start(session, origin)
        return session

    def _see_missed_start(self, session: LocalSession, origin: Origin) -> None:
        """Its hook may have known it by the shell between them."""
        pids = {origin.pid, session.process.pid if session.process else None}
        if any(self._sessions.has_missed_start(pid) for pid in pids if pid):
            session.to_greet = True

    def named(self, event: HookEvent, origin: Origin) -> LocalSession | None:
        """The session behind ``event``, where the event's own words are enough; most are."""
        if event.kind is EventKind.SESSION_START:
            return None
        known = self._sessions.all_by_client_id(event.client, event.client_session_id)
        if origin.pid is not None:
            known = [s for s in known if s.process and s.process.pid == origin.pid]
        return known[0] if len(known) == 1 else None

    def worked(self, session: LocalSession) -> None:
        """A turn of it is over: until now, nothing was missed in its worktree."""
        self._last_seen.note(session)

    async def session_end(self, session: LocalSession, event: HookEvent) -> None:
        """A session says it ends. After ``/clear`` it goes on under its name."""
        if event.reason in _GOES_ON and session.process is not None:
            session.client_session_ids.discard(event.client_session_id)
            self._sessions.save()
            return
        await self.end(session, f"session end: {one_line(event.reason, 40)}")

    async def end(self, session: LocalSession, why: str) -> None:
        """End a session here and at the coordinator; what it held is free."""
        _log.info("%s ends: %s", session.session_id, why)
        self._ending(session)
        self._sessions.remove(session)
        self._last_seen.note(session, save=True)
        self._changed()
        try:
            async with asyncio.timeout(END_WITHIN_S):
                await self._registration.end(session, why, END_WITHIN_S)
        except (ScoordError, TimeoutError) as error:
            # Said again with the next beats. Nobody renews its lease: it runs out at the latest.
            _log.warning("%s ended, but could not be said so: %s", session.session_id, error)
        await self._written()  # or the agent after us would take it up

    async def watch_processes(self) -> None:
        """End every session whose process is gone, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            # All at once: with the terminal of many, none waits for the ends of the others.
            await asyncio.gather(*map(self._end_of_gone, filter(_is_gone, self._sessions)))

    async def _end_of_gone(self, session: LocalSession) -> None:
        _log.info("the process of %s is gone", session.session_id)
        await self.end(session, "its process is gone")

    async def take_up(self) -> None:
        """Bring every session to life that is not: also those of the agent before us.

        Raises Unknown when nobody can be asked.
        """
        await self._registration.say_ends()
        for session in self._sessions:
            await _as_far_as_allowed(session, self._bring_to_life(session))

    async def terminal_session(self, pid: int, cwd: str, *, lasting: bool = False) -> LocalSession:
        """The nearest session above ``pid``, else one for the terminal's shell, made now.

        A coding CLI may have been started in a terminal that is a session itself. Without
        either, it is one for the process itself, unless it is to be ``lasting``.

        Raises SessionNotFound when that has ended: nothing would ever end a new one; and
        where it would end with the command. Raises InvalidRequest below a coding CLI that is
        not to be registered: it would hold locks as the terminal it runs in, beyond its end.
        """
        worktree = await worktree_of(self._locator, cwd)
        session = self._sessions.above(pid)
        if self._is_unregistered(pid, session):
            raise InvalidRequest(_NOT_REGISTERED)
        if session is not None:
            session.act(self._clock.now())
            return session
        terminal = processes.terminal_of(pid)
        process = processes.find(terminal or pid)
        if process is None and processes.is_gone(pid):
            raise SessionNotFound(f"process {pid}, which asked, has ended")
        if process and terminal is None and lasting:
            raise SessionNotFound(_NOTHING_ABOVE)
        return self._add(TERMINAL, "", cwd, process=process, worktree=worktree, origin=Origin())

    def _is_unregistered(self, pid: int, session: LocalSession | None) -> bool:
        """Whether a coding CLI that is not to be registered is nearer above than ``session``."""
        if not self._unregistered:
            return False
        own = session.process.pid if session and session.process else None
        nearer = takewhile(lambda each: each != own, processes.ancestors(pid))
        return any(processes.find(each) in self._unregistered for each in nearer)

    def lapsed(self, session: LocalSession, lost: Sequence[HeldLock]) -> None:
        """Its lease is over, and with it what it ``lost``.

        One that rests is told so now: until it does something, nobody asks what became of it.
        """
        if lost and self._rests(session, self._settings.at(session.root)):
            shown = dict.fromkeys(lock.shown for lock in lost)
            session.tell_loss(wording_losses.lost_resting([*shown]))

    def _rests(self, session: LocalSession, settings: Settings, timeouts: int = 1) -> bool:
        """Whether it did nothing for so many ``session_timeout``, and so may end as idle."""
        coordination = settings.session_coordination
        idle_s = self._clock.now() - session.acted_at
        is_long = idle_s >= timeouts * coordination.session_timeout
        return is_long and coordination.auto_cleanup_stale

    async def _bring_to_life(self, session: LocalSession) -> None:
        settings = self._settings.at(session.root)
        if not session.registered:
            # One that was ended because it was idle stays so until it does something.
            if not self._rests(session, settings):
                await self._registration.enter(session, session.home, settings)
            elif not session.process and self._rests(session, settings, _FORGOTTEN_AFTER):
                await self.end(session, "it is idle, and nobody knows its process")
        else:
            # Its renewals do not tell what it holds; registering it again does.
            for project in sorted(session.inherited):
                entering = self._registration.enter(session, project, settings)
                await _as_far_as_allowed(session, entering)

    def _known(
        self, event: HookEvent, origin: Origin, process: Process | None
    ) -> LocalSession | None:
        session = self._sessions.by_process(process) if process else None
        if session is None:
            known = self._sessions.all_by_client_id(event.client, event.client_session_id)
            # Another process that takes up the conversation is another session.
            adopts = not (event.kind is EventKind.SESSION_START and event.reason in STARTS_ANEW)
            session = next(
                (s for s in known if process is None or (adopts and not s.process)), None
            )
        if session is not None and event.client_session_id:
            if _is_another_conversation(session, event):
                # What its prompts said is of the one before; the next says what it is now.
                session.begin_anew()
            self._rename(session, event.client_session_id)
        if session is not None:
            _take_over_intent(session, origin)
        return session

    def _adopt(self, session: LocalSession, process: Process, version: str) -> None:
        """A session was made while its process could not be found; from now on it ends with it."""
        session.process = process
        session.terminal = one_line(processes.tty_of(process.pid), 40)
        session.client_version = one_line(version, 40)
        self._sessions.save()

    def _get_hooks(self, session: LocalSession, client: str, version: str) -> None:
        """A command in its coding CLI was heard first: it can be told something from now on."""
        session.client, session.client_version = client, one_line(version, 40)
        session.status = session.status or _IDLE
        self._sessions.save()

    def _rename(self, session: LocalSession, client_session_id: str) -> None:
        """The CLI knows it under a new id, after ``/clear``."""
        if client_session_id not in session.client_session_ids:
            session.client_session_ids.add(client_session_id)
            self._sessions.save()

    def _make(
        self,
        event: HookEvent,
        origin: Origin,
        process: Process | None,
        worktree: Worktree | None,
        version: str,
    ) -> LocalSession | None:
        if not self._settings.of(worktree).session_coordination.auto_register:
            if process is not None:
                self._unregistered[process] = None
            return None
        session = self._add(
            event.client,
            event.client_session_id,
            event.cwd,
            process=process,
            worktree=worktree,
            origin=origin,
            version=version,
        )
        self._see_missed_start(session, origin)
        return session

    def _add(
        self,
        client: str,
        client_session_id: str,
        cwd: str,
        *,
        process: Process | None,
        worktree: Worktree | None,
        origin: Origin,
        version: str = "",
    ) -> LocalSession:
        session = LocalSession(
            session_id=new_session_id(self._machine.host, process, datetime.now(UTC)),
            client=client,
            process=process,
            cwd=cwd,
            client_session_ids={client_session_id} if client_session_id else set(),
            home=self._locator.project_of(worktree),
            worktree=folder_of(worktree),
            branch=one_line(branch(str(worktree.root))) if worktree else "",
            # Until a prompt or an edit is seen; a terminal never says what it does.
            status=_UNSPECIFIED if client == TERMINAL else _IDLE,
            client_version=one_line(version, 40),
            terminal=one_line(processes.tty_of(process.pid), 40) if process else "",
            acted_at=self._clock.now(),
            published_at=self._clock.now(),
        )
        _take_over_intent(session, origin)
        self._sessions.add(session)
        self._changed()
        if worktree is not None:
            self._knowing.at_once(worktree)  # so that it is known by the first refusal
        _log.info("%s begins, of %s in %s", session.session_id, client, session.home)
        return session

    async def _process(self, origin: Origin) -> Process | None:
        if origin.pid is not None:
            pid = processes.behind_shells(origin.pid)
        elif origin.port is not None:
            pid = await asyncio.to_thread(processes.client_of_connection, origin.port)
        else:
            return None
        return processes.find(pid) if pid else None


async def _as_far_as_allowed(session: LocalSession, step: Awaitable[None]) -> None:
    """What is refused keeps nothing else from being registered. Raises Unknown."""
    try:
        await step
    except Unknown:
        raise
    except ScoordError as error:
        _log.warning("%s cannot be registered: %s", session.session_id, error)


def _is_another_conversation(session: LocalSession, event: HookEvent) -> bool:
    """Whether a start begins, or takes up, another one in a process that was there before."""
    if event.kind is not EventKind.SESSION_START:
        return False
    is_new = event.client_session_id not in session.client_session_ids
    return event.reason == "clear" or (event.reason in STARTS_ANEW and is_new)


def _take_over_intent(session: LocalSession, origin: Origin) -> None:
    """What was said where its coding CLI was started, unless something was said since."""
    if origin.intent and not session.intent_is_said:
        session.say_intent(one_line(origin.intent, MAX_INTENT))


def _is_gone(session: LocalSession) -> bool:
    return session.process is not None and not processes.is_running(session.process)


def _has_gone(origin: Origin, process: Process | None) -> bool:
    """Whether who asked has ended meanwhile: a session of it would have no process to end with."""
    return origin.pid is not None and process is None and processes.is_gone(origin.pid)


async def _version_of(client: str, process: Process | None) -> str:
    """In a thread: it is read from small files beside the program."""
    if process is None:
        return ""
    command = processes.command_of(process.pid)
    return await asyncio.to_thread(running_version, client, command)
