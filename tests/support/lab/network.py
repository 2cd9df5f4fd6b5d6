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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_PREFIX = "scoord"
_MADE = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_IP_S = 10.0
_PASSES_WITHIN_S = 0.2


class NoNetworkError(Exception):
    """Why no namespaces can be had here."""


def ip(*arguments: str) -> str:
    """Run ``ip``. Raises NoNetworkError with what it says."""
    return _run("ip", *arguments)


def _tc(*arguments: str) -> str:
    return _run("tc", *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_IP_S, check=False)
    if done.returncode:
        raise NoNetworkError(f"{' '.join(command)}: {done.stderr.strip()}")
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


def no_shaping() -> str:
    """What this machine lacks for narrow lines; empty when nothing."""
    return "" if shutil.which("tc") else "a narrow line needs iproute2's `tc`"


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

    def new_socket(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A socket of this machine's, whichever thread uses it."""
        with self.entered():
            return socket.socket(socket.AF_INET, kind)

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

    def passes(self, source: str, target: str) -> bool:
        """Whether a datagram gets from one machine to another: one way, with no answer."""
        kind = socket.SOCK_DGRAM
        with self[source].new_socket(kind) as sending, self[target].new_socket(kind) as receiving:
            receiving.bind((self[target].address, 0))
            receiving.settimeout(_PASSES_WITHIN_S)
            sending.sendto(b"?", receiving.getsockname())
            try:
                return receiving.recv(1) == b"?"
            except TimeoutError:
                return False

    @contextlib.contextmanager
    def lonely(self, name: str) -> Iterator[Namespace]:
        """A namespace that has its loopback only."""
        space = self._add(name, "127.0.0.1")
        try:
            yield space
        finally:
            del self.spaces[name]
            space.remove()

    @contextlib.contextmanager
    def narrowed(self, host: str, rate: str) -> Iterator[Callable[[], bool]]:
        """What a machine sends and is sent goes at ``rate``; yields whether any had to wait."""
        router, far = self["router"].name, _far_end(self[host])
        ends = ((self[host].name, "eth0"), (router, far))
        for space, device in ends:
            limit = ("tbf", "rate", rate, "burst", "4k", "latency", "400ms")
            _tc("-n", space, "qdisc", "add", "dev", device, "root", *limit)
        try:
            yield lambda: any(" overlimits 0 " not in _shaped(*end) for end in ends)
        finally:
            for space, device in ends:
                _tc("-n", space, "qdisc", "delete", "dev", device, "root")

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
        far = _far_end(host)
        pair = ("type", "veth", "peer", "name", far, "netns", router.name)
        ip("-n", host.name, "link", "add", "eth0", *pair)
        for space, device, address in ((host, "eth0", host.address), (router, far, gateway)):
            ip("-n", space.name, "address", "add", f"{address}/24", "dev", device)
            ip("-n", space.name, "link", "set", device, "up")
        ip("-n", host.name, "route", "add", "default", "via", gateway)


def _far_end(host: Namespace) -> str:
    """The router's device to a machine."""
    return f"to-{host.address.replace('.', '-')}"


def _shaped(space: str, device: str) -> str:
    return _tc("-n", space, "-s", "qdisc", "show", "dev", device)


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
