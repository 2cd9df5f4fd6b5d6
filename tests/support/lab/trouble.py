"""Ways to make trouble that take more than a signal or a rule."""

import base64
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError

from support.lab.network import Network
from support.processes import wait_until

_FILLER = "/filler/"
_CHUNK = base64.b64encode(os.urandom(900_000)).decode()
_ESTABLISHED = "01"


@contextlib.contextmanager
def black_holed_connections(
    network: Network, pid: int, source: str, targets: Sequence[str]
) -> Iterator[int]:
    """Drop both ways of every connection that stands now; yields how many there are."""
    hosts = {network[target].address: target for target in targets}
    with contextlib.ExitStack() as stack:
        found = [(hosts[a], port) for port, a in connections_of(pid) if a in hosts]
        for target, port in found:
            stack.enter_context(network.cut(source, target, "sport", str(port)))
            stack.enter_context(network.cut(target, source, "dport", str(port)))
        yield len(found)


def connections_of(pid: int) -> list[tuple[int, str]]:
    """Local port and remote address of the connections in a process's namespace."""
    found: list[tuple[int, str]] = []
    for table in ("tcp", "tcp6"):  # gRPC speaks IPv4 through sockets of IPv6
        lines = Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        for _, local, remote, state, *_ in map(str.split, lines):
            if state == _ESTABLISHED:
                port = int(local.partition(":")[2], 16)
                found.append((port, _address(remote.partition(":")[0])))
    return found


def _address(text: str) -> str:
    """An IPv4 address, or the one that is mapped into IPv6, as the kernel prints it."""
    return socket.inet_ntoa(struct.pack("=I", int(text[-8:], 16)))


def no_strace() -> str:
    """Why no disk can be made slow or fail here; empty when it can."""
    return "" if shutil.which("strace") else "a disk that is slow or fails needs `strace`"


@contextlib.contextmanager
def slowed_disk(pid: int, delay_ms: int) -> Iterator[Callable[[], bool]]:
    """Each flush of the process to disk takes so much longer."""
    with _injected(pid, f"delay_enter={delay_ms * 1000}") as tracer:
        wait_until("strace holds etcd", lambda: _tracer_of(pid) == tracer)
        yield lambda: _tracer_of(pid) == tracer


@contextlib.contextmanager
def failing_disk(pid: int) -> Iterator[None]:
    """Each flush of the process to disk fails."""
    with _injected(pid, "error=EIO"):
        yield


@contextlib.contextmanager
def _injected(pid: int, what: str) -> Iterator[int]:
    """strace does something to each flush of the process; yields its own process id."""
    inject = f"--inject=fdatasync:{what}"
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-e", "trace=fdatasync", inject, "-p", str(pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield tracer.pid
    finally:
        tracer.send_signal(signal.SIGINT)  # it lets go of the process, and ends
        traced = tracer.communicate(timeout=10)[1]
    assert b"fdatasync" in traced, "INVALID: no flush met it"


def _tracer_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("TracerPid:"))


class Gateway(Protocol):
    """A member of etcd, asked through its JSON gateway."""

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Ask it."""


@contextlib.contextmanager
def filled_up(members: Sequence[Gateway]) -> Iterator[Callable[[], bool]]:
    """Fill etcd to its quota; make room again at the end, as its operator would."""
    one = members[0]
    for number in range(200):
        try:
            one.post("/v3/kv/put", {"key": _encoded(f"{_FILLER}{number}"), "value": _CHUNK})
        except HTTPError as full:
            full.close()
            break
    try:
        yield lambda: bool(_alarms(one))
    finally:
        _make_room(members)


def _make_room(members: Sequence[Gateway]) -> None:
    one = members[0]
    span = {"key": _encoded(_FILLER), "range_end": _encoded("/filler0")}
    revision = one.post("/v3/kv/deleterange", span)["header"]["revision"]
    one.post("/v3/kv/compaction", {"revision": revision, "physical": True})
    for member in members:
        member.post("/v3/maintenance/defragment", {})
    for alarm in _alarms(one):
        one.post("/v3/maintenance/alarm", {**alarm, "action": "DEACTIVATE"})


def _alarms(member: Gateway) -> list[dict[str, Any]]:
    answer = member.post("/v3/maintenance/alarm", {"action": "GET"})
    return list(answer.get("alarms", []))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
