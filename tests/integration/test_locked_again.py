"""``scoord lock`` of what its session has already."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.machines import refusal
from support.pair import Clones, Pair, alices, bobs, clones, pair

FILES = {"auth.py": "pass\n", "other.py": "pass\n"}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("again")) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path) -> Clones:
    return clones(tmp_path, FILES)


@pytest.mark.parametrize("edits_first", [False, True])
def test_a_reason_that_is_given_later_is_what_others_read(
    two: Pair, shop: Clones, *, edits_first: bool
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.prompt("make the login faster")
    if edits_first:
        alice.edit("auth.py")
    else:
        alice.run("lock", "auth.py", "--reason", "first")

    assert alice.run("lock", "auth.py", "--reason", "second")[0] == 0

    assert ': "second"' in refusal(bob.edit("auth.py"))
    alice.run("lock", "auth.py")
    alice.edit("auth.py", agent_id="agent-1", agent_type="coder")
    (row,) = two.bob.status(shop.bobs)["locks"]
    assert ("agent-1", "second") == (row["agent_id"], row["reason"])
    assert "explained" in two.alice.scoord("history", cwd=shop.alices).stdout


def test_who_asks_to_share_what_it_has_alone_hears_that_it_stays_so(
    two: Pair, shop: Clones
) -> None:
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")

    code, output = alice.run("lock", "--shared", "auth.py", "other.py")

    alone, shares = output.splitlines()
    assert code == 0
    assert alone == (
        "locked auth.py; it is yours alone already and stays so: `scoord release auth.py` and"
        " lock it --shared to let others share it"
    )
    assert shares == "locked other.py, shared"
    assert bob.run("lock", "--shared", "auth.py")[0] == 1
    granted = json.loads(alice.run("lock", "--shared", "auth.py", "other.py", "--json")[1])
    assert modes(granted) == {"auth.py": "exclusive", "other.py": "shared"}
    assert alice.run("lock", "auth.py")[1] == "locked auth.py\n", "it is what was wanted"
    waited = json.loads(alice.run("wait", "other.py", "--json")[1])
    assert modes(waited) == {"other.py": "exclusive"}


def modes(answer: dict[str, Any]) -> dict[str, str]:
    """Who else may hold what was granted."""
    return {row["path"]: row["mode"] for row in answer["granted"]}
