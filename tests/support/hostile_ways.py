"""Hostile texts through every way in: by hooks and commands, and by an agent that cleans nothing.

Each scene is a project of its own on two machines. Alice's sessions send, a session of
Bob's is in their way; what each is answered right then is kept, by what it is.
"""

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import grpc
from google.protobuf.duration_pb2 import Duration

from scoord.errors import ScoordError
from scoord.v1 import locks_pb2 as locks
from scoord.v1 import sessions_pb2 as pb
from scoord.v1.locks_pb2_grpc import LockServiceStub
from scoord.v1.sessions_pb2_grpc import SessionServiceStub
from scoord_agent.cli import local_client
from support.machines import CodingSession, Machine, context, refusal, seconds_until
from support.pair import Clones, Pair

_LASTS = Duration(seconds=600)
_MOST_NAME = 1000  # characters, where there is a limit for all that is sent at once
_QUIET = 3  # prompts in a row that tell nothing: the stream brings some of it a moment later
_ROUNDS = 60  # until a session has been told all: five notices at each prompt


@dataclass
class Scene:
    """One project whose sessions say ``texts``."""

    two: Pair
    at: Clones
    texts: Sequence[str]
    by: str
    """Who sends them: ``agents`` of ours, or a ``hand`` that passes on everything as it is."""
    heard: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By what it is: ``welcome``, ``refusal``, ``notice``, ``failure``."""

    def begin(self) -> tuple[CodingSession, dict[str, Any]]:
        """Bob's session, the first of the scene, which is told things; and how others see it."""
        bob = self.two.bob.session(self.at.bobs)
        bob.start()
        seconds_until("it is seen", lambda: self.two.bob.status(self.at.bobs)["sessions"], 8)
        (row,) = self.two.bob.status(self.at.bobs)["sessions"]
        return bob, row

    def hear(self, kind: str, *told: str) -> None:
        """Keep what was told, where anything was."""
        self.heard[kind] += filter(None, told)

    def ask(self, machine: Machine, route: str, /, **fields: Any) -> dict[str, Any]:
        """Ask an agent's local API; what it refuses is kept as the failure that is shown."""
        home = self.at.alices if machine is self.two.alice else self.at.bobs
        body = {"cwd": str(home), "pid": os.getpid(), **fields}
        try:
            with at_home_of(machine):
                return local_client.ask("POST", route, body)
        except ScoordError as error:
            self.hear("failure", *error.lines)
            return {}


@contextlib.contextmanager
def at_home_of(machine: Machine) -> Iterator[None]:
    """Ask that machine's agent from here."""
    with patch.dict(os.environ, machine.env | {"SCOORD_STATE_DIR": str(machine.state_dir)}):
        yield


def speak(scene: Scene) -> None:
    """Send each text as a session of Alice, its person, and Bob's session do."""
    bob, row = scene.begin()
    for number, text in enumerate(scene.texts):
        alice = _work(scene, number, text)
        _collide(scene, bob, number, text)
        _say(scene, alice, row["alias"], text)
        _break(scene, bob, number, text)
        _write_down(scene, alice, text)
    drain(scene, bob)


def _refused(scene: Scene, answer: dict[str, Any]) -> None:
    """Keep why an edit is denied, if it is, apart from the notices that come with it."""
    scene.hear("notice", context(answer))
    lines = refusal(answer).split("\n")
    how_many = 3 if len(lines) > 1 and lines[1].startswith("   ") else 1
    scene.hear("refusal" if how_many > 1 else "failure", "\n".join(lines[:how_many]))
    scene.hear("notice", "\n".join(lines[how_many:]))


def drain(scene: Scene, session: CodingSession) -> None:
    """Hear all that a session is yet to be told."""
    quiet = 0
    for _ in range(_ROUNDS):
        told = session.told()
        scene.hear("notice", told)
        quiet = 0 if told else quiet + 1
        if quiet == _QUIET:
            return


