"""Commands that wait while a branch is switched, another waits too, or one is killed."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machines import Command, RunningSession, context, git, refusal
from support.pair import Clones, Pair, alices, bobs, clones, pair
from support.processes import wait_until

MOMENT_S = 3.0
"""What is checked out may be known for a second; it is looked once a second."""
SEEN_S = 1.2

FILES = {"auth.py": "pass\n", "other.py": "pass\n"}
CONFINED = {"coordination.yaml": "session_coordination: {scope: branch}\n"}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("commands")) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path) -> Clones:
    return clones(tmp_path, FILES)


@pytest.fixture
def confined(tmp_path: Path) -> Clones:
    return clones(tmp_path, FILES | CONFINED)


def queue(two: Pair, shop: Clones) -> list[tuple[str, str]]:
    """Who waits, and on which branch they are."""
    return [(row["alias"], row["branch"]) for row in two.alice.status(shop.alices)["waiters"]]


def held(two: Pair, shop: Clones) -> set[tuple[str, str]]:
    """Who holds what."""
    return {(row["path"], row["alias"]) for row in two.alice.status(shop.alices)["locks"]}


def waits(session: RunningSession) -> Command:
    """``session`` waits for auth.py, and is in the queue."""
    command = session.start_command("wait", "auth.py")
    wait_until("it says so", lambda: "place 1" in command.text("err"))
    time.sleep(0.3)  # what it asks next waits, too
    return command


@pytest.mark.parametrize("hooks", [False, True])
def test_who_switches_branches_waits_on_the_one_that_is_checked_out(
    two: Pair, confined: Clones, *, hooks: bool
) -> None:
    alice, bob = alices(two, confined), bobs(two, confined)
    alice.edit("auth.py")
    command = waits(bob)

    git(confined.bobs, "switch", "-q", "-c", "feature")
    if hooks:
        time.sleep(SEEN_S)
        assert "do not wait" not in bob.told(), "the command goes on"

    assert command.wait(MOMENT_S) == 0, "nobody holds it there"
    assert {("auth.py", "Session_1"), ("auth.py", "Session_2")} == held(two, confined)
    wait_until("no place is left on main", lambda: queue(two, confined) == [])
    assert "given back" not in bob.told(), "the lock is for the branch that it works on"


def test_who_was_to_be_told_hears_that_it_waits_no_more_on_the_branch_before(
    two: Pair, confined: Clones
) -> None:
    alice, bob = alices(two, confined), bobs(two, confined)
    alice.edit("auth.py")
    assert "will be told" in refusal(bob.edit("auth.py"))

    git(confined.bobs, "switch", "-q", "-c", "feature")
    time.sleep(SEEN_S)

    assert "The branch is feature now: you do not wait for auth.py on main any more." in bob.told()
    assert bob.told() == "", "once"


def test_of_two_waits_of_a_session_the_other_keeps_the_place(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    first, second = waits(bob), waits(bob)

    second.interrupt()

    assert second.wait() == 130
    time.sleep(0.3)
    assert [("Session_2", "main")] == queue(two, shop)
    first.interrupt()
    assert first.wait() == 130
    wait_until("the last one leaves the queue", lambda: queue(two, shop) == [])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_wait_that_is_killed_keeps_nobody_from_the_file(
    two: Pair, shop: Clones, number: signal.Signals
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    command = waits(bob)

    command.end_by(number)

    wait_until("the queue is empty", lambda: queue(two, shop) == [], MOMENT_S)
    assert "auth.py" not in context(bob.prompt("go on"))


@pytest.mark.parametrize("ends", ["killed", "times out"])
def test_who_was_refused_an_edit_is_told_of_its_turn_whatever_becomes_of_a_wait_for_it(
    two: Pair, shop: Clones, ends: str
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    assert "will be told" in refusal(bob.edit("auth.py"))
    if ends == "killed":
        waits(bob).end_by(signal.SIGKILL)
        time.sleep(0.5)  # its agent has noticed
    else:
        code, told = bob.run("wait", "auth.py", "--timeout", "0.5")
        assert (1, "gave up after 0 s; the session keeps its place for auth.py") == (
            code,
            told.splitlines()[-1],
        )
    assert [("Session_2", "main")] == queue(two, shop)

    alice.run("release", "auth.py")

    bob.told_at_last("auth.py is free now, and you are next")


def test_a_subagent_hears_that_its_session_has_given_up_its_place(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    subagent = {"agent_id": "agent-1", "agent_type": "coder"}
    assert "will be told" in refusal(bob.edit("auth.py", **subagent))

    assert (0, "auth.py: no longer waiting for it\n") == bob.run("release", "auth.py")

    told = context(bob.edit("other.py", **subagent))
    assert "You do not wait for auth.py any more: a release in this session gave up" in told
    assert "auth.py" not in bob.told()
