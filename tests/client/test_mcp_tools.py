"""The real Claude Code with our MCP server: its model sees who works, and takes a file."""

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.claude import ClaudeCode
from support.machines import CodingSession, Machine, machines, refusal, repository
from support.processes import coordinator
from support.scripted_model import ScriptedModel, scripted_model, text, use

pytestmark = pytest.mark.claude

ORIGIN = "git@git.example.org:team/shop.git"
PROMPT = "Who works on this project"
TOOLS = "mcp__scoord__status mcp__scoord__claim mcp__scoord__aim_search_nodes"


@dataclass(frozen=True, slots=True)
class Desk:
    """One user with Claude Code, an agent, and another session on the same project."""

    machine: Machine
    claude: ClaudeCode
    model: ScriptedModel
    root: Path
    other: CodingSession

    @property
    def config(self) -> Path:
        """What ``claude mcp add scoord -- scoord mcp`` writes, as a file."""
        file = self.root.parent / "mcp.json"
        scoord = str(Path(sys.executable).parent / "scoord")
        server = {"command": scoord, "args": ["mcp"], "env": {}}
        file.write_text(json.dumps({"mcpServers": {"scoord": server}}), encoding="utf-8")
        return file


@pytest.fixture
async def desk(claude_binary: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    root = repository(tmp_path / "shop", {"auth.py": "old\n", "cart.py": "old\n"}, ORIGIN)
    path = tmp_path / "bin"
    path.mkdir()
    (path / "claude").symlink_to(claude_binary)
    async with scripted_model() as model:
        with coordinator(tmp_path, "--embedded", "--data", str(tmp_path / "store")) as running:
            machine = Machine(tmp_path / "home", "alice", running.address)
            machine.env["PATH"] = f"{path}:{machine.env['PATH']}"
            own = {"SCOORD_AGENT_PORT": str(machine.port), "LOGNAME": "alice"}
            claude = ClaudeCode(path / "claude", machine.home, model, own)
            with machines(machine):
                other = machine.session(root)
                other.start()
                other.prompt("refactor the cart")
                other.edit(root / "cart.py")
                yield Desk(machine, claude, model, root, other)


async def test_a_model_sees_who_works_takes_a_file_and_holds_it_as_its_session(desk: Desk) -> None:
    installed = desk.machine.scoord("hooks", "install", cwd=desk.root)
    assert installed.returncode == 0, installed.stderr
    desk.model.say(
        PROMPT,
        use("mcp__scoord__status"),
        use("mcp__scoord__claim", paths=["auth.py"], reason="fix the login"),
        use("mcp__scoord__aim_search_nodes", query="lock_"),
        text("done"),
    )

    result = await desk.claude.run(
        PROMPT, cwd=desk.root, allowed_tools=TOOLS, mcp_config=desk.config
    )

    assert result.exit_code == 0, result.stderr
    status, claim, found = (str(block["content"]) for block in desk.model.last(PROMPT).tool_results)
    assert "Session_1" in status
    assert "refactor the cart" in status
    assert "cart.py" in status
    assert "auth.py" in claim
    assert "lock_auth.py" in found
    assert "held by: Session_2 (alice@" in found
    assert "" == refusal(desk.other.edit(desk.root / "auth.py")), "its session has ended"
