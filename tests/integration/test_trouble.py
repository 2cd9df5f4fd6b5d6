"""What goes wrong at start and underneath: one clear line each, never a silent open door."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import pytest

from scoord import local
from support.machines import Machine, context, machines, refusal, repository, seconds_until
from support.pair import ORIGIN
from support.ports import free_port
from support.processes import CoordinatorProcess, Program, coordinator, wait_until
from support.small_disk import fill, small_disk

FILES = {"auth.py": "", "b.py": ""}


def run_server(directory: Path, *options: str, env: Mapping[str, str] | None = None) -> Program:
    """A coordinator that is expected to say something and end."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory), **(env or {})}
    return ended(Program(["scoord_server", *options], environ, directory / "server.out"))


def ended(program: Program, within_s: float = 15) -> Program:
    try:
        program.process.wait(timeout=within_s)
    finally:
        program.kill()
    return program


def complaint(program: Program) -> str:
    """The one line that a program ended with, which is not a success."""
    assert program.process.returncode not in (0, None)
    lines = [line for line in program.output().splitlines() if " INFO " not in line]
    assert 1 == len(lines), program.output()
    assert "mistake of ours" not in lines[0]
    return lines[0]


def embedded(directory: Path) -> tuple[str, ...]:
    return ("--embedded", "--data", str(directory / "store"))


def listening() -> tuple[str, str]:
    return ("--listen", f"127.0.0.1:{free_port()}")


# -- the store ------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"not a database, but long enough to be one" * 100, b""])
def test_a_damaged_store_is_never_taken_for_an_empty_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/scoord.db").write_bytes(content)

    said = complaint(run_server(tmp_path, *embedded(tmp_path), *listening()))

    assert "scoord.db is damaged: " in said
    assert "restore it, or move it and its -wal away" in said
    assert content == (tmp_path / "store/scoord.db").read_bytes()


def test_a_store_in_use_is_not_opened_twice(tmp_path: Path) -> None:
    with coordinator(tmp_path, *embedded(tmp_path)):
        said = complaint(run_server(tmp_path, *embedded(tmp_path), *listening()))

    assert "scoord.db is in use by another process; stop that one first" in said


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_store_whose_file_is_gone_is_not_served_on(tmp_path: Path, how: str) -> None:
    """What is written there, nobody would find again."""
    file = tmp_path / "store/scoord.db"
    with coordinator(tmp_path, *embedded(tmp_path)) as running:
        time.sleep(0.5)  # so that it has looked for it
        if how == "replaced":
            (tmp_path / "copy").write_bytes(file.read_bytes())
            (tmp_path / "copy").replace(file)
        else:
            file.unlink()
        ended(running)

    assert 3 == running.process.returncode
    last = running.output().splitlines()[-1]
    assert f"error: {file} was removed or replaced while it was in use; start" in last


def test_a_store_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    data = ("--embedded", "--data", str(tmp_path / "file" / "store"))

    assert "cannot make " in complaint(run_server(tmp_path, *data, *listening()))


def test_a_full_disk_grants_nothing_until_there_is_space_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=512) as disk:
        store = ("--embedded", "--data", str(disk / "store"))
        with coordinator(tmp_path, *store) as running:
            machine = Machine(tmp_path / "home", "alice", running.address, **BLOCK)
            with machines(machine):
                session = machine.session(repository(tmp_path / "shop", FILES, f"{ORIGIN}/full"))
                session.start()
                fill(disk / "rest")

                told = refusal(session.edit("auth.py"))
                (disk / "rest").unlink()

                assert "no lock can be taken now" in told
                assert "cannot be used" in told
                assert "space" in told
                assert {} == session.edit("auth.py")
                (lock,) = machine.status(session.cwd)["locks"]
                assert "auth.py" == lock["path"]


BLOCK = {"SCOORD_UNREACHABLE_ACTION": "block"}


def test_an_etcd_that_is_not_there_is_named(tmp_path: Path) -> None:
    port = free_port()

    said = complaint(run_server(tmp_path, "--etcd", f"127.0.0.1:{port}", *listening()))

    assert f"127.0.0.1:{port}" in said


