"""What one agent decides with: its parts, wired together, and the loops that drive them.

Nothing here listens, starts a process or knows where a file is. What reaches the
outside (client, clock, locator, files, chance) is given, so that a
simulation can run the same wiring.
"""

import logging
import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from scoord.clock import Clock
from scoord.errors import ScoordError
from scoord.ids import ProjectId, SessionId
from scoord.paths import FileIdentity, Locator
from scoord.sections import Leases
from scoord.v1.events_pb2 import AcknowledgeRequest, WatchResponse
from scoord_agent.activity import Activity
from scoord_agent.actors import Actors
from scoord_agent.background import Background
from scoord_agent.commits import Commits
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.dependents import Dependents
from scoord_agent.desk import AgentFacts, Desk
from scoord_agent.edits import Edits
from scoord_agent.giving_up import GivingUp
from scoord_agent.graph_desk import GraphDesk
from scoord_agent.greeting import Greeting
from scoord_agent.handing_back import HandingBack
from scoord_agent.heart import Heart
from scoord_agent.held import HeldLocks
from scoord_agent.history_desk import HistoryDesk
from scoord_agent.hold_times import HoldTimes
from scoord_agent.keeping import Keeping
from scoord_agent.knowledge.knowing import Knowing, Learn
from scoord_agent.last_seen import LastSeen
from scoord_agent.lifecycle import Lifecycle
from scoord_agent.local_session import LocalSession
from scoord_agent.moves import Moving
from scoord_agent.neighbours import Neighbours
from scoord_agent.next_work import NextWork
from scoord_agent.owed import Owed
from scoord_agent.protection import Protection
from scoord_agent.publishing import Publishing
from scoord_agent.pursuits import Pursuits
from scoord_agent.queueing import Queueing
from scoord_agent.reactions import Reactions
from scoord_agent.reclaiming import Reclaiming
from scoord_agent.registration import Machine, Registration
from scoord_agent.relations import Relations
from scoord_agent.relay import Relay
from scoord_agent.reporting import Reporting
from scoord_agent.saying import Saying
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from scoord_agent.strays import Strays
from scoord_agent.suggest import Instead
from scoord_agent.surroundings import Surroundings
from scoord_agent.taking import Taking
from scoord_agent.turns import Turns
from scoord_agent.unreported import Unreported
from scoord_agent.waits import Waits
from scoord_agent.work_desk import WorkDesk

_log = logging.getLogger(__name__)


