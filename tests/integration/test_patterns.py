"""Patterns held ahead of edits, and locks that are shared."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoord_agent.cli.waiting import POLL_S
from scoord_agent.queueing import PATTERN_AGAIN_S
from support.machines import RunningSession, refusal, repository
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
    assert (code, output) in {
        (0, f"locked src/api/**, which ends in {minutes} min\n") for minutes in (29, 30)
    }

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


def test_what_a_session_had_stays_as_it_was_where_the_rest_is_refused(
    two: Pair, shop: Clones
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.run("lock", "setup.py", "--shared")
    alice.run("lock", "src/web/page.py")
    bob.edit("src/api/auth.py")
    before = as_held(two, shop)

    asked = ("lock", "setup.py", "src/web/page.py", "README.md", "src/api/**", "--for", "5s")
    assert alice.run(*asked)[0] == 1

    assert before == as_held(two, shop)


def as_held(two: Pair, shop: Clones) -> list[tuple[str, str, int, float | None]]:
    """What is held, how, under which token and for how long."""
    rows = two.alice.status(shop.alices)["locks"]
    return [(row["path"], row["mode"], row["token"], row["ends_in_s"]) for row in rows]


def test_a_command_that_cannot_be_asked_whole_takes_nothing(
    two: Pair, shop: Clones, tmp_path: Path
) -> None:
    alice, other = alices(two, shop), tmp_path / "zoo"
    repository(other, {"0.py": ""}, "https://zoo.example.org/other")
    too_many = [str(other / f"{number}.py") for number in range(31)]

    assert alice.run("lock", "setup.py", *too_many)[0] == 2

    assert [] == held(two, shop)


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

    said = "Your lock on src/api/** has ended: the time it was taken for is over."
    assert said in alice.told_at_last(said)


@pytest.mark.parametrize(
    ("folder", "said", "meant"),
    [
        ("src", "api/**", "src/api/**"),
        ("src", "api/", "src/api/"),
        ("src/web", "../api/*.py", "src/api/*.py"),
        ("src", "*.py", "src/**/*.py"),
        (".", "*.py", "*.py"),
        (".", "src/", "/src/"),
        ("src/api", "/src/web/**", "src/web/**"),
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


def test_a_folder_with_brackets_in_its_name_is_held_as_its_refusal_advises(
    two: Pair, shop: Clones
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    for root in (shop.alices, shop.bobs):
        (root / "app/[id]").mkdir(parents=True)

    code, output = alice.run("lock", "app/[id]")
    assert code == 2
    assert "say 'app/[id]/'" in output
    assert alice.run("lock", "app/[id]/")[0] == 0

    assert "app/[id]/page.tsx lies in " in refusal(bob.edit("app/[id]/page.tsx"))
    assert refusal(bob.edit("app/i/page.tsx")) == ""
    assert alice.run("release", "app/[id]/")[0] == 0


@pytest.mark.parametrize("file", ["app/[slug]/page.tsx", "src/what?.md"])
def test_the_lock_of_a_new_file_is_found_by_its_name_whatever_is_in_that(
    two: Pair, shop: Clones, file: str
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit(file)

    assert bob.run("wait", "--timeout", "1", file)[0] == 1
    assert bob.run("unlock", "--force", "--yes", file)[0] == 0
    assert [] == held(two, shop)
    bob.edit(file)
    assert bob.run("release", file) == (0, f"released {file}\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["../../**"], 2, "leads out of the worktree"),
        (["src/*/../**"], 2, "cannot be held"),
        (["!src/**"], 2, "cannot be held"),
        (["src/*", "!src/web/page.py"], 2, "cannot be held"),
        (["src/*.{ts,tsx}"], 2, "has braces, which no pattern knows; say each by itself"),
        (["/usr/**"], 2, "patterns are held in a repository; there is none"),
        (["src/**", "--for", "soon"], 2, "'soon' is not a duration; want for example 90s"),
        (["src/**", "--for", "0s"], 2, "'0s' is out of range; want 1s to 365d"),
        (["src/**", "--for", "9999d"], 2, "'9999d' is out of range; want 1s to 365d"),
        ([".git/**"], 2, "files inside .git cannot be locked"),
    ],
)
def test_what_cannot_be_held_is_said_so(
    two: Pair, shop: Clones, arguments: list[str], code: int, said: str
) -> None:
    ended, output = alices(two, shop).run("lock", *arguments)

    assert (ended, len(output.splitlines())) == (code, 1), output
    assert said in output


@pytest.mark.parametrize(
    ("pattern", "file", "folder", "said"),
    [
        ("src/api/**", "src/api/auth.py", ".", "say: scoord {} 'src/api/**'"),
        ("src/", "src/web/page.py", ".", "say: scoord {} /src/"),
        ("src/api/**", "api/auth.py", "src", "say in the top folder of its worktree: scoord {} '"),
    ],
)
def test_who_names_a_file_that_is_held_by_a_pattern_is_told_the_pattern(
    two: Pair, shop: Clones, pattern: str, file: str, folder: str, said: str
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    assert alice.run("lock", pattern)[0] == 0

    code, output = alice.run("release", file, cwd=shop.alices / folder)
    assert code == 1
    assert said.format("release") in output, output
    code, output = bob.run("unlock", "--force", "--yes", file, cwd=shop.bobs / folder)
    assert code == 1
    assert said.format("unlock --force") in output, output
    assert len(held(two, shop)) == 1, "it was only said"


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


@pytest.mark.parametrize("others", ["src/api/auth.py", "setup.py"])
def test_who_waits_for_a_file_and_a_pattern_takes_and_gives_back_neither_meanwhile(
    two: Pair, shop: Clones, others: str
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    bob.edit(others)
    command = alice.start_command("wait", "setup.py", "src/api/**")
    wait_until("it says why it waits", lambda: "waiting" in command.text("err"))
    begun = grants(bob)
    time.sleep(2 * PATTERN_AGAIN_S + 0.5)

    assert begun == grants(bob)
    assert [others] == held(two, shop)
    bob.run("release", others)
    assert command.wait() == 0
    assert {"setup.py", "src/api/**"} == set(held(two, shop))


def test_who_waits_for_two_patterns_does_not_take_and_give_back_the_first_meanwhile(
    two: Pair, shop: Clones
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    bob.edit("src/web/page.py")
    command = alice.start_command("wait", "src/api/**", "src/web/**")
    wait_until("it says why it waits", lambda: "waiting" in command.text("err"))
    begun = grants(bob)
    time.sleep(POLL_S + PATTERN_AGAIN_S + 0.5)

    assert begun == grants(bob), "its next call to the agent knows what was refused, too"
    bob.run("release", "src/web/page.py")
    assert command.wait() == 0
    assert {"src/api/**", "src/web/**"} == set(held(two, shop))


def grants(session: RunningSession) -> list[str]:
    """The lines of what was granted and given back, by history."""
    kinds = ("granted", "reserved", "released")
    asked = [word for kind in kinds for word in ("--kind", kind)]
    lines = json.loads(session.run("history", *asked, "--json")[1])["events"]
    return [line["kind"] for line in lines]


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


def _modes(two: Pair, shop: Clones) -> list[str]:
    return [row["mode"] for row in two.alice.status(shop.alices)["locks"]]


def test_who_shares_alone_may_edit_by_an_exclusive_lock(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.run("lock", "setup.py", "--shared")

    assert refusal(alice.edit("setup.py")) == ""

    assert bob.run("lock", "setup.py", "--shared")[0] == 1
    wait_until("it is listed so", lambda: _modes(two, shop) == ["exclusive"])


def test_a_pattern_may_be_shared(two: Pair, shop: Clones) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.run("lock", "src/api/**", "--shared")

    assert bob.run("lock", "src/api/auth.py", "--shared")[0] == 0
    refused = refusal(bob.edit("src/api/auth.py"))
    assert "lies in src/api/**, which Session_1 (alice@" in refused
    assert "shares, relying on its not changing" in refused
