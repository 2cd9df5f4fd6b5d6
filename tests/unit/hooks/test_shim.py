"""The shim as a coding CLI runs it: a real bash, a real socket.

``SCOORD_TEST_BASH`` names another bash to run it with, such as a 3.2.
"""

import asyncio
import io
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from support.recording_agent import RecordingAgent, recording_agent

HOOKS = Path(__file__).parents[3] / "hooks"
SHIM = HOOKS / "scoord_hooks" / "plugin" / "hooks" / "shim.sh"
BASH = os.environ.get("SCOORD_TEST_BASH") or shutil.which("bash") or "bash"
EVENT = {"session_id": "0f6b", "cwd": "/repo", "hook_event_name": "PreToolUse"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the shim printed, and how long it took."""

    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> Mapping[str, object]:
        answer = json.loads(self.stdout)
        assert isinstance(answer, dict)
        return answer


@dataclass(frozen=True, slots=True)
class Shim:
    """The shim with a state directory of its own."""

    state: Path

    def set_up(self, port: int, python: str = "/bin/false") -> None:
        lines = f"SCOORD_PORT={port}\nSCOORD_TOKEN=s3cret\nSCOORD_PYTHON='{python}'\n"
        (self.state / "hook.env").write_text(lines)

    async def run(
        self,
        *arguments: str,
        body: bytes = json.dumps(EVENT).encode(),
        script: Path = SHIM,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer:
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            BASH,
            script,
            *arguments,
            env={"PATH": os.environ["PATH"], "SCOORD_STATE_DIR": str(self.state), **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        stdout, stderr = await process.communicate(body)
        assert process.returncode == 0
        return Answer(stdout.decode(), stderr.decode(), time.monotonic() - began)


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    state = tmp_path / "state of mine"
    state.mkdir(mode=0o700)
    return Shim(state)


@pytest.fixture
async def agent(shim: Shim) -> AsyncIterator[RecordingAgent]:
    async with recording_agent() as agent:
        shim.set_up(agent.port)
        yield agent


def closed_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        assert isinstance(port, int)
        return port


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        json.dumps({"text": "\"quotes\" 'single' $(touch x) `y` \\ back % %s *"}).encode(),
        json.dumps({"text": "Grüße 😀 é"}, ensure_ascii=False).encode(),
        b'{"latin":"\xff\xfe","control":"\x01\x7f\x1b"}',
        json.dumps({"lines": "a\nb\r\n"}, indent=2).encode(),
        b'{"big":"' + b"x\\n\xc3\xbc" * 88_000 + b'"}',
    ],
    ids=["empty", "quotes", "unicode", "bytes", "lines", "440 KB"],
)
async def test_an_event_arrives_byte_for_byte(
    shim: Shim, agent: RecordingAgent, body: bytes
) -> None:
    answer = await shim.run("claude-code", "PreToolUse", body=body)
    assert agent.the("PreToolUse").raw == body
    assert (answer.stdout, answer.stderr) == ("{}\n", "")


async def test_a_line_end_after_the_event_is_not_part_of_it(
    shim: Shim, agent: RecordingAgent
) -> None:
    await shim.run("claude-code", "Stop", body=b'{"a":1}\n')
    assert agent.the("Stop").raw == b'{"a":1}'


async def test_an_event_that_comes_through_a_socket_arrives_too(
    shim: Shim, agent: RecordingAgent
) -> None:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        ours.sendall(b'{"a":1}')
        ours.shutdown(socket.SHUT_WR)
        assert (await through(shim, theirs, "claude-code", "Stop")).stdout == "{}\n"
    assert agent.the("Stop").raw == b'{"a":1}'


@dataclass(frozen=True, slots=True)
class Event:
    """Both ends of what an event comes through."""

    ours: socket.socket | io.FileIO
    theirs: socket.socket | io.FileIO

    def write(self, data: bytes) -> None:
        os.write(self.ours.fileno(), data)


@pytest.fixture(params=["pipe", "socket"])
def unended(request: pytest.FixtureRequest) -> Iterator[Event]:
    """What a coding CLI leaves open."""
    if request.param == "socket":
        event = Event(*socket.socketpair())
    else:
        theirs, ours = os.pipe()
        event = Event(io.FileIO(ours, "w"), io.FileIO(theirs))
    with closing(event.ours), closing(event.theirs):
        yield event


async def through(shim: Shim, stdin: socket.socket | io.FileIO, *arguments: str) -> Answer:
    """Run the shim with that as its standard input."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        BASH, SHIM, *arguments, stdin=stdin.fileno(), stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "SCOORD_STATE_DIR": str(shim.state)},
    )  # fmt: skip
    async with asyncio.timeout(10):
        stdout, _ = await process.communicate()
    assert process.returncode == 0
    return Answer(stdout.decode(), "", time.monotonic() - began)


