"""``scoord unlock --force`` where several stand in the way, one's own does, or another waits."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machines import refusal
from support.pair import Clones, Pair, alices, bobs, clones, pair
from support.processes import wait_until

FILES = {"auth.py": "pass\n", "coordination.yaml": "session_coordination: {claim_timeout: 40}\n"}
BREAK = ("unlock", "--force", "--yes")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("breaking")) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path) -> Clones:
    return clones(tmp_path, FILES)


@pytest.mark.parametrize("name", ["auth.py", "*.py"])
def test_all_others_that_share_a_name_are_shown_and_broken_one_by_one(
    two: Pair, shop: Clones, name: str
) -> None:
    alice, bob, carol = alices(two, shop), bobs(two, shop), alices(two, shop)
    for session in (bob, alice, carol):
        assert session.run("lock", "--shared", name)[0] == 0

    code, output = bob.run(*BREAK, name)

    assert code == 0
    assert output.count(f"{name} was taken from its holder, who is told") == 2
    assert "is held by Session_1" in output
    assert "is held by Session_3" in output
    assert "Session_2" not in output, "one's own is not taken from anybody"
    assert [] == [line for line in bob.told().splitlines() if "was broken" in line]
    assert "was broken by Session_2" in alice.told_at_last("was broken")
    assert "was broken by Session_2" in carol.told_at_last("was broken")
    assert refusal(bob.edit("auth.py")) == ""


def test_a_grant_that_was_made_after_the_one_that_was_seen_stays(two: Pair, shop: Clones) -> None:
    alice, bob, carol = alices(two, shop), bobs(two, shop), alices(two, shop)
    alice.edit("auth.py")
    seen = re.search(r"--token \d+", bob.run("unlock", "auth.py", "--force")[1])
    assert seen
    named = ("unlock", "auth.py", "--force", *seen[0].split())
    alice.run("release", "auth.py")
    carol.edit("auth.py")

    code, output = bob.run(*named)

    assert code == 1
    assert re.search(r"was not broken: its lock has token \d+, not \d+: Session_3 ", output)
    assert refusal(bob.edit("auth.py")), "it is Session_3's still"

    again = re.search(r"say: scoord (unlock auth.py --force --token \d+)", output)
    assert again
    assert bob.run(*again[1].split())[0] == 0
    assert "was broken by Session_2" in carol.told_at_last("was broken")


def test_each_has_a_row_of_its_own_in_json(two: Pair, shop: Clones) -> None:
    alice, bob, carol = alices(two, shop), bobs(two, shop), alices(two, shop)
    for session in (alice, carol):
        session.run("lock", "--shared", "auth.py")

    rows, _ = json.JSONDecoder().raw_decode(bob.run(*BREAK, "auth.py", "--json")[1])

    found = {(row["path"], row["broken"], row["holder"]["alias"]) for row in rows["locks"]}
    assert {("auth.py", True, "Session_1"), ("auth.py", True, "Session_3")} == found


def test_a_subagents_lock_is_anothers_and_ones_own_is_given_back(two: Pair, shop: Clones) -> None:
    bob = bobs(two, shop)
    bob.edit("auth.py")

    assert bob.run(*BREAK, "auth.py") == (0, "auth.py was your own, and is given back\n")
    assert "was broken" not in bob.told()

    bob.edit("auth.py", agent_id="agent-1", agent_type="coder")
    assert "auth.py was taken from its holder" in bob.run(*BREAK, "auth.py")[1]


def test_who_breaks_a_lock_hears_for_whom_the_file_is_kept_now(two: Pair, shop: Clones) -> None:
    alice, bob, carol = alices(two, shop), bobs(two, shop), alices(two, shop)
    alice.edit("auth.py")
    assert refusal(carol.edit("auth.py"))

    _, output = bob.run(*BREAK, "auth.py")

    taken = next(line for line in output.splitlines() if "was taken" in line)
    assert taken.startswith(
        "auth.py was taken from its holder, who is told; it is kept now for Session_3 (alice@"
    )
    assert taken.endswith("who waited first, for 40 s at most")
    assert "is kept for Session_3" in refusal(bob.edit("auth.py"))
    assert refusal(carol.edit("auth.py")) == ""


def test_who_was_first_itself_hears_of_nobody(two: Pair, shop: Clones) -> None:
    alice, bob, carol = alices(two, shop), bobs(two, shop), alices(two, shop)
    alice.edit("auth.py")
    for session in (bob, carol):
        assert refusal(session.edit("auth.py"))

    assert "kept" not in bob.run(*BREAK, "auth.py")[1]
    assert refusal(bob.edit("auth.py")) == ""


def test_a_terminals_next_command_tells_once_that_its_lock_was_broken(
    two: Pair, shop: Clones
) -> None:
    assert two.alice.scoord("lock", "auth.py", cwd=shop.alices).returncode == 0
    bob = bobs(two, shop)

    code, output = bob.run(*BREAK, "auth.py", "--reason", "needed today")

    assert code == 0
    assert "auth.py was taken from its holder, who is told" in output

    heard = list[str]()

    def is_told() -> bool:
        heard.append(two.alice.scoord("locks", cwd=shop.alices).stderr)
        return bool(heard[-1])

    wait_until("the terminal's next command tells it", is_told)
    assert heard[-1].startswith("⚠️ Your lock on auth.py was broken by Session_")
    assert "needed today" in heard[-1]
    assert two.alice.scoord("release", "auth.py", cwd=shop.alices).stderr == (
        "auth.py is not locked by you; `scoord locks` shows who has what\n"
    )


def test_what_was_locked_and_is_a_folder_now_is_released_and_broken_by_its_name(
    two: Pair, shop: Clones
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    for clone in (shop.alices, shop.bobs):
        (clone / "auth.py").unlink()
        (clone / "auth.py").mkdir()
    for session in (alice, bob):
        code, output = session.run("release", "auth.py")
        assert (code, "is a folder" in output) == (2, True), "nothing of that name is locked"
        assert session.run(*BREAK, "auth.py")[0] == 2

    for command in (("release",), BREAK):
        (shop.alices / "auth.py").rmdir()
        assert alice.run("lock", "auth.py")[0] == 0
        (shop.alices / "auth.py").mkdir()
        who = alice if command == ("release",) else bob
        code, output = who.run(*command, "auth.py")
        assert code == 0, output
        assert [] == two.alice.status(shop.alices)["locks"]
