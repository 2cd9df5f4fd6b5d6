"""The plugin sc in the real Claude Code: its hooks guard, its slash commands answer."""

import asyncio
import json
import re
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from scoord_hooks.plugin_wiring import ID
from support.claude import ClaudeCode, Result
from support.machines import Machine, machines, repository
from support.odd_coordinator import odd_coordinator
from support.processes import CoordinatorProcess, coordinator
from support.recording_agent import recording_agent
from support.scripted_model import ScriptedModel, held, scripted_model, text, use

pytestmark = pytest.mark.claude

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "hooks" / "scoord_hooks" / "plugin"
FIRST, SECOND = "Refactor authentication logic", "Add two-factor login"


@dataclass(frozen=True, slots=True)
class Bench:
    """One person's machine with the plugin, and the model that answers."""

    machine: Machine
    claude: ClaudeCode
    model: ScriptedModel
    root: Path
    plugin: Path | None

    async def run(self, prompt: str) -> Result:
        result = await self.claude.run(prompt, cwd=self.root, plugin=self.plugin)
        assert result.exit_code == 0, result.stdout + result.stderr
        return result

    async def slash(self, command: str) -> str:
        """Type a slash command; return what the model was told."""
        name = command.split(maxsplit=1)[0]
        self.model.say(f"`{name}` stands beside", text("as it is"))
        await self.run(command)
        return self.model.last(f"`{name}` stands beside").told