@pytest.mark.parametrize("name", ["PreToolUse", "SessionStart"])
async def test_an_event_that_does_not_come_is_not_waited_for(
    shim: Shim, agent: RecordingAgent, unended: Event, name: str
) -> None:
    answer = await through(shim, unended.theirs, "claude-code", name, "block")
    assert is_deny(answer) == (name == "PreToolUse")
    assert answer.seconds < 2.9
    assert not agent.calls


async def test_an_event_that_does_not_end_is_not_waited_for(
    shim: Shim, agent: RecordingAgent
) -> None:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        ours.sendall(b'{"a":')
        answer = await through(shim, theirs, "claude-code", "PreToolUse", "block")
    assert is_deny(answer)
    assert "all of the event, or an answer, did not come within 2 s" in answer.stdout
    assert answer.seconds < 2.9
    assert not agent.calls


async def test_an_event_that_comes_late_arrives(
    shim: Shim, agent: RecordingAgent, unended: Event
) -> None:
    running = asyncio.create_task(through(shim, unended.theirs, "claude-code", "Stop"))
    await asyncio.sleep(0.8)
    unended.write(b'{"a":1}')
    unended.ours.close()
    assert (await running).stdout == "{}\n"
    assert agent.the("Stop").raw == b'{"a":1}'


async def test_an_event_of_many_mebibytes_arrives_through_a_socket(
    shim: Shim, agent: RecordingAgent
) -> None:
    body = b'{"x":"' + b"x" * 8_000_000 + b'"}'
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        running = asyncio.create_task(through(shim, theirs, "claude-code", "Stop"))
        await asyncio.to_thread(ours.sendall, body)
        ours.shutdown(socket.SHUT_WR)
        assert (await running).stdout == "{}\n"
    assert agent.the("Stop").raw == body


