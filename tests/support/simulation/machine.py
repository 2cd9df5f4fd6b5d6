"""One machine: its clock, its agent, and the coding CLIs that call it."""

import asyncio
import contextvars
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from scoord.config import Settings
from scoord.errors import (
    BadRequest,
    DeadlineExceeded,
    ScoordError,
    SessionEnded,
    SessionNotFound,
    Unknown,
)
from scoord.ids import MachineId
from scoord.names import path_key
from scoord_agent.break_desk import BreakDesk
from scoord_agent.client_options import ClientOptions
from scoord_agent.common import Common
from scoord_agent.connection import Connection
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.delivery import Delivery
from scoord_agent.desk import Desk
from scoord_agent.doors import Doors
from scoord_agent.last_seen import LastSeen
from scoord_agent.lifecycle import Origin
from scoord_agent.listener import ANSWER_WITHIN_S, DECIDE_WITHIN_S
from scoord_agent.parts import Parts
from scoord_agent.registration import Machine as Identity
from scoord_agent.relay import Relay
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from scoord_agent.status_desk import AgentFacts, StatusDesk
from scoord_agent.unreported import Unreported
from scoord_hooks.neutral import Decision, EventKind, HookEvent, Verdict
from support.simulation.checkouts import Checkout, whose
from support.simulation.edges import FixedSettings, MemoryFile, NamedFiles
from support.simulation.loop import HostClock, Process, VirtualLoop
from support.simulation.network import Channel, Network
from support.simulation.projects import project_of

HOOK_TIMEOUT_S = 5.0
"""How long a coding CLI waits, whatever became of the agent."""

_MAY_HAPPEN = (Unknown, SessionEnded, SessionNotFound, TimeoutError)
"""What a command may come to in trouble; any other failure is a mistake of somebody's."""

current_hook: "contextvars.ContextVar[Hook | None]" = contextvars.ContextVar("hook", default=None)

asked_for: "contextvars.ContextVar[frozenset[str]]" = contextvars.ContextVar(
    "asked_for", default=frozenset()
)
"""The keys of the files or patterns that whoever called the agent asks for itself."""


hands_back: contextvars.ContextVar[bool] = contextvars.ContextVar("hands_back", default=False)
"""Whether whoever called the agent gives back what it has, known to the agent or not."""

_HANDS_BACK = frozenset({EventKind.TURN_END, EventKind.SUBAGENT_END})


def wish_keys(names: Iterable[str]) -> frozenset[str]:
    """What files and patterns are compared by, however they are anchored."""
    return frozenset(path_key(name).lstrip("/") for name in names)


@dataclass
class Hook:
    """One hook call, and what came of it. None is what a CLI sees of a dead agent."""

    event: HookEvent
    pid: int
    called_s: float
    decision: Decision | None = None
    answered_s: float = 0.0
    given_up: bool = False
    """Whether its CLI waits for its answer no more."""
    undecided: bool = False
    """Whether the listener, not the relay, answered."""
    session: str = ""
    """Of which session its agent took it for when it came, if that was plain."""
    asked: list[str] = field(default_factory=list)
    """What became of the commands it sent: granted, held, or a failure."""
    granted: set[str] = field(default_factory=set)
    """The files that it was granted by these answers, and not too late."""
    times_granted: "Counter[str]" = field(default_factory=Counter)
    """How often it was granted each file, too late or not."""
    contested: set[str] = field(default_factory=set)
    """The files that others had by these answers."""
    failed_in: set[str] = field(default_factory=set)
    """The projects in which commands failed; an empty one is for all of them."""

    @property
    def unasked(self) -> bool:
        """Whether its agent may have had no answer, as one of its commands failed.

        Or it waited for another event's command, which did not come back in time.
        """
        return bool(self.failed_in) or self._is_late

    def is_unasked_in(self, project: str) -> bool:
        """The same of one project, which is asked for itself."""
        return bool(self.failed_in & {project, ""}) or self._is_late

    @property
    def _is_late(self) -> bool:
        return self.undecided or self.answered_s - self.called_s > 1.0


@dataclass
class Agent:
    """One agent process."""

    process: Process
    parts: Parts
    desk: Desk
    status_desk: StatusDesk
    break_desk: BreakDesk


