"""An etcd that takes no more: what is held stays held, and what ends is free."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.etcd import Etcd
from support.lab.trouble import filled_up
from support.machines import FAST_LEASES, Machine, machines, refusal
from support.pair import clones
from support.processes import coordinator, wait_until

pytestmark = pytest.mark.etcd

TTL_S = float(FAST_LEASES["SCOORD_LEASES_TTL"])
QUOTA_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Full:
    etcd: Etcd
    alice: Machine
    bob: Machine


@pytest.fixture
def full(etcd_binary: None, tmp_path: Path) -> Iterator[Full]:
    """Two machines, whose sessions say every second what they use."""
    etcd = Etcd(tmp_path / "etcd")
    etcd.member.flags = (f"--quota-backend-bytes={QUOTA_BYTES}",)
    env = {"SCOORD_UNREACHABLE_ACTION": "block", "SCOORD_HEARTBEAT_INTERVAL": "1"}
    try:
        etcd.start()
        with coordinator(tmp_path, "--etcd", etcd.member.endpoint) as running:
            alice = Machine(tmp_path / "alice", "alice", running.address, **env)
            bob = Machine(tmp_path / "bob", "bob", running.address, **env)
            with machines(alice, bob):
                yield Full(etcd, alice, bob)
    finally:
        etcd.stop()


def test_without_space_what_is_held_stays_held_and_what_ends_is_free(
    full: Full, tmp_path: Path
) -> None:
    made = clones(tmp_path, {"a.py": "", "b.py": ""})
    alice, bob = full.alice.session(made.alices), full.bob.session(made.bobs)
    alice.start()
    bob.start()
    assert {} == alice.edit("a.py")

    with filled_up(full.etcd.members) as is_full:
        assert is_full()
        assert "no lock can be taken now" in refusal(bob.edit("b.py"))
        until = time.monotonic() + TTL_S + 1
        while time.monotonic() < until:
            assert "" == refusal(alice.edit("a.py")), "its lease is renewed all the same"
            alice.post("PostToolUse", tool_name="Edit", tool_input={"file_path": "a.py"})
            time.sleep(0.2)
        alice.end()

    wait_until("bob gets it", lambda: "" == refusal(bob.edit("a.py")), TTL_S / 3)