def _work(scene: Scene, number: int, text: str) -> CodingSession:
    """A session on a branch of that name, with that prompt, step, subagent and file."""
    alice = scene.two.alice.session(scene.at.alices)
    head = scene.at.alices / ".git" / "HEAD"
    head.write_text(f"ref: refs/heads/{text}\n", encoding="utf-8")
    scene.hear("welcome", alice.start())
    alice.prompt(text)
    todos = [{"content": text, "status": "in_progress", "activeForm": text}]
    alice.post("PostToolUse", tool_name="TodoWrite", tool_input={"todos": todos}, tool_response={})
    alice.edit(f"{scene.at.alices}/held{number}.py")
    head.write_text("ref: refs/heads/main\n", encoding="utf-8")
    _refused(scene, alice.edit(f"{scene.at.alices}/{text}"))
    _refused(scene, alice.edit(f"{scene.at.alices}/of-subagent{number}.py", agent_id=text))
    return alice


def _collide(scene: Scene, bob: CodingSession, number: int, text: str) -> None:
    """Bob's session meets what Alice's holds, and waits for it."""
    scene.hear("notice", context(bob.prompt(f"mend held{number}.py")))
    _refused(scene, bob.edit(f"{scene.at.bobs}/held{number}.py"))
    _refused(scene, bob.edit(f"{scene.at.bobs}/{text}"))


def _say(scene: Scene, alice: CodingSession, bob: str, text: str) -> None:
    """What a session is made to say of itself, and to another one."""
    machine, pid = scene.two.alice, alice.pid
    for fields in ({"paths": [text]}, {"paths": [f"{text}*"]}, {"paths": [f"also-{pid}.py"]}):
        scene.ask(machine, "/v1/acquire", pid=pid, reason=text, **fields)
    scene.ask(machine, "/v1/release", pid=pid, paths=[f"not-held/{text}"])
    scene.ask(machine, "/v1/progress", pid=pid, percent=50, step=text)
    scene.ask(machine, "/v1/depends", pid=pid, on=[text])
    scene.ask(machine, "/v1/depends", pid=pid, on=[bob])
    scene.ask(machine, "/v1/tell", to=bob, text=text)
    scene.ask(machine, "/v1/tell", to=text, text="hello")


def _break(scene: Scene, bob: CodingSession, number: int, text: str) -> None:
    """A lock of Bob's session is broken by somebody of that name, for that reason."""
    path = f"bobs{number}.py"
    scene.hear("notice", context(bob.edit(f"{scene.at.bobs}/{path}")))
    fields = {"path": path, "by": text[:_MOST_NAME], "reason": text}
    shown = scene.ask(scene.two.alice, "/v1/break", token=2**62, **fields)
    scene.ask(scene.two.alice, "/v1/break", token=shown["current"]["token"], **fields)


def _write_down(scene: Scene, alice: CodingSession, text: str) -> None:
    """Tasks, and the graph; a text that is too long for a name stands among the facts."""
    machine, note = scene.two.alice, f"note{alice.pid}"
    scene.ask(machine, "/v1/tasks/add", titles=[text], area="")
    scene.ask(machine, "/v1/tasks/add", titles=[text], area=text)
    for route in ("/v1/tasks/done", "/v1/tasks/remove"):
        scene.ask(machine, route, task_id=text)
    for name, facts in ((text, [text]), (note, [text]), (f"{note}b", [text[:1500]])):
        row = {"name": name, "entityType": text if name == text else "note", "observations": facts}
        scene.ask(machine, "/v1/graph/add", entities=[row])
    for kind in (text, "is about"):
        link = {"from": text, "relationType": kind, "to": f"{note}b"}
        scene.ask(machine, "/v1/graph/add", relations=[link])
    scene.ask(machine, "/v1/graph/remove", entities=[text, "active_session_Session_1"])


def speak_raw(scene: Scene) -> None:
    """Send each text as an agent does that passes on everything as it is."""
    bob, row = scene.begin()
    project = row["project"]
    with grpc.insecure_channel(scene.two.coordinator.address) as channel:
        for number, text in enumerate(scene.texts):
            said = (("scoord-machine", "m9"), ("scoord-person", quote(text[:_MOST_NAME])))
            raw = _Raw(SessionServiceStub(channel), LockServiceStub(channel), project, said)
            with contextlib.suppress(grpc.RpcError):
                raw.join(text, text, row["session_id"])
            raw.join(f"raw{number}", text, row["session_id"])
            raw.take(f"raw{number}", f"raw{number}.py", text)
            raw.tell(row["session_id"], text)
            scene.hear("notice", context(bob.edit(f"{scene.at.bobs}/bobs{number}.py")))
            raw.snatch(f"bobs{number}.py", text)
            raw.join(f"over{number}", text, row["session_id"])
            raw.end(f"over{number}", text)
            _refused(scene, bob.edit(f"{scene.at.bobs}/raw{number}.py"))
    drain(scene, bob)
    scene.hear("welcome", scene.two.bob.session(scene.at.bobs).start())


