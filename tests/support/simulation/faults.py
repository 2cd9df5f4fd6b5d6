"""What goes wrong: each fault is a row of data, so that more can be added."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from scoord_server.store.port import LeaseNotFound
from support.simulation.loop import Process, VirtualLoop
from support.simulation.machine import Machine
from support.simulation.network import Link, Network
from support.simulation.people import Person
from support.simulation.record import Record
from support.simulation.replica import Replica
from support.simulation.storage import ObservedStore

MOST_PATIENCE_S = 30
"""How much longer a chance lasts that has spoilt nothing yet."""

_NOTICED_S = 1.3
"""Longer than a client takes to see that its connection is gone, by the slowest clock."""


@dataclass
class Trouble:
    """All that a fault can be done to."""

    loop: VirtualLoop
    rng: random.Random
    record: Record
    network: Network
    store: ObservedStore
    machines: list[Machine]
    replicas: list[Replica]
    people: list[Person]

    def machine(self) -> Machine:
        """One of them."""
        return self.machines[int(self.rng.random() * len(self.machines))]

    def replica(self) -> Replica:
        """One of them."""
        return self.replicas[int(self.rng.random() * len(self.replicas))]

    def heal(self) -> None:
        """Everything works from now on, and everyone runs."""
        for machine in self.machines:
            if machine.agent is None:
                machine.start_agent()
        for replica in self.replicas:
            if replica.process is None:
                replica.start()


def _since(trouble: Trouble, evidence: str) -> Callable[[], bool]:
    """What tells whether that has happened to a message after now."""
    counts, before = trouble.network.counts, trouble.network.counts[evidence]
    return lambda: counts[evidence] > before


def _swallowed(links: Iterable[Link]) -> int:
    return sum(link.swallowed for link in links)


def _unattended(links: Iterable[Link]) -> int:
    return sum(link.unattended for link in links)


async def _at_least_once(happened: Callable[[], bool]) -> bool:
    """Go on until it has happened, as long as anybody may still say something."""
    for _ in range(MOST_PATIENCE_S):
        if happened():
            break
        await asyncio.sleep(1.0)
    return happened()


async def _loses(trouble: Trouble) -> bool:
    weather, happened = trouble.network.weather, _since(trouble, "lost")
    weather.loss = 0.05 + trouble.rng.random() * 0.4
    await asyncio.sleep(2 + trouble.rng.random() * 15)
    acted = await _at_least_once(happened)
    weather.loss = 0.0
    return acted


async def _delays(trouble: Trouble) -> bool:
    weather, happened = trouble.network.weather, _since(trouble, "late")
    weather.lateness = 0.05 + trouble.rng.random() * 0.3
    weather.latest_s = trouble.rng.choice((0.5, 2.0, 8.0, 30.0))
    await asyncio.sleep(2 + trouble.rng.random() * 15)
    acted = await _at_least_once(happened)
    weather.lateness = 0.0
    return acted


async def _doubles(trouble: Trouble) -> bool:
    weather, happened = trouble.network.weather, _since(trouble, "doubled")
    weather.doubling = 0.1 + trouble.rng.random() * 0.5
    await asyncio.sleep(2 + trouble.rng.random() * 20)
    acted = await _at_least_once(happened)
    weather.doubling = 0.0
    return acted


async def _breaks_streams(trouble: Trouble) -> bool:
    weather, happened = trouble.network.weather, _since(trouble, "broken off")
    weather.breaking = 0.02 + trouble.rng.random() * 0.2
    await asyncio.sleep(2 + trouble.rng.random() * 15)
    acted = await _at_least_once(happened)
    weather.breaking = 0.0
    return acted


async def _cuts_a_machine_off(trouble: Trouble) -> bool:
    machine, rng = trouble.machine(), trouble.rng
    links = [trouble.network.link(machine.name, r.index) for r in trouble.replicas]
    before = _swallowed(links)
    requests, answers = rng.choice(((1, 1), (1, 0), (0, 1)))
    for link in links:
        link.requests_cut += requests
        link.answers_cut += answers
    await asyncio.sleep(rng.choice((3, 12, 25, 45)) * (0.5 + rng.random()))
    for link in links:
        link.requests_cut -= requests
        link.answers_cut -= answers
    return _swallowed(links) > before


async def _slows_a_machine_down_and_cuts_it_off(trouble: Trouble) -> bool:
    """As a network does that is about to fail: the last renewals were answered late."""
    machine, rng = trouble.machine(), trouble.rng
    links = [trouble.network.link(machine.name, r.index) for r in trouble.replicas]
    before = _swallowed(links)
    for link in links:
        link.slow_s = 0.4 + rng.random() * 0.5
    await asyncio.sleep(6 + rng.random() * 6)
    for link in links:
        link.slow_s = 0.0
        link.requests_cut += 1
    await asyncio.sleep(20 + rng.random() * 20)
    for link in links:
        link.requests_cut -= 1
    return _swallowed(links) > before


async def _takes_away_what_was_just_granted(trouble: Trouble) -> bool:
    """Of a machine that is answered late: it hears of the end before it hears of the grant."""
    slow, rng, counts = trouble.machine(), trouble.rng, trouble.record.counts
    others = [person for person in trouble.people if person.machine is not slow]
    links = [trouble.network.link(slow.name, r.index) for r in trouble.replicas]
    before, until_s = counts["breaks"], trouble.loop.true_s + 3 + rng.random() * 10
    for link in links:
        link.slow_s = 0.3 + rng.random() * 0.6
    while trouble.loop.true_s < until_s:
        await asyncio.sleep(rng.random() * 0.5)
        await rng.choice(others).break_one(newest=True)
    for link in links:
        link.slow_s = 0.0
    return counts["breaks"] > before


async def _cuts_a_link(trouble: Trouble) -> bool:
    link = trouble.network.link(trouble.machine().name, trouble.replica().index)
    before = link.swallowed
    link.requests_cut += 1
    link.answers_cut += 1
    await asyncio.sleep(2 + trouble.rng.random() * 30)
    link.requests_cut -= 1
    link.answers_cut -= 1
    return link.swallowed > before


async def _pauses_an_agent(trouble: Trouble) -> bool:
    agent = trouble.machine().agent
    if agent is None:
        return False
    return await _stands_still(agent.process, 1 + trouble.rng.random() * 59)


async def _pauses_a_replica(trouble: Trouble) -> bool:
    """It goes on with an old view, old requests, and leases that it believed to be over."""
    replica = trouble.replica()
    if replica.process is None:
        return False
    links = [trouble.network.link(machine.name, replica.index) for machine in trouble.machines]
    before = _unattended(links)
    await _stands_still(replica.process, 1 + trouble.rng.random() * 44)
    return _unattended(links) > before


async def _stands_still(process: Process, for_s: float) -> bool:
    """Stop a process for a while; whether anything waited for it in the end."""
    process.frozen += 1
    await asyncio.sleep(for_s)
    waited = process.is_awaited
    process.frozen -= 1
    return waited


async def _suspends_a_machine(trouble: Trouble) -> bool:
    machine = trouble.machine()
    processes = [machine.seats, *([machine.agent.process] if machine.agent else [])]
    if any(process.frozen for process in processes):
        return False
    machine.clock.suspend()
    for process in processes:
        process.frozen += 1
    await asyncio.sleep(1 + trouble.rng.random() * 59)
    missed = any(process.is_awaited for process in processes)
    for process in processes:
        process.frozen -= 1
    machine.clock.resume()
    for process in processes:
        trouble.loop.wake(process)
    return missed


async def _restarts_an_agent(trouble: Trouble) -> bool:
    machine = trouble.machine()
    if machine.agent is None or machine.agent.process.frozen:
        return False
    had_sessions = any(machine.agent.parts.sessions)
    machine.kill_agent()
    await asyncio.sleep(trouble.rng.choice((0.5, 5.0, 30.0)) * trouble.rng.random())
    while machine.clock.asleep:  # noqa: ASYNC110 (nothing tells that it is awake)
        await asyncio.sleep(1.0)
    if machine.agent is None:
        machine.start_agent()
    return had_sessions


async def _restarts_a_replica(trouble: Trouble) -> bool:
    replica = trouble.replica()
    if replica.process is None:
        return False
    links = [trouble.network.link(machine.name, replica.index) for machine in trouble.machines]
    before = _unattended(links)
    replica.kill()
    await asyncio.sleep(trouble.rng.random() * 15)
    if replica.process is None:
        replica.start()
    await asyncio.sleep(_NOTICED_S)
    return _unattended(links) > before


async def _cuts_a_replica_off_the_store(trouble: Trouble) -> bool:
    """For long, its streams tell nothing although renewals go another way."""
    link = trouble.replica().link
    before = link.failed
    link.cut = True
    await asyncio.sleep(trouble.rng.choice((4, 12, 45)) * (0.5 + trouble.rng.random()))
    link.cut = False
    return link.failed > before


async def _fails_store_operations(trouble: Trouble) -> bool:
    link = trouble.replica().link
    before = link.failed
    link.failing = 0.02 + trouble.rng.random() * 0.2
    await asyncio.sleep(2 + trouble.rng.random() * 15)
    acted = await _at_least_once(lambda: link.failed > before)
    link.failing = 0.0
    return acted


async def _slows_the_store(trouble: Trouble) -> bool:
    """Much happens between a look at it and the transaction that rests on that."""
    link = trouble.replica().link
    before = link.slowed
    link.slow_s = 0.1 + trouble.rng.random() * 0.4
    await asyncio.sleep(5 + trouble.rng.random() * 20)
    link.slow_s = 0.0
    return link.slowed > before


async def _slows_a_watch(trouble: Trouble) -> bool:
    """The store answers at once, but what a replica sees of it is old."""
    link = trouble.replica().link
    before = link.lagged
    link.watch_lag_s = 0.3 + trouble.rng.random() * 2.7
    await asyncio.sleep(5 + trouble.rng.random() * 20)
    link.watch_lag_s = 0.0
    return link.lagged > before


async def _compacts(trouble: Trouble) -> bool:
    """While a replica is away, so that its watch cannot be resumed."""
    link = trouble.replica().link
    before = link.failed
    link.cut = True
    await asyncio.sleep(3 + trouble.rng.random() * 17)
    await trouble.store.compact(trouble.store.revision)
    link.cut = False
    return link.failed > before


async def _elects(trouble: Trouble) -> bool:
    """A new leader of the store gives every lease its full TTL again."""
    renewed = 0
    for lease in trouble.store.leases:
        try:
            await trouble.store.keep_alive([lease])
        except LeaseNotFound:
            continue
        renewed += 1
    return renewed > 0


async def _sets_a_wall_clock(trouble: Trouble) -> bool:
    clock = trouble.rng.choice(
        [m.clock for m in trouble.machines] + [r.clock for r in trouble.replicas]
    )
    clock.wall_offset_ms += trouble.rng.choice((-1, 1)) * 3_600_000
    return True


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble."""

    name: str
    happen: Callable[[Trouble], Awaitable[bool]]
    """Whether it did anything: what it was drawn for may be away, or have nothing to say."""
    proves: bool = True
    """Whether a history in which nothing else went wrong proves anything."""


