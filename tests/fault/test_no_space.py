"""An etcd that takes no more: what is held stays held, and what ends is free."""

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from support.etcd import Etcd
from support.lab.fault import Fault, Proof, happening
from support.lab.trouble import filled_up
from support.machines import (
    FAST_LEASES,
    CodingSession,
    Machine,
    context,
    machines,
    refusal,
    started,
)
from support.pair import clones
from support.processes import coordinator, wait_until

pytestmark = pytest.mark.etcd

TTL_S = float(FAST_LEASES["SCOORD_LEASES_TTL"])
QUOTA_BYTES = 8 * 1024 * 1024
ADVICE = "compact, defragment and disarm its alarm, or raise its quota"


@dataclass(frozen=True)
class Full:
    """Two machines on one small etcd, and a session of each that has started."""

    etcd: Etcd
    alice: CodingSession
    bob: CodingSession
    probes: tuple[CodingSession, ...]
    _asked: Iterator[int] = field(default_factory=count)

    def check_health(self) -> None:
        """Fail unless edits succeed on both machines."""
        self.etcd.member.check_health()
        for probe in self.probes:
            path = f"probe-{next(self._asked)}.py"
            wait_until("an edit succeeds", functools.partial(_edits, probe, path), TTL_S)


def _edits(session: CodingSession, path: str) -> bool:
    return "" == refusal(session.edit(path))


@contextlib.contextmanager
def _no_space(full: Full) -> Iterator[Proof]:
    with filled_up(full.etcd.members) as is_full:
        yield is_full


NO_SPACE = Fault("etcd has no space", _no_space)


@pytest.fixture
def full(etcd_binary: None, tmp_path: Path) -> Iterator[Full]:
    """No edit goes through while nobody can be asked."""
    with _small(tmp_path, "block") as made:
        yield made


@pytest.fixture
def full_and_open(etcd_binary: None, tmp_path: Path) -> Iterator[Full]:
    """Each edit goes through while nobody can be asked."""
    with _small(tmp_path, "warn") as made:
        yield made


@contextlib.contextmanager
def _small(tmp_path: Path, unreachable_action: str) -> Iterator[Full]:
    """Their sessions say every second what they use."""
    etcd = Etcd(tmp_path / "etcd")
    etcd.member.flags = (f"--quota-backend-bytes={QUOTA_BYTES}",)
    env = {
        "SCOORD_UNREACHABLE_ACTION": unreachable_action,
        "SCOORD_HEARTBEAT_INTERVAL": "1",
    }
    try:
        etcd.start()
        with coordinator(tmp_path, "--etcd", etcd.member.endpoint) as running:
            alice = Machine(tmp_path / "alice", "alice", running.address, **env)
            bob = Machine(tmp_path / "bob", "bob", running.address, **env)
            with machines(alice, bob):
                made = clones(tmp_path, {"a.py": "", "b.py": ""})
                places = ((alice, made.alices), (bob, made.bobs))
                first, second, *probes = (
                    started(machine.session(cwd)) for machine, cwd in (*places, *places)
                )
                yield Full(etcd, first, second, tuple(probes))
    finally:
        etcd.stop()


def test_without_space_what_is_held_stays_held_and_what_ends_is_free(full: Full) -> None:
    alice, bob = full.alice, full.bob
    assert {} == alice.edit("a.py")

    with happening(NO_SPACE, full):
        assert "no lock can be taken now" in refusal(bob.edit("b.py"))
        assert ADVICE in refusal(bob.edit("b.py"))
        until = time.monotonic() + TTL_S + 1
        while time.monotonic() < until:
            assert "" == refusal(alice.edit("a.py")), "its lease is renewed all the same"
            alice.post("PostToolUse", tool_name="Edit", tool_input={"file_path": "a.py"})
            time.sleep(0.2)
        alice.end()

    wait_until("bob gets it", lambda: "" == refusal(bob.edit("a.py")), TTL_S / 3)


def test_a_command_without_space_says_what_its_operator_can_do(full: Full) -> None:
    holder = started(full.alice.machine.running_session(full.alice.cwd))
    try:
        with happening(NO_SPACE, full):
            _, printed = holder.run("lock", "a.py")
            assert ADVICE in " ".join(printed.split())
    finally:
        holder.kill()


def test_an_edit_that_was_let_through_without_space_is_told_once_there_is_space_again(
    full_and_open: Full,
) -> None:
    alice, bob = full_and_open.alice, full_and_open.bob
    assert {} == alice.edit("a.py")

    with happening(NO_SPACE, full_and_open):
        assert ADVICE in context(bob.edit("b.py"))
        bob.edited("b.py")
        assert ADVICE in context(alice.edit("b.py"))
        alice.edited("b.py")
        time.sleep(3)  # in which both try to report it

    assert "edited b.py while nobody could be asked" in alice.told_at_last("b.py")
    assert "b.py" in bob.told_at_last("b.py")


@pytest.mark.parametrize("name", ["a.py", "src/**"])
def test_what_is_broken_without_space_stays_broken_and_its_holder_hears_of_it(
    full: Full, name: str
) -> None:
    holder = started(full.alice.machine.running_session(full.alice.cwd))
    bob = full.bob.machine
    try:
        holder.run("lock", name)
        with happening(NO_SPACE, full):
            broken = bob.scoord("unlock", name, "--force", "--yes", cwd=full.bob.cwd)
            assert "neither history nor the holder is told" in broken.stdout

        assert f"Your lock on {name} was taken away" in holder.told_at_last("was taken away")
        time.sleep(TTL_S / 3)
        locks = {lock["path"] for lock in bob.status(full.bob.cwd)["locks"]}
        assert name not in locks, "and does not come back"
    finally:
        holder.kill()
