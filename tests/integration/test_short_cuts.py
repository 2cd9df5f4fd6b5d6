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
        alice = Machine(tmp_path / "alice", "alice", way.address)
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
