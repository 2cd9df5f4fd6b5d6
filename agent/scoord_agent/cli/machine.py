"""``scoord up`` and ``scoord down``: everything one machine needs, in the background."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from scoord import config, local
from scoord.config import Settings
from scoord.errors import DeadlineExceeded, InternalError, ScoordError
from scoord.exits import CRASHED
from scoord_agent import own, spawn
from scoord_agent.cli import local_client, problems, proof, show
from scoord_agent.cli.differences import differences
from scoord_agent.cli.options import json_option
from scoord_agent.cli.pictures import Picture, picture
from scoord_agent.spawn import AGENT, COORDINATOR, Program, Started

READY_S: Final = 30.0
"""A cold start on a busy machine takes some seconds."""
CONNECTED_S: Final = 10.0
"""Both run by then; what does not answer now is no coordinator, or a very slow one."""
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Up:
    """What runs now, and what of it this call started."""

    coordinator: Started | None
    """None if another one serves the agent's addresses."""
    agent: Started
    seen: Picture
    outdated: tuple[str, ...] = ()
    """What the agent that ran before used, and this one does not; empty if there was none."""


class _Ended(click.ClickException):
    """A program that we started has ended: its own words, and its own exit code."""

    def __init__(self, program: Program, words: str, code: int) -> None:
        super().__init__(f"the {program.name} ended at once: {words}")
        # One that was killed has none of ours.
        self.exit_code = code if code > 0 else CRASHED  # type: ignore[misc]  # read as an instance's


@click.command()
@json_option
def up(*, as_json: bool) -> None:
    """Start what this machine needs, unless it runs.

    That is the agent, and a coordinator for it where the settings name none on
    another machine. An agent that was started with other settings is replaced:
    its sessions go on under the new one.
    """
    here = local.here()
    with local.alone("up"):
        now = _bring_up()
    problems.tell_of(here)
    if as_json:
        show.print_json(_up_facts(now))
    else:
        _print_up(now)


@click.command()
@json_option
def down(*, as_json: bool) -> None:
    """Stop the agent, and the coordinator that was started for it.

    Sessions that still run go on when it is back, with their locks. But a coordinator
    elsewhere runs on: there their leases are over after 30 s, and what others have
    taken by the time it is back is lost.
    """
    # Before it is asked to close its directory: what runs there hears hooks all the while.
    with local.even_if_readable(), local.alone("up"):
        stopped = {program.name: _stop(program, quiet=as_json) for program in (AGENT, COORDINATOR)}
    if as_json:
        show.print_json({"stopped": stopped})


def _bring_up() -> Up:
    settings = config.load(None, local.config_dir(), os.environ)
    outdated = _outdated(settings)
    address = own.may_be_ours(settings.coordinator)
    theirs = address is not None and proof.is_served(address, settings)
    _write_files(settings)
    if outdated:
        # Before the coordinator: an agent that misses its own would start it again.
        spawn.stop(AGENT)
    with _undone_on_failure() as begun:
        to_start = None if theirs else address
        coordinator = _start_coordinator(to_start, settings, begun) if to_start else None
        agent = _start_agent(begun)
        if coordinator is None:
            begun.clear()  # an agent whose coordinator is elsewhere may find it later
        with _told_what_runs_on(begun, agent):
            _await_connection(agent)
    seen = _look()
    return Up(coordinator or _of_earlier(seen.coordinator.address), agent, seen, outdated)


def _write_files(settings: Settings) -> None:
    """Write what the hooks read, also where an agent runs that wrote it: it may be gone since."""
    local.keep_agent_port()
    local.write_hook_env(settings.session_coordination.unreachable_action)


@contextmanager
def _undone_on_failure() -> Iterator[list[Started]]:
    """Yield a list; what is in it and was started by us is stopped when anything fails."""
    begun: list[Started] = []
    try:
        yield begun
    except BaseException:
        # The agent first: one that misses its coordinator would start it again.
        for started in reversed(begun):
            if started.fresh and spawn.running(started.program) == started.pid:
                spawn.stop(started.program)
        raise


@contextmanager
def _told_what_runs_on(begun: list[Started], agent: Started) -> Iterator[None]:
    """Say so when an agent that was started now goes on, although ``up`` has failed."""
    try:
        yield
    except ScoordError as error:
        if not agent.fresh or agent in begun:
            raise
        told = f"{error.message}; the agent goes on and tries again, `scoord down` stops it"
        raise type(error)(told) from error


def _start_agent(begun: list[Started]) -> Started:
    with _progress("starting the agent"):
        agent = spawn.start_agent()
        begun.append(agent)
        _await(agent, local_client.healthy, "the agent does not answer")
    return agent


def _await_connection(agent: Started) -> None:
    with _progress("waiting for the coordinator"):
        _await(agent, _is_connected, "the agent reaches no coordinator", CONNECTED_S)
        # An agent of an older version does not know how.
        with suppress(InternalError):
            local_client.rehearse()