FAULTS: tuple[Fault, ...] = (
    Fault("loss", _loses),
    Fault("delay", _delays),
    Fault("doubling", _doubles),
    Fault("broken streams", _breaks_streams),
    Fault("partition", _cuts_a_machine_off),
    Fault("slow, then cut off", _slows_a_machine_down_and_cuts_it_off),
    Fault("breaks of late grants", _takes_away_what_was_just_granted),
    Fault("cut link", _cuts_a_link),
    Fault("paused agent", _pauses_an_agent),
    Fault("paused replica", _pauses_a_replica),
    Fault("suspend", _suspends_a_machine),
    Fault("agent restart", _restarts_an_agent),
    Fault("replica restart", _restarts_a_replica),
    Fault("store cut off", _cuts_a_replica_off_the_store),
    Fault("store failures", _fails_store_operations),
    Fault("slow store", _slows_the_store),
    Fault("slow watch", _slows_a_watch),
    Fault("compaction", _compacts),
    Fault("store election", _elects),
    Fault("wall clock", _sets_a_wall_clock, proves=False),
)


def have_proved(acted: Mapping[str, int]) -> bool:
    """Whether any of the faults that did something, by their names, is one that proves something.

    That a clock was set is known; that anybody looked at it is not.
    """
    return any(acted.get(fault.name) for fault in FAULTS if fault.proves)


async def torment(trouble: Trouble, until_s: float, most: int) -> None:
    """Draw and do faults until then, some at once; all are over when it returns."""
    rng = trouble.rng
    running: list[asyncio.Task[None]] = []
    times = sorted(rng.random() * until_s for _ in range(most))
    for at_s in times:
        await asyncio.sleep(max(0.0, at_s - trouble.loop.true_s))
        fault = FAULTS[int(rng.random() * len(FAULTS))]
        trouble.record.say("fault", fault.name)
        running.append(asyncio.create_task(_done(trouble, fault)))
    await asyncio.gather(*running)


async def _done(trouble: Trouble, fault: Fault) -> None:
    """Do it, and count it if it did anything."""
    acted = await fault.happen(trouble)
    trouble.record.faults[fault.name] += acted
    trouble.record.say("fault over" if acted else "fault without effect", fault.name)
