"""Edits that were made without a lock are found out, and both sides are told."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.apart import Apart, apart
from support.etcd import Etcd
from support.machines import CodingSession, context, refusal, seconds_until
from support.pair import clones, pair
from support.processes import coordinator

pytestmark = pytest.mark.etcd

REPORTED_S = 10.0
FILES = ("auth.py", "b.py", "c.py")


@dataclass
class Shop:
    """One project; Alice's session and Bob's."""

    both: Apart
    a: CodingSession
    b: CodingSession


@pytest.fixture(params=["warn"])
def shop(
    tmp_path: Path, etcd: Etcd, namespace: bytes, request: pytest.FixtureRequest
) -> Iterator[Shop]:
    settings = f"session_coordination:\n  unreachable_action: {request.param}\n"
    with apart(tmp_path, etcd, namespace) as both:
        files = {"coordination.yaml": settings, **dict.fromkeys(FILES, "")}
        here = clones(tmp_path / "shop", files)
        made = Shop(both, both.alice.session(here.alices), both.bob.session(here.bobs))
        made.a.start()
        made.b.start()
        yield made


def unasked(shop: Shop, file: str = "auth.py") -> None:
    """Bob has it, and Alice edits it while she cannot ask."""
    shop.both.cut()
    assert {} == shop.b.edit(file)
    assert "" == refusal(shop.a.edit(file))


@pytest.mark.parametrize("shop", ["warn", "proceed"], indirect=True)
def test_an_edit_let_through_unasked_is_told_to_both(shop: Shop) -> None:
    unasked(shop)
    shop.both.mend()

    mine = shop.a.told_at_last("You edited auth.py while nobody could be asked")
    assert "Session_2 (bob@" in mine
    assert "compare before you go on" in mine
    theirs = shop.b.told_at_last("edited auth.py while nobody could be asked")
    assert "Session_1 (alice@" in theirs
    assert "" == shop.a.told() + shop.b.told()


def test_an_agent_that_was_replaced_reports_what_the_one_before_let_through(shop: Shop) -> None:
    unasked(shop)
    agent = shop.both.alice.agent
    assert agent is not None
    agent.kill()
    shop.both.alice.start_agent()
    shop.both.mend()

    shop.a.told_at_last("You edited auth.py while nobody could be asked")
    shop.b.told_at_last("edited auth.py while nobody could be asked")


def test_what_a_session_did_before_it_ended_is_told_to_the_other(shop: Shop) -> None:
    unasked(shop)
    shop.a.end()
    shop.a.kill()
    shop.both.mend()

    theirs = shop.b.told_at_last("edited auth.py while nobody could be asked")
    assert "alice" in theirs


def test_two_that_edited_the_same_file_in_one_outage_are_told_of_each_other(
    tmp_path: Path,
) -> None:
    with pair(tmp_path) as both:
        here = clones(tmp_path / "shop", {"auth.py": ""})
        a, b = both.alice.session(here.alices), both.bob.session(here.bobs)
        a.start()
        b.start()
        port = int(both.coordinator.address.rpartition(":")[2])
        both.coordinator.kill()
        assert "" == refusal(a.edit("auth.py")) + refusal(b.edit("auth.py"))

        store = ("--embedded", "--data", str(tmp_path / "store"))
        with coordinator(tmp_path, *store, port=port):
            for session, other in ((a, "Session_2 (bob@"), (b, "Session_1 (alice@")):
                assert other in session.told_at_last("edited auth.py while nobody could be asked")


def test_an_edit_that_met_nobody_is_told_to_nobody(shop: Shop) -> None:
    shop.both.cut()
    assert "" == refusal(shop.a.edit("c.py"))
    unreported = shop.both.alice.state_dir / "unreported.jsonl"
    assert "c.py" in unreported.read_text(encoding="utf-8")
    shop.both.mend()

    seconds_until("it is reported", lambda: not unreported.read_bytes(), REPORTED_S)
    assert "" == shop.a.told() + shop.b.told()


def test_an_edit_whose_lock_was_broken_on_the_way_is_told_to_both(shop: Shop) -> None:
    a, b = shop.a, shop.b
    assert {} == a.edit("auth.py")
    broken = b.machine.scoord("unlock", "--force", "--yes", "auth.py", cwd=b.cwd)
    assert 0 == broken.returncode, broken.stderr
    assert {} == b.edit("auth.py")
    heard = "Your lock on auth.py was broken by"
    # A prompt would begin another turn, in which that edit does not happen any more.
    seconds_until("she is told", lambda: heard in context(a.edited("b.py")), REPORTED_S)
    a.edited("auth.py")

    mine = a.told_at_last("You edited auth.py without the protection of a lock")
    assert "Session_2 (bob@" in mine
    theirs = b.told_at_last("edited auth.py without the protection of its lock")
    assert "Session_1 (alice@" in theirs


def test_an_edit_that_no_hook_asked_about_of_what_another_holds_is_told_to_both(
    shop: Shop,
) -> None:
    a, b = shop.a, shop.b
    assert {} == b.edit("auth.py")

    def is_told() -> bool:
        """Until the stream has told her agent of Bob's lock, it knows of nothing."""
        return "You edited auth.py without" in context(a.edited("auth.py")) + a.told()

    seconds_until("she is told", is_told, REPORTED_S)
    assert "Session_1 (alice@" in b.told_at_last("edited auth.py without the protection")


def test_an_edit_under_its_lock_is_told_to_nobody(shop: Shop) -> None:
    assert {} == shop.a.edit("auth.py")
    assert {} == shop.a.edited("auth.py")

    assert "is locked by Session_1" in refusal(shop.b.edit("auth.py"))
    assert "" == shop.b.told()