@pytest.mark.parametrize("store", [(), ("--embedded", "--etcd", "127.0.0.1:1")])
def test_exactly_one_store_is_chosen(tmp_path: Path, store: tuple[str, ...]) -> None:
    program = run_server(tmp_path, *store)

    assert 2 == program.process.returncode
    assert "choose the store: --embedded, or --etcd" in program.output()


# -- ports ----------------------------------------------------------------------------------


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        yield foreign.getsockname()[1]


def test_a_coordinators_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with taken_port() as port:
        said = complaint(run_server(tmp_path, *embedded(tmp_path), "--listen", f"127.0.0.1:{port}"))

    assert f"cannot listen on 127.0.0.1:{port}: it is taken" in said


def test_two_coordinators_never_share_a_port(tmp_path: Path) -> None:
    with coordinator(tmp_path, *embedded(tmp_path)) as running:
        second = ("--embedded", "--data", str(tmp_path / "second"), "--listen", running.address)

        assert "it is taken" in complaint(run_server(tmp_path, *second))


@pytest.mark.parametrize("address", ["0.0.0.0:7999", "[::]:7999"])
def test_plaintext_for_all_is_refused_unless_it_is_asked_for(tmp_path: Path, address: str) -> None:
    said = complaint(run_server(tmp_path, *embedded(tmp_path), "--listen", address))

    assert f"--listen {address} is not loopback" in said
    assert "--tls-cert" in said
    assert "--insecure" in said


@pytest.mark.parametrize("address", ["127.0.0.1:70000", ":7780"])
def test_an_address_that_is_none_is_said_so(tmp_path: Path, address: str) -> None:
    said = complaint(run_server(tmp_path, *embedded(tmp_path), "--listen", address))

    assert f"--listen {address}" in said


def test_an_agents_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with taken_port() as port:
        machine = Machine(tmp_path, "alice", "127.0.0.1:1", SCOORD_AGENT_PORT=str(port))
        said = complaint(run_agent(machine))

    assert f"port {port} is taken by another program" in said
    assert "SCOORD_AGENT_PORT" in said


def run_agent(machine: Machine, **env: str) -> Program:
    """An agent that is expected to say something and end."""
    return ended(Program(["scoord_agent"], {**machine.env, **env}, machine.home / "second.out"))


# -- the agent's own files -------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinatorProcess]:
    directory = tmp_path_factory.mktemp("coordinator")
    with coordinator(directory, *embedded(directory)) as process:
        yield process


@pytest.fixture
def machine(tmp_path: Path, running: CoordinatorProcess) -> Machine:
    """A machine whose agent is not started yet."""
    machine = Machine(tmp_path / "home", "alice", running.address)
    machine.state_dir.mkdir(parents=True, mode=0o700)
    return machine


def works(machine: Machine, directory: Path) -> bool:
    """Whether its agent takes a lock."""
    root = repository(directory / "shop", FILES, f"{ORIGIN}/{directory.name}")
    session = machine.session(root)
    return {} == session.edit("auth.py") and [] != machine.status(root)["locks"]


def test_of_two_agents_started_at_once_one_stays(machine: Machine) -> None:
    logs = [machine.home / "one.out", machine.home / "two.out"]
    agents = [Program(["scoord_agent"], machine.env, log) for log in logs]
    try:
        wait_until("one has ended", lambda: sum(a.is_running() for a in agents) < 2)
        (second,) = [a for a in agents if not a.is_running()]
        (first,) = [a for a in agents if a.is_running()]

        assert 0 == second.process.returncode
        assert f"an agent is already running (pid {first.pid})\n" == second.output()
    finally:
        for agent in agents:
            agent.end()
    assert 0 == first.process.returncode


@pytest.mark.parametrize("content", ["1", "not a pid"])
def test_what_a_dead_agent_left_is_no_obstacle(
    machine: Machine, tmp_path: Path, content: str
) -> None:
    (machine.state_dir / "agent.lock").write_text(content)
    with patch.dict(os.environ, machine.env), socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(local.socket_path()))

    with machines(machine):
        assert works(machine, tmp_path)


GOOD = {
    "session_id": "Session_vm_1_20200101T000000.000000Z",
    "client": "claude-code",
    "client_version": "",
    "pid": None,
    "started": None,
    "cwd": "/",
    "client_session_ids": ["x"],
    "lease": 7,
    "aliases": {"p": "Session_1"},
    "home": "p",
    "worktree": "",
    "branch": "",
    "intent": "",
}


