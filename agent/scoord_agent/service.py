"""One running agent: its parts and its doors, until it is told to stop."""

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from scoord import local
from scoord.clock import Clock
from scoord.config import Settings, SettingsCache
from scoord.errors import InvalidConfig
from scoord.paths import Locator
from scoord.running import run_until
from scoord_agent.client_options import client_options
from scoord_agent.common import Common
from scoord_agent.connection import Connection
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.desktop import Desktop
from scoord_agent.doors import Doors
from scoord_agent.history_routes import HistoryRoutes
from scoord_agent.knowledge.repository import learn
from scoord_agent.last_seen import LastSeen
from scoord_agent.listener import Listener
from scoord_agent.local_api import LocalApi
from scoord_agent.notifying import Notifying
from scoord_agent.parts import Parts
from scoord_agent.registration import Machine
from scoord_agent.saying_api import SayingApi
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor, read_once
from scoord_agent.status_desk import AgentFacts
from scoord_agent.unreported import Unreported, this_boot
from scoord_agent.wording_settings import port_taken

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the agent keeps and finds its things."""

    state_dir: Path
    socket: Path
    port: int
    token: str
    log: Path

    @property
    def starting(self) -> Path:
        """The mark of a hook that has started an agent: no other does, until one listens."""
        return self.state_dir / "agent.starting"


class Service:
    """One agent: its parts, and the doors through which events and commands come in."""

    def __init__(self, place: Place, settings: Settings, machine: Machine, clock: Clock) -> None:
        self._place = place
        connection = Connection(belief_s=settings.leases.belief)
        options = client_options(settings, machine.machine_id, machine.person)
        settings_for = SettingsFor(SettingsCache(local.config_dir(), os.environ), settings)
        self._desktop = Desktop(clock)
        sessions = Sessions(place.state_dir / "sessions.jsonl")
        sessions.person = Notifying(settings_for, clock, self._desktop.show).tell
        self._parts = Parts(
            Common(
                client=CoordinatorClient(options, connection, clock),
                sessions=sessions,
                unreported=Unreported(place.state_dir / "unreported.jsonl", this_boot()),
                settings=settings_for,
                leases=settings.leases,
                locator=Locator(machine.machine_id),
                machine=machine,
                clock=clock,
                learn=learn,
                last_seen=LastSeen(place.state_dir / "last-seen.jsonl", clock),
            )
        )
        self._listener = Listener(self._parts.relay, place.token, place.port)
        self._local_api = _local_api(place, _facts(place, machine, settings), Doors(self._parts))

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop``. Sessions stay registered: an agent may be replaced."""
        self._parts.load()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._desktop.close)
            stack.push_async_callback(self._parts.close)
            await self._open_listener()
            stack.push_async_callback(self._listener.close)
            await self._local_api.start()
            stack.push_async_callback(self._local_api.close)
            # Also that what kept an earlier one from running is over: see spawn.last_failure.
            _log.info("agent listens on 127.0.0.1:%d", self._place.port)
            await run_until(stop, self._local_api.keep_open(), *self._parts.loops())

    async def _open_listener(self) -> None:
        try:
            await self._listener.start()
        except OSError as error:
            raise InvalidConfig(port_taken(self._place.port)) from error
        self._place.starting.unlink(missing_ok=True)


def _local_api(place: Place, facts: AgentFacts, doors: Doors) -> LocalApi:
    return LocalApi(
        doors.desk(),
        doors.status_desk(facts),
        doors.break_desk(),
        place.socket,
        HistoryRoutes(doors.history_desk()).routes(),
        SayingApi(doors.saying()).routes(),
        doors.work_desk().routes(),
        doors.graph_desk().routes(),
    )


def _facts(place: Place, machine: Machine, settings: Settings) -> AgentFacts:
    return AgentFacts(
        pid=os.getpid(),
        version=version("session-coordinator"),
        port=place.port,
        machine_id=machine.machine_id,
        host=machine.host,
        state_dir=str(place.state_dir),
        log=str(place.log),
        settings=read_once(settings, os.environ),
    )