def _start_coordinator(address: str, settings: Settings, begun: list[Started]) -> Started | None:
    """Start the embedded coordinator there, unless it runs; move it if it runs elsewhere.

    None if another one came first: two users may bring up theirs at once.
    """
    with _progress("starting the coordinator"):
        pid = spawn.running(COORDINATOR)
        if pid and spawn.recorded_address() != address:
            spawn.stop(COORDINATOR)  # the store has room for one
        started = spawn.start_coordinator(address)
        begun.append(started)
        try:
            _await_serving(started, address)
        except _Ended:
            if not proof.is_served(address, settings):
                raise
            begun.remove(started)
            spawn.stop(COORDINATOR)  # its record: the address is not ours
            return None
    return started


def _await_serving(started: Started, address: str) -> None:
    _await(started, lambda: spawn.serves(started, address), "the coordinator does not answer")


def _of_earlier(address: str) -> Started | None:
    """Return the coordinator that was started for us before, if it is the one in use."""
    pid = spawn.running(COORDINATOR)
    if pid and spawn.recorded_address() == address:
        return Started(COORDINATOR, pid, fresh=False)
    return None


def _outdated(settings: Settings) -> tuple[str, ...]:
    """Return how the settings of the agent that runs differ, if any; these are proved then."""
    if not local_client.healthy():
        proof.check(settings)
        return ()
    now = _look()
    found = differences(now.agent, settings)
    if found:
        with _told_what_stays(now):
            proof.prove(settings, now)
    return found


@contextmanager
def _told_what_stays(now: Picture) -> Iterator[None]:
    """Say so when nothing was changed, because the settings do not work."""
    try:
        yield
    except ScoordError as error:
        stays = f"the agent (pid {now.agent.pid}) goes on with the settings it was started with"
        raise type(error)(f"{error.message}; {stays}") from error


def _await(
    started: Started, ready: Callable[[], bool], otherwise: str, patience_s: float = READY_S
) -> None:
    """Wait until ``ready``; a program that ended says why in its last line."""
    deadline = time.monotonic() + patience_s
    while not ready():
        if started.has_failed():
            words = started.last_words().removeprefix("error: ") or "it said nothing"
            raise _Ended(started.program, words, started.exit_code())
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"{otherwise}{_what_it_says()}; see `scoord logs`")
        time.sleep(_POLL_S)


def _is_connected() -> bool:
    return _look().coordinator.connected


def _look() -> Picture:
    # Nowhere in a repository: a project whose name is wrong is no matter of the machine's.
    return picture(local_client.status(everything=False, cwd="/"))


def _what_it_says() -> str:
    error = _look().coordinator.error if local_client.healthy() else ""
    return f": {error}" if error else ""


@contextmanager
def _progress(what: str) -> Iterator[None]:
    """Show that something is waited for, on a terminal; on stderr, so that stdout is data."""
    console = show.console(stderr=True)
    with console.status(f"{what} …") if console.is_interactive else nullcontext():
        yield


def _print_up(now: Up) -> None:
    seen = now.seen
    if now.coordinator is None:
        _line("coordinator", f"{seen.coordinator.address}, not started by `scoord up`")
    else:
        where = f"{seen.coordinator.address}, store {local.state_dir() / 'store'}"
        _line("coordinator", f"{_how(now.coordinator)}, {where}")
    _line("agent", f"{_how(now.agent)}, 127.0.0.1:{seen.agent.port}")
    for difference in now.outdated:
        _line("", f"restarted: {difference}")
    _line("state", f"{seen.coordinator.state}; `scoord logs` shows more")
    if now.agent.fresh:
        us = _as_typed(sys.argv[0])
        _line("next", f"`{us} hooks install` wires Claude Code; `{us} status` shows sessions")


def _as_typed(program: str) -> str:
    """Return what to type for this program: its name, or its path where PATH has another."""
    path = Path(program).absolute()
    on_path = shutil.which("scoord")
    if path.name != "scoord" or (on_path and Path(on_path).samefile(path)):
        return "scoord"
    here = local.here()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _how(started: Started) -> str:
    return f"{'started' if started.fresh else 'already running'} (pid {started.pid})"


def _up_facts(now: Up) -> dict[str, Any]:
    return {
        "agent": _facts(now.agent)
        | {"port": now.seen.agent.port, "restarted_for": list(now.outdated)},
        "coordinator": (_facts(now.coordinator) if now.coordinator else {"started": False})
        | {"address": now.seen.coordinator.address, "state": now.seen.coordinator.state},
        "state_dir": str(local.state_dir()),
    }


def _facts(started: Started) -> dict[str, Any]:
    return {"pid": started.pid, "started": started.fresh, "log": str(started.program.log)}


def _stop(program: Program, *, quiet: bool) -> int | None:
    """Stop one program; return its process id, None if it was not running."""
    pid = spawn.stop(program)
    if not quiet:
        _line(program.name, f"stopped (pid {pid})" if pid else "was not running")
    return pid


def _line(name: str, text: str) -> None:
    click.echo(f"{name:<12} {text}")
