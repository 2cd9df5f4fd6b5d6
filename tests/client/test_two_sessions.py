"""Two real Claude Codes on two machines, on real etcd: the second one is refused."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.claude import VERSION, ClaudeCode
from support.etcd import Etcd
from support.machines import Machine, clone, machines, repository
from support.processes import coordinator, etcd_store
from support.scripted_model import ScriptedModel, Turn, Use, held, scripted_model, text, use

pytestmark = [pytest.mark.claude, pytest.mark.etcd]

ORIGIN = "git@git.example.org:team/shop.git"
TASK_TOOLS = "TaskCreate TaskUpdate"
"""Not offered to a model that runs on its own, unless allowed."""

FIRST, SECOND = "Refactor authentication logic", "Add two-factor login"


@dataclass(frozen=True, slots=True)
class Desk:
    """One person's machine, Claude Code, and clone."""

    machine: Machine
    claude: ClaudeCode
    root: Path

    @property
    def file(self) -> Path:
        """The file that both want."""
        return self.root / "auth.py"

    def edit(self, new: str) -> Turn:
        """The model edits it."""
        return use("Edit", file_path=str(self.file), old_string="old", new_string=new)

    def read(self) -> Turn:
        """The model reads it, which Claude Code wants before an edit."""
        return use("Read", file_path=str(self.file))

    def install_hooks(self, transport: str) -> str:
        """Do as the README says; what it prints."""
        done = self.machine.scoord("hooks", "install", "--transport", transport, cwd=self.root)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@dataclass(frozen=True, slots=True)
class Team:
    """Alice and Bob, and the model that both speak with."""

    alice: Desk
    bob: Desk
    model: ScriptedModel


@pytest.fixture
async def team(
    claude_binary: Path, tmp_path: Path, etcd: Etcd, namespace: bytes
) -> AsyncIterator[Team]:
    files = {"auth.py": "old\n", "tests/test_auth.py": "import auth\n"}
    alices = repository(tmp_path / "alice" / "shop", files, ORIGIN)
    bobs = clone(alices, tmp_path / "bob" / "work" / "shop", ORIGIN)
    path = tmp_path / "bin"
    path.mkdir()
    (path / "claude").symlink_to(claude_binary)
    async with scripted_model() as model:
        with coordinator(tmp_path, *etcd_store(etcd, namespace)) as running:
            desks = [
                _desk(tmp_path / name / "home", name, root, running.address, path, model)
                for name, root in (("alice", alices), ("bob", bobs))
            ]
            with machines(*(desk.machine for desk in desks)):
                yield Team(desks[0], desks[1], model)


def _desk(
    home: Path, person: str, root: Path, coordinators: str, path: Path, model: ScriptedModel
) -> Desk:
    machine = Machine(home, person, coordinators)
    machine.env["PATH"] = f"{path}:{machine.env['PATH']}"
    own = {"SCOORD_AGENT_PORT": str(machine.port), "LOGNAME": person}
    return Desk(machine, ClaudeCode(path / "claude", home, model, own), root)


@pytest.mark.parametrize("transport", ["http", "command"])
async def test_the_second_is_refused_and_goes_on_when_the_first_has_ended(
    team: Team, transport: str
) -> None:
    alice, bob, model = team.alice, team.bob, team.model
    for desk in (alice, bob):
        desk.install_hooks(transport)
    first_may_end, second_may_retry = asyncio.Event(), asyncio.Event()
    steps = _steps_with_a_pace()
    model.say(FIRST, *steps, alice.read(), alice.edit("first"), held(first_may_end, text("done")))
    between = use("Write", file_path=str(bob.root / "notes.md"), content="meanwhile")
    model.say(
        SECOND, bob.read(), bob.edit("second"), held(second_may_retry, between),
        bob.edit("second"), text("done"),
    )  # fmt: skip

    running = alice.claude.run(FIRST, cwd=alice.root, allowed_tools=f"{TASK_TOOLS} Read Edit Bash")
    first = asyncio.create_task(running)
    await model.asked(FIRST, len(steps) + 2)
    await _estimated(bob)
    second = asyncio.create_task(bob.claude.run(SECOND, cwd=bob.root))
    refused = (await model.asked(SECOND, 2)).tool_results[-1]

    assert refused["is_error"] is True
    holder, estimate, suggestion = str(refused["content"]).splitlines()
    assert "auth.py is locked by Session_1 (alice@" in holder
    assert f'"{FIRST}"' in holder
    assert re.search(r"held \d+ s, estimated completion: .* \(20 % done\)\.", estimate), estimate
    assert "You are first in the queue" in estimate
    assert "   Suggestion: tests/test_auth.py is free and belongs to it." == suggestion
    assert bob.file.read_text() == "old\n"
    assert alice.file.read_text() == "first\n"

    first_may_end.set()
    assert (await first).exit_code == 0
    await asyncio.sleep(0.5)  # what bob is told comes by itself, not with an answer
    second_may_retry.set()
    result = await second

    assert result.exit_code == 0, result.stderr
    assert bob.file.read_text() == "second\n"
    assert ["Edit"] == [denial["tool_name"] for denial in result.denials]
    assert "auth.py is free now" in model.last(SECOND).told


