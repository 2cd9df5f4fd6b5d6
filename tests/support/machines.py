"""Machines with an agent each, and coding sessions that post real Claude Code events."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import uuid4

from scoord import local
from scoord_agent.cli import local_client
from support.ports import free_port
from support.processes import Program, wait_until

FAST_LEASES = {
    "SCOORD_LEASES_TTL": "6",
    "SCOORD_LEASES_BELIEF": "4",
    "SCOORD_LEASES_HEARTBEAT": "1",
    "SCOORD_LEASES_RPC_TIMEOUT": "1",
}
"""A short life, so that tests of death are short too. The rules among them still hold."""

TOLD_WITHIN_S = 10.0
"""Notices come by way of the coordinator and its stream, some after an agent is back."""

Answer = dict[str, Any]

_KEEPING_CLIENT = Path(__file__).with_name("keeping_client.py")
_RUNNING_CLIENT = Path(__file__).with_name("running_client.py")


class Machine:
    """One user on one machine: a HOME, an agent, a port."""

    def __init__(self, home: Path, person: str, coordinators: str, **env: str) -> None:
        self.home = home
        self.port = free_port()
        home.mkdir(parents=True, exist_ok=True)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LOGNAME": person,
            "USER": person,
            "SCOORD_AGENT_PORT": str(self.port),
            "SCOORD_COORDINATOR_ADDRESSES": coordinators,
            # Where the programs are imported from, if not from where they are installed.
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
            **FAST_LEASES,
            **env,
        }
        self.agent: Program | None = None
        self._sessions: list[CodingSession] = []

    @property
    def state_dir(self) -> Path:
        """Where its agent keeps its things."""
        return self.home / ".local/state/scoord"

    def start_agent(self) -> Program:
        """Start the agent and wait until it listens."""
        self.agent = Program(["scoord_agent"], self.env, self.home / "agent.out")
        wait_until(f"the agent listens: {self.agent.log}", self._listens)
        return self.agent

    def session(self, cwd: Path, name: str = "") -> "CodingSession":
        """A coding CLI that stands in ``cwd``; it has not announced itself yet."""
        session = CodingSession(self, cwd, name or str(uuid4()))
        self._sessions.append(session)
        return session

    def forget(self, session: "CodingSession") -> None:
        """Keep nothing of a session that is over."""
        self._sessions.remove(session)

    def http_session(self, cwd: Path) -> "HttpSession":
        """A coding CLI that posts its events itself, and says nothing of its process."""
        session = HttpSession(self, cwd, str(uuid4()))
        self._sessions.append(session)
        return session

    def running_session(self, cwd: Path) -> "RunningSession":
        """A coding CLI whose model runs commands of ours."""
        session = RunningSession(self, cwd, str(uuid4()))
        self._sessions.append(session)
        return session

    @property
    def socket(self) -> Path:
        """Where its agent's own programs ask it."""
        with self._at_home():
            return local.socket_path()

    @property
    def token(self) -> str:
        """What its agent's listener asks for."""
        return (self.state_dir / "token").read_text(encoding="ascii").strip()

    def status(self, cwd: Path) -> Answer:
        """What ``scoord status --json`` prints there, without starting it."""
        with self._at_home():
            return local_client.status(everything=False, cwd=str(cwd))

    def _at_home(self) -> AbstractContextManager[object]:
        return patch.dict(os.environ, {"SCOORD_STATE_DIR": str(self.state_dir)})

    def scoord(self, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
        """Run a command of ours, as its user would."""
        command = [str(Path(sys.executable).parent / "scoord"), *arguments]
        return subprocess.run(
            command, env=self.env, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
        )

    def post(
        self, path: str, body: bytes, headers: dict[str, str] | None = None
    ) -> tuple[int, Answer]:
        """One POST to the agent's listener, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        said = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            connection.request("POST", path, body, said | (headers or {}))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def end(self) -> None:
        """End everything that runs on it."""
        for session in self._sessions:
            session.kill()
        if self.agent:
            self.agent.end()

    def _listens(self) -> bool:
        assert self.agent is not None
        assert self.agent.is_running(), self.agent.output()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            connection.request("GET", "/v1/health")
            answered = connection.getresponse().status == 401
            connection.close()
        except OSError:
            return False
        return answered


@dataclass
class CodingSession:
    """One coding CLI: a process, a session id, and the events it posts."""

    machine: Machine
    cwd: Path
    session_id: str
    process: "subprocess.Popen[bytes]" = field(init=False)
    said_intent: str = field(default="", init=False)
    """``SCOORD_INTENT`` of its environment: the hook of a start passes it on."""

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(["sleep", "600"])

    @property
    def pid(self) -> int:
        """The process id of the coding CLI."""
        return self.process.pid

    def post(self, event: str, **fields: Any) -> Answer:
        """Post one event the way a command hook does, with the process id."""
        headers = {"X-Scoord-Pid": str(self.pid)}
        if event == "SessionStart" and self.said_intent:
            headers["X-Scoord-Intent"] = self.said_intent
        body = json.dumps(self.body(event, **fields)).encode()
        status, answer = self.machine.post(f"/v1/hooks/claude-code/{event}", body, headers)
        assert status == 200, answer
        return answer

    def body(self, event: str, **fields: Any) -> Answer:
        """The event as Claude Code would send it."""
        return {
            "session_id": self.session_id,
            "transcript_path": "/nowhere/transcript.jsonl",
            "cwd": str(self.cwd),
            "permission_mode": "default",
            "hook_event_name": event,
            **fields,
        }

    def start(self) -> str:
        """Announce the session; what it is told."""
        return context(self.post("SessionStart", source="startup"))

    def prompt(self, text: str) -> Answer:
        """A prompt is typed."""
        return self.post("UserPromptSubmit", prompt=text)

    def edit(self, path: str | Path, tool: str = "Edit", **fields: Any) -> Answer:
        """An edit is about to happen."""
        named = "notebook_path" if tool == "NotebookEdit" else "file_path"
        return self.post(
            "PreToolUse",
            tool_name=tool,
            tool_input={named: str(path)},
            tool_use_id=f"toolu_{uuid4().hex[:8]}",
            **fields,
        )

    def edited(self, path: str | Path, **fields: Any) -> Answer:
        """An edit has happened."""
        return self.post(
            "PostToolUse",
            tool_name="Edit",
            tool_input={"file_path": str(path)},
            tool_response={"filePath": str(path)},
            tool_use_id=f"toolu_{uuid4().hex[:8]}",
            **fields,
        )

    def told(self) -> str:
        """What it is told at a hook that says nothing of its own."""
        return context(self.prompt("go on"))

    def told_at_last(self, part: str) -> str:
        """What it is told at the first hook that tells it ``part``, which comes by itself."""
        told: list[str] = []

        def is_told() -> bool:
            told.append(self.told())
            return part in told[-1]

        seconds_until(f"it is told {part!r}: {told}", is_told, TOLD_WITHIN_S)
        return told[-1]

    def end(self, reason: str = "other") -> Answer:
        """Announce the end; the process goes on until it is killed."""
        return self.post("SessionEnd", reason=reason)

    def kill(self) -> None:
        """End its process, as a closed terminal does."""
        self.process.kill()
        self.process.wait()


class HttpSession(CodingSession):
    """A coding CLI whose own process posts its events, on a connection that it keeps."""

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(_KEEPING_CLIENT), str(self.machine.port), self.machine.token],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def post(self, event: str, **fields: Any) -> Answer:
        """Post one event the way an http hook does: only the connection tells whose it is."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        path, body = f"/v1/hooks/claude-code/{event}", self.body(event, **fields)
        self.process.stdin.write(json.dumps({"path": path, "body": body}).encode() + b"\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        assert told["status"] == 200, told
        return dict(told["answer"])

    def kill(self) -> None:
        """End its process."""
        self.process.kill()
        self.process.communicate()


@dataclass(frozen=True)
class Command:
    """One command of ours that a coding CLI has started."""

    files: Path

    def text(self, suffix: str) -> str:
        """What it has written so far: ``out``, ``err``, ``pid`` or ``rc``."""
        file = self.files.with_suffix(f".{suffix}")
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def wait(self, within_s: float = 20.0) -> int:
        """Wait until it has ended; its exit code."""
        wait_until(f"the command ends: {self.files}", lambda: self.text("rc") != "", within_s)
        return int(self.text("rc"))

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.end_by(signal.SIGINT)

    def end_by(self, number: signal.Signals) -> None:
        """Send it a signal."""
        wait_until("the command runs", lambda: self.text("pid") != "")
        os.kill(int(self.text("pid")), number)


class RunningSession(CodingSession):
    """A coding CLI that runs commands as its own children, so that they are the session's."""

    def __post_init__(self) -> None:
        self._count = count()
        self.process = subprocess.Popen(
            [sys.executable, str(_RUNNING_CLIENT)], stdin=subprocess.PIPE, env=self.machine.env
        )

    def start_command(self, *arguments: str, cwd: Path | None = None) -> Command:
        """Start ``scoord`` with ``arguments``."""
        return self.start_program(str(Path(sys.executable).parent / "scoord"), *arguments, cwd=cwd)

    def start_program(self, *words: str, cwd: Path | None = None) -> Command:
        """Start any program as a child of this coding CLI."""
        assert self.process.stdin is not None
        command = Command(self.machine.home / f"command-{self.pid}-{next(self._count)}")
        line = {
            "arguments": words,
            "cwd": str(cwd or self.cwd),
            "files": str(command.files),
        }
        self.process.stdin.write(json.dumps(line).encode() + b"\n")
        self.process.stdin.flush()
        return command

    def run(self, *arguments: str, cwd: Path | None = None) -> tuple[int, str]:
        """Run ``scoord`` with ``arguments``; its exit code and all it printed."""
        command = self.start_command(*arguments, cwd=cwd)
        code = command.wait()
        return code, command.text("out") + command.text("err")

    def kill(self) -> None:
        """End its process."""
        self.process.kill()
        self.process.communicate()


def refusal(answer: Answer) -> str:
    """Why an edit was denied; empty when it was not."""
    output = answer.get("hookSpecificOutput", {})
    if output.get("permissionDecision") != "deny":
        return ""
    return str(output["permissionDecisionReason"])


def context(answer: Answer) -> str:
    """What the model is told beside an allowed event."""
    return str(answer.get("hookSpecificOutput", {}).get("additionalContext", ""))


@contextmanager
def machines(*made: Machine) -> Iterator[None]:
    """Agents running on ``made``; all ended afterwards."""
    try:
        for machine in made:
            machine.start_agent()
        yield
    finally:
        for machine in made:
            machine.end()


def repository(path: Path, files: dict[str, str], origin: str = "") -> Path:
    """A git repository with one commit."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    git(path, "add", ".")
    git(path, "commit", "-q", "-m", "first")
    if origin:
        git(path, "remote", "add", "origin", origin)
    return path


def clone(source: Path, path: Path, origin: str) -> Path:
    """A second clone, whose origin is the team's and not the folder it was made from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    git(source, "clone", "-q", str(source), str(path))
    git(path, "remote", "set-url", "origin", origin)
    return path


def git(path: Path, *arguments: str) -> str:
    """Run git there, with no settings but ours."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    done = subprocess.run(
        ["git", *arguments], cwd=path, env=env, check=True, capture_output=True, text=True
    )
    return done.stdout


_Coding = TypeVar("_Coding", bound=CodingSession)


def started(session: _Coding) -> _Coding:
    """The session, after its start was announced."""
    session.start()
    return session


def seconds_until(what: str, holds: Any, within_s: float) -> float:
    """Like ``wait_until``, on a coarser beat for things that cost a round trip."""
    begun = time.monotonic()
    while not holds():
        if time.monotonic() - begun > within_s:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.1)
    return time.monotonic() - begun