async def test_where_standard_input_is_closed_an_empty_event_is_sent(
    shim: Shim, agent: RecordingAgent
) -> None:
    process = await asyncio.create_subprocess_exec(
        BASH, "-c", '"$0" "$1" claude-code Stop <&-', BASH, SHIM,
        env={"PATH": os.environ["PATH"], "SCOORD_STATE_DIR": str(shim.state)},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(5):
        stdout, _ = await process.communicate()
    assert (process.returncode, stdout) == (0, b"{}\n")
    assert agent.the("Stop").raw == b""


async def test_the_agent_is_told_who_asks(shim: Shim, agent: RecordingAgent) -> None:
    await shim.run("claude-code", "PreToolUse", environment={"CLAUDE_PID": "4711"})
    call = agent.the("PreToolUse")
    assert call.path == "/v1/hooks/claude-code/PreToolUse"
    assert call.headers["Authorization"] == "Bearer s3cret"
    assert call.headers["Host"] == f"127.0.0.1:{agent.port}"
    assert call.headers["X-Scoord-Pid"] == "4711"
    assert "X-Scoord-Intent" not in call.headers


async def test_without_a_process_id_of_the_cli_its_parent_is_told(
    shim: Shim, agent: RecordingAgent
) -> None:
    await shim.run("claude-code", "PreToolUse")
    assert agent.the("PreToolUse").headers["X-Scoord-Pid"] == str(os.getpid())


async def test_the_intent_goes_along_on_one_line(shim: Shim, agent: RecordingAgent) -> None:
    intent = "fix\r\nX-Evil: 1\x1b[2J über " + "y" * 5000
    await shim.run("claude-code", "PreToolUse", environment={"SCOORD_INTENT": intent})
    headers = agent.the("PreToolUse").headers
    assert headers["X-Scoord-Intent"].startswith("fix  X-Evil: 1 [2J über yyy")
    assert len(headers["X-Scoord-Intent"]) < 2001
    assert "X-Evil" not in headers


async def test_the_answer_is_passed_back_as_it_is(shim: Shim, agent: RecordingAgent) -> None:
    agent.answers["PreToolUse"] = {"reason": 'ü "quoted" \\ %s $(x)\n' + "x" * 20_000}
    answer = await shim.run("claude-code", "PreToolUse")
    assert answer.json == agent.answers["PreToolUse"]


def is_deny(answer: Answer) -> bool:
    specific = answer.json.get("hookSpecificOutput", {})
    assert isinstance(specific, dict)
    return specific.get("permissionDecision") == "deny"


def told(answer: Answer, event: str) -> str:
    """What the user is told in the agent's place, and the model too."""
    said = answer.json["systemMessage"]
    specific = {"hookEventName": event, "additionalContext": said}
    assert answer.json == {"hookSpecificOutput": specific, "systemMessage": said}
    return str(said)


@pytest.mark.parametrize("policy", [(), ("warn",)])
async def test_without_an_agent_an_edit_goes_on_with_a_warning(
    shim: Shim, policy: tuple[str, ...]
) -> None:
    port = closed_port()
    shim.set_up(port)
    answer = await shim.run("claude-code", "PreToolUse", *policy)
    why = f"edits are not coordinated now: no agent listens on port {port}"
    assert told(answer, "PreToolUse") == f"Session Coordinator: {why}. See: scoord doctor"


async def test_without_an_agent_an_edit_is_denied_if_so_wished(shim: Shim) -> None:
    port = closed_port()
    shim.set_up(port)
    answer = await shim.run("claude-code", "PreToolUse", "block")
    assert is_deny(answer)
    assert f"no agent listens on port {port}" in answer.stdout


async def test_without_an_agent_an_edit_goes_on_silently_if_so_wished(shim: Shim) -> None:
    shim.set_up(closed_port())
    assert (await shim.run("claude-code", "PreToolUse", "proceed")).stdout == ""


@pytest.mark.parametrize("name", ["PostToolUse", "UserPromptSubmit", "Stop", "SessionEnd"])
@pytest.mark.parametrize("policy", ["block", "warn", "proceed"])
async def test_without_an_agent_other_events_pass_without_a_word(
    shim: Shim, name: str, policy: str
) -> None:
    shim.set_up(closed_port())
    assert (await shim.run("claude-code", name, policy)).stdout == ""


@pytest.mark.parametrize("size", [10, 20_000_000], ids=["small", "more than a socket takes"])
async def test_an_agent_that_does_not_answer_is_not_waited_for(
    shim: Shim, agent: RecordingAgent, size: int
) -> None:
    agent.silent = True
    body = b'{"x":"' + b"x" * size + b'"}'
    answer = await shim.run("claude-code", "PreToolUse", "block", body=body)
    assert is_deny(answer)
    assert "did not answer within 2 s" in answer.stdout
    assert answer.seconds < 2.5 + size / 20_000_000


async def test_an_agent_that_stands_still_is_not_waited_for(shim: Shim) -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=1)) as frozen:
        shim.set_up(frozen.getsockname()[1])
        answers = [await shim.run("claude-code", "PreToolUse", "block")]
        # More than its backlog holds: connecting itself would wait.
        answers += await asyncio.gather(
            *(shim.run("claude-code", "PreToolUse", "block") for _ in range(4))
        )
    assert all(is_deny(answer) and answer.seconds < 2.6 for answer in answers)


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
async def test_an_agent_that_refuses_is_no_answer(
    shim: Shim, agent: RecordingAgent, status: int
) -> None:
    agent.status = status
    answer = await shim.run("claude-code", "PreToolUse", "block")
    assert is_deny(answer)
    assert f"port {agent.port} gave no valid answer" in answer.stdout


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\x00\x01\x02",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: a[$(touch hacked)]\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
        b"HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_what_is_not_our_agent_is_no_answer(shim: Shim, reply: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        shim.set_up(server.sockets[0].getsockname()[1])
        answer = await shim.run("claude-code", "PreToolUse", "block")
    assert is_deny(answer)
    assert "gave no valid answer" in answer.stdout
    assert not list(Path.cwd().glob("hacked"))


@pytest.mark.parametrize("policy", ["warn", "block"])
async def test_a_user_without_an_agent_is_told_so_in_one_line(shim: Shim, policy: str) -> None:
    answer = await shim.run("claude-code", "SessionStart", policy)
    said = told(answer, "SessionStart")
    assert "not set up for this user (no hook.env); run: scoord hooks install" in said


