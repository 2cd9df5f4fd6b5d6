"""One history: a seed becomes a world, a time of trouble, a time of calm, and a verdict."""

import asyncio
import gc
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scoord.config import Settings
from scoord.patterns import Patterns
from scoord.sections import Coordinators, Leases, SessionCoordination
from scoord_server.store.embedded import EXPIRE_INTERVAL_S, PROGRESS_INTERVAL_S
from support.simulation.asked import Asked
from support.simulation.beliefs import Beliefs
from support.simulation.calm import Calm
from support.simulation.checkouts import LINKED, MAIN, OTHER, Checkout, Checkouts
from support.simulation.decrees import Decrees
from support.simulation.early import Early
from support.simulation.edges import ProcessTable, replaced
from support.simulation.faults import Trouble, have_proved, torment
from support.simulation.loop import HostClock, VirtualLoop
from support.simulation.machine import Hook, Machine
from support.simulation.network import Network
from support.simulation.people import Person
from support.simulation.projects import SECOND, SECOND_FILES, chance_of_second
from support.simulation.promised import Promised
from support.simulation.record import CRASH, Record
from support.simulation.refusals import Refusals
from support.simulation.replica import Replica
from support.simulation.slips import Slips
from support.simulation.storage import ObservedStore
from support.simulation.truth import Truth
from support.simulation.turns import FASTEST, SLOWEST, TurnsTold

TROUBLE_S = 46.0
REPLICAS = 2
LEAST_HOOKS = 60
LEAST_CONTENDED = 3

_HAS_LINKED = 0.4
"""The chance that a machine has a linked worktree beside its own."""


@dataclass(frozen=True)
class Result:
    """What is known of one history when it is over."""

    seed: int
    record: Record
    invalid: str
    """Why it proves nothing; empty when it does."""

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return not self.record.violations