class _Raw:
    """An agent that hides nothing and cleans nothing."""

    def __init__(
        self,
        sessions: SessionServiceStub,
        holds: LockServiceStub,
        project: str,
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        self._sessions, self._locks = sessions, holds
        self._project, self._metadata = project, metadata
        self._leases: dict[str, int] = {}

    def join(self, name: str, text: str, other: str) -> None:
        """A session of which everything is ``text``."""
        session = pb.Session(
            session_id=name,
            project=self._project,
            machine_id="m9",
            alias=text,
            terminal=text,
            status=pb.SessionStatus.SESSION_STATUS_WORKING,
            progress=pb.WorkProgress(done=1, total=3, percent=33, step=text, source=text),
            estimate=pb.Estimate(left=_LASTS, low=_LASTS, high=_LASTS, basis=text, samples=3),
            areas=[text],
            depends_on=[pb.Dependency(session_id=other, alias=text, why=text, path=text)],
        )
        for each in ("host", "person", "client", "client_version", "worktree", "branch", "intent"):
            setattr(session, each, text)
        request = pb.RegisterRequest(
            request_id=f"join {hash(name)}",
            session=session,
            lease_ttl=_LASTS,
            retention=_LASTS,
            archive=True,
        )
        answer = self._sessions.Register(request, timeout=5, metadata=self._metadata)
        self._leases[name] = answer.lease_id

    def end(self, name: str, why: str) -> None:
        """End a session."""
        request = pb.EndRequest(
            request_id=f"end {name}",
            project=self._project,
            session_id=name,
            lease_id=self._leases[name],
            why=why,
        )
        self._sessions.End(request, timeout=5, metadata=self._metadata)

    def take(self, name: str, path: str, text: str) -> None:
        """Take a lock, for a subagent that is called ``text`` if there may be such a one."""
        request = locks.AcquireRequest(
            request_id=f"take {path}",
            project=self._project,
            session_id=name,
            lease_id=self._leases[name],
            agent_id=text,
            paths=[path],
            reason=text,
            branch=text,
            commit=text,
        )
        with contextlib.suppress(grpc.RpcError):
            self._locks.Acquire(request, timeout=5, metadata=self._metadata)
        request.agent_id = ""
        self._locks.Acquire(request, timeout=5, metadata=self._metadata)

    def tell(self, session: str, text: str) -> None:
        """Tell a session ``text``, as somebody of that name; one that is empty is refused."""
        request = pb.TellRequest(
            request_id=f"tell {hash(text)}",
            project=self._project,
            session_id=session,
            by=text,
            text=f"{text} said",
        )
        self._sessions.Tell(request, timeout=5, metadata=self._metadata)
        request.request_id += " through a session"
        request.through.CopyFrom(_holder(text))
        self._sessions.Tell(request, timeout=5, metadata=self._metadata)

    def snatch(self, path: str, text: str) -> None:
        """Break a lock, whoever has it."""
        request = locks.BreakRequest(
            request_id=f"look {path}",
            project=self._project,
            lock=locks.LockRef(path=path, token=2**62),
            by=text,
            reason=text,
            through=_holder(text),
        )
        shown = self._locks.Break(request, timeout=5, metadata=self._metadata)
        request.request_id = f"break {path}"
        request.lock.token = shown.not_broken.current.token
        self._locks.Break(request, timeout=5, metadata=self._metadata)


def _holder(text: str) -> locks.Holder:
    """A session of which everything is ``text`` but its id."""
    return locks.Holder(
        session_id="raw", alias=text, person=text, host=text, branch=text, commit=text
    )
