"""Starts one agent, and makes sure that there is never a second one."""

import asyncio
import getpass
import os
import re
import socket

import click

from scoord import config, heap, local, logs
from scoord.clock import SystemClock
from scoord.config import Settings
from scoord.running import stop_by_signal
from scoord_agent import own
from scoord_agent.only_one import OnlyOne
from scoord_agent.registration import Machine
from scoord_agent.service import Place, Service


@click.command()
@click.option("--verbose", is_flag=True, help="Log more.")
def agent(*, verbose: bool) -> None:
    """Run this machine's agent, in the foreground. One per user; a second one ends at once."""
    place = _place()
    only = OnlyOne(place.state_dir / "agent.lock")
    with only.hold() as running:
        if running is not None:
            place.starting.unlink(missing_ok=True)
            click.echo(f"an agent is already running (pid {running or 'not known yet'})")
            return
        heap.keep_few_arenas()
        logs.start(logs.AGENT, verbose=verbose, secrets=(place.token,))
        settings = config.load(None, local.config_dir(), os.environ)
        local.write_hook_env(settings.session_coordination.unreachable_action)
        asyncio.run(_serve(place, settings, only))


async def _serve(place: Place, settings: Settings, only: OnlyOne) -> None:
    # Made here: gRPC's channels belong to the loop that runs when they are made.
    machine, stop = _machine(), stop_by_signal()
    service = Service(place, settings, machine, SystemClock())

    def put_back() -> None:
        local.put_back(place.token, machine.machine_id, place.port)
        local.write_hook_env(settings.session_coordination.unreachable_action)

    loops = own.keep(settings.coordinator), only.stay(stop, put_back)
    beside = [asyncio.create_task(loop) for loop in loops]
    try:
        await service.run(stop)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


def _place() -> Place:
    state, log = local.state_dir(), logs.log_file(logs.AGENT)
    return Place(state, local.socket_path(), local.agent_port(), local.token(), log)


def _machine() -> Machine:
    host = socket.gethostname().partition(".")[0] or "localhost"
    return Machine(local.machine_id(), re.sub(r"[^A-Za-z0-9-]", "-", host), _person())


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
