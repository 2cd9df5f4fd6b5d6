"""Starts one agent, and makes sure that there is never a second one."""

import asyncio
import fcntl
import getpass
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from scoord import config, heap, local, logs
from scoord.clock import SystemClock
from scoord.config import Settings
from scoord.errors import NotAllowed, ScoordError
from scoord.running import stop_by_signal
from scoord_agent import own
from scoord_agent.registration import Machine
from scoord_agent.service import Place, Service


@click.command()
@click.option("--verbose", is_flag=True, help="Log more.")
def agent(*, verbose: bool) -> None:
    """Run this machine's agent, in the foreground. One per user; a second one ends at once."""
    place = _place()
    with _only_one(place.state_dir / "agent.lock") as running:
        if running is not None:
            place.starting.unlink(missing_ok=True)
            click.echo(f"an agent is already running (pid {running or 'not known yet'})")
            return
        heap.keep_few_arenas()
        logs.start(logs.AGENT, verbose=verbose, secrets=(place.token,))
        settings = config.load(None, local.config_dir(), os.environ)
        local.write_hook_env(settings.session_coordination.unreachable_action)
        asyncio.run(_serve(place, settings))


async def _serve(place: Place, settings: Settings) -> None:
    # Made here: gRPC's channels belong to the loop that runs when they are made.
    service = Service(place, settings, _machine(), SystemClock())
    keeping = asyncio.create_task(own.keep(settings.coordinator))
    try:
        await service.run(stop_by_signal())
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


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


@contextmanager
def _only_one(file: Path) -> Iterator[int | None]:
    """Hold the agent's lock; yields None, or the pid of the one who has it (0: not known).

    The lock ends with the process, however it ends: there is no stale pid file.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NotAllowed(
            f"cannot use {file}: {error.strerror}; see that it is a file that you may write"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read_text(encoding="ascii", errors="replace").strip()
            yield int(text) if text.isdigit() else 0
            return
        with local.writable(file):
            os.truncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        with _ended_by_itself(descriptor):
            yield None
    finally:
        os.close(descriptor)


@contextmanager
def _ended_by_itself(descriptor: int) -> Iterator[None]:
    """Take the pid out again, unless it is killed or breaks: hooks start another in its place.

    One that was stopped, or said what keeps it from running, would not be wanted back.
    """
    try:
        yield
    except ScoordError:
        os.truncate(descriptor, 0)
        raise
    os.truncate(descriptor, 0)
