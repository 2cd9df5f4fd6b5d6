"""What ends while an agent hears nothing for a moment, its lease standing, stays ended."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.machines import Answer, Machine, RunningSession, machines, seconds_until, started
from support.pair import clones
from support.processes import coordinator
from support.proxy import Proxy, proxy

FILES = {"src/api/auth.py": "", "a.py": ""}
BACK_S = 10.0
"""Within this all is known that can be known."""

LONG_LEASES = {"SCOORD_LEASES_TTL": "30", "SCOORD_LEASES_BELIEF": "20"}
"""A lease stands while nobody is heard, and is believed in, however slow the machine is."""

KINDS = [("src/api/**",), ("a.py", "--shared"), ("a.py",)]


@dataclass
class Shop:
    """Alice's session, behind what can be cut, and Bob's."""

    a: RunningSession
    b: RunningSession
    way: Proxy

    def locks(self) -> list[Answer]:
        """All locks, by Bob's agent."""
        rows: list[Answer] = self.b.machine.status(self.b.cwd)["locks"]
        return rows

    def lock(self, *what: str) -> None:
        """Alice takes something, and Bob has heard of it."""
        code, said = self.a.run("lock", *what)
        assert 0 == code, said
        seconds_until("it is hers", self.locks, BACK_S)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    options = ("--embedded", "--data", str(tmp_path / "store"))
    with coordinator(tmp_path, *options) as run, proxy(run.address) as way:
        alice = Machine(tmp_path / "alice", "alice", way.address, **LONG_LEASES)
        bob = Machine(tmp_path / "bob", "bob", run.address)
        with machines(alice, bob):
            here = clones(tmp_path / "work", FILES)
            a = started(alice.running_session(here.alices))
            b = started(bob.running_session(here.bobs))
            yield Shop(a, b, way)
            a.kill()
            b.kill()


@pytest.mark.parametrize("what", KINDS)
def test_what_was_broken_stays_so_and_its_holder_reads_by_whom_and_why(
    shop: Shop, what: tuple[str, ...]
) -> None:
    shop.lock(*what)
    with shop.way.refusing():
        broken = ("unlock", "--force", "--yes", what[0], "--reason", "urgent")
        code, said = shop.b.run(*broken)
        assert 0 == code, said
        time.sleep(1)

    told = shop.a.told_at_last(f"Your lock on {what[0]} was broken by Session_2 (bob@")
    assert '"urgent"' in told
    assert "yours again" not in told
    assert [] == shop.locks()


@pytest.mark.parametrize("what", KINDS)
def test_what_has_had_its_time_is_not_had_again(shop: Shop, what: tuple[str, ...]) -> None:
    shop.lock(*what, "--for", "3s")
    with shop.way.refusing():
        seconds_until("its time is over", lambda: not shop.locks(), BACK_S)

    told = shop.a.told_at_last(f"Your lock on {what[0]} has ended: the time")
    assert "yours again" not in told
    assert [] == shop.locks()


def broken_by_bob(shop: Shop) -> None:
    """Bob breaks Alice's lock, which she does not hear, and edits the file."""
    code, said = shop.b.run("unlock", "--force", "--yes", "a.py", "--reason", "urgent")
    assert 0 == code, said
    assert {} == shop.b.edit("a.py")


def edits(shop: Shop) -> None:
    """Alice edits by the lock that she believes in."""
    assert {} == shop.a.edit("a.py")
    shop.a.edited("a.py")


def test_an_edit_after_an_unheard_break_is_told_to_both_and_in_history(shop: Shop) -> None:
    edits(shop)
    with shop.way.refusing():
        broken_by_bob(shop)
        time.sleep(1)
        edits(shop)

    assert "Session_2 (bob@" in shop.a.told_at_last("You edited a.py without the protection")
    shop.b.told_at_last("edited a.py")
    code, history = shop.b.run("history", "--json")
    assert 0 == code
    assert "unprotected" in history


def test_an_edit_before_an_unheard_break_is_no_overlap(shop: Shop) -> None:
    edits(shop)
    with shop.way.refusing():
        edits(shop)
        time.sleep(1)
        broken_by_bob(shop)

    told = shop.a.told_at_last("Your lock on a.py")
    time.sleep(1)
    assert "without the protection" not in told + shop.a.told() + shop.b.told()
    assert "unprotected" not in shop.b.run("history", "--json")[1]
