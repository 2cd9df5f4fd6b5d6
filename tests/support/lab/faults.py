"""What may go wrong, as values: each says what it needs, does it, proves it, and heals it."""

import contextlib
import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from support.lab.lab import COORDINATORS, STORES, Lab
from support.lab.team import CLIENT_PORT, COORDINATOR_PORT, PEER_PORT, stands_still, stopped
from support.lab.trouble import black_holed_connections, filled_up, slowed_disk

Proof = Callable[[], bool]
"""Whether the fault is really there."""

_ASKED = "asked"
"""The coordinator that the agent of m2 speaks to when the fault begins."""

Injection = Callable[[Lab], AbstractContextManager[Proof]]


def _nothing() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong for a while."""

    name: str
    injection: Injection
    lasts_s: float = 2.5
    heals_within_s: float = 5.0
    missing: Callable[[], str] = _nothing
    thin: int = 10
    """Fewer hooks than this while it lasts prove nothing."""

    def available(self) -> str | None:
        """Why it cannot be done here; None when it can."""
        return self.missing() or None

    def inject(self, lab: Lab) -> AbstractContextManager[Proof]:
        """Do it, and heal it at the end."""
        return self.injection(lab)


# -- processes ---------------------------------------------------------------------------


def _agent_killed(name: str) -> Injection:
    @contextlib.contextmanager
    def injection(lab: Lab) -> Iterator[Proof]:
        machine = lab.machines[name]
        pid = machine.agent_pid
        machine.signal_agent(signal.SIGKILL)
        assert machine.agent is not None
        if machine.agent.pid == pid:
            machine.agent.process.wait()
        yield lambda: not _runs(pid)
        machine.revive()

    return injection


def _agent_frozen(name: str) -> Injection:
    @contextlib.contextmanager
    def injection(lab: Lab) -> Iterator[Proof]:
        pid = lab.machines[name].agent_pid
        with stopped(pid):
            yield lambda: stands_still(pid)

    return injection


@contextlib.contextmanager
def _coordinator_killed(lab: Lab) -> Iterator[Proof]:
    replica = lab.coordinators[lab.asked_by("m2")]
    replica.running.kill()
    yield lambda: not replica.running.is_running()
    replica.start()


@contextlib.contextmanager
def _coordinator_frozen(lab: Lab) -> Iterator[Proof]:
    pid = lab.coordinators[lab.asked_by("m2")].running.pid
    with stopped(pid):
        yield lambda: stands_still(pid)


@contextlib.contextmanager
def _leader_killed(lab: Lab) -> Iterator[Proof]:
    store = lab.stores[lab.leader()]
    store.member.kill()
    yield lambda: not store.is_up
    store.spawn()


@contextlib.contextmanager
def _leader_frozen(lab: Lab) -> Iterator[Proof]:
    pid = lab.stores[lab.leader()].pid
    with stopped(pid):
        yield lambda: stands_still(pid)


@contextlib.contextmanager
def _quorum_frozen(lab: Lab) -> Iterator[Proof]:
    pids = [lab.stores[name].pid for name in lab.followers()]
    with contextlib.ExitStack() as stack:
        for pid in pids:
            stack.enter_context(stopped(pid))
        yield lambda: all(map(stands_still, pids))


@contextlib.contextmanager
def _etcd_restarted(lab: Lab) -> Iterator[Proof]:
    for store in lab.stores.values():
        assert store.member.process is not None
        store.member.process.kill()
    for store in lab.stores.values():
        store.member.kill()
    yield lambda: not any(store.is_up for store in lab.stores.values())
    for store in lab.stores.values():
        store.spawn()


# -- the network -------------------------------------------------------------------------


def _cut(source: Sequence[str], target: Sequence[str], port: int, *, both: bool) -> Injection:
    """Nothing gets from ``source`` to ``target`` any more; with ``both``, neither way."""

    @contextlib.contextmanager
    def injection(lab: Lab) -> Iterator[Proof]:
        ones, others = _named(lab, source), _named(lab, target)
        with contextlib.ExitStack() as stack:
            for one, other in itertools.product(ones, others):
                stack.enter_context(lab.network.cut(one, other))
                if both:
                    stack.enter_context(lab.network.cut(other, one))
            clients, servers = (ones, others) if _serves(others[0], port) else (others, ones)
            yield lambda: not _any_reaches(lab, clients, servers, port)

    return injection


def _named(lab: Lab, hosts: Sequence[str]) -> list[str]:
    """The machines, with the coordinator that is asked now for ``asked``."""
    return [lab.asked_by("m2") if host == _ASKED else host for host in hosts]


def _serves(host: str, port: int) -> bool:
    return (host in STORES) == (port == CLIENT_PORT)


def _any_reaches(lab: Lab, ones: Sequence[str], others: Sequence[str], port: int) -> bool:
    spaces = lab.network
    return any(spaces[a].reaches(spaces[b].address, port) for a in ones for b in others)


def _isolated(chosen: Callable[[Lab], str]) -> Injection:
    """Coordinators still reach a member that the other members do not."""

    @contextlib.contextmanager
    def injection(lab: Lab) -> Iterator[Proof]:
        member = chosen(lab)
        others = [name for name in STORES if name != member]
        with lab.network.apart([member], others):
            client = lab.network["c1"]
            yield (
                lambda: (
                    not _any_reaches(lab, [member], others, PEER_PORT)
                    and client.reaches(lab.network[member].address, CLIENT_PORT)
                )
            )

    return injection


def _follower(lab: Lab) -> str:
    return lab.followers()[0]


def _leader_half_cut(*, deaf: bool) -> Injection:
    """The leader's words arrive, the others' answers do not; or, if not ``deaf``, the reverse."""

    @contextlib.contextmanager
    def injection(lab: Lab) -> Iterator[Proof]:
        leader, others = lab.leader(), lab.followers()
        with contextlib.ExitStack() as stack:
            for other in others:
                ends = (other, leader) if deaf else (leader, other)
                stack.enter_context(lab.network.cut(*ends))
            yield lambda: not _any_reaches(lab, [leader], others, PEER_PORT)

    return injection


@contextlib.contextmanager
def _connection_black_holed(lab: Lab) -> Iterator[Proof]:
    """Connections that stand are dropped silently; new ones can be made."""
    machine = lab.machines["m2"]
    found = black_holed_connections(lab.network, machine.agent_pid, "m2", COORDINATORS)
    with found as number:
        address = lab.network["c1"].address
        yield lambda: number > 0 and machine.space.reaches(address, COORDINATOR_PORT)


# -- disks and space -----------------------------------------------------------------------


@contextlib.contextmanager
def _disk_slow(lab: Lab) -> Iterator[Proof]:
    with slowed_disk(lab.stores[lab.leader()].pid, delay_ms=100) as proof:
        yield proof


@contextlib.contextmanager
def _no_space(lab: Lab) -> Iterator[Proof]:
    with filled_up(list(lab.stores.values())) as proof:
        yield proof


def _no_strace() -> str:
    return "" if shutil.which("strace") else "a slow disk needs `strace`"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


AGENTS = ("m2",)
"""Whose sessions send all their events by command; those of m1 do by http what they can."""

PROCESS_FAULTS = (
    Fault("the agent is killed", _agent_killed("m2")),
    Fault("the agent is killed, of http hooks", _agent_killed("m1")),
    Fault("the agent stands still for less than D", _agent_frozen("m2"), thin=5),
    Fault("the agent stands still for less than D, of http hooks", _agent_frozen("m1"), thin=5),
    Fault("the agent stands still for longer than T", _agent_frozen("m2"), lasts_s=7.5),
    Fault("a coordinator is killed", _coordinator_killed),
    Fault("a coordinator stands still", _coordinator_frozen),
    Fault("the leader of etcd is killed", _leader_killed, lasts_s=4),
    Fault("the leader of etcd stands still", _leader_frozen, lasts_s=4),
    Fault("etcd has no quorum for longer than T", _quorum_frozen, lasts_s=8),
    Fault("all of etcd is killed", _etcd_restarted, lasts_s=2, thin=4),
)

NETWORK_FAULTS = (
    Fault(
        "an agent's words do not reach the coordinators",
        _cut(AGENTS, COORDINATORS, COORDINATOR_PORT, both=False),
    ),
    Fault(
        "the coordinators' words do not reach an agent",
        _cut(COORDINATORS, AGENTS, COORDINATOR_PORT, both=False),
    ),
    Fault(
        "an agent is cut off for longer than T",
        _cut(AGENTS, COORDINATORS, COORDINATOR_PORT, both=True),
        lasts_s=7.5,
    ),
    Fault(
        "a coordinator's words do not reach etcd", _cut((_ASKED,), STORES, CLIENT_PORT, both=False)
    ),
    Fault(
        "etcd's words do not reach a coordinator", _cut(STORES, (_ASKED,), CLIENT_PORT, both=False)
    ),
    Fault(
        "a coordinator is cut off from etcd",
        _cut((_ASKED,), STORES, CLIENT_PORT, both=True),
        lasts_s=4,
    ),
    Fault("the leader of etcd is alone, with its clients", _isolated(Lab.leader), lasts_s=4),
    Fault("a follower of etcd is alone, with its clients", _isolated(_follower), lasts_s=4),
    Fault("the leader of etcd is deaf", _leader_half_cut(deaf=True), lasts_s=4),
    Fault("the leader of etcd is mute", _leader_half_cut(deaf=False), lasts_s=4),
    Fault("connections that stand are black holes", _connection_black_holed, lasts_s=3),
)

DISK_FAULTS = (
    Fault("the disk of etcd's leader is slow", _disk_slow, lasts_s=3, missing=_no_strace, thin=5),
    Fault("etcd has no space", _no_space, lasts_s=2, thin=4),
)
