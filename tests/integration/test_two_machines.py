"""Two machines, one coordinator, real etcd: the whole way of one edit."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.etcd import Etcd
from support.machines import (
    FAST_LEASES,
    Machine,
    clone,
    context,
    git,
    machines,
    refusal,
    repository,
    seconds_until,
)
from support.processes import CoordinatorProcess, coordinator, etcd_store, wait_until

pytestmark = pytest.mark.etcd

ORIGIN = "git@git.example.org:team/shop.git"
TTL_S = float(FAST_LEASES["SCOORD_LEASES_TTL"])
BELIEF_S = float(FAST_LEASES["SCOORD_LEASES_BELIEF"])


@dataclass
class Team:
    """Alice and Bob, each with a machine and a clone at a path of their own."""

    coordinator: CoordinatorProcess
    alice: Machine
    bob: Machine
    alices_clone: Path
    bobs_clone: Path


@pytest.fixture
def team(tmp_path: Path, etcd: Etcd, namespace: bytes) -> Iterator[Team]:
    files = {"auth.py": "def login(): ...\n", "tests/test_auth.py": "", "src/cart.py": ""}
    alices = repository(tmp_path / "alice" / "work" / "shop", files, ORIGIN)
    bobs = clone(alices, tmp_path / "bob" / "src" / "checkout", "https://git.example.org/team/shop")
    git(alices, "switch", "-q", "-c", "feature/login")
    with coordinator(tmp_path, *etcd_store(etcd, namespace)) as running:
        alice = Machine(tmp_path / "alice" / "home", "alice", running.address)
        bob = Machine(tmp_path / "bob" / "home", "bob", running.address)
        with machines(alice, bob):
            yield Team(running, alice, bob, alices, bobs)


def _intents(team: Team) -> str:
    """What Bob is shown that sessions are at: it is published behind the prompt."""
    return " ".join(each["intent"] for each in team.bob.status(team.bobs_clone)["sessions"])


def test_the_second_session_is_refused_and_gets_the_file_when_the_first_ends(team: Team) -> None:
    a, b = team.alice.session(team.alices_clone), team.bob.session(team.bobs_clone)
    assert "this session is Session_1 in git.example.org/team/shop" in a.start()
    a.prompt("refactor authentication logic\nand more that nobody is told")
    wait_until("its intent is published", lambda: "refactor" in _intents(team))
    told = b.start()
    assert "Session_1 (alice@" in told
    assert '"refactor authentication logic"' in told

    assert "" == refusal(a.edit(team.alices_clone / "auth.py"))
    lines = refusal(b.edit(team.bobs_clone / "auth.py")).splitlines()

    assert lines[0].startswith("⚠️ auth.py is locked by Session_1 (alice@")
    assert lines[0].endswith(', branch feature/login): "refactor authentication logic"')
    assert re.match(r"   held \d+ s, estimated completion: not known\.", lines[1])
    assert "You are first in the queue and will be told when it is free." in lines[1]
    assert "   Suggestion: tests/test_auth.py is free and belongs to it." == lines[2]

    a.end()

    assert "" == refusal(b.edit(team.bobs_clone / "auth.py"))


def test_one_who_waits_is_told_that_the_file_is_free(team: Team) -> None:
    a, b = team.alice.session(team.alices_clone), team.bob.session(team.bobs_clone)
    a.start()
    b.start()
    a.edit(team.alices_clone / "auth.py")
    b.edit(team.bobs_clone / "auth.py")

    a.end()

    took = seconds_until(
        "bob is told",
        lambda: "auth.py is free now" in context(b.edit(team.bobs_clone / "src/cart.py")),
        3,
    )
    assert took < 2


def test_a_killed_agents_locks_are_free_within_the_ttl(team: Team) -> None:
    a, b = team.alice.session(team.alices_clone), team.bob.session(team.bobs_clone)
    a.start()
    b.start()
    assert "" == refusal(a.edit(team.alices_clone / "auth.py"))
    assert refusal(b.edit(team.bobs_clone / "auth.py"))

    assert team.alice.agent is not None
    team.alice.agent.kill()
    took = seconds_until(
        "the lock is free",
        lambda: not refusal(b.edit(team.bobs_clone / "auth.py")),
        TTL_S + 1.5,
    )

    # Never before: its session's process lives, and its agent might have come back.
    assert BELIEF_S < took < TTL_S + 1


def test_a_restarted_agent_takes_its_sessions_and_locks_up_again(team: Team) -> None:
    a, b = team.alice.session(team.alices_clone), team.bob.session(team.bobs_clone)
    a.start()
    b.start()
    a.edit(team.alices_clone / "auth.py")
    (before,) = team.alice.status(team.alices_clone)["locks"]

    assert team.alice.agent is not None
    team.alice.agent.kill()
    team.alice.start_agent()
    seconds_until("the session is back", lambda: _connected(team.alice, team.alices_clone), 5)

    (after,) = team.alice.status(team.alices_clone)["locks"]
    assert before["token"] == after["token"]
    assert before["session_id"] == after["session_id"]
    assert "" == refusal(a.edit(team.alices_clone / "auth.py"))
    seconds_until("the lease was renewed", lambda: _outlives(team, b), TTL_S + 3)


def test_a_session_whose_process_is_gone_is_ended_within_two_seconds(team: Team) -> None:
    a, b = team.alice.session(team.alices_clone), team.bob.session(team.bobs_clone)
    a.start()
    b.start()
    a.edit(team.alices_clone / "auth.py")

    a.kill()
    took = seconds_until(
        "the lock is free", lambda: not refusal(b.edit(team.bobs_clone / "auth.py")), 3
    )

    assert took < 2


def test_a_broken_lock_is_told_to_its_holder(team: Team) -> None:
    a, b = team.alice.session(team.alices_clone), team.bob.session(team.bobs_clone)
    a.start()
    b.start()
    a.edit(team.alices_clone / "auth.py")

    done = team.bob.scoord(
        "unlock",
        "auth.py",
        "--force",
        "--yes",
        "--reason",
        "she is on holiday",
        cwd=team.bobs_clone,
    )

    assert 0 == done.returncode, done.stderr
    assert "" == refusal(b.edit(team.bobs_clone / "auth.py"))
    answer = a.edit(team.alices_clone / "auth.py")
    assert "was broken by bob" in refusal(answer)
    assert '"she is on holiday"' in refusal(answer)


def test_the_holder_is_told_that_somebody_waits(team: Team) -> None:
    a, b = team.alice.session(team.alices_clone), team.bob.session(team.bobs_clone)
    a.start()
    b.start()
    b.prompt("add two-factor login")
    a.edit(team.alices_clone / "auth.py")
    b.edit(team.bobs_clone / "auth.py")

    told = [""]

    def is_told() -> bool:
        told.append(context(a.edit(team.alices_clone / "src/cart.py")))
        return bool(told[-1])

    seconds_until("alice is told", is_told, 3)

    assert "Session_2 (bob@" in told[-1]
    assert 'waits for auth.py, which you hold: "add two-factor login"' in told[-1]
    assert "" == context(a.edit(team.alices_clone / "src/cart.py"))


def test_a_restarted_coordinator_is_met_again(
    team: Team, tmp_path: Path, etcd: Etcd, namespace: bytes
) -> None:
    a, b = team.alice.session(team.alices_clone), team.bob.session(team.bobs_clone)
    a.start()
    b.start()
    a.edit(team.alices_clone / "auth.py")
    port = int(team.coordinator.address.rpartition(":")[2])

    team.coordinator.kill()
    with coordinator(tmp_path, *etcd_store(etcd, namespace), port=port):
        assert "Session_1" in refusal(b.edit(team.bobs_clone / "auth.py"))
        assert "" == refusal(a.edit(team.alices_clone / "src/cart.py"))


def _connected(machine: Machine, cwd: Path) -> bool:
    status = machine.status(cwd)
    return status["coordinator"]["state"] == "connected" and any(
        session["local"] for session in status["sessions"]
    )


def _outlives(team: Team, other: object) -> bool:
    locks = team.bob.status(team.bobs_clone)["locks"]
    return any(lock["held_s"] > TTL_S + 1 for lock in locks)
