"""What ``scoord doctor`` finds where something is wrong, and what ``up`` and ``down`` do there."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.machines import Machine, repository
from support.ports import free_port


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Machine]:
    """A machine where nothing runs."""
    machine = Machine(tmp_path / "home", "alice", f"127.0.0.1:{free_port()}")
    yield machine
    machine.end()
    machine.scoord("down", cwd=machine.home)


def _checks(machine: Machine, cwd: Path) -> dict[str, Any]:
    """What ``scoord doctor`` finds, by the name of the check."""
    told = json.loads(machine.scoord("doctor", "--json", cwd=cwd).stdout)
    return {one["name"]: one for one in told["checks"]}


def test_a_doctor_says_what_the_coordinator_ended_of_until_it_ran_again(fresh: Machine) -> None:
    store = fresh.state_dir / "store/scoord.db"
    store.parent.mkdir(parents=True)
    fresh.state_dir.chmod(0o700)
    store.write_bytes(b"this is no database" * 100)
    failed = fresh.scoord("up", cwd=fresh.home)
    damaged = _checks(fresh, fresh.home)
    store.unlink()
    fresh.scoord("up", cwd=fresh.home)
    fresh.scoord("down", cwd=fresh.home)
    mended = _checks(fresh, fresh.home)

    assert failed.returncode == 70
    assert damaged["coordinator"]["level"] == "fail"
    assert "scoord.db is damaged" in damaged["coordinator"]["text"]
    assert mended["coordinator"]["text"] == "not checked; see agent"


def test_a_doctor_tells_of_a_stranger_at_the_agents_port(fresh: Machine) -> None:
    taken = f"127.0.0.1:{fresh.port} is taken by another program"
    with socket.create_server(("127.0.0.1", fresh.port)):
        fresh.scoord("up", cwd=fresh.home)
        checks = _checks(fresh, fresh.home)

    assert (checks["hook port"]["level"], checks["hook port"]["text"]) == ("fail", taken)
    assert f"port {fresh.port} is taken by another program" in checks["agent"]["text"]


def test_a_doctor_says_what_an_agent_ended_of_until_one_ran_again(fresh: Machine) -> None:
    """Also where that had nothing to do, and nothing else to write down."""
    with socket.create_server(("127.0.0.1", fresh.port)):
        fresh.scoord("up", cwd=fresh.home)
    failed = _checks(fresh, fresh.home)
    fresh.scoord("up", cwd=fresh.home)
    fresh.scoord("down", cwd=fresh.home)
    mended = _checks(fresh, fresh.home)

    assert "ended last with" in failed["agent"]["text"]
    assert mended["agent"]["level"] == "fail"
    assert "ended last with" not in mended["agent"]["text"]


def test_what_runs_beside_an_open_state_directory_is_seen_and_can_be_stopped(
    fresh: Machine,
) -> None:
    fresh.scoord("up", cwd=fresh.home)
    fresh.state_dir.chmod(0o755)
    checks = _checks(fresh, fresh.home)
    refused = fresh.scoord("up", cwd=fresh.home)
    down = fresh.scoord("down", "--json", cwd=fresh.home)

    assert checks.pop("state")["level"] == "fail"
    assert [one for one in checks.values() if one["level"] == "fail"] == []
    assert "not checked" not in str(checks)
    assert (refused.returncode, down.returncode) == (1, 0)
    assert all(json.loads(down.stdout)["stopped"].values())


def test_a_state_directory_that_others_may_write_to_is_not_believed(fresh: Machine) -> None:
    fresh.state_dir.mkdir(parents=True, exist_ok=True)
    fresh.state_dir.chmod(0o777)
    down = fresh.scoord("down", cwd=fresh.home)
    fresh.state_dir.chmod(0o700)

    assert down.returncode == 1
    assert "chmod 700" in down.stderr


def test_a_project_whose_name_is_wrong_keeps_nothing_from_running(
    fresh: Machine, tmp_path: Path
) -> None:
    project = repository(tmp_path / "app", {"coordination.yaml": "project: 5\n"})
    up = fresh.scoord("up", cwd=project)
    checks = _checks(fresh, project)

    assert up.returncode == 0
    assert "coordination.yaml:1: project: not a name" in up.stderr
    assert up.stderr.startswith("problem: ")
    assert checks["settings"]["level"] == "fail"
    assert checks["agent"]["level"] == checks["coordinator"]["level"] == "ok"
    assert checks["project"]["text"] == "not checked; see settings"
