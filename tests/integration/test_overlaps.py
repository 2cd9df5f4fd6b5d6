"""Edits beside a holder: who is told, how often, and what is recorded."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machines import context, refusal, seconds_until
from support.pair import Clones, Pair, clones, pair


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("overlaps")) as made:
        yield made


def shop(directory: Path, action: str) -> Clones:
    text = f"session_coordination: {{conflict_action: {action}}}\n"
    return clones(directory, {"auth.py": "pass\n", "coordination.yaml": text})


@pytest.mark.parametrize("action", ["warn", "proceed"])
def test_the_holder_is_told_once_and_again_after_a_new_grant(
    two: Pair, tmp_path: Path, action: str
) -> None:
    team = shop(tmp_path, action)
    alice, bob = two.alice.running_session(team.alices), two.bob.session(team.bobs)
    alice.start()
    bob.start()

    def alice_is_told() -> bool:
        return "edits auth.py too, which you hold" in context(alice.prompt("go on"))

    for _ in range(2):
        alice.edit("auth.py")
        answers = [bob.edit("auth.py") for _ in range(3)]

        assert ["", "", ""] == [refusal(answer) for answer in answers]
        warned = ["is locked by Session_1" in context(answer) for answer in answers]
        assert [action == "warn"] * 3 == warned
        seconds_until("alice is told", alice_is_told, 5)
        bob.edit("auth.py")
        assert not alice_is_told()
        alice.run("release", "auth.py")


@pytest.mark.parametrize("action", ["warn", "proceed"])
def test_history_has_an_edit_beside_a_lock_once(two: Pair, tmp_path: Path, action: str) -> None:
    team = shop(tmp_path, action)
    alice, bob = two.alice.running_session(team.alices), two.bob.session(team.bobs)
    alice.start()
    bob.start()
    alice.edit("auth.py")
    for _ in range(3):
        bob.edit("auth.py")

    def lines() -> list[list[str]]:
        rows = json.loads(alice.run("history", "--kind", "overlap", "--json")[1])["events"]
        return [[row["alias"], *row["paths"]] for row in rows]

    seconds_until("it is written down", lambda: bool(lines()), 5)
    assert [["Session_2", "auth.py"]] == lines()
