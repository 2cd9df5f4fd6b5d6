"""One session that works on two branches: it has two worktrees, and may hold a file in both."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.machines import (
    CodingSession,
    Machine,
    RunningSession,
    context,
    git,
    machines,
    refusal,
    repository,
    started,
)
from support.pair import ORIGIN, Pair, pair
from support.processes import wait_until

STRAYS_S = 9.0
"""By then an agent has given back what it takes for a lock that nobody asked for."""

SEEN_S = 1.2
"""By then a hook sees what is checked out."""

CONFIG = "session_coordination: {scope: branch}\n"
FILES = {"a.py": "pass\n", "lib/x.py": "pass\n", "coordination.yaml": CONFIG}


@dataclass(frozen=True)
class Worktrees:
    """Of one repository: the branches ``main`` and ``topic``."""

    main: Path
    topic: Path


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("two-branches")) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path) -> Worktrees:
    root = repository(tmp_path / "shop", FILES, f"{ORIGIN}/{tmp_path.name}")
    linked = tmp_path / "linked"
    git(root, "worktree", "add", "-q", "-b", "topic", str(linked))
    return Worktrees(root, linked)


def running(machine: Machine, cwd: Path) -> RunningSession:
    return started(machine.running_session(cwd))


def held(machine: Machine, shop: Worktrees) -> set[tuple[str, str, str]]:
    """What is locked: whose, which path, on which branch."""
    rows = machine.status(shop.main)["locks"]
    return {(row["alias"], row["path"], row["branch"]) for row in rows}


def allowed(session: CodingSession, path: Path) -> None:
    assert refusal(session.edit(path)) == ""


def unprotected(session: RunningSession) -> str:
    code, told = session.run("history", "--kind", "unprotected", "--json")
    assert code == 0, told
    return told


def test_both_stay_and_each_keeps_others_out(two: Pair, shop: Worktrees) -> None:
    b, c = running(two.alice, shop.topic), running(two.bob, shop.topic)
    allowed(b, shop.topic / "a.py")
    allowed(b, shop.main / "a.py")
    both = {("Session_1", "a.py", "main"), ("Session_1", "a.py", "topic")}

    time.sleep(STRAYS_S)

    assert both == held(two.alice, shop)
    assert "a.py is locked by Session_1" in refusal(c.edit(shop.topic / "a.py"))
    for worktree in (shop.topic, shop.main):
        b.edited(worktree / "a.py")
    allowed(b, shop.topic / "a.py")
    b.edited(shop.topic / "a.py")
    assert '"events": []' in unprotected(b)


def test_who_has_it_on_one_branch_is_told_of_its_turn_on_another(
    two: Pair, shop: Worktrees
) -> None:
    a, b = running(two.alice, shop.main), running(two.bob, shop.topic)
    allowed(a, shop.main / "a.py")
    allowed(b, shop.topic / "a.py")
    assert "You are first in the queue" in refusal(b.edit(shop.main / "a.py"))
    b.told()

    assert (0, "released a.py\n") == a.run("release", "a.py")

    b.told_at_last("a.py is free now on main, and you are next")
    allowed(b, shop.main / "a.py")


def leaves_the_queue_with_main(two: Pair, shop: Worktrees, waiting: CodingSession) -> None:
    """Another branch is checked out in the worktree by whose branch it waits for a.py."""
    git(shop.main, "switch", "-q", "-c", "other")
    time.sleep(SEEN_S)

    assert "The branch is other now: you do not wait for a.py on main any more." in waiting.told()
    wait_until("it has left the queue", lambda: not two.alice.status(shop.main)["waiters"])


def test_who_switches_one_worktree_waits_on_for_the_branch_of_the_other(
    two: Pair, shop: Worktrees
) -> None:
    a, b = running(two.alice, shop.main), running(two.bob, shop.main)
    allowed(a, shop.main / "a.py")
    assert "You are first in the queue" in refusal(b.edit(shop.main / "a.py"))
    git(shop.topic, "switch", "-q", "-c", "feature")
    time.sleep(SEEN_S)
    assert "do not wait" not in b.told()

    leaves_the_queue_with_main(two, shop, b)


def test_who_switches_the_other_worktree_does_not_wait_there_any_more(
    two: Pair, shop: Worktrees
) -> None:
    a, b = running(two.alice, shop.main), running(two.bob, shop.topic)
    allowed(a, shop.main / "a.py")
    assert "You are first in the queue" in refusal(b.edit(shop.main / "a.py"))

    leaves_the_queue_with_main(two, shop, b)


def test_a_command_waits_for_the_branch_that_it_stands_on(two: Pair, shop: Worktrees) -> None:
    a, b = running(two.alice, shop.main), running(two.bob, shop.topic)
    allowed(a, shop.main / "a.py")
    allowed(b, shop.topic / "a.py")
    waiting = b.start_command("wait", "a.py", cwd=shop.main)
    wait_until("it waits", lambda: two.alice.status(shop.main)["waiters"])

    assert (0, "released a.py\n") == a.run("release", "a.py")

    assert waiting.wait(within_s=10) == 0
    assert {("Session_2", "a.py", "main"), ("Session_2", "a.py", "topic")} == held(two.bob, shop)


def test_a_release_is_of_the_branch_that_it_stands_on(two: Pair, shop: Worktrees) -> None:
    b = running(two.alice, shop.topic)
    for worktree in (shop.topic, shop.main):
        allowed(b, worktree / "a.py")
        assert b.run("lock", "lib/**", cwd=worktree)[0] == 0

    assert (0, "released a.py\nreleased lib/**\n") == b.run("release", "a.py", "lib/**")

    on_main = {("Session_1", "a.py", "main"), ("Session_1", "lib/**", "main")}
    wait_until("those of topic are free", lambda: held(two.alice, shop) == on_main)
    code, told = b.run("release", "a.py")
    assert (1, True) == (code, "a.py is not locked by you" in told)
    assert (0, "released a.py\n") == b.run("release", "a.py", cwd=shop.main)


def test_one_command_takes_a_file_on_both_branches(two: Pair, shop: Worktrees) -> None:
    b = running(two.alice, shop.topic)

    assert b.run("lock", "a.py", str(shop.main / "a.py"))[0] == 0

    assert {("Session_1", "a.py", "main"), ("Session_1", "a.py", "topic")} == held(two.alice, shop)


def test_a_holder_on_two_branches_is_told_who_waits_until_that_branch_is_free(
    two: Pair, shop: Worktrees
) -> None:
    a, b = running(two.alice, shop.main), running(two.bob, shop.topic)
    for worktree in (shop.topic, shop.main):
        allowed(b, worktree / "a.py")
    b.told()
    assert refusal(a.edit(shop.main / "a.py"))
    time.sleep(1.0)  # until the stream has told so

    b.run("release", "a.py", cwd=shop.main)

    assert "waits for a.py" not in b.told()


def test_an_agent_that_is_replaced_keeps_both(tmp_path: Path, two: Pair, shop: Worktrees) -> None:
    machine = Machine(tmp_path / "carol", "carol", two.coordinator.address)
    with machines(machine):
        b = running(machine, shop.main)
        for worktree in (shop.topic, shop.main):
            allowed(b, worktree / "a.py")
            assert b.run("lock", "lib/**", cwd=worktree)[0] == 0
            assert b.run("lock", "b.py", "--shared", cwd=worktree)[0] == 0
        both = held(machine, shop)
        time.sleep(3.0)  # until it is written down
        assert machine.agent is not None
        machine.agent.end()

        machine.start_agent()
        wait_until("it is taken up", lambda: b.told() is not None)
        time.sleep(2.0)  # what is checked out is looked at again

        told = b.told() + context(b.edit(shop.main / "a.py"))
        assert "given back" not in told
        assert both == held(machine, shop)
        assert len(both) == 6


def test_an_agent_that_is_killed_right_after_an_edit_takes_neither_branch_for_left(
    tmp_path: Path, two: Pair, shop: Worktrees
) -> None:
    """In which worktree the other one's was is not written down by then."""
    machine = Machine(tmp_path / "carol", "carol", two.coordinator.address)
    with machines(machine):
        b = running(machine, shop.main)
        time.sleep(3.0)  # until its session is written down
        for worktree in (shop.topic, shop.main):
            allowed(b, worktree / "a.py")
        both = held(machine, shop)
        assert machine.agent is not None
        machine.agent.kill()

        machine.start_agent()
        wait_until("it is taken up", lambda: b.told() is not None)
        time.sleep(2.0)  # what is checked out is looked at again

        assert "given back" not in b.told()
        assert both == held(machine, shop)
        git(shop.main, "switch", "-q", "-c", "feature")
        b.told_at_last("your lock on a.py, which was for main only, is given back")
