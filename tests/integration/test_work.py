"""The team's backlog and suggestions, on two machines, through the real programs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.machines import Machine, RunningSession, clone, git, machines, refusal, repository
from support.pair import ORIGIN
from support.processes import coordinator, etcd_store, wait_until

FILES = {
    "coordination.yaml": "tasks: [TODO.md]\n",
    "TODO.md": "# cart\n- [ ] round the price\n- [x] old\n",
    "auth/login.py": "import auth.token\n",
    "auth/token.py": "",
    "cart/price.py": "",
    "checks/test_login.py": "",
    "docs/guide.md": "",
}
STORES = ["embedded", pytest.param("etcd", marks=pytest.mark.etcd)]


@dataclass(frozen=True)
class Team:
    """Alice and Bob, with a clone of one project each."""

    alice: Machine
    bob: Machine
    alices: Path
    bobs: Path

    def sessions(self) -> tuple[RunningSession, RunningSession]:
        """One session each; both have announced themselves."""
        both = (self.alice.running_session(self.alices), self.bob.running_session(self.bobs))
        for session in both:
            session.start()
        return both


@pytest.fixture(params=STORES)
def team(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Team]:
    if request.param == "etcd":
        namespace = request.getfixturevalue("namespace")
        store = etcd_store(request.getfixturevalue("etcd"), namespace)
    else:
        store = ("--embedded", "--data", str(tmp_path / "store"))
    origin = f"{ORIGIN}/{tmp_path.name}"
    alices = repository(tmp_path / "work" / "shop", FILES, origin)
    for number in range(3):
        (alices / "auth" / "login.py").write_text(f"import auth.token  # {number}\n")
        (alices / "docs" / "guide.md").write_text(f"{number}\n")
        git(alices, "commit", "-q", "-a", "-m", "more")
    bobs = clone(alices, tmp_path / "elsewhere" / "checkout", origin)
    with coordinator(tmp_path, *store) as running:
        alice = Machine(tmp_path / "alice", "alice", running.address)
        bob = Machine(tmp_path / "bob", "bob", running.address)
        with machines(alice, bob):
            yield Team(alice, bob, alices, bobs)


def suggested(session: RunningSession, *options: str) -> list[dict[str, Any]]:
    code, printed = session.run("suggest", "--json", *options)
    assert 0 == code, printed
    answer = json.loads(printed)
    assert answer["known"]
    return list(answer["suggestions"])


def works(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(row["kind"], row["name"]) for row in rows}


def instead(session: RunningSession, file: str) -> str:
    """What a refused edit of ``file`` suggests."""
    return refusal(session.edit(file)).partition("Suggestion: ")[2].partition("\n")[0]


def test_a_refusal_suggests_what_is_free_at_that_moment(team: Team) -> None:
    a, b = team.sessions()
    suggested(b)  # so that the repository has been read
    assert "" == refusal(a.edit("auth/login.py"))
    assert "checks/test_login.py is free and belongs to it." == instead(b, "auth/login.py")

    assert "" == refusal(a.edit("checks/test_login.py"))
    wait_until("it is heard", lambda: "guide.md" in instead(b, "auth/login.py"))
    assert "docs/guide.md is free and changes with it in 4 of 4 commits." == (
        instead(b, "auth/login.py")
    )

    assert "" == refusal(a.edit("docs/guide.md"))
    wait_until("it is heard", lambda: "token.py" in instead(b, "auth/login.py"))
    named = instead(b, "auth/login.py").partition(" ")[0]
    assert "" == refusal(b.edit(named)), "what was called free is granted"


def test_two_who_ask_at_once_are_given_different_work(team: Team) -> None:
    a, b = team.sessions()
    suggested(a, "--count", "1")
    suggested(b, "--count", "1")
    commands = [s.start_command("suggest", "--json", "--count", "2") for s in (a, b)]
    assert [0, 0] == [command.wait() for command in commands]
    first, second = (works(json.loads(c.text("out"))["suggestions"]) for c in commands)

    assert (2, 2) == (len(first), len(second))
    assert not first & second


def test_what_is_offered_to_another_is_not_called_free_at_a_start(team: Team) -> None:
    a, b = team.sessions()
    suggested(b, "--count", "1")  # so that the repository has been read
    areas = {name for kind, name in works(suggested(a, "--count", "20")) if kind == "area"}
    assert len(areas) >= 2

    def free() -> str:
        told = team.bob.running_session(team.bobs).start()
        return told.partition("Areas that nobody works on: ")[2].partition("\n")[0]

    wait_until("they are left out", lambda: not any(area in free() for area in areas))


def test_where_another_works_is_not_suggested_first(team: Team) -> None:
    a, b = team.sessions()
    for file in ("auth/login.py", "auth/token.py"):
        assert "" == refusal(a.edit(file))

    rows = suggested(b, "--count", "20", "--intent", "change the login and its token")

    assert ("area", "auth") not in works(rows), "all of it is taken"
    assert ("area", "cart") in works(rows)


def test_tasks_are_shared_by_all_machines(team: Team) -> None:
    said = team.alice.scoord("task", "add", "fix login", "write docs", cwd=team.alices)
    assert ["1  fix login", "2  write docs"] == said.stdout.splitlines()
    again = team.bob.scoord("task", "add", "Fix login", cwd=team.bobs)
    assert ["1  fix login"] == again.stdout.splitlines()

    listed = json.loads(team.bob.scoord("task", "list", "--json", cwd=team.bobs).stdout)["tasks"]

    assert ["fix login", "write docs", "round the price"] == [row["title"] for row in listed]
    assert ["alice", "alice", "TODO.md"] == [row["source"] for row in listed]

    done = team.bob.scoord("task", "done", "1", cwd=team.bobs)
    assert "done: 1  fix login\n" == done.stdout
    shown = team.alice.scoord("task", "list", cwd=team.alices).stdout
    assert "fix login" not in shown
    assert "by bob" in team.alice.scoord("task", "list", "--all", cwd=team.alices).stdout


def test_what_cannot_be_finished_is_said_in_one_line(team: Team) -> None:
    unknown = team.alice.scoord("task", "done", "99", cwd=team.alices)
    assert (1, 1) == (unknown.returncode, len(unknown.stderr.splitlines()))
    assert "has no task 99" in unknown.stderr

    listed = json.loads(team.alice.scoord("task", "list", "--json", cwd=team.alices).stdout)
    of_file = listed["tasks"][0]["id"]
    assert "tick it there" in team.alice.scoord("task", "done", of_file, cwd=team.alices).stderr


def test_a_task_that_is_suggested_is_shown_as_kept(team: Team) -> None:
    a, _ = team.sessions()
    team.bob.scoord("task", "add", "fix the login", "--area", "auth", cwd=team.bobs)

    (row,) = suggested(a, "--count", "1", "--intent", "fix the login")

    assert ("task", "1", ["auth"]) == (row["kind"], row["name"], row["areas"])
    assert "Session_1" in team.bob.scoord("task", "list", cwd=team.bobs).stdout
