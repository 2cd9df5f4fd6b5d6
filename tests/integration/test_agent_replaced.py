"""What sessions are told although their agent was replaced, or killed, meanwhile."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scoord_agent.writing_down import KEEP_S
from support.machines import (
    FAST_LEASES,
    Machine,
    context,
    machines,
    refusal,
    seconds_until,
    started,
)
from support.pair import Clones, Pair, clones, pair
from support.processes import coordinator, wait_until
from support.proxy import proxy

TTL_S = float(FAST_LEASES["SCOORD_LEASES_TTL"])
FILES = {"auth.py": "pass\n", "other.py": "pass\n"}
AWAY_S = 0.6
"""The hook of a start has more time than that."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("replaced")) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path) -> Clones:
    return clones(tmp_path, FILES)


def end_agent(machine: Machine, how: str) -> None:
    """Killed as by a crash, or stopped as `scoord up` stops one that it replaces."""
    assert machine.agent is not None
    if how == "killed":
        machine.agent.kill()
    else:
        machine.agent.end()


def test_what_was_lost_while_the_agent_was_away_is_told(tmp_path: Path, shop: Clones) -> None:
    with pair(tmp_path, **FAST_LEASES) as two:
        alice, bob = two.alice.running_session(shop.alices), two.bob.running_session(shop.bobs)
        alice.start()
        bob.start()
        alice.edit("auth.py")
        alice.edit("other.py")
        time.sleep(KEEP_S + 1)
        end_agent(two.alice, "killed")
        seconds_until("bob has it", lambda: not refusal(bob.edit("auth.py")), TTL_S + 2)
        bob.end()

        two.alice.start_agent()
        answer = alice.edit("auth.py")

        told = f"{refusal(answer)}\n{context(answer)}\n{alice.told()}"
        assert "Your lock on auth.py was lost; Session_2 (bob@" in told
        assert "read the file again" in told
        assert "other.py" not in told, "nobody else had it"
        locks = "what nobody else had is alice's again"
        wait_until(locks, lambda: "other.py" in held(two.alice, shop))


def held(machine: Machine, shop: Clones) -> set[str]:
    return {row["path"] for row in machine.status(shop.alices)["locks"]}


def test_a_holder_is_told_who_began_to_wait_while_its_agent_was_away(
    two: Pair, shop: Clones
) -> None:
    alice, bob = two.alice.running_session(shop.alices), two.bob.running_session(shop.bobs)
    alice.start()
    bob.start()
    alice.edit("auth.py")
    end_agent(two.alice, "stopped")
    assert refusal(bob.edit("auth.py"))

    two.alice.start_agent()

    told = [""]

    def is_told() -> bool:
        told.append(context(alice.prompt("go on")))
        return "waits for auth.py, which you hold" in told[-1]

    seconds_until(f"alice is told: {told}", is_told, 5)
    assert "waits for" not in context(alice.prompt("go on"))


def test_a_place_that_was_taken_before_a_restart_is_left_by_a_subagent_that_ends(
    two: Pair, shop: Clones
) -> None:
    subagent = {"agent_id": "agent-1", "agent_type": "coder"}
    alice, bob = two.alice.running_session(shop.alices), two.bob.running_session(shop.bobs)
    alice.start()
    bob.start()
    alice.edit("auth.py")
    assert refusal(bob.edit("auth.py", **subagent))
    end_agent(two.bob, "stopped")
    two.bob.start_agent()

    def is_left() -> bool:
        bob.post("SubagentStop", stop_hook_active=False, **subagent)
        return bool(two.alice.status(shop.alices)["waiters"] == [])

    seconds_until("it has left the queue", is_left, 5)


