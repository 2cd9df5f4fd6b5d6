"""One line from a session to the store, with a proxy at each joint; and one without.

``alice → agent → proxy → coordinator → proxy → etcd``, and ``bob → agent → coordinator
→ etcd``, who sees what really happened. On loopback: it needs no root.
"""

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.etcd import Etcd
from support.machines import Answer, CodingSession, Machine, machines, refusal
from support.pair import Clones, clones
from support.processes import CoordinatorProcess, coordinator, wait_until
from support.proxy import Proxy, proxy

HEALTHY_WITHIN_S = 15.0
BLOCK = {"SCOORD_UNREACHABLE_ACTION": "block"}


@dataclass
class Line:
    """Alice's line has the proxies; Bob's has none."""

    etcd: Etcd
    to_coordinator: Proxy
    to_etcd: Proxy
    coordinator: CoordinatorProcess
    alice: Machine
    bob: Machine
    folder: Path
    _made: int = field(default=0)
    _probes: tuple[CodingSession, ...] = ()

    def project(self) -> Clones:
        """A project that no other test has."""
        self._made += 1
        folder = self.folder / f"project-{self._made}"
        folder.mkdir()
        return clones(folder, {"a.py": "", "b.py": ""})

    def sessions(self) -> tuple[CodingSession, CodingSession]:
        """Alice's and Bob's session in a project of their own; both have started."""
        made = self.project()
        both = self.alice.session(made.alices), self.bob.session(made.bobs)
        for session in both:
            assert "this session is" in session.start()
        return both

    def check_health(self) -> None:
        """Fail unless edits succeed on both sides."""
        if not self._probes:
            self._probes = self.sessions()
        for probe in self._probes:
            self._made += 1
            edits = functools.partial(_edits, probe, f"probe-{self._made}.py")
            name = probe.machine.home.name
            wait_until(f"an edit succeeds on {name}", edits, HEALTHY_WITHIN_S)


def _edits(session: CodingSession, path: str) -> bool:
    return "" == refusal(session.edit(path))


@contextlib.contextmanager
def line(folder: Path, alices: type[Machine] = Machine, **env: str) -> Iterator[Line]:
    """A running line, with ``env`` for the agents; all of it is ended afterwards."""
    etcd = Etcd(folder / "etcd")
    with contextlib.ExitStack() as stack:
        stack.callback(etcd.stop)
        etcd.start()
        to_etcd = stack.enter_context(proxy(etcd.member.endpoint))
        behind = stack.enter_context(coordinator(folder, "--etcd", to_etcd.address))
        direct = stack.enter_context(coordinator(folder, "--etcd", etcd.member.endpoint))
        to_coordinator = stack.enter_context(proxy(behind.address))
        settings = BLOCK | env
        alice = alices(folder / "alice", "alice", to_coordinator.address, **settings)
        bob = Machine(folder / "bob", "bob", direct.address, **settings)
        stack.enter_context(machines(alice, bob))
        yield Line(etcd, to_coordinator, to_etcd, behind, alice, bob, folder)


@dataclass(frozen=True, slots=True)
class Handover:
    """When one was last allowed a file, and when another got it."""

    allowed: float
    taken: float

    @property
    def pause_s(self) -> float:
        """What lay between; negative, if both believed."""
        return self.taken - self.allowed


def handed_over(
    holder: CodingSession, other: CodingSession, path: str, within_s: float
) -> Handover:
    """Let both ask for ``path`` until ``other`` gets it, and the holder once more after that."""
    allowed = begun = time.monotonic()
    while "" != refusal(other.edit(path)):
        asked = time.monotonic()
        if "" == refusal(holder.edit(path)):
            allowed = asked
        assert asked - begun < within_s, f"{path} is never handed over"
        time.sleep(0.05)
    taken = time.monotonic()
    if "" == refusal(holder.edit(path)):
        allowed = time.monotonic()
    return Handover(allowed, taken)


def locks(session: CodingSession) -> dict[str, Answer]:
    """The locks of its project, as its own machine is told."""
    return {lock["path"]: lock for lock in session.machine.status(session.cwd)["locks"]}


def wait_for_lock(session: CodingSession, path: str) -> int:
    """Wait until its machine is told of a lock on ``path``; its token."""
    wait_until(f"{path} is locked", lambda: path in locks(session), 5)
    return int(locks(session)[path]["token"])
