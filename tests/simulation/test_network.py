"""What a coordinator of the simulation comes to when it goes on, as with gRPC."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import cast

import pytest
from grpc.aio import AioRpcError

from support.simulation.loop import HostClock, Process, VirtualLoop
from support.simulation.network import Call, Channel, Network
from support.simulation.replica import Replica

TIMEOUT_S = 1.0
STANDS_STILL_S = 5.0


@dataclass
class Coordinator:
    """In the place of a replica: it writes down what it begins."""

    process: Process
    begun: list[str] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether it does not stand still."""
        return not self.process.frozen

    def serve(self, method: str, *_: object) -> None:
        """It has read a call."""
        self.begun.append(method)


@dataclass
class World:
    """An agent and a coordinator, which stands still for a while."""

    loop: VirtualLoop = field(init=False)

    def __post_init__(self) -> None:
        rng = random.Random(0)
        # It has neither sockets nor signals, which the base class asks for.
        self.loop = VirtualLoop(rng)  # type: ignore[abstract]
        self.agent = Process(self.loop, "agent", HostClock(self.loop))
        self.coordinator = Coordinator(Process(self.loop, "replica", HostClock(self.loop)))
        self.network = Network(self.loop, rng, [cast("Replica", self.coordinator)])

    async def call(self) -> None:
        """As an agent's client does."""
        channel = Channel(self.network, "m1", 0)
        with pytest.raises(AioRpcError):
            await Call(channel, "Release", b"", ()).answer(TIMEOUT_S)

    async def standstill(self) -> list[str]:
        """What is begun when it goes on, of a call that came while it stood still."""
        self.coordinator.process.frozen += 1
        self.agent.start(self.call())
        await asyncio.sleep(STANDS_STILL_S)
        self.coordinator.process.frozen -= 1
        await asyncio.sleep(STANDS_STILL_S)
        return self.coordinator.begun


@pytest.fixture
def world() -> World:
    return World()


def test_what_was_given_up_before_it_was_read_is_not_begun(world: World) -> None:
    assert [] == world.loop.run(world.standstill())


def test_what_one_sent_who_was_killed_before_it_was_read_is_not_begun(world: World) -> None:
    world.loop.world.post(TIMEOUT_S / 2, world.agent.kill)

    assert [] == world.loop.run(world.standstill())


def test_that_it_was_given_up_does_not_get_through_a_cut(world: World) -> None:
    def cut() -> None:
        world.network.link("m1", 0).requests_cut += 1

    world.loop.world.post(TIMEOUT_S / 2, cut)

    assert ["Release"] == world.loop.run(world.standstill())


def test_what_is_late_by_what_stands_between_is_begun(world: World) -> None:
    weather = world.network.weather
    weather.lateness, weather.latest_s = 1.0, 1e3

    async def goes_on() -> list[str]:
        world.agent.start(world.call())
        await asyncio.sleep(1e3)
        return world.coordinator.begun

    assert ["Release"] == world.loop.run(goes_on())