@pytest.mark.parametrize("passes", [True, False], ids=["its turn passes", "its lease runs out"])
def test_who_was_promised_its_turn_hears_from_the_next_agent_that_its_place_is_gone(
    tmp_path: Path, passes: bool
) -> None:
    settings = "session_coordination: {claim_timeout: 1}\n"
    short = clones(tmp_path, FILES | {"coordination.yaml": settings})
    with pair(tmp_path, **FAST_LEASES) as two:
        alice, bob = two.alice.running_session(short.alices), two.bob.running_session(short.bobs)
        alice.start()
        bob.start()
        alice.edit("auth.py")
        assert "will be told when it is free" in refusal(bob.edit("auth.py"))
        time.sleep(0.3)  # that is written down behind the answer
        end_agent(two.bob, "killed" if passes else "stopped")
        if passes:
            alice.run("release", "auth.py")

        def is_gone() -> bool:
            return bool(two.alice.status(short.alices)["waiters"] == [])

        seconds_until("its place is gone", is_gone, TTL_S + 2)
        two.bob.start_agent()

        def is_told() -> bool:
            return "You do not wait for auth.py any more" in context(bob.prompt("go on"))

        seconds_until("bob hears it", is_told, 5)
        assert not is_told(), "it is told once"


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_what_a_session_was_not_told_is_told_by_the_next_agent(
    two: Pair, shop: Clones, how: str
) -> None:
    alice, bob = two.alice.running_session(shop.alices), two.bob.running_session(shop.bobs)
    alice.start()
    bob.start()
    alice.edit("auth.py")
    bob.edit("other.py")
    assert bob.run("tell", "Session_1", "look at main")[0] == 0
    force = ("unlock", "auth.py", "--force", "--yes", "--reason", "too late")
    assert bob.run(*force)[0] == 0
    locks = "auth.py is nobody's for alice's agent, too"
    wait_until(locks, lambda: len(two.alice.status(shop.alices)["locks"]) == 1)
    time.sleep(0.3)

    end_agent(two.alice, how)
    two.alice.start_agent()
    told = context(alice.prompt("go on"))

    assert 'says: "look at main"' in told
    assert "Your lock on auth.py was broken by Session_2 (bob@" in told
    assert context(alice.prompt("go on")) == "", "it is told once"


def test_what_went_with_a_subagent_is_told_also_by_the_next_agent(two: Pair, shop: Clones) -> None:
    alice = two.alice.running_session(shop.alices)
    alice.start()
    helper = {"agent_id": "a1", "agent_type": "x"}
    assert alice.run("lock", "--for", "30m", "auth.py")[0] == 0
    for file in ("auth.py", "other.py"):
        assert "" == refusal(alice.edit(file, **helper))
    time.sleep(KEEP_S + 1)
    end_agent(two.alice, "killed")

    two.alice.start_agent()
    alice.post("SubagentStop", **helper)

    wait_until("its locks are free", lambda: not held(two.alice, shop))
    told = alice.told()
    assert "Your lock on auth.py went with the subagent that took it over" in told
    assert "other.py" not in told
    assert "auth.py" not in alice.told(), "once"


def test_what_an_agent_was_giving_back_is_given_back_by_the_next_one(
    two: Pair, shop: Clones
) -> None:
    alice, bob = two.alice.running_session(shop.alices), two.bob.running_session(shop.bobs)
    alice.start()
    bob.start()
    alice.edit("auth.py")
    alice.edit("other.py")
    two.coordinator.freeze()
    try:
        assert alice.run("release", "auth.py")[0] != 0
        end_agent(two.alice, "killed")
    finally:
        two.coordinator.thaw()

    two.alice.start_agent()

    wait_until("auth.py is free", lambda: {"other.py"} == held(two.alice, shop))
    assert "auth.py" not in context(alice.prompt("go on")), "it did not lose it"
    assert not refusal(bob.edit("auth.py"))


def test_what_is_given_back_before_the_next_agent_knows_of_it_is_not_taken_up(
    two: Pair, shop: Clones
) -> None:
    alice, bob = two.alice.running_session(shop.alices), two.bob.running_session(shop.bobs)
    alice.start()
    bob.start()
    alice.edit("auth.py")
    alice.edit("other.py", agent_id="ag1", agent_type="x")
    time.sleep(KEEP_S + 1)
    end_agent(two.alice, "killed")
    two.coordinator.freeze()
    try:
        two.alice.start_agent()
        code, said = alice.run("release", "auth.py")
        alice.post("Stop", stop_hook_active=False, background_tasks=[])
    finally:
        two.coordinator.thaw()

    assert code != 0
    assert "auth.py: not locked" not in said
    wait_until("nothing is held", lambda: set() == held(two.alice, shop))
    assert not refusal(bob.edit("other.py"))


# -- a coordinator that starts with the agent -------------------------------------------------


def test_a_session_that_goes_on_is_greeted_by_a_coordinator_that_answers_a_moment_later(
    tmp_path: Path, shop: Clones
) -> None:
    """As after `scoord down`: the hook of a start starts the agent, and that the coordinator."""
    options = ("--embedded", "--data", str(tmp_path / "store"))
    with coordinator(tmp_path, *options) as run, proxy(run.address) as way:
        alice = Machine(tmp_path / "home", "alice", way.address)
        with machines(alice), ThreadPoolExecutor(1) as pool:
            one, other = (started(alice.running_session(shop.alices)) for _ in range(2))
            one.edit("auth.py")
            end_agent(alice, "stopped")
            with way.refusing():
                alice.start_agent()
                answer = pool.submit(one.post, "SessionStart", source="clear")
                time.sleep(AWAY_S)
            told = context(answer.result())
            other.end()
            one.end()

    assert "this session is Session_1 in" in told
    assert "Session_2 (alice@" in told
    assert "still hold auth.py" in told