def fake_python(directory: Path, port: int) -> Path:
    """Write an interpreter that becomes an agent, as ``python -m scoord_agent`` would."""
    script = directory / "python"
    program = directory / "agent.py"
    program.write_text(
        "import http.server, os, sys\n"
        "class Agent(http.server.BaseHTTPRequestHandler):\n"
        "    def do_POST(self):\n"
        "        self.rfile.read(int(self.headers['Content-Length']))\n"
        "        self.send_response(200)\n"
        "        self.send_header('Content-Length', '16')\n"
        "        self.end_headers()\n"
        "        self.wfile.write(b'{\"started\":true}')\n"
        f"server = http.server.HTTPServer(('127.0.0.1', {port}), Agent)\n"
        f"open({str(directory / 'started')!r}, 'w').write(' '.join(sys.argv[1:]) + '|'\n"
        "    + os.environ['SCOORD_STATE_DIR'] + '|' + os.getcwd() + '|'\n"
        "    + str(os.getsid(0) == os.getpid()) + '|' + os.environ['SCOORD_AGENT_PORT'])\n"
        "server.handle_request()\n"
    )
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
    script.chmod(stat.S_IRWXU)
    return script


async def test_the_start_of_a_session_starts_the_agent(shim: Shim, tmp_path: Path) -> None:
    port = closed_port()
    shim.set_up(port, python=str(fake_python(tmp_path, port)))
    answer = await shim.run("claude-code", "SessionStart")
    assert answer.stdout.startswith('{"started"')
    arguments, state, cwd, leads_a_session, its_port = (tmp_path / "started").read_text().split("|")
    assert arguments == "-P -m scoord_agent"
    assert (state, cwd, its_port) == (str(shim.state), "/", str(port))
    assert leads_a_session == str(shutil.which("setsid") is not None)


async def test_an_agent_that_does_not_start_is_not_waited_for_long(shim: Shim) -> None:
    shim.set_up(closed_port())
    answer = await shim.run("claude-code", "SessionStart")
    assert "edits are not coordinated now" in told(answer, "SessionStart")
    assert answer.seconds < 2.6


@pytest.mark.parametrize("name", ["UserPromptSubmit", "PreToolUse"])
async def test_a_prompt_and_an_edit_start_an_agent_that_was_killed_and_do_not_wait(
    shim: Shim, tmp_path: Path, name: str
) -> None:
    port = closed_port()
    shim.set_up(port, python=str(fake_python(tmp_path, port)))
    (shim.state / "agent.lock").write_text("4711")
    answer = await shim.run("claude-code", name)
    assert ("no agent listens" in answer.stdout) == (name == "PreToolUse")
    async with asyncio.timeout(10):
        while not (tmp_path / "started").exists():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.05)
    assert (await shim.run("claude-code", "Stop")).stdout.startswith('{"started"')


@pytest.mark.parametrize(
    ("name", "pid"),
    [("PreToolUse", ""), ("UserPromptSubmit", ""), ("PostToolUse", "4711"), ("Stop", "4711")],
)
async def test_an_agent_that_was_stopped_and_other_events_start_none(
    shim: Shim, tmp_path: Path, name: str, pid: str
) -> None:
    port = closed_port()
    shim.set_up(port, python=str(fake_python(tmp_path, port)))
    (shim.state / "agent.lock").write_text(pid)
    await shim.run("claude-code", name)
    await asyncio.sleep(0.5)
    assert not (tmp_path / "started").exists()


def agent_that_fails(shim: Shim, directory: Path) -> Path:
    """The agent was killed, and each that is started fails: a line for each in this file."""
    begun, python = directory / "begun", directory / "python"
    python.write_text(f'#!/bin/sh\necho >>"{begun}"\n')
    python.chmod(stat.S_IRWXU)
    shim.set_up(closed_port(), python=str(python))
    (shim.state / "agent.lock").write_text("4711")
    return begun


async def test_many_hooks_at_once_start_one_agent_and_one_that_fails_is_not_started_again(
    shim: Shim, tmp_path: Path
) -> None:
    begun = agent_that_fails(shim, tmp_path)
    for _ in range(4):
        await shim.run("claude-code", "PreToolUse")
        await shim.run("claude-code", "UserPromptSubmit")
    async with asyncio.timeout(10):
        while not begun.exists():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    assert begun.read_text() == "\n"


