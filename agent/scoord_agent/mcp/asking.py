"""Asks this machine's agent for whoever calls a tool, and starts the agent if none runs."""

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
import psutil

from scoord import local
from scoord.errors import CoordinatorUnreachable, ScoordError
from scoord_agent import processes, spawn
from scoord_agent.cli import local_client

Answer = dict[str, Any]

READY_S: Final = 20.0
"""A cold start on a busy machine takes some seconds."""
_POLL_S: Final = 0.1
WAITS: Final = anyio.CapacityLimiter(100)
"""Threads that wait for a turn: beside those for all else, which anybody may need meanwhile."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls a tool: where it stands, and a process below which its session is found."""

    cwd: str
    pid: int


def own_parent() -> Caller:
    """The coding CLI that started this process, and speaks with it over stdio.

    Claude Code names the project's root; others start their servers in it. Raises
    InvalidPath where that is gone.
    """
    cwd = os.environ.get("CLAUDE_PROJECT_DIR") or str(local.here())
    return Caller(cwd, os.getpid())


def behind_port(port: int, fallback: Caller) -> Caller:
    """The process whose connection leaves from ``port``; where it may not be seen, ``fallback``."""
    pid = processes.client_of_connection(port)
    if pid is None:
        return fallback
    try:
        return Caller(psutil.Process(pid).cwd(), pid)
    except psutil.Error:
        return fallback


async def ask(
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    timeout_s: float = local_client.ANSWER_S,
    threads: anyio.CapacityLimiter | None = None,
) -> Answer:
    """Ask the agent, from one of ``threads`` or of those for all. Raises the catalogue's errors."""
    asking = partial(_ask, method, path, body, timeout_s)
    return await anyio.to_thread.run_sync(asking, limiter=threads)


async def news(caller: Caller) -> list[str]:
    """What the session of ``caller`` was not told yet, and no hook will tell it.

    No agent is started for that. Whoever is answered is not cancelled: nobody else is told.
    """
    asker = {"cwd": caller.cwd, "pid": caller.pid}
    with anyio.CancelScope(shield=True), contextlib.suppress(ScoordError):
        return await anyio.to_thread.run_sync(local_client.news, asker)
    return []


def _ask(method: str, path: str, body: Mapping[str, object] | None, timeout_s: float) -> Answer:
    try:
        return local_client.ask(method, path, body, timeout_s)
    except CoordinatorUnreachable:
        if local_client.healthy():
            raise  # it runs, and says that its coordinator cannot be asked
    _start()
    return local_client.ask(method, path, body, timeout_s)


def _start() -> None:
    """Start the agent, as the first hook of a session does. Raises CoordinatorUnreachable."""
    started = spawn.start_agent()
    deadline = time.monotonic() + READY_S
    while not local_client.healthy():
        if started.has_failed():
            raise CoordinatorUnreachable(f"the agent ended at once: {started.last_words()}")
        if time.monotonic() > deadline:
            raise CoordinatorUnreachable(
                f"the agent did not answer within {READY_S:g} s; see `scoord doctor`"
            )
        time.sleep(_POLL_S)