@dataclass
class Machine:
    """A computer with one user."""

    name: str
    loop: VirtualLoop
    network: Network
    clock: HostClock
    settings: Settings
    rng: random.Random
    replicas: int
    decided: Callable[["Machine", Hook], None]
    """Told of every decision, at the moment it is made."""
    checkouts: Sequence[Checkout]
    """Its own worktree, and linked ones; then that of the second project."""
    agent: Agent | None = None
    file: MemoryFile = field(default_factory=MemoryFile)
    unreported: MemoryFile = field(default_factory=MemoryFile)
    seats: Process = field(init=False)
    """Where its coding CLIs run."""

    def __post_init__(self) -> None:
        self.seats = Process(self.loop, f"{self.name}'s CLIs", self.clock)

    def checkout_at(self, cwd: str) -> Checkout:
        """The worktree that somebody works in."""
        return next(checkout for checkout in self.checkouts if str(checkout.root) == cwd)

    def checkout_of(self, name: str, cwd: str) -> Checkout:
        """The worktree that a file or pattern is in, for somebody who works there."""
        return whose(self.checkouts, project_of(name), cwd)

    def start_agent(self) -> Agent:
        """Start a process, which takes up the sessions of the one before."""
        process = Process(self.loop, f"{self.name}'s agent", self.clock)
        parts = self._parts()
        facts = AgentFacts(1, "0", 1, MachineId(self.name), self.name, "", "", {})
        doors = Doors(parts)
        self.agent = Agent(
            process, parts, doors.desk(), doors.status_desk(facts), doors.break_desk()
        )
        process.start(_run(parts))
        return self.agent

    def kill_agent(self) -> None:
        """End its process at once."""
        if self.agent:
            self.agent.process.kill()
            self.agent = None

    async def hook(self, event: HookEvent, pid: int) -> Hook:
        """Call the agent as a CLI does, from one of the machine's CLIs."""
        called = Hook(event, pid, self.loop.true_s)
        await self._ask(lambda agent: self._answer(agent, called))
        called.given_up = True
        return called

    async def command(
        self, work: Callable[[Agent], Coroutine[Any, Any, Any]], longer_s: float = 0.0
    ) -> Any:
        """Ask the agent's desks as the command line does; None when it cannot be done."""

        async def answer(agent: Agent) -> Any:
            try:
                async with asyncio.timeout(HOOK_TIMEOUT_S + longer_s):
                    return await work(agent)
            except _MAY_HAPPEN:
                return None

        return await self._ask(answer, longer_s)

    async def _ask(
        self, work: Callable[[Agent], Coroutine[Any, Any, Any]], longer_s: float = 0.0
    ) -> Any:
        """Do ``work`` in the agent's process; None when it is dead or takes too long."""
        agent = self.agent
        if agent is None:
            return None
        answer: asyncio.Future[Any] = self.loop.create_future()

        async def run() -> None:
            result = await work(agent)
            if not answer.done():
                answer.set_result(result)

        def begin() -> None:
            self.loop.create_task(run()).add_done_callback(self._done)

        agent.process.post(0.0, begin)
        try:
            async with asyncio.timeout(HOOK_TIMEOUT_S + longer_s):
                return await answer
        except TimeoutError:
            return None

    def _done(self, task: "asyncio.Task[None]") -> None:
        """What its caller would never see is not to pass unseen."""
        if not task.cancelled() and (error := task.exception()):
            self.loop.call_exception_handler({"exception": error})

    async def _answer(self, agent: Agent, called: Hook) -> None:
        """What the listener does around the relay."""
        current_hook.set(called)
        hands_back.set(called.event.kind in _HANDS_BACK)
        if called.event.kind is EventKind.BEFORE_EDIT:
            asked_for.set(wish_keys(called.event.paths))
        now, relay = asyncio.get_running_loop().time(), agent.parts.relay
        origin, delivery = Origin(pid=called.pid), Delivery()
        called.session = _named(agent, called)
        try:
            async with asyncio.timeout_at(now + ANSWER_WITHIN_S):
                until = now + DECIDE_WITHIN_S
                called.decision = await relay.decide(called.event, origin, until, delivery)
        except (ScoordError, TimeoutError) as error:
            delivery.failed()
            called.undecided = True
            called.decision = await _undecided(relay, called.event, origin, error)
        if called.given_up:
            delivery.failed()
        called.answered_s = self.loop.true_s
        self.decided(self, called)

    def _parts(self) -> Parts:
        leases = self.settings.leases
        identity = Identity(MachineId(self.name), self.name, f"user of {self.name}")
        options = ClientOptions(
            addresses=tuple(str(index) for index in range(self.replicas)),
            rpc_timeout_s=leases.rpc_timeout,
            machine=self.name,
            person=identity.person,
        )
        return Parts(
            Common(
                client=CoordinatorClient(
                    options, Connection(leases.belief), self.clock, cast("Any", self._connect)
                ),
                sessions=Sessions(cast("Any", self.file)),
                unreported=Unreported(cast("Any", self.unreported)),
                settings=SettingsFor(FixedSettings(self.settings), self.settings),
                leases=leases,
                locator=NamedFiles(identity.machine_id, self.checkouts),
                machine=identity,
                clock=self.clock,
                last_seen=LastSeen(None, self.clock),
                rng=random.Random(self.rng.random()),
            )
        )

    def _connect(self, address: str) -> Channel:
        return Channel(self.network, self.name, int(address))


def _named(agent: Agent, called: Hook) -> str:
    """The session behind a hook by its own words; it may end while the hook is answered."""
    event = called.event
    if event.kind is EventKind.SESSION_START:
        return ""
    known = agent.parts.sessions.all_by_client_id(event.client, event.client_session_id)
    own = [one.session_id for one in known if one.process and one.process.pid == called.pid]
    return own[0] if len(own) == 1 else ""


async def _undecided(relay: Relay, event: HookEvent, origin: Origin, error: Exception) -> Decision:
    """What the listener says where the relay did not."""
    if isinstance(error, BadRequest):
        return Decision(Verdict.DENY, reason=str(error))
    known = error if isinstance(error, ScoordError) else DeadlineExceeded("late")
    return await relay.undecided(event, origin, known)


async def _run(parts: Parts) -> None:
    parts.load()
    await asyncio.gather(*parts.loops())