@pytest.mark.parametrize(
    ("age_s", "is_started"),
    [(3600, True), (120, True), (30, False), (-3600, True)],
    ids=["of an hour ago", "of two minutes ago", "of just now", "of before the clock was set back"],
)
async def test_a_mark_of_a_start_keeps_others_from_it_for_a_minute_by_any_clock(
    shim: Shim, tmp_path: Path, age_s: float, *, is_started: bool
) -> None:
    begun = agent_that_fails(shim, tmp_path)
    mark, then = shim.state / "agent.starting", time.time() - age_s
    mark.touch()
    os.utime(mark, (then, then))
    await shim.run("claude-code", "UserPromptSubmit")
    with suppress(TimeoutError):
        async with asyncio.timeout(10 if is_started else 0.5):
            while not begun.exists():  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.05)
    assert is_started == begun.exists()


async def test_an_installed_copy_finds_its_own_state_directory(
    shim: Shim, agent: RecordingAgent, tmp_path: Path
) -> None:
    (shim.state / "hooks").mkdir()
    copy = shim.state / "hooks" / "shim.sh"
    shutil.copy(SHIM, copy)
    environment = {"SCOORD_STATE_DIR": "", "HOME": str(tmp_path)}
    answer = await shim.run("claude-code", "Stop", script=copy, environment=environment)
    assert answer.stdout == "{}\n"


@pytest.mark.parametrize("variable", ["HOME", "XDG_STATE_HOME"])
async def test_a_shim_in_a_checkout_finds_the_usual_state_directory(
    shim: Shim, agent: RecordingAgent, tmp_path: Path, variable: str
) -> None:
    below = ".local/state/scoord" if variable == "HOME" else "scoord"
    (tmp_path / below).mkdir(parents=True)
    (shim.state / "hook.env").rename(tmp_path / below / "hook.env")
    environment = {"SCOORD_STATE_DIR": "", variable: str(tmp_path)}
    answer = await shim.run("claude-code", "Stop", environment=environment)
    assert answer.stdout == "{}\n"


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("session-start.sh", "SessionStart"),
        ("session-end.sh", "SessionEnd"),
        ("pre-tool-call.sh", "PreToolUse"),
    ],
)
async def test_scripts_for_wiring_by_hand_send_their_event(
    shim: Shim, agent: RecordingAgent, script: str, name: str
) -> None:
    assert (await shim.run(script=HOOKS / script)).stdout == "{}\n"
    assert agent.the(name).path == f"/v1/hooks/claude-code/{name}"


@pytest.mark.parametrize("script", ["session-start.sh", "session-end.sh", "pre-tool-call.sh"])
async def test_scripts_for_wiring_by_hand_may_be_linked_to(
    shim: Shim, agent: RecordingAgent, tmp_path: Path, script: str
) -> None:
    near, far = tmp_path / "bin" / "near one.sh", tmp_path / "lib" / "far.sh"
    for link in (near, far):
        link.parent.mkdir()
    far.symlink_to(HOOKS / script)
    near.symlink_to("../lib/far.sh")
    assert (await shim.run(script=near)).stdout == "{}\n"


async def test_a_link_beside_the_caller_is_followed_too(
    shim: Shim, agent: RecordingAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here.sh").symlink_to(HOOKS / "session-end.sh")
    monkeypatch.chdir(tmp_path)
    assert (await shim.run(script=Path("here.sh"))).stdout == "{}\n"


def test_the_installing_script_may_be_linked_to(tmp_path: Path) -> None:
    checkout, link = tmp_path / "checkout", tmp_path / "install"
    (checkout / "hooks").mkdir(parents=True)
    (checkout / ".venv/bin").mkdir(parents=True)
    shutil.copy(HOOKS / "install-hooks.sh", checkout / "hooks")
    scoord = checkout / ".venv/bin/scoord"
    scoord.write_text('#!/bin/sh\necho "$@"\n')
    scoord.chmod(0o700)
    link.symlink_to("checkout/hooks/install-hooks.sh")
    run = subprocess.run([BASH, link, "--json"], capture_output=True, text=True, check=True)
    assert run.stdout == "hooks install --json\n"


async def test_scripts_for_wiring_by_hand_pass_the_policy_on(shim: Shim) -> None:
    shim.set_up(closed_port())
    assert is_deny(await shim.run("block", script=HOOKS / "pre-tool-call.sh"))


def test_the_scripts_have_no_known_mistakes() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    scripts = [SHIM, SHIM.parents[1] / "bin" / "scoord", *HOOKS.glob("*.sh")]
    run = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)
    assert run.stdout == ""
