"""Starts and stops the agent and the embedded coordinator in the background.

It owns their pid files and logs in the state directory, and knows nothing of
what the two do. A pid file is believed only while its process is one of ours, and the
one that was written down: process ids are used again. One of a version that did not
write down which process it was is believed for any of ours.
"""

import contextlib
import logging
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psutil

from scoord import addresses, local, logs
from scoord.errors import DeadlineExceeded, NotAllowed
from scoord_agent.processes import Process, find, is_running, mark

_log = logging.getLogger(__name__)

PATIENCE_S: Final = 20.0
"""A coordinator that drains may take half of this."""
_POLL_S: Final = 0.05
_START: Final = "start-{}"
_LOG_BYTES: Final = 8 << 20
"""A log larger than this is put aside at the next start."""


@dataclass(frozen=True, slots=True)
class Program:
    """One of our programs that run in the background."""

    name: str
    module: str
    pid_file: str
    journal: str
    """What ``scoord.logs`` calls it."""

    @property
    def log(self) -> Path:
        """Where what it prints is written: why it did not start, or what it died of."""
        return local.state_dir() / f"{self.name}.log"


AGENT: Final = Program("agent", "scoord_agent", "agent.lock", logs.AGENT)
"""It writes its pid file itself, and keeps it locked while it runs."""
COORDINATOR: Final = Program("coordinator", "scoord_server", "coordinator.pid", logs.SERVER)


@dataclass(frozen=True, slots=True)
class Started:
    """What was found or started."""

    program: Program
    pid: int
    fresh: bool
    """Whether this call started it."""
    child: subprocess.Popen[bytes] | None = None
    """The new process, for its parent to reap; None unless fresh."""
    log_start: int = 0
    """Where in the log its own lines begin, in bytes."""

    def has_failed(self) -> bool:
        """Whether a fresh one is gone already; one that found another running ends with 0."""
        return self.child is not None and self.child.poll() not in (None, 0)

    def exit_code(self) -> int:
        """How a fresh one ended; 0 while it has not."""
        return (self.child.poll() if self.child else 0) or 0

    def last_words(self) -> str:
        """Return the last line it logged; empty if it said nothing."""
        return _last_line(self.program.log, self.log_start)


def start_agent() -> Started:
    """Start the agent unless one runs. It sees to it itself that there is never a second."""
    return _start(AGENT, [])


def start_coordinator(address: str) -> Started:
    """Start the embedded coordinator on ``address`` unless the one we started runs."""
    store = local.state_dir() / "store"
    # What it prints is then the reason why it did not start, and nothing that grows.
    arguments = ["--embedded", "--data", str(store), "--listen", address, "--quiet"]
    return _start(COORDINATOR, arguments, address)


def last_failure(program: Program) -> str:
    """Return what kept a program from running when it ended last; empty if nothing did."""
    if running(program):
        return ""
    try:
        # One that runs writes to its journal alone, and one that fails says so last.
        if _written(logs.log_file(program.journal)) > _written(program.log):
            return ""
        return _last_line(program.log).removeprefix("error: ")
    except OSError:
        return ""


def recorded_address() -> str | None:
    """Return where the coordinator that was started last listens; None after ``stop``.

    Its record outlives it: who finds it gone may start it again.
    """
    words = _recorded(COORDINATOR)
    return words[1] if len(words) > 1 else None


def running(program: Program) -> int | None:
    """Return the process id that is recorded for a program, if that process is ours."""
    return _named(program, _recorded(program))


def keep_record(before: str) -> str:
    """Return the coordinator's record; write what it was ``before`` again if its file is gone.

    It goes with the state directory, and then nobody could stop what it names. ``stop`` removes
    the record of a process that has ended, and that is not written again. Raises NotAllowed
    if it cannot be written.
    """
    now, file = _text(COORDINATOR), _record(COORDINATOR)
    if now or _named(COORDINATOR, before.split()) is None:
        return now
    with local.alone(_START.format(COORDINATOR.name)), local.writable(file):
        if not _text(COORDINATOR):
            local.atomic_write(file, before.encode())
            _log.warning("%s was removed; it is there again", file)
    return before


