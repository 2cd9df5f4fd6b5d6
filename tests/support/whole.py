"""All parts of one agent, with a coordinator in this process and a stream that tells nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from scoord.config import SettingsCache, load
from scoord.ids import AgentId, MachineId
from scoord.paths import Locator
from scoord_agent.common import Common
from scoord_agent.delivery import Delivery
from scoord_agent.last_seen import LastSeen
from scoord_agent.lifecycle import Origin
from scoord_agent.local_session import LocalSession
from scoord_agent.parts import Parts
from scoord_agent.registration import Machine
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from scoord_agent.unreported import Unreported
from scoord_hooks.neutral import Decision, EventKind, HookEvent
from support.clock import FakeClock
from support.house import settle
from support.repositories import repository
from support.scripted_coordinator import ScriptedCoordinator

TIMEOUT_S = 7200.0
"""The default of ``session_timeout``."""


@dataclass
class Whole:
    """An agent, and the repository that its sessions edit."""

    root: Path
    clock: FakeClock
    coordinator: ScriptedCoordinator
    parts: Parts

    async def hear(
        self,
        kind: EventKind,
        origin: Origin,
        name: str = "c1",
        paths: tuple[str, ...] = ("a.py",),
    ) -> Decision:
        """A hook comes in, of the session its CLI knows as ``name``; an edit is of ``paths``."""
        event = HookEvent(
            client="claude-code",
            kind=kind,
            name=kind.value,
            client_session_id=name,
            cwd=str(self.root),
            agent_id=AgentId(""),
            paths=paths,
        )
        until = asyncio.get_running_loop().time() + 1.5
        return await self.parts.relay.decide(event, origin, until, Delivery())

    async def idles(self, seconds: float) -> None:
        """Nobody does anything for so long; the coordinator ends who is idle."""
        for session in self.sessions:
            self.coordinator.expire(session.lease)
        self.clock.advance(seconds)
        await self.beat()

    @property
    def sessions(self) -> list[LocalSession]:
        """Those that it knows."""
        return list(self.parts.sessions)

    async def beat(self) -> None:
        """Let one beat pass. Raises what ended one of the loops."""
        loops = [asyncio.ensure_future(loop) for loop in self.parts.loops()]
        await settle()
        ended = [loop for loop in loops if loop.done()]
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        for loop in ended:
            loop.result()


@asynccontextmanager
async def whole_agent(directory: Path, clock: FakeClock) -> AsyncIterator[Whole]:
    """An agent with its files in ``directory``; all it started has ended afterwards."""
    settings, coordinator = load(None, directory / "user", {}), ScriptedCoordinator(clock)
    parts = Parts(
        Common(
            client=coordinator.client,
            sessions=Sessions(directory / "sessions.jsonl"),
            unreported=Unreported(directory / "unreported.jsonl"),
            settings=SettingsFor(SettingsCache(directory / "user", {}, clock=clock), settings),
            leases=settings.leases,
            locator=Locator(MachineId("m1"), clock),
            machine=Machine(MachineId("m1"), "mbp", "alice"),
            clock=clock,
            last_seen=LastSeen(directory / "last-seen.jsonl", clock),
        )
    )
    parts.load()
    root = directory / "shop"
    if not root.exists():
        repository(root, "https://example.com/shop")
    try:
        yield Whole(root, clock, coordinator, parts)
    finally:
        await asyncio.sleep(0)  # what has only been started is to be ended in order
        await parts.close()
