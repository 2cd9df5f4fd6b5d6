"""``scoord up`` when something has changed or is in its way, as real processes."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scoord_agent import own
from scoord_agent.only_one import OnlyOne
from scoord_agent.spawn import is_listening
from support.machines import Machine, refusal, repository
from support.ports import free_port
from support.processes import coordinator, wait_until
from support.small_disk import fill, small_disk


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Machine]:
    """A machine where nothing runs."""
    machine = Machine(tmp_path / "home", "alice", f"127.0.0.1:{free_port()}")
    yield machine
    _end(machine)


def _end(machine: Machine) -> None:
    machine.end()
    machine.scoord("down", cwd=machine.home)


def _json(done: "subprocess.CompletedProcess[str]") -> Any:
    assert done.stderr == ""
    return json.loads(done.stdout)


def _one_line(done: "subprocess.CompletedProcess[str]") -> str:
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


# -- other settings than before -------------------------------------------------------------


def _settings(machine: Machine, text: str) -> None:
    file = machine.home / ".config/scoord/coordination.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_up_replaces_an_agent_whose_settings_have_changed(tmp_path: Path) -> None:
    """Its sessions go on: they are taken up again by the new one."""
    address, other = (f"127.0.0.1:{free_port()}" for _ in range(2))
    machine = Machine(tmp_path / "home", "alice", "", SCOORD_COORDINATOR_ADDRESSES="")
    _settings(machine, f'coordinator:\n  addresses: ["{address}"]\n')
    try:
        before = _json(machine.scoord("up", "--json", cwd=tmp_path))
        session = machine.session(repository(tmp_path / "app", {"auth.py": ""}))
        session.start()
        session.edit("auth.py")
        _settings(machine, f'coordinator:\n  addresses: ["{other}"]\n')
        doctor = json.loads(machine.scoord("doctor", "--json", cwd=tmp_path).stdout)
        after = machine.scoord("up", cwd=tmp_path)
        again = _json(machine.scoord("up", "--json", cwd=tmp_path))
        wait_until("its lock stands", lambda: bool(machine.status(session.cwd)["locks"]))
    finally:
        _end(machine)

    difference = f"coordinator.addresses is {address} there, {other} now"
    (told,) = [one for one in doctor["checks"] if one["name"] == "agent"]
    assert (told["level"], told["advice"]) == ("fail", "run: scoord up")
    assert difference in told["text"]
    assert after.returncode == 0, after.stderr
    assert f"restarted: {difference}" in after.stdout
    assert again["coordinator"]["address"] == other
    assert not again["agent"]["started"]
    assert again["agent"]["pid"] != before["agent"]["pid"]
    assert again["coordinator"]["pid"] != before["coordinator"]["pid"], "one store, one process"


def test_up_replaces_an_agent_whose_environment_says_otherwise_how_sessions_work(
    tmp_path: Path,
) -> None:
    """Without this, locking stays off for all of the machine, and nothing says so."""
    machine = Machine(tmp_path / "home", "alice", f"127.0.0.1:{free_port()}")
    root = repository(tmp_path / "app", {"auth.py": ""})
    try:
        machine.env["SCOORD_ENABLE_FILE_LOCKS"] = "false"
        machine.scoord("up", cwd=tmp_path)
        del machine.env["SCOORD_ENABLE_FILE_LOCKS"]
        doctor = json.loads(machine.scoord("doctor", "--json", cwd=tmp_path).stdout)
        after = machine.scoord("up", cwd=tmp_path)
        one, other = machine.session(root), machine.session(root)
        one.edit("auth.py")
        refused = other.edit("auth.py")
    finally:
        _end(machine)

    difference = "SCOORD_ENABLE_FILE_LOCKS is false there, not set now"
    (told,) = [one for one in doctor["checks"] if one["name"] == "agent"]
    assert (told["level"], told["advice"]) == ("fail", "run: scoord up")
    assert difference in told["text"]
    assert f"restarted: {difference}" in after.stdout
    assert "auth.py is locked by" in refusal(refused)


NEVER_WORKS = {
    "a coordinator that is away": (
        'coordinator: {addresses: ["192.0.2.1:7780"], insecure: true}',
        "the coordinator at 192.0.2.1:7780 cannot be reached",
        3,
    ),
    "plaintext to another machine": (
        'coordinator: {addresses: ["192.0.2.1:7780"]}',
        "coordinator.addresses: 192.0.2.1:7780 is not loopback",
        2,
    ),
    "files that are not there": (
        'coordinator: {addresses: ["192.0.2.1:7780"], ca: /nowhere/ca.pem}',
        "coordinator.ca: cannot read /nowhere/ca.pem",
        2,
    ),
    "a port that is not ours to take": (
        'coordinator: {addresses: ["127.0.0.1:{taken}"]}',
        "127.0.0.1:{taken} is taken by another program",
        2,
    ),
}


@pytest.mark.parametrize("case", NEVER_WORKS.values(), ids=NEVER_WORKS)
def test_settings_that_cannot_work_end_nothing_that_works(
    case: tuple[str, str, int], tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    machine = Machine(tmp_path / "home", "alice", "", SCOORD_COORDINATOR_ADDRESSES="")
    _settings(machine, f'coordinator:\n  addresses: ["{address}"]\n')
    with socket.create_server(("127.0.0.1", 0)) as other:
        text, why, code = (str(one).replace("{taken}", str(other.getsockname()[1])) for one in case)
        try:
            before = _json(machine.scoord("up", "--json", cwd=tmp_path))
            _settings(machine, f"{text}\n")
            refused = machine.scoord("up", cwd=tmp_path)
            doctor = json.loads(machine.scoord("doctor", "--json", cwd=tmp_path).stdout)
            seen = machine.status(tmp_path)
        finally:
            _end(machine)
    faults = [one for one in doctor["checks"] if one["level"] == "fail"]

    assert refused.returncode == int(code)
    assert why in _one_line(refused)
    assert f"; the agent (pid {before['agent']['pid']}) goes on with the settings" in refused.stderr
    assert seen["agent"]["pid"] == before["agent"]["pid"]
    assert seen["coordinator"]["state"] == "connected"
    assert any(why in one["text"] for one in faults)
    assert not any(one["advice"] == "run: scoord up" for one in faults)


def test_a_port_that_is_taken_ends_no_agent(fresh: Machine) -> None:
    before = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        fresh.env["SCOORD_AGENT_PORT"] = str(taken)
        refused = fresh.scoord("up", cwd=fresh.home)
    fresh.env.pop("SCOORD_AGENT_PORT")
    again = _json(fresh.scoord("up", "--json", cwd=fresh.home))

    assert refused.returncode == 2
    said = f"error: port {taken} is taken by another program: end it, or set SCOORD_AGENT_PORT"
    assert said in _one_line(refused)
    assert (again["agent"]["pid"], again["agent"]["port"]) == (before["agent"]["pid"], fresh.port)


def test_a_coordinator_that_an_earlier_up_started_is_never_a_strangers(fresh: Machine) -> None:
    address = fresh.env["SCOORD_COORDINATOR_ADDRESSES"]
    fresh.scoord("up", cwd=fresh.home)
    # Of two replicas that are named, one is on this machine: none would be started now.
    _settings(fresh, f'coordinator:\n  addresses: ["{address}", "far.example.org:7780"]\n')
    _settings_only(fresh)
    done = fresh.scoord("up", cwd=fresh.home)

    assert "not started" not in done.stdout
    assert "already running" in done.stdout


def _settings_only(machine: Machine) -> None:
    machine.env |= {"SCOORD_COORDINATOR_ADDRESSES": "", "SCOORD_COORDINATOR_INSECURE": "yes"}


def test_a_port_that_up_was_given_stays(fresh: Machine) -> None:
    """Hooks name the port: an agent that starts without the variable must be found there."""
    fresh.scoord("hooks", "install", cwd=fresh.home)
    first = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    fresh.scoord("down", cwd=fresh.home)
    fresh.env.pop("SCOORD_AGENT_PORT")
    second = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    status = _json(fresh.scoord("hooks", "status", "--json", cwd=fresh.home))

    assert first["agent"]["port"] == second["agent"]["port"] == fresh.port
    assert f"SCOORD_PORT={fresh.port}\n" in (fresh.state_dir / "hook.env").read_text()
    assert status["complete"]


def test_up_writes_what_the_hooks_read_also_where_the_agent_runs(fresh: Machine) -> None:
    fresh.scoord("hooks", "install", cwd=fresh.home)
    before = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    (fresh.state_dir / "hook.env").unlink()
    missed = _checks(fresh, fresh.home)
    after = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    mended = _checks(fresh, fresh.home)

    assert (missed["hook.env"]["level"], missed["hook.env"]["advice"]) == ("fail", "run: scoord up")
    assert after["agent"]["pid"] == before["agent"]["pid"]
    assert mended["hook.env"]["level"] == mended["shim"]["level"] == "ok"


def test_a_token_that_was_made_anew_replaces_the_agent(fresh: Machine) -> None:
    """The hooks give the token of the file, and the agent knows the one before."""
    before = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    (fresh.state_dir / "token").unlink()
    after = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    checks = _checks(fresh, fresh.home)

    assert after["agent"]["pid"] != before["agent"]["pid"]
    assert checks["hook port"]["level"] == checks["hook.env"]["level"] == "ok"


def test_an_agent_whose_socket_was_removed_can_be_asked_again(fresh: Machine) -> None:
    _json(fresh.scoord("up", "--json", cwd=fresh.home))
    socket_file = fresh.socket
    socket_file.unlink()

    wait_until("its socket is there again", socket_file.is_socket)

    assert fresh.status(fresh.home)["agent"]["port"]
    assert 0o600 == socket_file.stat().st_mode & 0o777


def test_an_agent_whose_state_directory_was_removed_puts_it_back(fresh: Machine) -> None:
    """Its hooks know its port and token by heart, and the coordinator the machine's id.

    That one serves a store that nobody would find again: another begins on an empty one.
    """
    names = ("token", "port", "machine-id", "hook.env", "agent.lock", "coordinator.pid")
    before = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    files = {name: (fresh.state_dir / name).read_text() for name in names}
    record, store = (fresh.state_dir / name for name in ("coordinator.pid", "store/scoord.db"))
    time.sleep(2 * own.LOOK_EVERY_S)  # so that the agent has seen the record
    shutil.rmtree(fresh.state_dir)
    wait_until("it is all there again", lambda: record.exists() and fresh.socket.is_socket())
    put_back = {name: (fresh.state_dir / name).read_text() for name in names}
    wait_until("another coordinator runs", store.exists)
    after = _json(fresh.scoord("up", "--json", cwd=fresh.home))

    assert files == put_back
    assert before["agent"]["pid"] == after["agent"]["pid"]
    assert before["coordinator"]["pid"] != after["coordinator"]["pid"]
    assert not after["coordinator"]["started"], "the agent has"
    wait_until("it has ended", lambda: not psutil.pid_exists(before["coordinator"]["pid"]))


def test_an_agent_that_finds_another_in_its_place_ends(fresh: Machine) -> None:
    before = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    (fresh.state_dir / "agent.lock").unlink()
    with OnlyOne(fresh.state_dir / "agent.lock").hold():
        wait_until("it has ended", lambda: not psutil.pid_exists(before["agent"]["pid"]))


def test_what_to_do_next_can_be_typed_as_it_stands(fresh: Machine, tmp_path: Path) -> None:
    scoord = Path(sys.executable).parent / "scoord"
    fresh.env["PATH"] = "/usr/bin:/bin"
    by_path = fresh.scoord("up", cwd=tmp_path)
    fresh.scoord("down", cwd=tmp_path)
    fresh.env["PATH"] = f"{scoord.parent}:/usr/bin:/bin"
    by_name = fresh.scoord("up", cwd=tmp_path)

    assert f"`{scoord} hooks install` wires" in by_path.stdout
    assert "`scoord hooks install` wires" in by_name.stdout


def test_what_is_locked_is_so_after_a_down_that_was_longer_than_the_lease(
    fresh: Machine, tmp_path: Path
) -> None:
    """As its help says: the coordinator that it stops counts no lease meanwhile."""
    project = repository(tmp_path / "app", {"a.py": "x\n"})
    fresh.scoord("up", cwd=project)
    fresh.scoord("lock", "a.py", cwd=project)
    (before,) = _json(fresh.scoord("locks", "--json", cwd=project))["locks"]
    fresh.scoord("down", cwd=project)
    time.sleep(float(fresh.env["SCOORD_LEASES_TTL"]) + 1)
    fresh.scoord("up", cwd=project)
    (after,) = _json(fresh.scoord("locks", "--json", cwd=project))["locks"]

    assert after["token"] == before["token"]
    said = " ".join(fresh.scoord("down", "--help", cwd=project).stdout.split())
    assert "Sessions that still run go on when it is back, with their locks." in said


# -- what is in its way ---------------------------------------------------------------------


def test_an_agents_port_that_is_taken_is_named(fresh: Machine) -> None:
    with socket.create_server(("127.0.0.1", fresh.port)):
        done = fresh.scoord("up", cwd=fresh.home)

    assert done.returncode == 2, "the agent's own"
    assert f"error: the agent ended at once: port {fresh.port} is taken" in _one_line(done)
    assert "scoord status" not in done.stderr, "no advice that has nothing to do with it"
    down = fresh.scoord("down", cwd=fresh.home)
    assert down.stdout.count("was not running") == 2, "what it started it has stopped"


def test_an_up_that_fails_leaves_alone_what_ran_before(fresh: Machine) -> None:
    before = _json(fresh.scoord("up", "--json", cwd=fresh.home))
    os.kill(before["agent"]["pid"], 9)
    wait_until("the port is free", lambda: not is_listening(f"127.0.0.1:{fresh.port}"))
    with socket.create_server(("127.0.0.1", fresh.port)):
        failed = fresh.scoord("up", cwd=fresh.home)
    down = _json(fresh.scoord("down", "--json", cwd=fresh.home))

    assert failed.returncode == 2
    assert down == {"stopped": {"agent": None, "coordinator": before["coordinator"]["pid"]}}


def test_an_agent_whose_coordinator_is_away_goes_on_and_is_named(fresh: Machine) -> None:
    fresh.env["SCOORD_COORDINATOR_ADDRESSES"] = "192.0.2.1:7780"
    fresh.env["SCOORD_COORDINATOR_INSECURE"] = "true"
    done = fresh.scoord("up", cwd=fresh.home)
    down = _json(fresh.scoord("down", "--json", cwd=fresh.home))

    assert done.returncode == 3
    assert "; the agent goes on and tries again, `scoord down` stops it" in _one_line(done)
    assert down["stopped"]["agent"]


def test_a_coordinators_port_that_is_taken_is_named_soon(fresh: Machine) -> None:
    address = fresh.env["SCOORD_COORDINATOR_ADDRESSES"]
    host, _, port = address.partition(":")
    begun = time.monotonic()
    with socket.create_server((host, int(port))):
        done = fresh.scoord("up", cwd=fresh.home)

    assert done.returncode == 2, "as for the agent's port"
    assert _one_line(done) == (
        f"error: {address} is taken by another program; end it, or set coordinator.addresses"
        f" in {fresh.home}/.config/scoord/coordination.yaml"
    )
    assert time.monotonic() - begun < 8
    assert not (fresh.state_dir / "agent.lock").exists(), "nothing was started"


def test_a_coordinator_that_someone_else_started_is_used(fresh: Machine, tmp_path: Path) -> None:
    port = int(fresh.env["SCOORD_COORDINATOR_ADDRESSES"].rpartition(":")[2])
    store = ("--embedded", "--data", str(tmp_path / "store"))
    with coordinator(tmp_path, *store, port=port):
        done = fresh.scoord("up", cwd=fresh.home)

        assert done.returncode == 0, done.stderr
        assert f"127.0.0.1:{port}, not started by `scoord up`" in done.stdout


def test_of_two_users_who_start_one_at_once_one_is_told_whose_it_is(tmp_path: Path) -> None:
    """Both find the address free, and one of the two coordinators gets it."""
    address = f"127.0.0.1:{free_port()}"
    users = [Machine(tmp_path / name, name, address) for name in ("alice", "bob")]
    scoord = str(Path(sys.executable).parent / "scoord")
    try:
        begun = [
            subprocess.Popen([scoord, "up", "--json"], env=one.env, stdout=subprocess.PIPE)
            for one in users
        ]
        told = [json.loads(process.communicate()[0]) for process in begun]
    finally:
        for user in users:
            _end(user)
    coordinators = [one["coordinator"] for one in told]

    assert sorted(one["started"] for one in coordinators) == [False, True]
    assert {one["address"] for one in coordinators} == {address}
    assert [one["agent"]["started"] for one in told] == [True, True]


def test_a_store_that_is_damaged_is_said_in_one_line(fresh: Machine) -> None:
    store = fresh.state_dir / "store"
    store.mkdir(parents=True)
    fresh.state_dir.chmod(0o700)
    (store / "scoord.db").write_bytes(b"this is no database" * 100)
    done = fresh.scoord("up", cwd=fresh.home)

    assert done.returncode == 70, "the coordinator's own"
    assert "scoord.db is damaged" in _one_line(done)


# -- a full disk ----------------------------------------------------------------------------


def test_a_port_that_has_changed_replaces_the_agent_and_names_the_hooks(fresh: Machine) -> None:
    fresh.scoord("up", cwd=fresh.home)
    old, new = fresh.port, free_port()
    fresh.env["SCOORD_AGENT_PORT"] = str(new)
    done = fresh.scoord("up", cwd=fresh.home)

    assert f"its port is {old} there, {new} now (`scoord hooks install`" in done.stdout
    assert f"127.0.0.1:{new}" in done.stdout


def test_on_a_full_disk_nothing_is_started_and_one_line_says_why(fresh: Machine) -> None:
    with small_disk(fresh.home / "disk", kib=768) as disk:
        fresh.env["SCOORD_STATE_DIR"] = str(disk)
        fill(disk / "rest")
        done = fresh.scoord("up", cwd=fresh.home)

        assert done.returncode == 1
        assert os.strerror(errno.ENOSPC) in _one_line(done)
        assert "mistake of ours" not in done.stderr
        assert "was not running" in fresh.scoord("down", cwd=fresh.home).stdout


def test_a_disk_that_is_full_by_now_is_no_health(fresh: Machine, tmp_path: Path) -> None:
    with small_disk(fresh.home / "disk", kib=768) as disk:
        fresh.env["SCOORD_STATE_DIR"] = str(disk)
        assert fresh.scoord("up", cwd=tmp_path).returncode == 0
        healthy = _coordinator(fresh, tmp_path)
        fill(disk / "rest")
        full = _coordinator(fresh, tmp_path)
        up = fresh.scoord("up", cwd=tmp_path)
        log = (disk / "coordinator.log").read_text(encoding="utf-8")
        (disk / "rest").unlink()
        again = _coordinator(fresh, tmp_path)
        seen = _json(fresh.scoord("status", "--all", "--json", cwd=tmp_path))
        fresh.scoord("down", cwd=tmp_path)

    assert healthy["level"] == again["level"] == "ok"
    assert full["level"] == "fail"
    assert "takes nothing in" in full["text"]
    assert up.returncode == 3
    assert "space" in _one_line(up)
    assert log.count("nothing can be written down") <= 1
    assert seen["sessions"] == [], "a check leaves nothing"


def _coordinator(machine: Machine, cwd: Path) -> Any:
    return _checks(machine, cwd)["coordinator"]


def _checks(machine: Machine, cwd: Path) -> dict[str, Any]:
    """What ``scoord doctor`` finds, by the name of the check."""
    told = json.loads(machine.scoord("doctor", "--json", cwd=cwd).stdout)
    return {one["name"]: one for one in told["checks"]}
