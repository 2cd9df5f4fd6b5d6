"""Who has ended before it is answered gets no session; one that it has ends with it."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scoord.errors import SessionNotFound
from scoord.ids import MachineId, ProjectId
from scoord.v1.sessions_pb2 import EndRequest
from scoord_agent import processes
from scoord_agent.lifecycle import Lifecycle, Origin
from scoord_agent.processes import Process
from scoord_agent.registration import Machine
from scoord_agent.sessions import Sessions
from scoord_hooks.neutral import EventKind, HookEvent
from support.clock import FakeClock
from support.house import nothing, until
from support.whole import whole_agent

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
        last_seen=parts,
        locator=parts,
        knowing=parts,
        settings=parts,
        machine=Machine(MachineId("m1"), "mbp", "alice"),
        clock=FakeClock(),
        changed=lambda: None,
        ending=lambda _session: None,
        written=nothing,
    )


@pytest.fixture
def gone() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(10)
    return process.pid


@pytest.fixture
def orphan() -> Iterator[int]:
    """The id of a process whose parent has ended, in a terminal session that has gone with it."""
    sleeps = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    starts = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleeps!r}])"
    command = [sys.executable, "-c", starts]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.wait(10)
    try:
        if len(processes.ancestors(pid)) > 3:
            pytest.skip("what takes in orphans here is started by neither init nor the kernel")
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)


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


async def test_a_command_whose_parent_has_ended_is_not_in_the_terminal_that_is_above_all(
    life: Lifecycle, sessions: Sessions, orphan: int
) -> None:
    assert processes.terminal_of(orphan) is None
    with pytest.raises(SessionNotFound, match="no terminal and no session is above"):
        await life.terminal_session(orphan, "/", lasting=True)
    assert not list(sessions)

    own = await life.terminal_session(orphan, "/")  # as a server, which stays
    assert own.process == processes.find(orphan)


async def test_an_event_whose_client_has_ended_is_not_of_what_is_above_all(
    life: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_name", lambda pid: "systemd" if pid == 1 else "")

    session = await life.session_of(EVENT, Origin(pid=1))

    assert session is not None
    assert session.process is None


@pytest.mark.parametrize("name", ["claude", "node", "bash"])
async def test_the_first_process_of_a_container_may_be_the_client(
    life: Lifecycle, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(processes, "_name", lambda _pid: name)

    session = await life.session_of(EVENT, Origin(pid=1))

    assert session is not None
    assert session.process == processes.find(1)


TABLES: list[tuple[dict[int, tuple[str, int]], int | None]] = [
    # Of each process above 9 its name and terminal session; 9 is of terminal session 5.
    ({8: ("bash", 5), 1: ("systemd", 1)}, 8),
    ({8: ("python", 5), 7: ("zsh", 5), 1: ("systemd", 1)}, 7),
    ({8: ("claude", 5), 7: ("desktop", 4), 1: ("systemd", 1)}, 8),
    ({8: ("systemd", 8), 1: ("systemd", 1)}, None),
    ({8: ("tmux: server", 8), 1: ("systemd", 1)}, None),
    ({8: ("python", 5), 1: ("tini", 5)}, 8),
    ({1: ("tini", 5)}, None),
    ({1: ("python", 5)}, 1),
    ({1: ("python", 1)}, None),
    ({1: ("bash", 5)}, 1),
    ({1: ("sh", 1)}, None),
    ({}, None),
]


@pytest.mark.parametrize(("above", "terminal"), TABLES)
def test_a_terminal_is_what_started_the_command_not_what_took_it_in(
    monkeypatch: pytest.MonkeyPatch, above: dict[int, tuple[str, int]], terminal: int | None
) -> None:
    table, order = {9: ("scoord", 5), **above}, [9, *above]
    monkeypatch.setattr(processes, "ancestors", lambda pid: order[order.index(pid) :])
    monkeypatch.setattr(processes, "_name", lambda pid: table[pid][0])
    monkeypatch.setattr(processes, "_terminal_session", lambda pid: table[pid][1])
    monkeypatch.setattr(processes, "tty_of", lambda _pid: "")

    assert terminal == processes.terminal_of(9)


def test_a_shell_with_a_terminal_is_one_also_as_the_first_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "ancestors", lambda pid: [9, 1] if pid == 9 else [1])
    monkeypatch.setattr(processes, "_name", lambda _pid: "bash")
    monkeypatch.setattr(processes, "_terminal_session", lambda pid: pid)
    monkeypatch.setattr(processes, "tty_of", lambda _pid: "pts/0")

    assert 1 == processes.terminal_of(9)


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


async def test_those_that_end_at_once_do_not_wait_for_each_other(
    tmp_path: Path, clock: FakeClock, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    async def end(request: EndRequest, _patience_s: float = 0) -> None:
        ended.append(request.session_id)
        await asyncio.Event().wait()

    async with whole_agent(tmp_path, clock) as agent:
        for name in ("c1", "c2", "c3"):
            await agent.hear(EventKind.PROMPT, Origin(), name)
        await agent.beat()
        names = {session.session_id for session in agent.sessions}
        for session in agent.sessions:
            session.process = Process(gone, 0)
        monkeypatch.setattr(agent.coordinator, "end", end)
        watch = asyncio.create_task(agent.parts.lifecycle.watch_processes())
        await until(lambda: ended)

        assert names == set(ended)
        assert [] == agent.sessions
        watch.cancel()
