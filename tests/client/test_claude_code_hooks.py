"""The real Claude Code with our hooks installed, an agent that records, a scripted model."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from scoord.local import token
from scoord_hooks.claude_wiring import Transport, UnreachableAction
from scoord_hooks.install import install, uninstall
from scoord_hooks.order import Order
from support.claude import ClaudeCode, version_of
from support.recording_agent import RecordingAgent, recording_agent
from support.scripted_model import ScriptedModel, held, scripted_model, text, use

pytestmark = pytest.mark.claude

PROMPT = "Please change the file"
ALL_EVENTS = ["SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop", "SessionEnd"]


@dataclass(frozen=True, slots=True)
class Bench:
    """One user with Claude Code, an agent and a project."""

    claude: ClaudeCode
    model: ScriptedModel
    agent: RecordingAgent
    project: Path

    @property
    def file(self) -> Path:
        return self.project / "auth.py"


@pytest.fixture
async def bench(
    claude_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    home = tmp_path / "home"
    project = tmp_path / "project"
    path = tmp_path / "bin"
    for directory in (home, project, path):
        directory.mkdir()
    (path / "claude").symlink_to(claude_binary)
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("SCOORD_STATE_DIR", "XDG_STATE_HOME", "CLAUDE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    (project / "auth.py").write_text("old\n")
    async with scripted_model() as model, recording_agent() as agent:
        monkeypatch.setenv("SCOORD_AGENT_PORT", str(agent.port))
        yield Bench(ClaudeCode(claude_binary, home, model), model, agent, project)


class Wire(Protocol):
    """Installs the hooks by one transport, in one form."""

    def __call__(self, unreachable: UnreachableAction = UnreachableAction.WARN) -> None: ...


@pytest.fixture(params=["http", "command", "command through a shell"])
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Wire:
    def install_it(unreachable: UnreachableAction = UnreachableAction.WARN) -> None:
        name, _, shell = request.param.partition(" ")
        if shell:
            monkeypatch.setattr("scoord_hooks.claude_version.installed", lambda: (2, 1, 138))
        install(Order(transport=Transport(name), unreachable=unreachable))

    return install_it


async def test_every_event_arrives_with_the_token(bench: Bench, wire: Wire) -> None:
    wire()
    bench.model.say(PROMPT, use("Write", file_path=str(bench.file), content="new\n"), text("done"))
    # Claude Code reads a file before it lets the model write over it.
    bench.file.unlink()
    result = await bench.claude.run(PROMPT, cwd=bench.project)
    assert result.denials == []
    assert bench.file.read_text() == "new\n"
    assert bench.agent.events == ALL_EVENTS
    for call in bench.agent.calls:
        assert call.path == f"/v1/hooks/claude-code/{call.event}"
        assert call.headers["Authorization"] == f"Bearer {token()}"
        assert call.headers["Host"] == f"127.0.0.1:{bench.agent.port}"
        assert call.body["hook_event_name"] == call.event
    assert len({call.body["session_id"] for call in bench.agent.calls}) == 1
    assert bench.agent.the("PreToolUse").body["tool_input"] == {
        "file_path": str(bench.file),
        "content": "new\n",
    }


async def test_a_denied_edit_is_not_made_and_the_model_is_told_why(
    bench: Bench, wire: Wire
) -> None:
    wire()
    bench.agent.answers["PreToolUse"] = {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": "auth.py is locked by Session_1 \U0001f512",
        },
        "systemMessage": "Edit blocked",
    }
    arguments = {"file_path": str(bench.file), "old_string": "old", "new_string": "new"}
    read = use("Read", file_path=str(bench.file))
    bench.model.say(PROMPT, read, use("Edit", **arguments), text("I wait."))
    result = await bench.claude.run(PROMPT, cwd=bench.project)
    assert bench.file.read_text() == "old\n"
    assert [denial["tool_name"] for denial in result.denials] == ["Edit"]
    told = bench.model.last(PROMPT).tool_results[-1]
    assert told["is_error"] is True
    assert "auth.py is locked by Session_1 \U0001f512" in str(told["content"])


async def test_what_is_said_at_the_start_and_beside_an_edit_reaches_the_model(
    bench: Bench, wire: Wire
) -> None:
    wire()
    for event in ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse"):
        bench.agent.answers[event] = {
            "hookSpecificOutput": {"hookEventName": event, "additionalContext": f"from {event}"}
        }
    bench.file.unlink()
    bench.model.say(PROMPT, use("Write", file_path=str(bench.file), content="new\n"), text("done"))
    await bench.claude.run(PROMPT, cwd=bench.project)
    first = await bench.model.asked(PROMPT, 0)
    assert "from SessionStart" in first.told
    assert "from UserPromptSubmit" in first.told
    assert "from PreToolUse" in bench.model.last(PROMPT).told
    assert "from PostToolUse" in bench.model.last(PROMPT).told


async def test_context_alone_does_not_approve_an_edit_its_user_would_be_asked_for(
    bench: Bench, wire: Wire
) -> None:
    wire()
    bench.agent.answers["PreToolUse"] = {
        "hookSpecificOutput": {"hookEventName": "PreToolUse", "additionalContext": "2 others here"}
    }
    bench.file.unlink()
    bench.model.say(PROMPT, use("Write", file_path=str(bench.file), content="new\n"), text("done"))
    result = await bench.claude.run(
        PROMPT, cwd=bench.project, permission_mode="default", allowed_tools=""
    )
    assert [denial["tool_name"] for denial in result.denials] == ["Write"]
    assert not bench.file.exists()
    assert "2 others here" in bench.model.last(PROMPT).told


async def test_a_subagent_names_itself(bench: Bench, wire: Wire) -> None:
    wire()
    bench.file.unlink()
    task = {"description": "write", "prompt": "Write it for me", "subagent_type": "general-purpose"}
    bench.model.say(PROMPT, use("Agent", **task, run_in_background=False), text("done"))
    write = use("Write", file_path=str(bench.file), content="new\n")
    bench.model.say("Write it for me", write, text("written"))
    await bench.claude.run(PROMPT, cwd=bench.project, allowed_tools="Agent Edit Write Read")
    before, start = bench.agent.the("PreToolUse").body, bench.agent.the("SessionStart").body
    assert before["agent_id"]
    assert before["session_id"] == start["session_id"]
    assert bench.agent.the("SubagentStop").body["agent_id"] == before["agent_id"]


@pytest.mark.parametrize("action", list(UnreachableAction))
async def test_without_an_answer_an_edit_goes_as_the_setting_says(
    bench: Bench, wire: Wire, action: UnreachableAction
) -> None:
    wire(action)
    bench.agent.status = 500
    bench.file.unlink()
    bench.model.say(PROMPT, use("Write", file_path=str(bench.file), content="new\n"), text("done"))
    result = await bench.claude.run(PROMPT, cwd=bench.project)
    assert result.exit_code == 0
    assert bench.file.exists() == (action is not UnreachableAction.BLOCK)


async def test_an_agent_that_stands_still_holds_nobody_longer_than_promised(
    bench: Bench, wire: Wire
) -> None:
    wire()
    bench.agent.silent = True
    bench.file.unlink()
    bench.model.say(PROMPT, use("Write", file_path=str(bench.file), content="new\n"), text("done"))
    await bench.claude.run(PROMPT, cwd=bench.project)
    # The promised 2.5 s, and what Claude Code takes for the edit itself.
    assert bench.agent.the("PostToolUse").at - bench.agent.the("PreToolUse").at < 2.9


async def test_a_session_that_is_made_to_wait_stays_alive_meanwhile(
    bench: Bench, wire: Wire
) -> None:
    wire()
    bench.file.unlink()
    go = asyncio.Event()
    write = use("Write", file_path=str(bench.file), content="new\n")
    bench.model.say("First session", write, held(go, text("done")))
    bench.model.say("Second session", text("done"))
    first = asyncio.create_task(bench.claude.run("First session", cwd=bench.project))
    await bench.model.asked("First session", 1)
    await bench.claude.run("Second session", cwd=bench.project)
    assert bench.agent.events.count("SessionEnd") == 1
    go.set()
    assert (await first).exit_code == 0
    assert bench.agent.events.count("SessionEnd") == 2


async def test_after_uninstalling_no_event_arrives(bench: Bench, wire: Wire) -> None:
    wire()
    uninstall(Order())
    bench.model.say(PROMPT, text("done"))
    assert (await bench.claude.run(PROMPT, cwd=bench.project)).exit_code == 0
    assert bench.agent.events == []


def test_the_binary_is_the_version_that_these_tests_are_written_for(claude_binary: Path) -> None:
    assert version_of(claude_binary) >= (2, 1, 330)
