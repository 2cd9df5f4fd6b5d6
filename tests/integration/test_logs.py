"""What the real agent and the real coordinator write down, and what they never do."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from support.machines import Machine, machines, refusal, repository
from support.pair import ORIGIN
from support.ports import free_port
from support.processes import Program, coordinator, wait_until

PROMPT, CONTENT, OLD = "planted-prompt-7f3a", "planted-content-9c1e", "planted-old-text-55d0"


def lines(state_dir: Path, program: str) -> list[dict[str, Any]]:
    file = state_dir / "logs" / f"{program}.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def written(folder: Path) -> str:
    """All that the programs printed or logged."""
    files = [*folder.rglob("*.log"), *folder.rglob("*.jsonl*"), *folder.rglob("*.out")]
    logs = [file for file in files if file.name != "sessions.jsonl"]
    return "".join(file.read_text(encoding="utf-8", errors="replace") for file in logs)


def edits(path: Path) -> dict[str, Any]:
    said = {"file_path": str(path), "old_string": OLD, "new_string": CONTENT, "content": CONTENT}
    return {"tool_name": "Edit", "tool_input": said}


UNREADABLE = [
    f'{{"prompt": "{PROMPT}"',
    json.dumps([PROMPT]),
    json.dumps({"session_id": "a", "cwd": "/", "prompt": {"a": PROMPT}}),
    json.dumps({"session_id": "a", "cwd": "/", "tool_name": "Edit", "tool_input": CONTENT}),
    json.dumps({"session_id": "a", "cwd": "/", "tool_name": "Edit", "tool_input": {"a": CONTENT}}),
]


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents that write down all they can."""

    def start(machine: Machine) -> Program:
        arguments, out = ["scoord_agent", "--verbose"], machine.home / "agent.out"
        machine.agent = Program(arguments, machine.env, out)
        wait_until("the agent listens", machine._listens)
        return machine.agent

    monkeypatch.setattr(Machine, "start_agent", start)


@pytest.mark.usefixtures("talkative")
def test_no_prompt_no_content_and_no_token_is_written_down(tmp_path: Path) -> None:
    root = repository(tmp_path / "shop", {"auth.py": "old\n"}, ORIGIN)
    store = ("--embedded", "--data", str(tmp_path / "store"), "--verbose")
    with coordinator(tmp_path, *store) as running:
        machine = Machine(tmp_path / "home", "alice", running.address)
        with machines(machine):
            first, second = machine.session(root), machine.session(root)
            for session in (first, second):
                session.start()
                session.prompt(PROMPT)
            assert not refusal(first.post("PreToolUse", **edits(root / "auth.py")))
            assert refusal(second.post("PreToolUse", **edits(root / "auth.py")))
            for body in UNREADABLE:
                for event in ("UserPromptSubmit", "PreToolUse", "PostToolUse"):
                    machine.post(f"/v1/hooks/claude-code/{event}", body.encode())
            first.end()
            token = machine.token
            running.kill()
            second.post("PreToolUse", **edits(root / "b.py"))
    text = written(tmp_path)
    for secret in (PROMPT, CONTENT, OLD, token):
        assert secret not in text
    agent = lines(machine.state_dir, "agent")
    assert {"%s is refused %s", "%s begins, of %s in %s", "%s ends: %s"} <= {
        line["event"] for line in agent
    }
    assert "coordinator serves on %s" in {
        line["event"] for line in lines(running.state_dir, "server")
    }


def test_up_keeps_what_is_logged_in_files_that_are_put_aside(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home", "alice", f"127.0.0.1:{free_port()}")
    try:
        assert machine.scoord("up", cwd=tmp_path).returncode == 0
        shown = machine.scoord("logs", "--level", "debug", cwd=tmp_path).stdout
        only = machine.scoord("logs", "--json", "--program", "server", cwd=tmp_path).stdout
    finally:
        machine.scoord("down", cwd=tmp_path)
    assert "coordinator serves on 127.0.0.1:" in shown
    assert [json.loads(line)["program"] for line in only.splitlines()].count("server") > 0
    printed = (machine.state_dir / "coordinator.log").read_text(encoding="utf-8")
    assert printed == "", "what grows is in the logs that are bounded"