CORRUPT = (
    "\0\1\2 garbage",
    "[" * 100_000,
    json.dumps({**GOOD, "lease": "seven"}),
    json.dumps({**GOOD, "lease": 2**70}),
    json.dumps({**GOOD, "branch": ["main"]}),
    json.dumps({**GOOD, "session_id": "\ud800"}),
    json.dumps(GOOD),
)


def test_a_corrupt_list_of_sessions_is_no_obstacle(machine: Machine, tmp_path: Path) -> None:
    (machine.state_dir / "sessions.jsonl").write_text("\n".join(CORRUPT))

    with machines(machine):
        assert works(machine, tmp_path)
        assert machine.agent is not None
        assert machine.agent.is_running()


def test_a_list_of_sessions_that_cannot_be_written_is_no_obstacle(
    machine: Machine, tmp_path: Path
) -> None:
    (machine.state_dir / "sessions.jsonl").mkdir()

    with machines(machine):
        assert works(machine, tmp_path)
        session = machine.session(tmp_path / "shop")
        session.start()
        session.kill()
        seconds_until("it is ended", lambda: len(_local(machine, session.cwd)) == 1, 3)
        assert machine.agent is not None
        assert machine.agent.is_running()
        assert "sessions.jsonl" in (machine.state_dir / "logs" / "agent.jsonl").read_text()


def _local(machine: Machine, cwd: Path) -> list[object]:
    return [session for session in machine.status(cwd)["sessions"] if session["local"]]


def test_a_state_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home", "alice", "127.0.0.1:1")
    (tmp_path / "file").write_text("")

    said = complaint(run_agent(machine, SCOORD_STATE_DIR=str(tmp_path / "file")))

    assert f"cannot use {tmp_path / 'file'}" in said
    assert "set SCOORD_STATE_DIR" in said


def test_a_state_directory_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home", "alice", "127.0.0.1:1")
    (tmp_path / "open").mkdir(mode=0o755)

    said = complaint(run_agent(machine, SCOORD_STATE_DIR=str(tmp_path / "open")))

    assert "is open to other users; run: chmod 700" in said


def test_a_lock_file_that_cannot_be_opened_is_named(machine: Machine) -> None:
    (machine.state_dir / "agent.lock").mkdir()

    assert "agent.lock" in complaint(run_agent(machine))


def test_settings_that_do_not_load_stop_the_agent_with_their_place(machine: Machine) -> None:
    file = machine.home / ".config/scoord/coordination.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("leases:\n  ttl: 10\n  belief: 9\n")

    said = complaint(run_agent(machine, SCOORD_LEASES_TTL="", SCOORD_LEASES_BELIEF=""))

    assert f"leases.ttl is 10 s ({file}:2)" in said
    assert f"leases.belief is 9 s ({file}:3)" in said


def test_plaintext_to_another_machine_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home", "alice", "192.0.2.1:7780")

    said = complaint(run_agent(machine))

    assert "192.0.2.1:7780" in said
    assert "coordinator.insecure" in said


def test_a_git_that_hangs_does_not_hold_up_other_sessions(machine: Machine, tmp_path: Path) -> None:
    """The first look at a repository starts git, which may take its time on a large one."""
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text('#!/bin/sh\ncase "$*" in *slow*) sleep 4 ;; esac\nexit 2\n')
    slow.chmod(0o755)
    hung = repository(tmp_path / "slow", FILES)
    (repository(tmp_path / "fast", FILES) / "coordination.yaml").write_text("project: fast\n")
    machine.env["PATH"] = f"{slow.parent}:{machine.env['PATH']}"

    with machines(machine), ThreadPoolExecutor() as pool:
        one, other = machine.session(hung), machine.session(tmp_path / "fast")
        begun = time.monotonic()
        looking = pool.submit(one.edit, "auth.py")

        assert {} == other.edit("auth.py")
        assert not looking.done(), "the slow one is still being looked at"
        assert "Git took over 1.5 s" in context(looking.result())
        assert time.monotonic() - begun < 2.5
