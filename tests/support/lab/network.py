"""Network namespaces that a router namespace joins, and ways to cut them apart.

The router drops silently, one way if need be: ``ip rule … blackhole`` matches by
source, destination and port. That takes iproute2 alone, and unlike a route of the
sender's it gives the sender no error, as a broken network does not either.
Nothing is joined to the real network.
"""

import contextlib
import ctypes
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_PREFIX = "scoord"
_MADE = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_IP_S = 10.0


class NoNetworkError(Exception):
    """Why no namespaces can be had here."""


def ip(*arguments: str) -> str:
    """Run ``ip``. Raises NoNetworkError with what it says."""
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=_IP_S, check=False
    )
    if done.returncode:
        raise NoNetworkError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def missing() -> str:
    """What this machine lacks for namespaces; empty when nothing."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "network namespaces need iproute2's `ip`"
    return ""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One machine's network."""

    name: str
    address: str

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread's sockets and child processes are of the namespace meanwhile."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(os.open(_MADE / self.name, os.O_RDONLY | os.O_CLOEXEC), close=True)
            try:
                yield
            finally:
                _enter(before)
        finally:
            os.close(before)

    def pids(self) -> list[int]:
        """Every process in it, also those that nobody here is the parent of."""
        return [int(pid) for pid in ip("netns", "pids", self.name).split()]

    def reaches(self, address: str, port: int, within_s: float = 0.4) -> bool:
        """Whether a connection can be made from here."""
        with self.entered():
            try:
                socket.create_connection((address, port), within_s).close()
            except OSError:
                return False
        return True

    def remove(self) -> None:
        """Kill what runs in it, and remove it."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ip("netns", "delete", self.name)


@dataclass
class Network:
    """Namespaces by short name, each on a subnet of its own behind the router."""

    hosts: Sequence[str]
    spaces: dict[str, Namespace] = field(default_factory=dict)
    _id: str = field(default_factory=lambda: f"{_PREFIX}-{os.getpid()}-{secrets.token_hex(2)}")
    _preferences: Iterator[int] = field(default_factory=lambda: itertools.count(100))

    def __getitem__(self, host: str) -> Namespace:
        return self.spaces[host]

    def create(self) -> None:
        """Make and join all namespaces. Raises NoNetworkError."""
        remove_leftovers()
        router = self._add("router", "")
        for number, host in enumerate(self.hosts, start=1):
            subnet = f"10.77.{number}"
            self._join(router, self._add(host, f"{subnet}.2"), f"{subnet}.1")
        with router.entered():
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")

    def remove(self) -> None:
        """Remove every namespace, and end what runs in them."""
        for space in self.spaces.values():
            space.remove()
        self.spaces.clear()

    @contextlib.contextmanager
    def cut(self, source: str, target: str, *match: str) -> Iterator[None]:
        """Drop what ``source`` sends to ``target``; ``match`` narrows it, as in ``dport 2379``."""
        ends = ("from", self[source].address, "to", self[target].address)
        protocol = ("ipproto", "tcp", *match) if match else ()
        place = ("preference", str(next(self._preferences)))
        self._rule("add", *place, *ends, *protocol, "blackhole")
        try:
            yield
        finally:
            self._rule("delete", *place)

    @contextlib.contextmanager
    def apart(self, ones: Sequence[str], others: Sequence[str], *match: str) -> Iterator[None]:
        """Drop everything between two groups, both ways."""
        with contextlib.ExitStack() as stack:
            for one, other in itertools.product(ones, others):
                stack.enter_context(self.cut(one, other, *match))
                stack.enter_context(self.cut(other, one, *match))
            yield

    def _rule(self, *arguments: str) -> None:
        ip("-n", self["router"].name, "rule", *arguments)

    def _add(self, host: str, address: str) -> Namespace:
        space = Namespace(f"{self._id}-{host}", address)
        ip("netns", "add", space.name)
        self.spaces[host] = space
        ip("-n", space.name, "link", "set", "lo", "up")
        return space

    @staticmethod
    def _join(router: Namespace, host: Namespace, gateway: str) -> None:
        far = f"to-{gateway.replace('.', '-')}"
        pair = ("type", "veth", "peer", "name", far, "netns", router.name)
        ip("-n", host.name, "link", "add", "eth0", *pair)
        for space, device, address in ((host, "eth0", host.address), (router, far, gateway)):
            ip("-n", space.name, "address", "add", f"{address}/24", "dev", device)
            ip("-n", space.name, "link", "set", device, "up")
        ip("-n", host.name, "route", "add", "default", "via", gateway)


def remove_leftovers() -> None:
    """Remove what a run that was killed has left: its namespaces carry its process id."""
    for made in _MADE.glob(f"{_PREFIX}-*-*-*"):
        pid = made.name.split("-")[1]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            with contextlib.suppress(NoNetworkError):
                Namespace(made.name, "").remove()


def _enter(descriptor: int, *, close: bool = False) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.setns(descriptor, _CLONE_NEWNET)
    if close:
        os.close(descriptor)
    if failed:
        raise OSError(ctypes.get_errno(), "setns")
