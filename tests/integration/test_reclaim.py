"""A lease runs out while the coordinator is away: what was held is asked for again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.apart import Apart, apart
from support.etcd import Etcd
from support.machines import FAST_LEASES, Answer, CodingSession, context, refusal, seconds_until
from support.pair import clones

pytestmark = pytest.mark.etcd

TTL_S = float(FAST_LEASES["SCOORD_LEASES_TTL"])
BACK_S = 10.0
"""Within this all is known that can be known."""


@dataclass
class Shop:
    """One project; Alice's session and Bob's."""

    both: Apart
    a: CodingSession
    b: CodingSession

    def locks(self) -> dict[str, Answer]:
        """All locks, by Bob's coordinator."""
        return {lock["path"]: lock for lock in self.b.machine.status(self.b.cwd)["locks"]}

    def is_alices(self, file: str) -> bool:
        lock = self.locks().get(file)
        return lock is not None and lock["person"] == "alice"

    def expire(self) -> None:
        """Alice's lease runs out."""
        seconds_until("her locks are gone", lambda: not self.locks(), TTL_S + 5)


@pytest.fixture
def shop(tmp_path: Path, etcd: Etcd, namespace: bytes) -> Iterator[Shop]:
    with apart(tmp_path, etcd, namespace) as both:
        here = clones(tmp_path / "shop", dict.fromkeys(("auth.py", "b.py", "c.py"), ""))
        made = Shop(both, both.alice.session(here.alices), both.bob.session(here.bobs))
        made.a.start()
        made.b.start()
        yield made


def test_what_nobody_had_is_held_again_and_what_another_had_is_told(shop: Shop) -> None:
    a, b = shop.a, shop.b
    for file in ("auth.py", "b.py", "c.py"):
        assert {} == a.edit(file)
    before = shop.locks()["auth.py"]["token"]
    shop.both.cut()
    shop.expire()
    assert {} == b.edit("b.py")
    assert {} == b.edit("c.py")
    unlock(b, "c.py")
    shop.both.mend()

    seconds_until("auth.py is hers again", lambda: shop.is_alices("auth.py"), BACK_S)
    assert shop.locks()["auth.py"]["token"] > before
    assert "is locked by Session_1 (alice@" in refusal(b.edit("auth.py"))
    told = told_of(a, "b.py", "c.py")
    assert "auth.py" not in told["b.py"] + told["c.py"]
    assert "Session_2 (bob@" in told["b.py"]
    assert "has had it for" in told["b.py"]
    assert "read the file again before you edit it" in told["b.py"]
    assert "Session_2 (bob@" in told["c.py"]
    assert "" == refusal(a.edit("auth.py"))
    assert "is locked by Session_2 (bob@" in refusal(a.edit("b.py"))


def unlock(session: CodingSession, file: str) -> None:
    """Break it by right: a coding session's lock is given back by nobody else."""
    done = session.machine.scoord("unlock", "--force", "--yes", file, cwd=session.cwd)
    assert 0 == done.returncode, done.stderr


def told_of(session: CodingSession, *files: str) -> dict[str, str]:
    """The line that tells of each file's lost lock."""
    lines: dict[str, str] = {}

    def all_told() -> bool:
        for line in session.told().splitlines():
            lines.update({file: line for file in files if f"Your lock on {file} was lost" in line})
        return len(lines) == len(files)

    seconds_until(f"it is told of {files}: {lines}", all_told, BACK_S)
    return lines


def test_an_agent_that_stood_still_finds_out_at_the_very_edit(shop: Shop) -> None:
    a, b = shop.a, shop.b
    assert {} == a.edit("auth.py")
    agent = a.machine.agent
    assert agent is not None
    agent.freeze()
    shop.expire()
    assert {} == b.edit("auth.py")
    unlock(b, "auth.py")
    agent.thaw()

    answer = a.edit("auth.py")
    assert "" == refusal(answer)
    told = context(answer) or a.told()
    assert "Your lock on auth.py was lost" in told
    assert "Session_2 (bob@" in told
    assert shop.is_alices("auth.py")


def test_what_stands_when_contact_is_back_is_held_under_its_token(shop: Shop) -> None:
    a = shop.a
    assert {} == a.edit("auth.py")
    before = shop.locks()["auth.py"]["token"]
    shop.both.cut()
    shop.both.mend()

    seconds_until("it is held", lambda: a.edit("auth.py") == {}, BACK_S)
    assert before == shop.locks()["auth.py"]["token"]
    assert "" == a.told()
