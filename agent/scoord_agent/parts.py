"""What one agent decides with: its parts, wired together, and the loops that drive them.

Nothing here listens, starts a process or knows where a file is. What reaches the
outside (client, clock, locator, files, chance) is given, so that a
simulation can run the same wiring.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from scoord.errors import ScoordError
from scoord.ids import ProjectId, SessionId
from scoord.v1.events_pb2 import AcknowledgeRequest, WatchResponse
from scoord_agent import answering
from scoord_agent.awareness import Awareness
from scoord_agent.common import Common
from scoord_agent.greeting import Greeting
from scoord_agent.heart import Heart
from scoord_agent.lifecycle import Lifecycle
from scoord_agent.local_session import LocalSession
from scoord_agent.locking import Locking
from scoord_agent.moves import Moving
from scoord_agent.next_work import NextWork
from scoord_agent.protection import Protection
from scoord_agent.reporting import Reporting
from scoord_agent.welcoming import Welcoming
from scoord_agent.writing_down import WritingDown, follow_locks

_log = logging.getLogger(__name__)


class Parts:
    """Everything one agent is made of, but for its doors."""

    def __init__(self, common: Common) -> None:
        self.common = common
        self.sessions, self.held = common.sessions, common.held
        self._writing_down = common.writing_down
        WritingDown(common.last_seen.file, common.background, common.disk)
        common.sessions.changed = self._writing_down.soon
        common.sessions.held, common.sessions.stood_at = self.held.known, self.held.stood_at
        common.turns.changed = self._writing_down.soon
        common.sessions.unheard = common.turns.unheard
        self.awareness = Awareness(
            common, lapsed=self._suspect, acknowledge=self._acknowledge, heard=self._heard
        )
        self.neighbours = self.awareness.neighbours
        self.locking = Locking(common, self.awareness, changed=self._registered)
        self._reporting = Reporting(
            client=common.client,
            sessions=common.sessions,
            unreported=common.unreported,
            held=common.held,
            clock=common.clock,
            background=common.background,
            told=self._writing_down.written,
            edits=common.writing_edits,
        )
        self._protection = Protection(
            held=common.held,
            neighbours=self.neighbours,
            sessions=common.sessions,
            reporting=self._reporting,
            clock=common.clock,
        )
        self.work = self._next_work()
        self.lifecycle = self._lifecycle()
        self._heart = self._new_heart()
        self._has_beaten = asyncio.Event()
        edits = answering.edits(
            common, self.awareness, self.locking, self._protection, self._reporting
        )
        self.relay = answering.relay(
            common,
            self.awareness,
            self.locking,
            edits,
            lifecycle=self.lifecycle,
            welcoming=self._welcoming(),
        )

    def _heard(self, project: ProjectId, response: WatchResponse) -> None:
        self._protection.heard(project, response)

    def _next_work(self) -> NextWork:
        common = self.common
        return NextWork(
            client=common.client,
            held=common.held,
            neighbours=self.neighbours,
            knowing=self.awareness.knowing,
            pursuits=self.awareness.pursuits,
            locator=common.locator,
            settings=common.settings,
        )

    def _welcoming(self) -> Welcoming:
        common = self.common
        greeting = Greeting(
            client=common.client,
            held=common.held,
            last_seen=common.last_seen,
            work=self.work if common.learn else None,
        )
        return Welcoming(
            sessions=common.sessions,
            registration=self.locking.registration,
            greeting=greeting,
            last_seen=common.last_seen,
            locator=common.locator,
            settings=common.settings,
            clock=common.clock,
            changed=self._watch_projects,
        )

    def _lifecycle(self) -> Lifecycle:
        common = self.common
        return Lifecycle(
            sessions=common.sessions,
            registration=self.locking.registration,
            last_seen=common.last_seen,
            locator=common.locator,
            knowing=self.awareness.knowing,
            settings=common.settings,
            machine=common.machine,
            clock=common.clock,
            changed=self._watch_projects,
            ending=self._protection.look_at,
            written=self._ended,
        )

    def _new_heart(self) -> Heart:
        common = self.common
        moving = Moving(held=common.held, neighbours=self.neighbours, locator=common.locator)
        return Heart(
            client=common.client,
            sessions=common.sessions,
            held=common.held,
            settings=common.settings,
            clock=common.clock,
            machine_id=common.machine.machine_id,
            lapse=self._lapse,
            moved=moving.of,
            rng=common.rng,
        )

    def load(self) -> None:
        """Begin with the sessions of the agent before, and with what it had to report."""
        self.sessions.load(self.common.clock.now())
        for session in self.sessions:
            self.locking.owed.take_over(session)
            self.common.turns.take_up(session.waited)
        self.common.unreported.load()
        self.common.last_seen.load()

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What runs as long as the agent does."""
        keep_locks = follow_locks(self.sessions, self._writing_down.soon)
        return self._beat(), self._follow_up(), keep_locks, self.lifecycle.watch_processes()

    async def close(self) -> None:
        """End what still runs. Sessions stay registered: an agent may be replaced."""
        await self.common.background.close()
        self.common.disk.shutdown(wait=False, cancel_futures=True)
        for kept in (self.sessions, self.common.unreported, self.common.last_seen):
            kept.file.save()
        await self.neighbours.close()
        await self.common.client.close()

    async def _beat(self) -> None:
        """Renew all sessions, again and again; nothing that takes long comes in between."""
        while True:
            # The leases of all come before the registration of one.
            await _trying("heartbeat", self._heart.beat)
            await _trying("look at the streams", self._protection.look)
            self._has_beaten.set()
            await self._heart.wait(self.common.leases.heartbeat)

    async def _follow_up(self) -> None:
        """After a beat bring every session to life that is not, and do what waits for that.

        Beside the beats: it goes from one session to the next, and with many of them, or a
        slow coordinator, all leases would run out meanwhile.
        """
        while True:
            await self._has_beaten.wait()
            self._has_beaten.clear()
            await _trying("registration", self.lifecycle.take_up)
            await _trying("release", self.locking.taking.settle)
            await _trying("release of strays", self._give_back_strays)
            await _trying("reclaim", self._reclaim)
            await _trying("report", self._report)
            await _trying("look at branches", self._follow_branches)
            await _trying("publishing", self.awareness.publishing.renew)
            await _trying("pursuit", self.awareness.pursuits.renew)
            await _trying("watch", self._watch_projects)

    async def _follow_branches(self) -> None:
        """Of terminals: no hook of theirs sees that another one is checked out.

        Commits are not looked for. Those of a worktree are whose hook comes first after them.
        """
        for session in self.sessions:
            if not session.has_hooks:
                await self.relay.follow_branches(session)

    def _report(self) -> None:
        """Of all sessions, unless a beat since may have found one that is to be registered."""
        self._reporting.begin(of_all=not self._has_beaten.is_set())

    def _give_back_strays(self) -> None:
        self.common.background.start(self.locking.strays.give_back())

    async def _ended(self) -> None:
        """Wait, as long as a hook can, until it is written down that a session has ended."""
        await asyncio.gather(self._writing_down.in_time(), self.common.writing_edits.in_time())

    def _registered(self) -> None:
        """A session has a new lease, or is in a new project: a restarted agent must know."""
        self.sessions.save()
        self._watch_projects()
        self._reclaim()

    def _reclaim(self) -> None:
        """Ask again for what was lost, of every session that may hold something."""
        for session in self.sessions:
            if session.registered:
                self.locking.reclaiming.begin(session)

    def _watch_projects(self) -> None:
        wanted: set[ProjectId] = set()
        for session in self.sessions:
            wanted |= set(session.aliases)
        self.neighbours.watch_only(wanted)
        self.common.turns.keep_only({session.session_id for session in self.sessions})

    def _acknowledge(self, project: ProjectId, session: SessionId, notices: list[str]) -> None:
        """Empty a session's inbox of what it will be told; unheard, it is told again, not twice.

        Not before it is written down: if this agent dies, the next one tells it.
        """
        request = AcknowledgeRequest(project=project, session_id=session, notice_ids=notices)

        async def acknowledge() -> None:
            await self._writing_down.written()
            await self.common.client.acknowledge(request)

        self.common.background.start(acknowledge())

    def _lapse(self, session: LocalSession) -> None:
        """A pulse says that the lease of a session is over."""
        self.locking.registration.lapse(session)
        self.lifecycle.lapsed(session, self.held.losses.of(session.session_id))

    def _suspect(self, session: SessionId) -> None:
        """The stream says that a session is gone; the next pulse tells for sure."""
        _log.info("the stream says that %s is gone", session)
        self._heart.hurry()


async def _trying(what: str, step: Callable[[], Coroutine[Any, Any, None] | None]) -> None:
    """Do a step; a loop that others live on outlives whatever happens in it."""
    try:
        if work := step():
            await work
    except ScoordError as error:
        _log.warning("no %s: %s", what, error)
    except Exception:  # noqa: BLE001 (as said)
        _log.exception("the %s failed in a way nobody foresaw", what)
