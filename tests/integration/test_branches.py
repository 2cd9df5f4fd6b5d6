"""Locks that hold on one branch: others may hold the file on theirs, and both are told."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machines import CodingSession, context, git, refusal, started
from support.pair import Clones, Pair, clones, pair
from support.processes import wait_until

FILES = {
    "auth.py": "pass\n",
    "other.py": "pass\n",
    "coordination.yaml": "session_coordination: {scope: branch}\n",
}
SEEN_S = 1.2
"""What is checked out may be known for a second."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("branches")) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path) -> Clones:
    return clones(tmp_path, FILES)


def branches(two: Pair, shop: Clones) -> dict[tuple[str, str], str]:
    """Whose lock holds where: branch by person and file; empty is everywhere."""
    rows = two.alice.status(shop.alices)["locks"]
    return {(r["person"], r["path"]): r["branch"] if r["scope"] == "branch" else "" for r in rows}


def test_on_another_branch_the_same_file_is_free_and_both_are_told(two: Pair, shop: Clones) -> None:
    git(shop.bobs, "switch", "-q", "-c", "feature")
    alice, bob = started(two.alice.session(shop.alices)), started(two.bob.session(shop.bobs))
    assert refusal(alice.edit("auth.py")) == ""

    answer = bob.edit("auth.py")

    assert refusal(answer) == ""
    wait_until("bob is told", lambda: "edits auth.py too" in context(answer) + _told(bob))
    wait_until("alice is told", lambda: "another branch than yours (main)" in _told(alice))
    found = {("alice", "auth.py"): "main", ("bob", "auth.py"): "feature"}
    assert found == branches(two, shop)
    for session in (alice, bob):
        assert "another branch" not in context(session.edit("auth.py")), "once"


def test_of_two_locks_the_one_on_the_branch_where_it_is_said_is_broken(
    two: Pair, shop: Clones
) -> None:
    git(shop.bobs, "switch", "-q", "-c", "feature")
    alice, bob = started(two.alice.session(shop.alices)), started(two.bob.session(shop.bobs))
    alice.edit("auth.py")
    bob.edit("auth.py")

    done = two.alice.scoord("unlock", "auth.py", "--force", "--yes", "--json", cwd=shop.alices)

    (broken,) = json.loads(done.stdout)["locks"]
    assert (broken["broken"], broken["holder"]["person"]) == (True, "alice")
    wait_until("bob's stands", lambda: branches(two, shop) == {("bob", "auth.py"): "feature"})


def test_a_lock_on_another_branch_is_broken_by_its_token_only(two: Pair, shop: Clones) -> None:
    git(shop.bobs, "switch", "-q", "-c", "feature")
    bob = started(two.bob.session(shop.bobs))
    bob.edit("auth.py")
    (token,) = (row["token"] for row in two.alice.status(shop.alices)["locks"])
    words = ("unlock", "auth.py", "--force")

    left = two.alice.scoord(*words, "--yes", cwd=shop.alices)

    assert left.returncode == 1
    (line,) = left.stdout.splitlines()
    assert line.startswith("auth.py is not locked on this branch, but on another by Session_")
    assert ", branch feature), for " in line
    assert line.endswith(f"; to break that, say: scoord unlock auth.py --force --token {token}")
    assert {("bob", "auth.py"): "feature"} == branches(two, shop)

    started(two.alice.session(shop.alices)).edit("auth.py")
    named = two.alice.scoord(*words, "--token", str(token), cwd=shop.alices)
    assert "auth.py was taken from its holder" in named.stdout, "also beside one that is here"
    wait_until("alice's stands", lambda: branches(two, shop) == {("alice", "auth.py"): "main"})


def test_who_has_no_branch_finds_the_locks_of_all(two: Pair, shop: Clones) -> None:
    git(shop.alices, "switch", "-q", "--detach")
    started(two.bob.session(shop.bobs)).edit("auth.py")

    broken = two.alice.scoord("unlock", "auth.py", "--force", "--yes", cwd=shop.alices)

    assert "auth.py was taken from its holder" in broken.stdout, "it is in the way there"


def test_on_the_same_branch_it_is_refused_as_ever(two: Pair, shop: Clones) -> None:
    alice, bob = started(two.alice.session(shop.alices)), started(two.bob.session(shop.bobs))
    alice.edit("auth.py")

    assert "auth.py is locked by Session_1" in refusal(bob.edit("auth.py"))


