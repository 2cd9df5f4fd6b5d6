"""What the project is for, as three days at work: two machines, real etcd, and the very words.

The words that sessions are told stand in the folder ``golden``, but for names of hosts
and for times, which are ``HOST`` and ``TIME``.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import dedent

import pytest

from scoord_agent.wording_others import FREE
from support.etcd import Etcd
from support.machines import (
    CodingSession,
    Machine,
    clone,
    context,
    git,
    machines,
    refusal,
    repository,
)
from support.processes import coordinator, etcd_store, wait_until

pytestmark = pytest.mark.etcd

GOLDEN = Path(__file__).with_name("golden")
ORIGIN = "git@git.example.org:team/shop.git"
FILES = {
    "coordination.yaml": """\
        areas:
          login:
            patterns: [src/auth.py, src/session.py, tests/test_auth.py]
            description: passwords and sessions
          cart: {patterns: [src/cart/], description: what is bought}
          manual: {patterns: [docs/], description: what customers read}
        tasks: [TODO.md]
        """,
    "TODO.md": "- [ ] describe the prices in docs/prices.md\n",
    "src/auth.py": "def login(): ...\n",
    "src/session.py": "import src.auth\n",
    "src/cart/price.py": "",
    "src/cart/sum.py": "",
    "tests/test_auth.py": "import src.auth\n",
    "docs/login.md": "",
    "docs/prices.md": "",
}
STEPS = (
    *("read the code", "split the login", "move the tokens", "write the tests"),
    *(f"mend caller {number}" for number in range(1, 7)),
)
PACE_S = 1.2
WITHIN_S = 30.0


@dataclass
class Team:
    """Alice and Bob, each with a machine and a clone at a path of their own."""

    alice: Machine
    bob: Machine
    alices: Path
    bobs: Path


@pytest.fixture
def team(tmp_path: Path, etcd: Etcd, namespace: bytes) -> Iterator[Team]:
    files = {name: dedent(text) for name, text in FILES.items()}
    alices = repository(tmp_path / "alice" / "work" / "shop", files, ORIGIN)
    for number in range(3):
        for name in ("src/auth.py", "docs/login.md"):
            (alices / name).write_text(f"# {number}\n")
        git(alices, "commit", "-q", "-a", "-m", "login")
    bobs = clone(alices, tmp_path / "bob" / "checkout", "https://git.example.org/team/shop")
    git(alices, "switch", "-q", "-c", "feature/login")
    with coordinator(tmp_path, *etcd_store(etcd, namespace)) as running:
        alice = Machine(tmp_path / "alice" / "home", "alice", running.address)
        bob = Machine(tmp_path / "bob" / "home", "bob", running.address)
        with machines(alice, bob):
            made = Team(alice, bob, alices, bobs)
            _have_read_the_repository(made)
            yield made


def test_one_who_is_refused_is_told_all_and_gets_the_file_when_the_holder_ends(team: Team) -> None:
    a, b = team.alice.session(team.alices), team.bob.session(team.bobs)
    a.start()
    b.start()
    a.prompt("Refactor authentication logic\nand more that nobody is told")
    _works_in(team, a, steps=3)
    assert {} == a.edit(team.alices / "src/auth.py")
    b.prompt("add two-factor login")

    assert _golden("refused") == _shown(refusal(b.edit(team.bobs / "src/auth.py")))
    assert {} == b.edit(team.bobs / "tests/test_auth.py"), "what was suggested was free"

    told = _told_at_last(a, "waits for")
    assert _golden("waited-for") == told
    a.end()
    assert _golden("free") == _told_at_last(b, "is free")
    assert {} == b.edit(team.bobs / "src/auth.py")


def test_what_is_suggested_is_the_next_best_when_the_best_is_taken(team: Team) -> None:
    a, b = team.alice.session(team.alices), team.bob.session(team.bobs)
    a.start()
    b.start()
    for name in ("src/auth.py", "tests/test_auth.py"):
        assert {} == a.edit(team.alices / name)

    def refused() -> str:
        return _shown(refusal(b.edit(team.bobs / "src/auth.py")))

    wait_until("it is heard", lambda: "docs/login.md" in refused(), WITHIN_S)
    assert _golden("refused-nothing-known") == refused()


def test_one_who_starts_is_told_who_does_what_and_is_given_work_of_its_own(team: Team) -> None:
    a, b = team.alice.running_session(team.alices), team.bob.running_session(team.bobs)
    # No start has kept work for them.
    a.prompt("Refactor authentication logic")
    _works_in(team, a, steps=3)
    _edits(a, team.alices / "src/auth.py")
    b.prompt("round prices")
    _edits(b, team.bobs / "src/cart/price.py")
    _is_seen(team, "Session_2", areas=["cart"])
    _is_seen(team, "Session_1", areas=["login"])

    third = team.bob.running_session(team.bobs)
    told = third.start()

    assert _golden("start") == _shown(told)
    assert len(told.splitlines()) <= 20


@pytest.mark.parametrize("columns", ["", "80"])
def test_the_status_shows_all_that_goes_on_at_a_glance(team: Team, columns: str) -> None:
    a, b = team.alice.session(team.alices), team.bob.session(team.bobs)
    # No start has kept work for them.
    a.prompt("Refactor authentication logic")
    _works_in(team, a, steps=3)
    _edits(a, team.alices / "src/auth.py")
    b.prompt("add two-factor login")
    assert refusal(b.edit(team.bobs / "src/auth.py"))
    _is_seen(team, "Session_1", areas=["login"])
    _is_seen(team, "Session_2", status="waiting")

    team.bob.env |= {"COLUMNS": columns} if columns else {}
    done = team.bob.scoord("status", cwd=team.bobs)
    seen = re.sub(r"\s+", " ", done.stdout)

    assert 0 == done.returncode, done.stderr
    for session in (
        r"Session_1 alice@\S+ feature/login working",
        r"Session_2 bob@\S+ main waiting",
    ):
        assert re.search(session, seen), "sessions"
    assert "━━━╌╌╌╌╌╌╌" in seen, "progress bars"
    assert re.search(r" src/auth\.py Session_1 alice@\S+ \d+ s .*1 Refactor", seen), "locks"
    assert re.search(r" src/auth\.py 1 Session_2 bob@\S+ \d+ s add two-factor", seen), "queues"
    assert re.search(r"TODO\.md#7ede6f46: describe .*task .*cart area nobody holds", seen), (
        "suggestions"
    )
    assert "login area" not in seen, "that is not free"
    if columns:
        assert max(map(len, done.stdout.splitlines())) <= int(columns)


def test_two_who_ask_at_once_are_given_different_work_and_why(team: Team) -> None:
    a, b = team.alice.running_session(team.alices), team.bob.running_session(team.bobs)
    c = team.bob.running_session(team.bobs)
    for session in (b, c):
        session.post("Stop")  # no start has kept work for them
    a.prompt("Refactor authentication logic")
    _edits(a, team.alices / "src/auth.py")
    code, said = b.run("task", "add", "round prices in the cart", "--area", "cart")
    assert (0, "1  round prices in the cart\n") == (code, said)

    asked = [session.start_command("suggest", "--count", "1") for session in (b, c)]
    assert [0, 0] == [command.wait(WITHIN_S) for command in asked]
    given = {command.text("out") for command in asked}

    assert {
        _golden("suggested-task"),
        _golden("suggested-file-task"),
    } == {text.rstrip("\n") for text in given}


def test_one_whose_prompt_names_what_another_changes_is_told_once(team: Team) -> None:
    b = _beside_one_who_changes(team, "src/auth.py")

    told = context(b.prompt("Document src/auth.py and its errors"))

    assert _golden("named") == _shown(told)
    assert "" == context(b.prompt("Document src/auth.py and its errors"))
    assert {} == b.edit(team.bobs / "tests/test_auth.py"), "that is no news"


@pytest.mark.parametrize(
    ("held", "named", "golden"),
    [
        ("src/auth.py", "tests/test_auth.py", "belongs"),
        ("src/auth.py", "src/session.py", "imports"),
        ("src/cart/price.py", "src/cart/sum.py", "area"),
    ],
)
def test_one_whose_prompt_names_what_depends_on_what_another_changes_is_told_once(
    team: Team, held: str, named: str, golden: str
) -> None:
    b = _beside_one_who_changes(team, held)

    assert _golden(golden) == _shown(context(b.prompt(f"Mend {named}")))
    assert "" == context(b.prompt(f"Mend {named}"))
    _edits(b, team.bobs / named)
    assert "" == b.told(), "that is no news"


@pytest.mark.parametrize(
    ("held", "edited", "golden"),
    [
        ("src/auth.py", "tests/test_auth.py", "belongs"),
        ("src/auth.py", "src/session.py", "imports"),
        ("src/cart/price.py", "src/cart/sum.py", "area"),
    ],
)
def test_one_whose_edit_depends_on_what_another_changes_is_told_once(
    team: Team, held: str, edited: str, golden: str
) -> None:
    b = _beside_one_who_changes(team, held)

    assert {} == b.edit(team.bobs / edited), "no edit waits for it"
    assert _golden(golden) == _shown(context(b.edited(team.bobs / edited)))
    assert {} == b.edit(team.bobs / edited)
    assert "" == b.told()


def test_one_who_edited_before_another_took_what_it_imports_is_told_and_shown_to_depend_on_it(
    team: Team,
) -> None:
    a, b = team.alice.running_session(team.alices), team.bob.session(team.bobs)
    a.start()
    b.start()
    _edits(b, team.bobs / "src/session.py")
    assert "" == b.told()

    assert {} == a.edit(team.alices / "src/auth.py")
    _depends(team, ("Session_1", "imports", "src/auth.py"))
    assert "src/auth.py, which src/session.py imports, is held by Session_1" in b.told()
    assert "" == b.told()

    assert 0 == a.run("release", "src/auth.py")[0]
    _depends(team)


def _depends(team: Team, *wanted: tuple[str, str, str]) -> None:
    """Session_2 is shown to depend on exactly these, without doing anything."""

    def holds() -> bool:
        rows = team.alice.status(team.alices)["sessions"]
        (row,) = [row for row in rows if row["alias"] == "Session_2"]
        return [(on["alias"], on["why"], on["path"]) for on in row["depends_on"]] == [*wanted]

    wait_until(f"Session_2 depends on {wanted}", holds, WITHIN_S)


def _beside_one_who_changes(team: Team, path: str) -> CodingSession:
    a, b = team.alice.session(team.alices), team.bob.session(team.bobs)
    a.start()
    b.start()
    a.prompt("Refactor authentication logic")
    _works_in(team, a, steps=3)
    _edits(a, team.alices / path)
    _is_held(team, path)
    _is_seen(team, "Session_1", areas=["cart" if "cart" in path else "login"])
    return b


def _works_in(team: Team, session: CodingSession, steps: int) -> None:
    """Do so many steps of its task list, and be seen to be so far."""
    for done in range(steps + 1):
        rows = [
            {"content": step, "status": _status(number, done), "activeForm": f"doing {step}"}
            for number, step in enumerate(STEPS)
        ]
        session.post(
            "PostToolUse",
            tool_name="TodoWrite",
            tool_input={"todos": rows},
            tool_response={"oldTodos": [], "newTodos": rows},
        )
        if done < steps:
            wait_until("the step is done", _in(PACE_S))

    def is_seen() -> bool:
        rows = team.bob.status(team.bobs)["sessions"]
        (row,) = [row for row in rows if row["alias"] == "Session_1"]
        return bool(row["progress"] and row["progress"]["done"] == steps and row["estimate"])

    wait_until("its progress is seen", is_seen, WITHIN_S)


def _status(number: int, done: int) -> str:
    if number < done:
        return "completed"
    return "in_progress" if number == done else "pending"


def _edits(session: CodingSession, file: Path) -> None:
    assert "" == refusal(session.edit(file))
    session.edited(file)


def _have_read_the_repository(team: Team) -> None:
    """Both agents, so that no test depends on how fast they are. Nobody is there afterwards."""
    for machine, root in ((team.alice, team.alices), (team.bob, team.bobs)):
        wait_until("the repository is known", partial(_areas_known, machine, root), WITHIN_S)
    wait_until("nobody is there", lambda: not team.bob.status(team.bobs)["sessions"], WITHIN_S)


def _areas_known(machine: Machine, root: Path) -> bool:
    session = machine.session(root)
    told = session.start()
    session.end()
    session.kill()
    machine.forget(session)
    return FREE in told


def _is_seen(team: Team, alias: str, **fields: object) -> None:
    """Bob's agent has heard so of a session."""

    def holds() -> bool:
        rows = [r for r in team.bob.status(team.bobs)["sessions"] if r["alias"] == alias]
        return any(all(row[name] == value for name, value in fields.items()) for row in rows)

    wait_until(f"{alias} has {fields}", holds, WITHIN_S)


def _is_held(team: Team, path: str) -> None:
    """Bob's agent has heard that it is."""
    wait_until(
        f"{path} is held",
        lambda: path in {row["path"] for row in team.bob.status(team.bobs)["locks"]},
        WITHIN_S,
    )


def _told_at_last(session: CodingSession, part: str) -> str:
    """What it is told at the first hook that tells it anything, with ``part`` in it."""
    told: list[str] = []

    def is_told() -> bool:
        told.append(session.told())
        return bool(told[-1])

    wait_until(f"it is told: {part}", is_told, WITHIN_S)
    assert part in told[-1]
    return _shown(told[-1])


def _in(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until


def _golden(name: str) -> str:
    return (GOLDEN / f"{name}.txt").read_text(encoding="utf-8").rstrip("\n")


def _shown(told: str) -> str:
    """What was told, without what differs from run to run."""
    there = re.sub(r"@[\w-]+", "@HOST", told)
    return re.sub(r"\b(?:\d+ h )?\d+ (?:s|min)\b", "TIME", there)
