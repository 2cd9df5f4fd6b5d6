"""The shim as a coding CLI runs it: a real bash, a real socket.

``SCOORD_TEST_BASH`` names another bash to run it with, such as a 3.2.
"""

import asyncio
import io
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.ports import free_port
from support.recording_agent import RecordingAgent
from support.shim import BASH, HOOKS, SHIM, Answer, Shim, is_deny, told


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


@pytest.mark.parametrize("policy", [(), ("warn",)])
async def test_without_an_agent_an_edit_goes_on_with_a_warning(
    shim: Shim, policy: tuple[str, ...]
) -> None:
    port = free_port()
    shim.set_up(port)
    answer = await shim.run("claude-code", "PreToolUse", *policy)
    why = f"edits are not coordinated now: no agent listens on port {port}"
    assert told(answer, "PreToolUse") == f"Session Coordinator: {why}. See: scoord doctor"


async def test_without_an_agent_an_edit_is_denied_if_so_wished(shim: Shim) -> None:
    port = free_port()
    shim.set_up(port)
    answer = await shim.run("claude-code", "PreToolUse", "block")
    assert is_deny(answer)
    assert f"no agent listens on port {port}" in answer.stdout


async def test_without_an_agent_an_edit_goes_on_silently_if_so_wished(shim: Shim) -> None:
    shim.set_up(free_port())
    assert (await shim.run("claude-code", "PreToolUse", "proceed")).stdout == ""


@pytest.mark.parametrize("name", ["PostToolUse", "Stop", "SessionEnd"])
@pytest.mark.parametrize("policy", ["block", "warn", "proceed"])
async def test_without_an_agent_other_events_pass_without_a_word(
    shim: Shim, name: str, policy: str
) -> None:
    shim.set_up(free_port())
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
    shim.set_up(free_port())
    assert is_deny(await shim.run("block", script=HOOKS / "pre-tool-call.sh"))


def test_the_scripts_have_no_known_mistakes() -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    scripts = [SHIM, SHIM.parents[1] / "bin" / "scoord", *HOOKS.glob("*.sh")]
    run = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)
    assert run.stdout == ""
