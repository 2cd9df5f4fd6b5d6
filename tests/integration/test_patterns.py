"""Patterns held ahead of edits, and locks that are shared."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machines import refusal
from support.pair import Clones, Pair, alices, bobs, clones, pair
from support.processes import wait_until

FILES = {
    "src/api/auth.py": "pass\n",
    "src/web/page.py": "pass\n",
    "src/web/[id].py": "pass\n",
    "setup.py": "pass\n",
}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("patterns")) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path) -> Clones:
    return clones(tmp_path, FILES)


def held(two: Pair, shop: Clones) -> list[str]:
    """What is held, by anybody."""
    return [row["path"] for row in two.alice.status(shop.alices)["locks"]]


def test_a_pattern_keeps_others_from_all_that_it_matches(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)

    code, output = alice.run("lock", "src/api/**", "--for", "30m", "--reason", "new API")
    assert (code, output) == (0, "locked src/api/**\n")

    refused = refusal(bob.edit("src/api/new.py"))
    assert "src/api/new.py lies in src/api/**, which Session_1 (alice@" in refused
    assert ') holds: "new API"' in refused.replace(", branch main)", ")")
    assert "ends in 29 min at the latest" in refused
    assert refusal(bob.edit("src/web/page.py")) == ""
    assert refusal(alice.edit("src/api/auth.py")) == "", "its holder may"


def test_a_pattern_is_not_had_beside_a_file_of_anothers(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    bob.edit("src/api/auth.py")

    code, output = alice.run("lock", "setup.py", "src/**", "--json")

    assert code == 1
    (conflict,) = json.loads(output)["held"]
    assert conflict["path"] == "src/api/auth.py"
    assert "is locked by Session_2 (bob@" in conflict["message"]
    assert ["src/api/auth.py"] == held(two, shop), "all or none: setup.py is given back"


def test_a_pattern_is_given_back_and_broken_as_a_file_is(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.run("lock", "src/api/**")

    assert alice.run("release", "src/api/**") == (0, "released src/api/**\n")
    assert refusal(bob.edit("src/api/auth.py")) == ""
    bob.run("release", "src/api/auth.py")

    alice.run("lock", "src/api/**")
    code, output = bob.run("unlock", "--force", "--yes", "src/api/**", "--reason", "urgent")
    assert code == 0, output
    assert "src/api/** is held by Session_1 (alice@" in output
    assert [] == held(two, shop)


def test_a_pattern_ends_when_its_time_is_over(two: Pair, shop: Clones) -> None:
    alice = alices(two, shop)
    alice.run("lock", "src/api/**", "--for", "1s")

    wait_until("it has ended", lambda: held(two, shop) == [])

    told = alice.prompt("go on")["hookSpecificOutput"]["additionalContext"]
    assert "Your lock on src/api/** has ended: the time it was taken for is over." in told


@pytest.mark.parametrize(
    ("folder", "said", "meant"),
    [
        ("src", "api/**", "src/api/**"),
        ("src", "api/", "src/api/"),
        ("src/web", "../api/*.py", "src/api/*.py"),
        ("src", "*.py", "src/**/*.py"),
        (".", "*.py", "*.py"),
        (".", "src/", "/src/"),
        ("src/api", "/src/web/**", "/src/web/**"),
    ],
)
def test_a_pattern_is_of_the_folder_it_is_said_in(
    two: Pair, shop: Clones, folder: str, said: str, meant: str
) -> None:
    code, output = alices(two, shop).run("lock", said, cwd=shop.alices / folder)

    assert (code, output) == (0, f"locked {meant}\n")
    assert [meant] == held(two, shop)


def test_a_file_with_brackets_in_its_name_is_a_file(two: Pair, shop: Clones) -> None:
    alices(two, shop).run("lock", "src/web/[id].py")

    (row,) = two.alice.status(shop.alices)["locks"]
    assert (row["path"], row["is_pattern"]) == ("src/web/[id].py", False)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["../../**"], 2, "leads out of the worktree"),
        (["src/../**"], 2, "cannot be held"),
        (["!src/**"], 2, "cannot be held"),
        (["src/**", "--for", "soon"], 2, "'soon' is not a duration; want for example 90s"),
        ([".git/**"], 2, "files inside .git cannot be locked"),
    ],
)
def test_what_cannot_be_held_is_said_so(
    two: Pair, shop: Clones, arguments: list[str], code: int, said: str
) -> None:
    ended, output = alices(two, shop).run("lock", *arguments)

    assert (ended, len(output.splitlines())) == (code, 1), output
    assert said in output


def test_who_waits_behind_a_pattern_is_told_as_behind_a_file(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.run("lock", "src/api/**")
    command = bob.start_command("wait", "src/api/auth.py")
    wait_until("it says why it waits", lambda: "lies in src/api/**" in command.text("err"))

    alice.run("release", "src/api/**")

    assert command.wait() == 0
    assert ["src/api/auth.py"] == held(two, shop)


def test_a_pattern_is_waited_for_without_a_queue(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("src/api/auth.py")
    command = bob.start_command("wait", "src/**")
    wait_until("it says why it waits", lambda: "it has no queue" in command.text("err"))

    alice.run("release", "src/api/auth.py")

    assert command.wait() == 0
    assert ["src/**"] == held(two, shop)


# shared


def test_what_is_shared_others_may_share_and_nobody_edits(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    assert alice.run("lock", "setup.py", "--shared", "--reason", "I build on it")[0] == 0
    assert bob.run("lock", "setup.py", "--shared")[0] == 0

    refused = refusal(bob.edit("setup.py"))
    assert "setup.py is shared by Session_1 (alice@" in refused
    assert 'who relies on its not changing: "I build on it"' in refused
    assert ["shared", "shared"] == [r["mode"] for r in two.alice.status(shop.alices)["locks"]]
    _, locks = alice.run("locks")
    assert locks.splitlines()[0].split()[:3] == ["file", "how", "session"]


def test_who_shares_alone_may_edit_by_an_exclusive_lock(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.run("lock", "setup.py", "--shared")

    assert refusal(alice.edit("setup.py")) == ""

    (row,) = two.alice.status(shop.alices)["locks"]
    assert row["mode"] == "exclusive"
    assert bob.run("lock", "setup.py", "--shared")[0] == 1


def test_a_pattern_may_be_shared(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.run("lock", "src/api/**", "--shared")

    assert bob.run("lock", "src/api/auth.py", "--shared")[0] == 0
    refused = refusal(bob.edit("src/api/auth.py"))
    assert "lies in src/api/**, which Session_1 (alice@" in refused
    assert "shares, relying on its not changing" in refused