class Parts:
    """Everything one agent is made of, but for its doors."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        sessions: Sessions,
        unreported: Unreported,
        settings: SettingsFor,
        leases: Leases,
        locator: Locator,
        machine: Machine,
        clock: Clock,
        rng: random.Random | None = None,
        last_seen: LastSeen | None = None,
        learn: Learn | None = None,
    ) -> None:
        """Without ``learn`` nothing is known of any repository."""
        self.client = client
        self._machine = machine
        self._actors = Actors(machine, sessions)
        self.sessions = sessions
        self._settings = settings
        self._locator = locator
        self._clock = clock
        self._interval_s = leases.heartbeat
        self._background = Background()
        self._keeping = Keeping(sessions, self._background)
        sessions.changed = self._keeping.soon
        self.held = HeldLocks(belief_s=leases.belief)
        sessions.held, sessions.stood_at = self.held.known, self.held.stood_at
        self.turns = Turns(clock)
        waits = Waits(self._note)
        reactions = Reactions(
            sessions=sessions,
            held=self.held,
            turns=self.turns,
            lapsed=self._suspect,
            acknowledge=self._acknowledge,
            waits=waits,
        )
        self.hold_times = HoldTimes(
            client=client, sessions=sessions, clock=clock, background=self._background
        )

        def react(project: ProjectId, response: WatchResponse) -> None:
            also = (self.hold_times, self._dependents, self._protection)
            for hear in (reactions.react, *(one.heard for one in also)):
                hear(project, response)

        def learned(root: Path) -> None:
            self._dependents.learned(root)

        self.neighbours = Neighbours(client, clock, react)
        self.knowing = Knowing(
            learn=learn,
            locator=locator,
            settings=settings,
            background=self._background,
            clock=clock,
            learned=learned,
        )
        around = Surroundings(self.knowing)
        relations = Relations(self.neighbours)
        self.publishing = Publishing(
            client=client,
            sessions=sessions,
            settings=settings,
            relations=relations,
            background=self._background,
            clock=clock,
        )
        dependents = self._dependents = Dependents(
            sessions=sessions,
            neighbours=self.neighbours,
            relations=relations,
            area_of=around.area_of,
            imports_of=around.imports_of,
            belonging_to=around.belonging_to,
            meant_by=around.meant_by,
            free_in=lambda where, lock: self.hold_times.completion(where, lock, self.neighbours),
            clock=clock,
            changed=self.publishing.note,
        )
        self._pursuits = Pursuits(
            client=client, sessions=sessions, clock=clock, background=self._background
        )
        activity = Activity(publishing=self.publishing, clock=clock, area_of=around.area_of)

        def edited(session: LocalSession, file: FileIdentity) -> None:
            dependents.edited(session, file)
            activity.edited(session, file)
            self._pursuits.edited(session, file)

        self._owed = Owed(client)
        registration = Registration(
            client=client,
            held=self.held,
            turns=self.turns,
            clock=clock,
            machine=machine,
            ttl_s=leases.ttl,
            changed=self._registered,
            is_over=self.neighbours.is_over,
            describe=self.publishing.describe,
        )
        self._registration = registration
        self._reclaiming = Reclaiming(
            client=client,
            registration=registration,
            held=self.held,
            neighbours=self.neighbours,
            clock=clock,
            background=self._background,
        )
        self.taking = Taking(
            client=client,
            registration=registration,
            held=self.held,
            neighbours=self.neighbours,
            turns=self.turns,
            reclaiming=self._reclaiming,
            owed=self._owed,
            clock=clock,
            background=self._background,
            waits=waits,
        )
        self._strays = Strays(
            sessions=sessions, neighbours=self.neighbours, taking=self.taking, clock=clock
        )
        self._unreported = unreported
        self._reporting = Reporting(
            client=client,
            sessions=sessions,
            unreported=unreported,
            held=self.held,
            clock=clock,
            background=self._background,
        )
        self._protection = Protection(
            held=self.held,
            neighbours=self.neighbours,
            sessions=sessions,
            reporting=self._reporting,
            clock=clock,
        )
        self._edits = Edits(
            taking=self.taking,
            registration=registration,
            held=self.held,
            neighbours=self.neighbours,
            hold_times=self.hold_times,
            protection=self._protection,
            reporting=self._reporting,
            instead=self._instead(),
            locator=locator,
            settings=settings,
            clock=clock,
            editing=dependents.editing,
            edited=edited,
        )
        self._work = NextWork(
            client=client,
            held=self.held,
            neighbours=self.neighbours,
            knowing=self.knowing,
            pursuits=self._pursuits,
            locator=locator,
            settings=settings,
        )
        self._last_seen = last_seen or LastSeen(None, clock)
        self._lifecycle = Lifecycle(
            sessions=sessions,
            registration=registration,
            greeting=Greeting(
                client=client,
                held=self.held,
                last_seen=self._last_seen,
                work=self._work if learn else None,
            ),
            last_seen=self._last_seen,
            locator=locator,
            knowing=self.knowing,
            settings=settings,
            machine=machine,
            clock=clock,
            changed=self._watch_projects,
        )
        self._heart = Heart(
            client=client,
            sessions=sessions,
            held=self.held,
            settings=settings,
            clock=clock,
            machine_id=machine.machine_id,
            lapse=registration.lapse,
            moved=Moving(held=self.held, neighbours=self.neighbours, locator=locator).of,
            rng=rng,
        )
        self.relay = Relay(
            lifecycle=self._lifecycle,
            edits=self._edits,
            taking=self.taking,
            held=self.held,
            handing_back=HandingBack(
                taking=self.taking,
                held=self.held,
                settings=settings,
                locator=locator,
                background=self._background,
                clock=clock,
                committed=Commits(
                    sessions=sessions,
                    held=self.held,
                    background=self._background,
                    committed=activity.committed,
                ).made,
            ),
            activity=activity,
            publishing=self.publishing,
            dependents=dependents,
            pursuits=self._pursuits,
            settings=settings,
            background=self._background,
            turns=self.turns,
            clock=clock,
        )

    def _instead(self) -> Instead:
        """What is free beside what is taken; it keeps nothing of its own."""
        return Instead(
            neighbours=self.neighbours, held=self.held, knowing=self.knowing, clock=self._clock
        )

    def _queueing(self) -> Queueing:
        """Who waits by a command."""
        return Queueing(
            taking=self.taking, turns=self.turns, background=self._background, clock=self._clock
        )

    def desk(self, facts: AgentFacts) -> Desk:
        """What answers people and scripts."""
        return Desk(
            facts=facts,
            machine=self._machine,
            client=self.client,
            sessions=self.sessions,
            lifecycle=self._lifecycle,
            taking=self.taking,
            giving_up=GivingUp(
                client=self.client, taking=self.taking, turns=self.turns, locator=self._locator
            ),
            actors=self._actors,
            held=self.held,
            turns=self.turns,
            queueing=self._queueing(),
            neighbours=self.neighbours,
            hold_times=self.hold_times,
            instead=self._instead(),
            locator=self._locator,
            settings=self._settings,
            clock=self._clock,
        )

    def history_desk(self) -> HistoryDesk:
        """What answers people and scripts about the past."""
        return HistoryDesk(
            client=self.client,
            locator=self._locator,
            clock=self._clock,
            is_local=lambda session_id: self.sessions.get(session_id) is not None,
        )

    def saying(self) -> Saying:
        """What takes down what people and scripts say of sessions."""
        return Saying(
            actors=self._actors,
            client=self.client,
            sessions=self.sessions,
            lifecycle=self._lifecycle,
            registration=self._registration,
            publishing=self.publishing,
            locator=self._locator,
            settings=self._settings,
            clock=self._clock,
        )

    def work_desk(self) -> WorkDesk:
        """What answers people and scripts about work."""
        return WorkDesk(
            client=self.client,
            actors=self._actors,
            lifecycle=self._lifecycle,
            registration=self._registration,
            work=self._work,
            locator=self._locator,
            settings=self._settings,
        )

    def graph_desk(self) -> GraphDesk:
        """What answers them about the graph."""
        return GraphDesk(
            client=self.client,
            actors=self._actors,
            locator=self._locator,
            settings=self._settings,
            work=self._work,
            free_in=lambda where, locks: self.hold_times.completions(where, locks, self.neighbours),
        )

    def load(self) -> None:
        """Begin with the sessions of the agent before, and with what it had to report."""
        self.sessions.load(self._clock.now())
        for session in self.sessions:
            self._owed.take_over(session)
        self._unreported.load()
        self._last_seen.load()

    def loops(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What runs as long as the agent does."""
        return self._beat(), self._keeping.follow(), self._lifecycle.watch_processes()

    async def close(self) -> None:
        """End what still runs. Sessions stay registered: an agent may be replaced."""
        await self._background.close()
        self.sessions.save()
        self._last_seen.save()
        await self.neighbours.close()
        await self.client.close()

    async def _beat(self) -> None:
        """Bring every session to life that is not, then renew them all; again and again."""
        while True:
            # The leases of all come before the registration of one.
            await _trying("heartbeat", self._heart.beat())
            await _trying("registration", self._lifecycle.take_up())
            await _trying("release", self.taking.settle())
            self._background.start(self._strays.give_back())
            self._reclaim()
            self._reporting.begin(of_all=True)
            self.publishing.renew()
            self._pursuits.renew()
            self._watch_projects()
            await self._heart.wait(self._interval_s)

    def _registered(self) -> None:
        """A session has a new lease, or is in a new project: a restarted agent must know."""
        self.sessions.save()
        self._watch_projects()
        self._reclaim()

    def _reclaim(self) -> None:
        """Ask again for what was lost, of every session that may hold something."""
        for session in self.sessions:
            if session.registered:
                settings = self._settings.at(session.root)
                self._reclaiming.begin(session, settings)

    def _watch_projects(self) -> None:
        wanted: set[ProjectId] = set()
        for session in self.sessions:
            wanted |= set(session.aliases)
        self.neighbours.watch_only(wanted)
        self.turns.keep_only({session.session_id for session in self.sessions})

    def _note(self, session: LocalSession) -> None:
        """What a session waits for has changed."""
        self.publishing.note(session)

    def _acknowledge(self, project: ProjectId, session: SessionId, notices: list[str]) -> None:
        """Empty a session's inbox of what it will be told; unheard, it is told again, not twice.

        Not before it is written down: if this agent dies, the next one tells it.
        """
        request = AcknowledgeRequest(project=project, session_id=session, notice_ids=notices)

        async def acknowledge() -> None:
            await self._keeping.kept()
            await self.client.acknowledge(request)

        self._background.start(acknowledge())

    def _suspect(self, session: SessionId) -> None:
        """The stream says that a session is gone; the next pulse tells for sure."""
        _log.info("the stream says that %s is gone", session)
        self._heart.hurry()


async def _trying(what: str, work: Coroutine[Any, Any, None]) -> None:
    """Do ``work``; a loop that others live on outlives whatever happens in it."""
    try:
        await work
    except ScoordError as error:
        _log.warning("no %s: %s", what, error)
    except Exception:  # noqa: BLE001 (as said)
        _log.exception("the %s failed in a way nobody foresaw", what)
