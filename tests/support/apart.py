"""Two machines, each with a coordinator of its own on one etcd: one of them can be cut off."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.etcd import Etcd
from support.machines import Machine, machines
from support.ports import free_port
from support.processes import CoordinatorProcess, coordinator, etcd_store


@dataclass
class Apart:
    """Alice and Bob. Alice may lose her coordinator; Bob's goes on."""

    alice: Machine
    bob: Machine
    _directory: Path
    _store: tuple[str, ...]
    _alices: CoordinatorProcess

    def cut(self) -> None:
        """Kill Alice's coordinator."""
        self._alices.kill()

    def mend(self) -> None:
        """Start it again, where it was."""
        port = int(self._alices.address.rpartition(":")[2])
        self._alices = CoordinatorProcess(self._directory, self._store, port, {})
        self._alices.wait_ready()

    def end(self) -> None:
        """End Alice's coordinator."""
        self._alices.end()


@contextmanager
def apart(directory: Path, etcd: Etcd, namespace: bytes) -> Iterator[Apart]:
    """Both agents and both coordinators, all ended afterwards."""
    store = etcd_store(etcd, namespace)
    with coordinator(directory, *store) as bobs:
        (directory / "alices").mkdir()
        alices = CoordinatorProcess(directory / "alices", store, free_port(), {})
        alice = Machine(directory / "alice", "alice", alices.address)
        bob = Machine(directory / "bob", "bob", bobs.address)
        made = Apart(alice, bob, directory / "alices", store, alices)
        try:
            alices.wait_ready()
            with machines(alice, bob):
                yield made
        finally:
            made.end()
