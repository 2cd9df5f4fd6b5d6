"""Who has ended before it is answered gets no session: nothing would end that one."""

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scoord.errors import SessionNotFound
from scoord.ids import MachineId, ProjectId
from scoord_agent import processes
from scoord_agent.lifecycle import Lifecycle, Origin
from scoord_agent.registration import Machine
from scoord_agent.sessions import Sessions
from scoord_hooks.neutral import EventKind, HookEvent
from support.clock import FakeClock

EVENT = HookEvent(
    client="claude-code", kind=EventKind.PROMPT, name="p", client_session_id="c1", cwd="/"
)


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "sessions")


@pytest.fixture
def life(sessions: Sessions) -> Lifecycle:
    registers = SimpleNamespace(session_coordination=SimpleNamespace(auto_register=True))
    parts: Any = SimpleNamespace(
        worktree_of=lambda _cwd: None,
        of=lambda _worktree: registers,
        project_of=lambda _worktree: ProjectId("machine:m1"),
    )
    return Lifecycle(
        sessions=sessions,
        registration=parts,
        greeting=parts,
        last_seen=parts,
        locator=parts,
        knowing=parts,
        settings=parts,
        machine=Machine(MachineId("m1"), "mbp", "alice"),
        clock=FakeClock(),
        changed=lambda: None,
        ending=lambda _session: None,
    )


@pytest.fixture
def gone() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(10)
    return process.pid


async def test_an_event_of_one_that_has_ended_makes_no_session(
    life: Lifecycle, sessions: Sessions, gone: int
) -> None:
    assert await life.session_of(EVENT, Origin(pid=gone)) is None
    assert not list(sessions)


async def test_an_event_of_one_that_runs_makes_one(life: Lifecycle, sessions: Sessions) -> None:
    session = await life.session_of(EVENT, Origin(pid=os.getpid()))

    assert [session] == list(sessions)


async def test_an_event_that_does_not_say_whose_it_is_makes_one(
    life: Lifecycle, sessions: Sessions
) -> None:
    assert await life.session_of(EVENT, Origin()) in list(sessions)


async def test_a_session_that_is_known_goes_on_although_its_hook_has_ended(
    life: Lifecycle, gone: int
) -> None:
    session = await life.session_of(EVENT, Origin(pid=os.getpid()))

    assert session is await life.session_of(EVENT, Origin(pid=gone))


async def test_a_command_that_has_ended_makes_no_session(
    life: Lifecycle, sessions: Sessions, gone: int
) -> None:
    with pytest.raises(SessionNotFound, match=str(gone)):
        await life.terminal_session(gone, "/")
    assert not list(sessions)


def test_one_that_has_not_been_waited_for_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()  # its end: it exits at this moment
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert processes.is_gone(process.pid)


def test_one_that_runs_is_not_gone() -> None:
    assert not processes.is_gone(os.getpid())


def test_one_that_cannot_be_looked_at_runs_on() -> None:
    process = processes.find(os.getppid())
    assert process is not None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # nothing can be opened from now on
    try:
        runs = processes.is_running(process)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert runs


def test_one_whose_id_another_has_by_now_does_not_run(gone: int) -> None:
    process = processes.find(os.getpid())
    assert process is not None
    assert processes.is_running(process)

    assert not processes.is_running(replace(process, started=process.started - 1))
    assert not processes.is_running(replace(process, pid=gone))
