"""Programs that are killed, stand still, or are started again."""

import contextlib
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator

import psutil

from scoord_server.store.etcd.versions import ends_live_leases
from support.lab.fault import ASKED, Injection, LabFault, Proof, losing
from support.lab.lab import COORDINATORS, MACHINES, Lab
from support.lab.team import AgentMachine, stands_still, stopped

_LONG_S = 7.5
"""Longer than T, which is 6 s here."""
_RESTARTED_S = 10.0
_RUNS_S, _STANDS_S = 0.005, 0.045


def _agent_killed(name: str) -> Injection[Lab]:
    @contextlib.contextmanager
    def injection(lab: Lab) -> Iterator[Proof]:
        machine = lab.machines[name]
        pid = _kill_agent(machine)
        yield lambda: not _runs(pid)
        machine.revive()

    return injection


def _kill_agent(machine: AgentMachine) -> int:
    """Kill -9 the agent that runs there, and see that it is gone; its process id."""
    pid = machine.agent_pid
    machine.signal_agent(signal.SIGKILL)
    assert machine.agent is not None
    if machine.agent.pid == pid:
        machine.agent.process.wait()
    return pid


def _frozen(*pids_of: Callable[[Lab], int]) -> Injection[Lab]:
    """Some processes stand still."""

    @contextlib.contextmanager
    def injection(lab: Lab) -> Iterator[Proof]:
        pids = [pid_of(lab) for pid_of in pids_of]
        with contextlib.ExitStack() as stack:
            for pid in pids:
                stack.enter_context(stopped(pid))
            yield lambda: all(map(stands_still, pids))

    return injection


def _agent_frozen(name: str) -> Injection[Lab]:
    return _frozen(lambda lab: lab.machines[name].agent_pid)


def _coordinator(lab: Lab) -> int:
    """The one that the agent of m2 speaks to."""
    return lab.coordinators[lab.asked_by("m2")].running.pid


def _leader(lab: Lab) -> int:
    return lab.stores[lab.leader()].pid


def _follower(number: int) -> Callable[[Lab], int]:
    return lambda lab: lab.stores[lab.followers()[number]].pid


def _all_by_old_etcd(lab: Lab) -> Collection[str]:
    """All machines, where a leader of etcd that stood still may end leases of the living."""
    versions = [store.version() for store in lab.stores.values()]
    return MACHINES if any(map(ends_live_leases, versions)) else ()


def _agent_starved(name: str) -> Injection[Lab]:
    """Nine tenths of the time it does not get a processor."""

    @contextlib.contextmanager
    def injection(lab: Lab) -> Iterator[Proof]:
        pid, rounds = lab.machines[name].agent_pid, itertools.count()

        def starve() -> None:
            with stopped(pid):
                time.sleep(_STANDS_S)
            next(rounds)
            time.sleep(_RUNS_S)

        with _again_and_again(starve):
            yield lambda: next(rounds) > 10

    return injection


@contextlib.contextmanager
def _hooks_killed(lab: Lab) -> Iterator[Proof]:
    """Hooks are killed on their way, at any moment of it."""
    rng, killed, shim = random.Random(0), itertools.count(), str(lab.machines["m2"].shim)

    def kill_one() -> None:
        time.sleep(rng.uniform(0, 0.05))
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if shim in child.cmdline():
                    child.kill()
                    next(killed)
                    return

    with _again_and_again(kill_one):
        yield lambda: next(killed) > 3


@contextlib.contextmanager
def _again_and_again(what: Callable[[], None]) -> Iterator[None]:
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            what()

    thread = threading.Thread(target=work, name="again-and-again")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _coordinator_killed(lab: Lab) -> Iterator[Proof]:
    replica = lab.coordinators[lab.asked_by("m2")]
    replica.running.kill()
    yield lambda: not replica.running.is_running()
    replica.start()


@contextlib.contextmanager
def _coordinators_replaced(lab: Lab) -> Iterator[Proof]:
    """Each is told to end and is started again, one after the other, as an update does it."""
    asked = lab.asked_by("m2")
    first = lab.coordinators[asked]
    (second,) = (lab.coordinators[name] for name in COORDINATORS if name != asked)
    first.running.end()
    yield lambda: first.running.process.poll() == 0
    first.start()
    second.running.end()
    assert second.running.process.poll() == 0
    second.start()


@contextlib.contextmanager
def _leader_killed(lab: Lab) -> Iterator[Proof]:
    store = lab.stores[lab.leader()]
    store.member.kill()
    yield lambda: not store.is_up
    store.spawn()


@contextlib.contextmanager
def _etcd_killed(lab: Lab) -> Iterator[Proof]:
    for store in lab.stores.values():
        os.kill(store.pid, signal.SIGKILL)
    for store in lab.stores.values():
        store.member.kill()
    yield lambda: not any(store.is_up for store in lab.stores.values())
    for store in lab.stores.values():
        store.spawn()


@contextlib.contextmanager
def _everything_killed(lab: Lab) -> Iterator[Proof]:
    """All that is ours and etcd, on every machine, as when the power goes."""
    replicas = lab.coordinators.values()
    agents = [machine.agent_pid for machine in lab.machines.values()]
    for pid in (*agents, *(replica.running.pid for replica in replicas)):
        os.kill(pid, signal.SIGKILL)
    with _etcd_killed(lab) as etcd_is_gone:
        for replica in replicas:
            replica.reap()
        for machine in lab.machines.values():
            machine.reap()
        yield lambda: etcd_is_gone() and not any(map(_runs, agents))
    for replica in replicas:
        replica.start()
    for machine in lab.machines.values():
        machine.revive()


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


PROCESS_FAULTS = (
    LabFault("hooks are killed", _hooks_killed, feels=("m2",), counts=ASKED, unheard=True),
    LabFault("the agent is killed", _agent_killed("m2"), feels=("m2",)),
    LabFault(
        "the agent is killed, of http hooks", _agent_killed("m1"), feels=("m1",), counts=ASKED
    ),
    LabFault(
        "the agent stands still for less than D",
        _agent_frozen("m2"),
        feels=("m2",),
        lasts_s=3,
        thin=1,
    ),
    LabFault(
        "the agent stands still for less than D, of http hooks",
        _agent_frozen("m1"),
        feels=("m1",),
        counts=ASKED,
        lasts_s=3,
        thin=1,
    ),
    LabFault(
        "the agent stands still for longer than T",
        _agent_frozen("m2"),
        feels=("m2",),
        lasts_s=_LONG_S,
        thin=2,
        loses=losing("m2"),
    ),
    LabFault("the agent has a tenth of a processor", _agent_starved("m2"), feels=("m2",)),
    LabFault("a coordinator is killed", _coordinator_killed),
    LabFault("the coordinators are replaced one after the other", _coordinators_replaced),
    LabFault("a coordinator stands still for less than D", _frozen(_coordinator)),
    LabFault(
        "a coordinator stands still for longer than T", _frozen(_coordinator), lasts_s=_LONG_S
    ),
    LabFault("the leader of etcd is killed", _leader_killed, lasts_s=4),
    LabFault(
        "the leader of etcd stands still", _frozen(_leader), lasts_s=4, loses=_all_by_old_etcd
    ),
    LabFault(
        "etcd has no quorum for longer than T",
        _frozen(_follower(0), _follower(1)),
        lasts_s=8,
        thin=4,
    ),
    LabFault("all of etcd is killed", _etcd_killed, lasts_s=2, thin=1),
    LabFault(
        "everything is killed at once",
        _everything_killed,
        lasts_s=2,
        counts=ASKED,
        heals_within_s=_RESTARTED_S,
    ),
)