@pytest.fixture
async def bench(claude_binary: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    with coordinator(tmp_path, "--embedded", "--data", str(tmp_path / "store")) as running:
        async with bench_beside(running, claude_binary, tmp_path) as made:
            yield made


@asynccontextmanager
async def bench_beside(
    running: CoordinatorProcess, claude_binary: Path, tmp_path: Path
) -> AsyncIterator[Bench]:
    """A bench with the plugin given for each session, from a folder with an awkward name."""
    root = repository(tmp_path / "shop", {"auth.py": "old\n"}, "git@git.example.org:team/shop.git")
    path = tmp_path / "bin"
    path.mkdir()
    (path / "claude").symlink_to(claude_binary)
    plugin = shutil.copytree(PLUGIN, tmp_path / "it's $(touch pwned) a folder" / "sc")
    async with scripted_model() as model:
        machine = Machine(tmp_path / "home", "alice", running.address)
        # No scoord on PATH: the launcher has to find it.
        machine.env["PATH"] = f"{path}:/usr/bin:/bin"
        own = {
            "SCOORD_AGENT_PORT": str(machine.port),
            "LOGNAME": "alice",
            "PATH": machine.env["PATH"],
        }
        claude = ClaudeCode(path / "claude", machine.home, model, own)
        with machines(machine):
            yield Bench(machine, claude, model, root, plugin)
    assert not (root / "pwned").exists()


async def test_an_edit_is_guarded_by_the_plugin(bench: Bench) -> None:
    file, may_end = bench.root / "auth.py", asyncio.Event()
    edit = use("Edit", file_path=str(file), old_string="old", new_string="new")
    read = use("Read", file_path=str(file))
    bench.model.say(FIRST, read, edit, held(may_end, text("done")))
    again = use("Edit", file_path=str(file), old_string="new", new_string="newer")
    bench.model.say(SECOND, read, again, text("I wait"))
    first = asyncio.create_task(bench.run(FIRST))
    await bench.model.asked(FIRST, 2)
    await bench.run(SECOND)
    refused = bench.model.last(SECOND).tool_results[-1]
    assert refused["is_error"] is True
    assert "auth.py is locked by Session_1 (alice@" in str(refused["content"])
    assert "this session is Session_2" in (await bench.model.asked(SECOND, 0)).told
    may_end.set()
    await first
    assert "no locks" in bench.machine.scoord("locks", cwd=bench.root).stdout


async def test_slash_commands_bring_what_scoord_says_to_the_model(bench: Bench) -> None:
    locked = bench.machine.scoord("lock", "auth.py", "--reason", "by hand", cwd=bench.root)
    assert locked.returncode == 0, locked.stderr
    told = await bench.slash("/sc:session-status")
    assert "scoord: the answer to /sc:session-status\ncoordinator connected" in told
    assert "auth.py" in told
    assert "by hand" in told
    told = await bench.slash("/sc:session-unlock")
    assert "the answer to /sc:session-unlock\nfile " in told
    assert "by hand" in told
    told = await bench.slash("/sc:session-unlock auth.py")
    assert "auth.py is not locked by you" in told
    told = await bench.slash("/sc:session-unlock auth.py --force")
    assert "auth.py is held by Session_1" in told
    again = re.search(r"say: (/sc:session-unlock auth.py --force --token )(\d+)", told)
    assert again
    told = await bench.slash(f"{again[1]}{int(again[2]) + 1}")
    assert "auth.py was not broken: its lock has token " in told
    told = await bench.slash("".join(again.groups()))
    assert "auth.py was taken from its holder, who is told" in told
    assert "no locks" in bench.machine.scoord("locks", cwd=bench.root).stdout


async def test_a_slash_command_is_not_what_a_session_is_about(bench: Bench) -> None:
    may_end = asyncio.Event()
    bench.model.say("`/sc:session-status` stands beside", held(may_end, text("done")))
    running = asyncio.create_task(bench.run("/sc:session-status"))
    await bench.model.asked("`/sc:session-status` stands beside", 0)
    status = bench.machine.scoord("status", "--json", cwd=bench.root)
    may_end.set()
    await running
    (session,) = json.loads(status.stdout)["sessions"]
    assert session["intent"] == ""


async def test_history_shows_the_model_what_happened_as_far_as_was_asked(bench: Bench) -> None:
    locked = bench.machine.scoord("lock", "auth.py", "--reason", "by hand", cwd=bench.root)
    assert locked.returncode == 0, locked.stderr
    granted = re.compile(r"\d+ s ago +Session_1 +alice@\S+ +granted +auth\.py +by hand\n")
    told = await bench.slash("/sc:session-history")
    assert "scoord: the answer to /sc:session-history\nwhen " in told
    assert granted.search(told)
    assert re.search(r"Session_2 +alice@\S+ +registered\b", told)
    told = await bench.slash("/sc:session-history --kind granted --since 2h")
    assert granted.search(told)
    assert "registered" not in told


async def test_refresh_shows_the_model_what_was_swept(claude_binary: Path, tmp_path: Path) -> None:
    store = ("--embedded", "--data", str(tmp_path / "store"))
    with odd_coordinator(tmp_path, *store, sweep_s=3600.0) as running:
        async with bench_beside(running, claude_binary, tmp_path) as bench:
            (bench.root / "coordination.yaml").write_text(
                "session_coordination: {heartbeat_interval: 1, lock_timeout: 2}\n"
            )
            locked = bench.machine.scoord("lock", "auth.py", cwd=bench.root)
            assert locked.returncode == 0, locked.stderr
            await asyncio.sleep(3)
            told = await bench.slash("/sc:session-refresh")
            took = r"took +auth\.py from Session_1 \(alice@\S+\): was not used for too long\n"
            assert re.search(f"the answer to /sc:session-refresh\n{took}", told)
            assert re.search(r"\nnow +2 sessions, 0 locks, 0 waiting, at revision \d+\n", told)
            assert "\nview      up to date, heard " in told
            told = await bench.slash("/sc:session-refresh")
            assert "the answer to /sc:session-refresh\nstale     nothing\n" in told


@pytest.mark.parametrize(
    "words",
    [
        "auth.py; touch pwned",
        "`touch pwned`",
        "$(touch pwned)",
        "auth.py\ntouch pwned",
        "'; touch pwned; '",
        "!`touch pwned`",
        "--force\n!`touch pwned`",
        "${CLAUDE_PLUGIN_ROOT}",
        "| touch pwned",
        "a\\\n; touch pwned",
    ],
)
async def test_hostile_words_are_words(bench: Bench, words: str) -> None:
    told = await bench.slash(f"/sc:session-unlock {words}")
    assert "scoord: the answer to /sc:session-unlock" in told
    assert list(bench.root.glob("pwned*")) == []
    assert list(Path.cwd().glob("pwned*")) == []


async def test_the_plugin_that_the_installer_puts_beside_the_settings_is_loaded(
    bench: Bench,
) -> None:
    done = bench.machine.scoord("hooks", "install", "--as", "plugin", cwd=bench.root)
    assert done.returncode == 0, done.stderr
    installed = Bench(bench.machine, bench.claude, bench.model, bench.root, None)
    assert "coordinator connected" in await installed.slash("/sc:session-status")
    file = bench.root / "auth.py"
    bench.machine.scoord("lock", "auth.py", cwd=bench.root)
    edit = use("Edit", file_path=str(file), old_string="old", new_string="new")
    bench.model.say(FIRST, use("Read", file_path=str(file)), edit, text("I wait"))
    await installed.run(FIRST)
    assert file.read_text() == "old\n"
    done = bench.machine.scoord("hooks", "uninstall", cwd=bench.root)
    assert done.returncode == 0, done.stderr
    await installed.run(FIRST)
    assert file.read_text() == "new\n"


async def test_without_scoord_a_slash_command_says_so(claude_binary: Path, tmp_path: Path) -> None:
    alone = shutil.copytree(PLUGIN, tmp_path / "sc")
    project = tmp_path / "project"
    project.mkdir()
    prompt = "`/sc:session-status` stands beside"
    async with scripted_model() as model:
        path = {"PATH": "/usr/bin:/bin"}
        model.say(prompt, text("so it is"))
        claude = ClaudeCode(claude_binary, tmp_path, model, path)
        await claude.run("/sc:session-status", cwd=project, plugin=alone)
        assert "error: no scoord on this machine; install it" in model.last(prompt).told


async def test_plugin_and_marketplace_are_valid_and_can_be_installed_from_the_repository(
    claude_binary: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    async with scripted_model() as model, recording_agent() as agent:
        claude = ClaudeCode(claude_binary, home, model, {"SCOORD_AGENT_PORT": str(agent.port)})

        async def plugin(*words: str) -> str:
            result = await claude.call("plugin", *words, cwd=tmp_path)
            assert result.exit_code == 0, result.stdout + result.stderr
            return result.stdout

        await plugin("validate", "--strict", str(PLUGIN))
        await plugin("validate", "--strict", str(ROOT))
        await plugin("marketplace", "add", str(ROOT))
        await plugin("install", ID)
        settings = json.loads((home / ".claude" / "settings.json").read_text(encoding="utf-8"))
        assert settings["enabledPlugins"] == {ID: True}
        for copy in (home / ".claude" / "plugins" / "cache").rglob("shim.sh"):
            assert stat.S_IMODE(copy.stat().st_mode) & 0o100
        state = home / ".local" / "state" / "scoord"
        state.mkdir(parents=True, mode=0o700)
        (state / "hook.env").write_text(f"SCOORD_PORT={agent.port}\nSCOORD_TOKEN=t\n")
        model.say(FIRST, text("done"))
        result = await claude.run(FIRST, cwd=tmp_path)
        assert result.exit_code == 0
        assert agent.events == ["SessionStart", "UserPromptSubmit", "Stop", "SessionEnd"]
        await plugin("uninstall", ID)
        model.say(SECOND, text("done"))
        await claude.run(SECOND, cwd=tmp_path)
        assert len(agent.events) == 4