@dataclass
class History:
    """Everything that one seed makes."""

    seed: int
    rng: random.Random = field(init=False)
    loop: VirtualLoop = field(init=False)
    table: ProcessTable = field(default_factory=ProcessTable)
    checkouts: Checkouts = field(default_factory=Checkouts)
    people: list[Person] = field(default_factory=list)
    machines: list[Machine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        # It has neither sockets nor signals, which the base class asks for.
        self.loop = VirtualLoop(self._chance())  # type: ignore[abstract]
        self.record = Record(self.loop)
        self.settings = drawn_settings(self.rng)
        self._draw_store()
        self.files = tuple(f"src/file{n}.py" for n in range(2 + int(self.rng.random() * 3)))
        self.second = chance_of_second(self.seed)
        self.second_files = SECOND_FILES if self.second else ()
        self.truth = Truth(self.record, (*self.files, *self.second_files))
        self.slips = Slips(self.record, self.truth, self.settings)
        self.truth.edited.append(self.slips.reported)
        self.truth.reclaimed.append(self.slips.reclaimed)
        self.beliefs = Beliefs(self.record, self.truth, self.settings, self.slips)
        self.store.observer = self.truth.observe
        self.truth.ended.append(self.beliefs.ended)
        self.replicas = [self._replica(index) for index in range(REPLICAS)]
        self.decrees = Decrees(self.record, self.truth, self.replicas)
        self.truth.ended.append(self.decrees.ended)
        self.truth.left.append(self.decrees.left)
        self.network = Network(self.loop, self._chance(), self.replicas)
        self.network.sent.append(self.beliefs.sent)
        self.network.sent.append(self.decrees.sent)
        self.network.answered.append(self.beliefs.answered)
        self.network.answered.append(self.decrees.answered)
        self.network.answered.append(Refusals(self.record, self.truth).answered)
        self.network.streamed.append(self.beliefs.streamed)
        self.turns_told = TurnsTold(self.record, self.settings)
        self.network.streamed.append(self.turns_told.streamed)
        self.promised = Promised(self.record, self.truth, self.people)
        self.network.sent.append(self.promised.sent)
        self.network.answered.append(self.promised.answered)
        self.truth.left.append(self.promised.left)
        self.asked = Asked(self.beliefs, self.people)
        self.network.streamed.append(self.asked.streamed)
        self._draw_people()

    async def run(self) -> None:
        """Trouble, then calm."""
        self._start()
        trouble = self._trouble()
        lives = [p.machine.seats.start(p.live(TROUBLE_S)) for p in self.people]
        await torment(trouble, TROUBLE_S, 3 + int(self.rng.random() * 8))
        await asyncio.gather(*lives)
        trouble.heal()
        await self._calm().check()
        self.beliefs.check_order()

    def _start(self) -> None:
        self.loop.world.every(lambda: EXPIRE_INTERVAL_S, self.store.expire)
        self.loop.world.every(lambda: 0.2 + self.rng.random() * 0.4, self._audit)
        for replica in self.replicas:
            replica.start()
        for machine in self.machines:
            machine.start_agent()

    def _audit(self) -> None:
        for machine in self.machines:
            self.beliefs.audit(machine)

    def _trouble(self) -> Trouble:
        return Trouble(
            self.loop,
            self._chance(),
            self.record,
            self.network,
            self.store,
            self.machines,
            self.replicas,
            self.people,
        )

    def _calm(self) -> Calm:
        return Calm(
            self.record,
            self.truth,
            self.beliefs,
            self.decrees,
            self.store,
            self.machines,
            self.people,
            self.settings.leases.ttl / self._store_clock.rate,
            Early(self.record, self.truth, self.settings),
            self.promised,
        )

    def _chance(self) -> random.Random:
        return random.Random(self.rng.random())

    def _clock(self) -> HostClock:
        """Rates that differ by less than T/D, the most that is promised."""
        rate = 1.0 if self.rng.random() < 0.3 else SLOWEST + self.rng.random() * (FASTEST - SLOWEST)
        return HostClock(self.loop, rate, 1000.0 + self.rng.random() * 1e5)

    def _draw_store(self) -> None:
        self._store_clock = self._clock()
        # As both adapters say it, or seldom: a quiet stream is heard of less.
        progress_s = self.rng.choice((PROGRESS_INTERVAL_S, 4.0))
        self.store = ObservedStore.open(None, self._store_clock, progress_interval_s=progress_s)

    def _replica(self, index: int) -> Replica:
        return Replica(index, self.loop, self._clock(), self.store, self._chance())

    def _draw_people(self) -> None:
        for name in ("ann", "bob", "cy")[: 2 + int(self.rng.random() * 2)]:
            machine = self._machine(name)
            self.machines.append(machine)
            for number in range(1 + int(self.rng.random() * 3)):
                self.people.append(self._person(f"{name}{number}", machine))

    def _machine(self, name: str) -> Machine:
        return Machine(
            name,
            self.loop,
            self.network,
            self._clock(),
            self.settings,
            self._chance(),
            REPLICAS,
            self._decided,
            self._checkouts_of(name),
        )

    def _checkouts_of(self, name: str) -> Sequence[Checkout]:
        branches = {"shop": self.rng.choice((MAIN, MAIN, OTHER, ""))}
        if self.rng.random() < _HAS_LINKED:
            branches["linked"] = LINKED
        made = [Checkout(Path("/simulated", name, at), on) for at, on in branches.items()]
        if self.second:
            branch = self.second.choice((MAIN, MAIN, OTHER, ""))
            made.append(Checkout(Path("/simulated", name, "tools"), branch, SECOND))
        return tuple(map(self.checkouts.add, made))

    def _decided(self, machine: Machine, hook: Hook) -> None:
        if not self.table.is_gone(hook.pid):
            self.beliefs.decided(machine, hook)
        assert machine.agent is not None
        session = self.beliefs.session_of(machine, hook)
        self._note_told(machine, session, hook)
        for person in self.people:
            person.hear(hook)
        self.asked.decided(machine.agent, session, hook)

    def _note_told(self, machine: Machine, session: str, hook: Hook) -> None:
        """What it says of turns and places, by what is checked out where their files are."""
        assert machine.agent is not None
        process, cwd = machine.agent.process, hook.event.cwd
        is_confined = self.settings.session_coordination.scope == "branch"

        def branch_of(path: str) -> str:
            return machine.checkout_of(path, cwd).branch

        self.turns_told.decided(process, session, hook, branch_of)
        place_of = branch_of if is_confined else lambda _: ""
        self.promised.decided(process, session, hook, place_of)

    def _person(self, name: str, machine: Machine) -> Person:
        files, second = self.files, self.second_files
        return Person(name, machine, self.table, self.record, self._chance(), files, second)


def drawn_settings(rng: random.Random) -> Settings:
    """Settings that a repository could have; the leases are the defaults."""
    coordination = SessionCoordination(
        scope=rng.choice(("repository", "repository", "repository", "branch")),
        claim_timeout=rng.choice((5.0, 20.0)),
        heartbeat_interval=rng.choice((2.0, 5.0)),
        lock_timeout=rng.choice((3600.0, 3600.0, 20.0, 40.0)),
        session_timeout=rng.choice((7200.0, 7200.0, 30.0)),
        conflict_action=rng.choice(("block", "block", "block", "warn", "proceed")),
        unreachable_action=rng.choice(("block", "warn", "proceed")),
        release_on=rng.choice(("session_end", "session_end", "stop", "commit")),
        auto_cleanup_stale=rng.random() < 0.8,
    )
    return Settings(None, coordination, Leases(), Coordinators(), Patterns())


def simulate(seed: int) -> Result:
    """Run the history of ``seed``."""
    gc.disable()
    try:
        history = History(seed)
        with replaced(seed, history.table, history.checkouts) as unforeseen:
            try:
                history.loop.run(history.run())
            except Exception as error:  # noqa: BLE001 (a history that cannot be run to its end)
                history.record.violate(CRASH, f"the history broke off: {error!r}")
        for failure in [*unforeseen.found, *map(repr, history.loop.failures)]:
            history.record.violate(CRASH, f"unforeseen: {failure}")
        return Result(seed, history.record, _invalid(history))
    finally:
        gc.enable()
        gc.collect()


def _invalid(history: History) -> str:
    """C7: why the history was too weak to prove anything; empty when it was not."""
    counts = history.record.counts
    if counts["hooks"] < LEAST_HOOKS:
        return f"only {counts['hooks']} hooks"
    if counts["contended"] < LEAST_CONTENDED:
        return f"only {counts['contended']} contended"
    if not have_proved(history.record.faults):
        return "no fault did anything"
    return ""