def _named(program: Program, words: Sequence[str]) -> int | None:
    """Return the process id in a record of a program, if that process is ours."""
    try:
        pid = int(words[0])
    except (ValueError, IndexError):
        return None
    is_marked = any("@" in word for word in words)
    found = mark(pid)
    if not found or (is_marked and found not in words):
        return None
    return pid if _is_ours(pid, program) else None


def stop(program: Program) -> int | None:
    """End a program and wait for it; return its process id, None if it was not running.

    Raises DeadlineExceeded if it does not end in ``PATIENCE_S``.
    """
    pid = running(program)
    process = find(pid) if pid else None
    if process is not None:
        _terminate(process)
        _await_end(program, process)
    if program is COORDINATOR:
        _record(program).unlink(missing_ok=True)
    return process.pid if process else None


def is_listening(address: str) -> bool:
    """Whether anything takes connections at ``HOST:PORT``."""
    host, port = addresses.split(address)
    try:
        with socket.create_connection((host, int(port)), timeout=1.0):
            return True
    except OSError:
        return False


def speaks_tls(address: str) -> bool:
    """Whether what listens at ``HOST:PORT`` speaks TLS, also where it wants a certificate."""
    host, port = addresses.split(address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is told to it: which certificate it shows does not matter.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, int(port)), timeout=1.0) as plain:
            context.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLError as failure:
        return "ALERT" in (failure.reason or "")
    except OSError:
        return False
    return True


def serves(started: Started, address: str) -> bool:
    """Whether it is this process, and no other that was there first, that listens there."""
    port = int(addresses.split(address)[1])
    try:
        connections = psutil.Process(started.pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


def _written(log: Path) -> float:
    """When something was last written to a log; long ago, if there is none."""
    try:
        return log.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _last_line(path: Path, start: int = 0) -> str:
    with path.open("rb") as log:
        log.seek(start)
        lines = log.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _record(program: Program) -> Path:
    return local.state_dir() / program.pid_file


def _recorded(program: Program) -> list[str]:
    """What is written down of a program: its pid, a coordinator's address, its ``mark``."""
    return _text(program).split()


def _text(program: Program) -> str:
    try:
        return _record(program).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _start(program: Program, arguments: Sequence[str], address: str = "") -> Started:
    with local.alone(_START.format(program.name)):
        pid = running(program)
        if pid:
            return Started(program, pid, fresh=False)
        # Before anything runs: what it could not write down nobody could stop, or ask why.
        local.check_room()
        started = _spawn(program, arguments)
        if started.child and program is COORDINATOR:
            _write_down(started.child, f"{started.pid} {address} {mark(started.pid)}\n")
        return started


def _spawn(program: Program, arguments: Sequence[str]) -> Started:
    """Start a program of its own session, so that it outlives our terminal."""
    with _open_log(program.log) as log:
        log_start = log.seek(0, os.SEEK_END)
        child = subprocess.Popen(
            # -P: what lies in the current directory is not ours to import.
            [sys.executable, "-P", "-m", program.module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env=os.environ | {"SCOORD_STATE_DIR": str(local.state_dir())},
        )
    return Started(program, child.pid, fresh=True, child=child, log_start=log_start)


def _write_down(child: subprocess.Popen[bytes], line: str) -> None:
    """Write down which process it is; one that cannot be written down is ended."""
    file = _record(COORDINATOR)
    try:
        with local.writable(file):
            local.atomic_write(file, line.encode())
    except BaseException:
        child.kill()
        child.wait()
        raise


def _open_log(path: Path) -> IO[bytes]:
    with local.writable(path):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > _LOG_BYTES:
                path.replace(path.with_suffix(".log.1"))
        return path.open("ab")


def _is_ours(pid: int, program: Program) -> bool:
    """Whether a process runs the program: by its module, or as ``scoord agent`` by hand."""
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    by_hand = [Path(word).name for word in words[:3]]
    return program.module in words or by_hand[-2:] == ["scoord", program.name]


def _terminate(process: Process) -> None:
    try:
        psutil.Process(process.pid).terminate()
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as failure:
        raise NotAllowed(f"process {process.pid} is not ours to end; ask its user") from failure


def _await_end(program: Program, process: Process) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while is_running(process):
        if time.monotonic() > deadline:
            raise DeadlineExceeded(
                f"the {program.name} has not ended after {PATIENCE_S:g} s; "
                f"to end it without its farewell: kill -9 {process.pid}"
            )
        time.sleep(_POLL_S)
