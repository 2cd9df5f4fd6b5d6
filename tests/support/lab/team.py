"""What runs on the machines: etcd members, coordinators, agents, coding sessions."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from scoord_hooks.claude_wiring import Transport, UnreachableAction, Wiring, entries_of
from scoord_hooks.places import packaged_shim
from support.etcd import Member
from support.lab.network import Namespace
from support.machines import Answer, CodingSession, Machine
from support.processes import CoordinatorProcess, Program, wait_until

CLIENT_PORT = 2379
PEER_PORT = 2380
COORDINATOR_PORT = 7780
_GONE_S = 10.0


def _as_installed(event: str) -> dict[str, Any]:
    """What the installed settings say of an event, with http hooks."""
    wiring = Wiring(
        transport=Transport.HTTP,
        port=0,
        token="",
        shim="",
        bash="bash",
        exec_form=True,
        unreachable=UnreachableAction.BLOCK,
    )
    group = dict(entries_of(wiring).groups)[event]
    (handler,) = cast("list[dict[str, Any]]", group["hooks"])
    return handler


@dataclass
class Store:
    """One member of the etcd cluster, on its own machine."""

    space: Namespace
    member: Member
    cluster: str

    def spawn(self) -> None:
        """Start it, on the data it had."""
        with self.space.entered():
            self.member.spawn(self.cluster)

    def wait_until_healthy(self) -> None:
        """Wait until it has a leader."""
        with self.space.entered():
            self.member.wait_until_healthy()

    def post(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Ask its JSON gateway, from its own machine."""
        with self.space.entered():
            return self.member.post(path, dict(body or {}))

    def version(self) -> str:
        """The version of its etcd."""
        return str(self.post("/v3/maintenance/status")["version"])

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.member.process is not None
        return self.member.process.pid

    @property
    def is_up(self) -> bool:
        """Whether its process runs."""
        return self.member.process is not None and self.member.process.poll() is None

    def hand_over(self, other: "Store") -> None:
        """Let another member lead; this one must be the leader."""
        status = other.post("/v3/maintenance/status")
        target = {"targetID": status["header"]["member_id"]}
        self.post("/v3/maintenance/transfer-leadership", target)

    def leads(self) -> bool:
        """Whether it is the leader, as it sees it."""
        try:
            status = self.post("/v3/maintenance/status")
        except OSError:
            return False
        return bool(status.get("leader", "0") == status["header"]["member_id"])


@dataclass
class Replica:
    """One coordinator on its own machine."""

    space: Namespace
    directory: Path
    etcd: str
    process: CoordinatorProcess | None = None
    _starts: int = 0

    @property
    def address(self) -> str:
        """Where agents find it."""
        return f"{self.space.address}:{COORDINATOR_PORT}"

    @property
    def running(self) -> CoordinatorProcess:
        """The process."""
        assert self.process is not None
        return self.process

    def start(self) -> None:
        """Start it, with a log of its own, and wait until it serves."""
        self._starts += 1
        directory = self.directory / f"{self.space.name}-{self._starts}"
        directory.mkdir()
        options = ("--insecure", "--etcd", self.etcd)
        # The store's history is followed from its first revision on, also by what was down.
        env = {"SCOORD_COMPACTION_INTERVAL": "0"}
        with self.space.entered():
            self.process = CoordinatorProcess(
                directory, options, COORDINATOR_PORT, env, self.space.address
            )
        self.process.wait_ready()

    def reap(self) -> None:
        """Wait until it is gone, after a signal of somebody's."""
        self.running.process.wait(timeout=_GONE_S)

    def kill(self) -> None:
        """Kill -9, if it was ever started."""
        if self.process is not None:
            self.process.kill()


