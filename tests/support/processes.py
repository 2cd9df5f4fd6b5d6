"""Real programs of ours as processes, ended by process id whatever happens."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.etcd import Etcd
from support.ports import free_port

READY_S = 20.0

COORDINATOR = ("scoord_server",)
"""The module that is run as a coordinator."""


def end_on_signals() -> None:
    """Let SIGTERM and SIGINT end this program as Ctrl-C does, so that all it started ends too."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)


def wait_until(what: str, holds: Callable[[], bool], within_s: float = READY_S) -> float:
    """Wait until ``holds()``; the seconds it took. Fails with ``what`` when it never does."""
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > within_s:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - begun


class Program:
    """One running process of ours, with its output in a file."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", *arguments],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def output(self) -> str:
        """All it has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Stop its clockwork, as a debugger or an overloaded machine would."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        """Ask it to end; kill it when it does not."""
        if self.is_running():
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.kill()


def etcd_store(etcd: Etcd, namespace: bytes) -> tuple[str, ...]:
    """The options of a coordinator on ``etcd``, with keys of this test's own."""
    return ("--etcd", ",".join(etcd.endpoints), "--etcd-namespace", namespace.decode())


@contextmanager
def coordinator(
    directory: Path,
    *store: str,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    program: Sequence[str] = COORDINATOR,
) -> Iterator["CoordinatorProcess"]:
    """A running coordinator on the store that the options name."""
    port = port or free_port()
    running = CoordinatorProcess(directory, store, port, env or {}, program=program)
    try:
        running.wait_ready()
        yield running
    finally:
        running.end()


class CoordinatorProcess(Program):
    """One replica of the coordinator."""

    def __init__(
        self,
        directory: Path,
        store: Sequence[str],
        port: int,
        env: Mapping[str, str],
        host: str = "127.0.0.1",
        program: Sequence[str] = COORDINATOR,
    ) -> None:
        self.address = f"{host}:{port}"
        options = (*program, "--listen", self.address, *store)
        self.state_dir = directory / f"coordinator-{port}"
        environ = {**os.environ, "SCOORD_STATE_DIR": str(self.state_dir), **env}
        super().__init__(options, environ, directory / f"coordinator-{port}.log")

    def wait_ready(self) -> None:
        """Wait until it serves."""
        wait_until(f"coordinator serves: {self.log}", self._serves)

    def _serves(self) -> bool:
        assert self.is_running(), self.output()
        return "coordinator serves on" in self.output()
