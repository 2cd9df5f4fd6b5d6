"""Two machines on one coordinator of their own, for the tests of a whole file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.machines import Machine, RunningSession, clone, machines, repository, started
from support.processes import CoordinatorProcess, coordinator

ORIGIN = "https://git.example.org/team"


@dataclass(frozen=True)
class Pair:
    """Alice's machine and Bob's. What a test must not share with others it makes itself."""

    coordinator: CoordinatorProcess
    alice: Machine
    bob: Machine


@dataclass(frozen=True)
class Clones:
    """One project on two machines, at different paths."""

    alices: Path
    bobs: Path


@contextmanager
def pair(directory: Path, **env: str) -> Iterator[Pair]:
    """Two agents and an embedded coordinator, all ended afterwards; ``env`` is for the agents."""
    store = ("--embedded", "--data", str(directory / "store"))
    with coordinator(directory, *store) as running:
        alice = Machine(directory / "alice", "alice", running.address, **env)
        bob = Machine(directory / "bob", "bob", running.address, **env)
        with machines(alice, bob):
            yield Pair(running, alice, bob)


def clones(directory: Path, files: dict[str, str]) -> Clones:
    """A project that no other test has, named by the folder it is made in."""
    origin = f"{ORIGIN}/{directory.name}"
    alices = repository(directory / "work" / "shop", files, origin)
    return Clones(alices, clone(alices, directory / "elsewhere" / "checkout", origin))


def alices(two: Pair, shop: Clones) -> RunningSession:
    """A session of Alice's in her clone, which runs commands too."""
    return started(two.alice.running_session(shop.alices))


def bobs(two: Pair, shop: Clones) -> RunningSession:
    """The same of Bob's."""
    return started(two.bob.running_session(shop.bobs))