async def test_a_session_that_is_killed_frees_its_file(team: Team) -> None:
    alice, bob, model = team.alice, team.bob, team.model
    for desk in (alice, bob):
        desk.install_hooks("http")
    never = asyncio.Event()
    model.say(FIRST, alice.read(), alice.edit("first"), held(never, text("done")))
    model.say(SECOND, bob.read(), bob.edit("second"), text("done"))

    first = asyncio.create_task(alice.claude.run(FIRST, cwd=alice.root))
    await model.asked(FIRST, 2)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await asyncio.sleep(2)
    result = await bob.claude.run(SECOND, cwd=bob.root)

    assert [] == result.denials
    assert bob.file.read_text() == "second\n"


async def test_the_second_is_told_at_its_start_who_is_there(team: Team) -> None:
    alice, bob, model = team.alice, team.bob, team.model
    for desk in (alice, bob):
        desk.install_hooks("http")
    first_may_end = asyncio.Event()
    model.say(FIRST, alice.read(), alice.edit("first"), held(first_may_end, text("done")))
    model.say(SECOND, text("done"))

    first = asyncio.create_task(alice.claude.run(FIRST, cwd=alice.root))
    await model.asked(FIRST, 2)
    await bob.claude.run(SECOND, cwd=bob.root)
    first_may_end.set()
    await first

    told = model.last(SECOND).told
    assert "this session is Session_2 in git.example.org/team/shop" in told
    assert "Session_1 (alice@" in told
    assert "holds auth.py" in told


async def test_the_first_ones_task_list_is_seen_by_the_second(team: Team) -> None:
    alice, bob, model = team.alice, team.bob, team.model
    alice.install_hooks("http")
    may_end = asyncio.Event()
    model.say(
        FIRST,
        use("TaskCreate", subject="Design it", description="d"),
        use("TaskCreate", subject="Write it", description="d", activeForm="Writing it"),
        use("TaskUpdate", taskId="1", status="completed"),
        use("TaskUpdate", taskId="2", status="in_progress"),
        held(may_end, text("done")),
    )

    running = alice.claude.run(FIRST, cwd=alice.root, allowed_tools=TASK_TOOLS)
    first = asyncio.create_task(running)
    await model.asked(FIRST, 4)
    seen = await _progress_of_the_first(bob)
    may_end.set()
    await first

    progress = {"done": 1, "total": 2, "percent": 50, "step": "Writing it", "source": "tasks"}
    assert (progress, ".".join(map(str, VERSION))) == seen


def _steps_with_a_pace() -> list[Turn]:
    """Turns that do two of ten steps, some seconds each: from then on there is an estimate."""
    planned = [Use("TaskCreate", {"subject": f"Step {n}", "description": "d"}) for n in range(10)]
    work = use("Bash", command="sleep 2", description="work")
    done = [use("TaskUpdate", taskId=number, status="completed") for number in ("1", "2")]
    return [Turn(uses=tuple(planned)), work, done[0], work, done[1]]


async def _estimated(desk: Desk) -> None:
    """Wait until it is heard how long the first will take yet."""
    for _ in range(80):
        answer = await asyncio.to_thread(desk.machine.status, desk.root)
        if answer["sessions"][0]["estimate"]:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(answer["sessions"])


async def _progress_of_the_first(desk: Desk) -> tuple[object, object]:
    """How far it is, and its client's version, once its last step has come through."""
    for _ in range(80):
        answer = await asyncio.to_thread(desk.machine.status, desk.root)
        (row,) = answer["sessions"]
        if row["progress"] and row["progress"]["step"]:
            break
        await asyncio.sleep(0.1)
    return row["progress"], row["client_version"]
