"""What sessions are told of each other: at their start, and where their work touches."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoord_agent.wording_others import MAX_LINES
from support.crowd import gather_crowd
from support.machines import CodingSession, context, refusal, seconds_until
from support.pair import Clones, Pair, clones, pair

FILES = {
    "src/auth.py": "pass\n",
    "tests/test_auth.py": "pass\n",
    "src/other.py": "pass\n",
    "docs/a.md": "a\n",
    "plans/b.md": "b\n",
    "src/shop/cart.py": "pass\n",
}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("knowing")) as made:
        yield made


@pytest.fixture
def team(tmp_path: Path) -> Clones:
    return clones(tmp_path, FILES)


def _alice_works(two: Pair, team: Clones) -> CodingSession:
    alice = two.alice.session(team.alices)
    alice.start()
    alice.prompt("Refactor the login")
    todos = [{"content": n, "status": "completed" if n == "a" else "pending"} for n in "abc"]
    alice.post(
        "PostToolUse", tool_name="TodoWrite", tool_input={"todos": todos}, tool_response=None
    )
    alice.edit(team.alices / "src/auth.py")
    alice.edited(team.alices / "src/auth.py")

    def is_known() -> bool:
        rows = two.bob.status(team.bobs)["sessions"]
        return any(row["progress"] and row["areas"] for row in rows)

    seconds_until("what alice does is known", is_known, 8)
    return alice


def _told_of_auth(session: CodingSession) -> str:
    """What it is told at the first prompt that names it."""
    heard: list[str] = []

    def hears() -> bool:
        heard.append(context(session.prompt("Make auth.py faster")))
        return "which the prompt names" in heard[-1]

    seconds_until("its agent knows of it", hears, 8)
    return heard[-1]


def test_a_start_tells_who_works_on_what_how_far_and_what_is_locked(
    two: Pair, team: Clones
) -> None:
    _alice_works(two, team)
    lines = two.bob.session(team.bobs).start().splitlines()

    assert lines[2].startswith("1 other session is active")
    assert lines[3].startswith("- Session_1 (alice@")
    assert '"Refactor the login", 1 of 3 steps done' in lines[3]
    assert lines[3].endswith("; works on src; holds src/auth.py")


def test_a_prompt_that_names_what_another_changes_is_told_once(two: Pair, team: Clones) -> None:
    _alice_works(two, team)
    bob = two.bob.session(team.bobs)
    bob.start()

    (line,) = _told_of_auth(bob).splitlines()
    assert line.startswith("src/auth.py, which the prompt names, is held by Session_1 (alice@")
    assert "1 of 3 steps done" in line
    assert "can be done first." in line
    assert "" == context(bob.prompt("Make auth.py faster"))


def test_what_another_changes_anew_after_it_was_free_is_told_anew(two: Pair, team: Clones) -> None:
    alice = _alice_works(two, team)
    bob = two.bob.session(team.bobs)
    bob.start()
    for _ in range(2):
        told = _told_of_auth(bob)
        assert told.startswith("src/auth.py, which the prompt names, is held by Session_1 (alice@")
        done = two.alice.scoord("unlock", "src/auth.py", "--force", "--yes", cwd=team.alices)
        assert 0 == done.returncode, done.stderr
        seconds_until("it is free", lambda: not two.bob.status(team.bobs)["locks"], 8)
        assert "" == context(bob.prompt("Make auth.py faster")), "nobody has it"
        alice.prompt("Change the login once more")
        assert "" == refusal(alice.edit(team.alices / "src/auth.py"))


def test_an_edit_of_the_test_of_what_another_changes_is_let_through_and_told_once(
    two: Pair, team: Clones
) -> None:
    alice = _alice_works(two, team)
    bob = two.bob.session(team.bobs)
    bob.start()
    alice.edit(team.alices / "docs/a.md")

    def has_heard() -> bool:
        return "docs/a.md" in context(bob.prompt("see a.md"))

    seconds_until("bob's agent has heard of alice's locks", has_heard, 8)
    answer = bob.edit(team.bobs / "tests/test_auth.py")
    told = context(bob.edited(team.bobs / "tests/test_auth.py"))
    again = bob.edit(team.bobs / "tests/test_auth.py")

    assert ("", "") == (refusal(answer), refusal(again))
    assert "src/auth.py, which belongs to tests/test_auth.py, is held by" in told
    assert "" == context(answer) + context(again)
    assert "" == context(bob.edit(team.bobs / "src/other.py")), "all of her has been told"
    assert "" == context(bob.edit(team.bobs / "plans/b.md"))
    assert "" == bob.told()


def test_a_test_that_is_still_to_be_written_is_told_of_its_source(two: Pair, team: Clones) -> None:
    alice = two.alice.session(team.alices)
    alice.start()
    alice.edit(team.alices / "src/shop/cart.py")
    bob, new = two.bob.session(team.bobs), team.bobs / "tests/test_cart.py"
    bob.start()

    def has_heard() -> bool:
        return bool(context(two.bob.session(team.bobs).prompt("see src/shop/cart.py")))

    seconds_until("bob's agent has heard of alice's lock", has_heard, 8)
    bob.edit(new)
    told = context(bob.edited(new))

    assert "src/shop/cart.py, which belongs to tests/test_cart.py, is held by" in told
    for prompt in ("write tests/test_cart.py", "Write test_cart.py"):
        other = two.bob.session(team.bobs)
        other.start()
        assert "src/shop/cart.py, which belongs to" in context(other.prompt(prompt))


def test_two_hundred_sessions_are_told_of_in_twenty_lines(two: Pair, team: Clones) -> None:
    project = two.bob.status(team.bobs)["project"]["id"]
    asyncio.run(gather_crowd(two.coordinator.address, project, 200))
    bob = two.bob.session(team.bobs)
    bob.start()
    bob.end()
    bob.kill()
    lines = two.bob.session(team.bobs).start().splitlines()

    assert len(lines) <= MAX_LINES
    assert lines[2].startswith("200 other sessions are active")
    (more,) = (line for line in lines if line.startswith("- and 18"))
    assert "see `scoord status`" in more
    assert len("\n".join(lines)) < 10_000