def test_two_worktrees_of_one_clone_are_two_branches(
    two: Pair, shop: Clones, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    git(shop.alices, "worktree", "add", "-q", "-b", "feature", str(linked))
    first, second = started(two.alice.session(shop.alices)), started(two.alice.session(linked))
    first.edit("auth.py")

    answer = second.edit("auth.py")

    assert refusal(answer) == ""
    coming = "A merge conflict is coming"
    wait_until("the second is told", lambda: coming in context(answer) + _told(second))
    wait_until("the first is told", lambda: coming in _told(first))


def test_who_switches_branches_gives_back_what_was_held_for_the_old_one(
    two: Pair, shop: Clones
) -> None:
    alice, bob = started(two.alice.session(shop.alices)), started(two.bob.session(shop.bobs))
    alice.edit("auth.py")
    alice.edit("other.py")

    git(shop.alices, "switch", "-q", "-c", "feature")
    time.sleep(SEEN_S)
    told = context(alice.edit("auth.py"))

    assert "The branch is feature now: your locks on auth.py, other.py" in told
    assert "which were for main only, are given back" in told
    assert "are lost" not in told
    wait_until(
        "only the new lock is left",
        lambda: branches(two, shop) == {("alice", "auth.py"): "feature"},
    )
    assert refusal(bob.edit("other.py")) == ""
    assert "lost" not in _told(alice)
    wait_until(
        "the branch is told",
        lambda: "feature" in [row["branch"] for row in two.bob.status(shop.bobs)["sessions"]],
    )


def test_who_switches_branches_waits_for_nothing_on_the_old_one(two: Pair, shop: Clones) -> None:
    alice, bob = started(two.alice.session(shop.alices)), started(two.bob.session(shop.bobs))
    alice.edit("auth.py")
    assert "auth.py is locked by" in refusal(bob.edit("auth.py"))

    git(shop.bobs, "switch", "-q", "-c", "feature")
    time.sleep(SEEN_S)
    _told(bob)

    wait_until("bob waits no more", lambda: not two.alice.status(shop.alices)["waiters"])
    assert refusal(bob.edit("auth.py")) == ""


def test_locks_that_hold_everywhere_go_along_with_a_switch(two: Pair, tmp_path: Path) -> None:
    shop = clones(tmp_path, {"auth.py": "pass\n"})
    alice, bob = started(two.alice.session(shop.alices)), started(two.bob.session(shop.bobs))
    alice.edit("auth.py")

    git(shop.alices, "switch", "-q", "-c", "feature")
    time.sleep(SEEN_S)

    assert _told(alice) == ""
    assert {("alice", "auth.py"): ""} == branches(two, shop)
    wait_until(
        "bob reads where it is now", lambda: "branch feature" in refusal(bob.edit("auth.py"))
    )
    (row,) = two.bob.status(shop.bobs)["locks"]
    assert row["branch"] == "feature"


def test_a_commit_beside_the_session_shows_in_its_locks(two: Pair, shop: Clones) -> None:
    alice = started(two.alice.session(shop.alices))
    alice.edit("auth.py")
    git(shop.alices, "commit", "-q", "--allow-empty", "-m", "next")
    commit = git(shop.alices, "rev-parse", "HEAD").strip()

    def commits() -> list[str]:
        return [row["commit"] for row in two.bob.status(shop.bobs)["locks"]]

    started(two.bob.session(shop.bobs))
    wait_until("bob reads where it is now", lambda: commits() == [commit])


def _told(session: CodingSession) -> str:
    return context(session.prompt("go on"))


def test_a_lock_of_a_detached_head_is_said_to_hold_on_every_branch(two: Pair, shop: Clones) -> None:
    git(shop.alices, "switch", "-q", "--detach")
    git(shop.bobs, "switch", "-q", "-c", "feature")
    alice, bob = started(two.alice.session(shop.alices)), started(two.bob.session(shop.bobs))
    assert refusal(alice.edit("auth.py")) == ""
    git(shop.alices, "switch", "-q", "main")

    assert "auth.py is locked on every branch by Session_1 (alice@" in refusal(bob.edit("auth.py"))
    listed = two.bob.scoord("locks", cwd=shop.bobs).stdout
    assert "every branch" in listed
    assert refusal(bob.edit("other.py")) == ""
    assert 1 == two.bob.scoord("locks", cwd=shop.bobs).stdout.count("every branch")
