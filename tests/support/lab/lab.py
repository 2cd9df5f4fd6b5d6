"""The lab: three etcd members, two coordinators, two machines with agents, one network."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.etcd import Member
from support.lab.network import Network
from support.lab.store_log import StoreLog
from support.lab.team import (
    CLIENT_PORT,
    PEER_PORT,
    AgentMachine,
    LabSession,
    Probe,
    Replica,
    Store,
)
from support.machines import clone, repository
from support.processes import wait_until

STORES = ("e1", "e2", "e3")
COORDINATORS = ("c1", "c2")
MACHINES = ("m1", "m2")
QUOTA_BYTES = 24 * 1024 * 1024

ORIGIN = "https://git.example.org/team/lab"
HEALTHY_WITHIN_S = 15.0


@dataclass
class Lab:
    """Everything that runs, by the name of its machine."""

    network: Network
    stores: dict[str, Store]
    coordinators: dict[str, Replica]
    machines: dict[str, AgentMachine]
    clones: dict[str, Path]
    log: StoreLog
    probes: dict[str, Probe]

    def leader(self) -> str:
        """Which member of etcd leads."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [n for n, store in self.stores.items() if store.is_up and store.leads()]
            return len(found) == 1

        wait_until("etcd has one leader", look)
        return found[0]

    def followers(self) -> list[str]:
        """The other members."""
        leader = self.leader()
        return [name for name in self.stores if name != leader]

    def asked_by(self, machine: str) -> str:
        """Which coordinator the agent there speaks to now."""
        asked = self.machines[machine].status(self.clones[machine])["coordinator"]["address"]
        return next(n for n, replica in self.coordinators.items() if replica.address == asked)

    def session(self, machine: str, name: str, *, shim: bool) -> LabSession:
        """A coding CLI on one of the machines."""
        session = LabSession(self.machines[machine], self.clones[machine], name)
        session.shim = shim
        return session

    def heal_s(self) -> float:
        """The seconds until edits succeed on every machine. Fails when they never do."""
        begun = time.monotonic()
        for name, probe in self.probes.items():
            wait_until(f"an edit succeeds on {name}", probe.edits, HEALTHY_WITHIN_S)
        return time.monotonic() - begun

    def check_health(self) -> None:
        """Fail unless every program runs and every machine can edit."""
        for store in self.stores.values():
            store.wait_until_healthy()
        for name, replica in self.coordinators.items():
            assert replica.running.is_running(), f"{name} runs: {replica.running.output()}"
        self.heal_s()


@contextlib.contextmanager
def lab(directory: Path) -> Iterator[Lab]:
    """A running lab; all of it is gone afterwards. Raises NoNetworkError, NoEtcdError."""
    network = Network((*STORES, *COORDINATORS, *MACHINES))
    with contextlib.ExitStack() as stack:
        stack.callback(network.remove)
        network.create()
        yield stack.enter_context(_running(network, directory))


@contextlib.contextmanager
def _running(network: Network, directory: Path) -> Iterator[Lab]:
    stores = _stores(network, directory)
    replicas = _replicas(network, directory, stores)
    with contextlib.ExitStack() as stack:
        for store in stores.values():
            stack.callback(store.member.kill)
            store.spawn()
        for store in stores.values():
            store.wait_until_healthy()
        for replica in replicas.values():
            stack.callback(replica.kill)
            replica.start()
        machines = _machines(network, directory, replicas)
        for machine in machines.values():
            stack.callback(machine.end)
            machine.start_agent()
        clones = _clones(directory, machines)
        log = stack.enter_context(StoreLog.following(stores.values()))
        probes = {name: Probe(machines[name], clones[name]) for name in MACHINES}
        for probe in probes.values():
            stack.callback(probe.close)
        yield Lab(network, stores, replicas, machines, clones, log, probes)


def _stores(network: Network, directory: Path) -> dict[str, Store]:
    members = {name: _member(network, directory / name, name) for name in STORES}
    cluster = ",".join(f"{member.name}={member.peer_url}" for member in members.values())
    return {name: Store(network[name], member, cluster) for name, member in members.items()}


def _member(network: Network, folder: Path, name: str) -> Member:
    folder.mkdir(mode=0o700)
    member = Member(name, folder, CLIENT_PORT, PEER_PORT, host=network[name].address)
    # Without a vote before the vote, as etcd 3.4 has it, a member that cannot hear
    # calls one election after another.
    member.flags = (f"--quota-backend-bytes={QUOTA_BYTES}", "--pre-vote")
    return member


def _replicas(network: Network, directory: Path, stores: dict[str, Store]) -> dict[str, Replica]:
    etcd = ",".join(store.member.endpoint for store in stores.values())
    return {name: Replica(network[name], directory, etcd) for name in COORDINATORS}


def _machines(
    network: Network, directory: Path, replicas: dict[str, Replica]
) -> dict[str, AgentMachine]:
    addresses = [replica.address for replica in replicas.values()]
    homes = {name: directory / name for name in MACHINES}
    for home in homes.values():
        home.mkdir()
    return {name: AgentMachine(network[name], home, addresses) for name, home in homes.items()}


def _clones(directory: Path, machines: dict[str, AgentMachine]) -> dict[str, Path]:
    first, *others = machines
    source = repository(directory / f"{first}-work", {"a.py": "", "b.py": "", "c.py": ""}, ORIGIN)
    return {first: source} | {
        name: clone(source, directory / f"{name}-work", ORIGIN) for name in others
    }