class AgentMachine(Machine):
    """A machine in a namespace. Its sessions ask through the shim, as command hooks do."""

    def __init__(self, space: Namespace, home: Path, coordinators: Sequence[str]) -> None:
        super().__init__(
            home,
            home.name,
            ",".join(coordinators),
            SCOORD_COORDINATOR_INSECURE="true",
            SCOORD_UNREACHABLE_ACTION="block",
            SCOORD_HEARTBEAT_INTERVAL="1",  # so that activity is published under every fault
        )
        self.space = space
        self.shim = home / "shim.sh"
        self.shim.write_bytes(packaged_shim())
        self._hooks = space

    def start_agent(self) -> Program:
        """Start the agent inside the namespace."""
        with self.space.entered():
            return super().start_agent()

    @property
    def agent_pid(self) -> int:
        """The agent that runs now; a hook may have started it."""
        return int((self.state_dir / "agent.lock").read_text(encoding="ascii").split()[0])

    def signal_agent(self, number: signal.Signals) -> None:
        """Send a signal to exactly the agent."""
        os.kill(self.agent_pid, number)

    @contextlib.contextmanager
    def hooks_come_from(self, space: Namespace) -> Iterator[None]:
        """Its coding CLIs and their hooks have another network meanwhile."""
        self._hooks = space
        try:
            yield
        finally:
            self._hooks = self.space

    def reap(self) -> None:
        """Wait until the agent that was started here is gone, after a signal of somebody's."""
        assert self.agent is not None
        self.agent.process.wait(timeout=_GONE_S)

    def revive(self) -> None:
        """See that an agent runs: the one a hook has started meanwhile, or a new one."""
        if self.agent is not None and not self.agent.is_running():
            with contextlib.suppress(AssertionError):
                self.start_agent()
        wait_until("an agent answers", self._answers)

    def by_shim(self, event: str, body: Answer, pid: int) -> Answer:
        """One event through the shim, as the process ``pid`` sends it.

        Raises OSError when somebody killed the shim; it never ends otherwise than well.
        """
        command = ["bash", str(self.shim), "claude-code", event, "block"]
        with self._hooks.entered():
            done = subprocess.run(
                command,
                input=json.dumps(body).encode(),
                env=self.env | {"CLAUDE_PID": str(pid)},
                capture_output=True,
                timeout=10,
                check=False,
            )
        if done.returncode == -signal.SIGKILL:
            raise ConnectionAbortedError("the hook was killed")
        done.check_returncode()
        return dict(json.loads(done.stdout or b"{}"))

    def by_http(self, event: str, body: Answer, pid: int) -> Answer:
        """One event posted as an http hook posts it. Raises OSError when none answers."""
        said = {"Authorization": f"Bearer {self.token}", "X-Scoord-Pid": str(pid)}
        gives_up_s = float(_as_installed(event)["timeout"])
        with self._hooks.entered():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, gives_up_s)
            with contextlib.closing(connection):
                path = f"/v1/hooks/claude-code/{event}"
                connection.request("POST", path, json.dumps(body), said)
                return dict(json.loads(connection.getresponse().read()))

    def _answers(self) -> bool:
        with self.space.entered():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, 1)
                with contextlib.closing(connection):
                    connection.request("GET", "/v1/health")
                    return connection.getresponse().status == http.client.UNAUTHORIZED
            except OSError:
                return False


class LabSession(CodingSession):
    """A coding CLI on a machine of the lab; ``shim`` says whether all its events go by command."""

    machine: AgentMachine
    shim: bool = True

    def post(self, event: str, **fields: Any) -> Answer:
        """Send one event. Raises OSError when nobody answers an http hook in time."""
        by_command = self.shim or _as_installed(event)["type"] == "command"
        send = self.machine.by_shim if by_command else self.machine.by_http
        return send(event, self.body(event, **fields), self.pid)


@dataclass
class Probe:
    """Asks, with sessions and files of its own, whether edits succeed."""

    machine: AgentMachine
    clone: Path
    _asked: int = 0
    _sessions: list[LabSession] = field(default_factory=list)

    def edits(self) -> bool:
        """Whether a session takes a file that nobody ever had."""
        self._asked += 1
        session = self._session()
        return session.edit(f"probe/{self.machine.home.name}-{self._asked}.py") == {}

    def close(self) -> None:
        """End its session."""
        for session in self._sessions:
            session.kill()

    def _session(self) -> LabSession:
        if not self._sessions:
            self._sessions.append(LabSession(self.machine, self.clone, f"probe-{time.time_ns()}"))
        return self._sessions[0]


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def stands_still(pid: int) -> bool:
    """Whether a signal has stopped the process."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    return stat.rpartition(")")[2].split()[0] == "T"
