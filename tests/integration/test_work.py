"""The team's backlog and suggestions, on two machines, through the real programs."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from scoord.v1.tasks_pb2 import OfferRequest, Work
from scoord.v1.tasks_pb2_grpc import TaskServiceStub
from support.machines import (
    Machine,
    RunningSession,
    clone,
    context,
    git,
    machines,
    refusal,
    repository,
    started,
)
from support.pair import ORIGIN
from support.processes import coordinator, etcd_store, wait_until

FILES = {
    "coordination.yaml": "tasks: [TODO.md]\n",
    "TODO.md": "# cart\n- [ ] round the price\n- [x] old\n## Later\n- [x] tidy\n",
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
    coordinator: str
    """Its address."""

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
            yield Team(alice, bob, alices, bobs, running.address)


def suggested(session: RunningSession, *options: str) -> list[dict[str, Any]]:
    code, printed = session.run("suggest", "--json", *options)
    assert 0 == code, printed
    answer = json.loads(printed)
    assert answer["known"]
    return list(answer["suggestions"])


def works(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(row["kind"], row["name"]) for row in rows}


SUGGESTION = "Suggestion, if there is nothing else to do: "
FREE = "Free areas (nobody else works in them or holds a file there): "


def line(told: str, begin: str) -> str:
    """What comes after ``begin`` in what a session is told, to the end of the line."""
    return told.partition(begin)[2].partition("\n")[0]


def free_areas(session: RunningSession) -> set[str]:
    """The areas that ``session`` is told of as free, when it starts."""
    told = session.start()
    session.end()
    return set(filter(None, line(told, FREE).removesuffix(".").split(", ")))


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


def test_a_command_that_is_refused_suggests_what_an_edit_would(team: Team) -> None:
    a, b = team.sessions()
    suggested(b)  # so that the repository has been read
    assert "" == refusal(a.edit("auth/login.py"))
    of_edit = "checks/test_login.py is free and belongs to it."
    assert of_edit == instead(b, "auth/login.py")

    code, printed = b.run("lock", "auth/login.py")
    _, with_its_test = b.run("lock", "auth/login.py", "checks/test_login.py")
    _, pattern = b.run("lock", "auth/**", "--for", "30m")

    assert 1 == code
    assert f"Suggestion: {of_edit}" in printed
    assert "docs/guide.md is free and changes with it" in with_its_test, "the other is asked for"
    assert "Suggestion: work on something else until then" in pattern, "what is near lies in it"


def test_two_who_ask_at_once_are_given_different_work(team: Team) -> None:
    a, b = team.sessions()
    suggested(a, "--count", "1")
    suggested(b, "--count", "1")
    commands = [s.start_command("suggest", "--json", "--count", "2") for s in (a, b)]
    assert [0, 0] == [command.wait() for command in commands]
    first, second = (works(json.loads(c.text("out"))["suggestions"]) for c in commands)

    assert (2, 2) == (len(first), len(second))
    assert not first & second


def test_who_looks_at_a_terminal_keeps_nothing_from_the_sessions_and_is_none_of_them(
    team: Team,
) -> None:
    a, _ = team.sessions()
    every = works(suggested(a, "--count", "20"))
    a.end()
    looked = team.alice.scoord("suggest", "--count", "20", cwd=team.alices)
    assert 0 == looked.returncode
    assert "kept for this session" not in looked.stdout

    new = team.bob.running_session(team.bobs)
    told = new.start()

    assert not [said for said in told.splitlines() if said.startswith("- ") and "alice@" in said]
    assert every == works(suggested(new, "--count", "20"))


def test_a_terminal_that_holds_a_file_is_told_of_as_one(team: Team) -> None:
    assert 0 == team.alice.scoord("lock", "docs/guide.md", cwd=team.alices).returncode

    (said,) = (
        each
        for each in team.bob.running_session(team.bobs).start().splitlines()
        if each.startswith("- ")
    )

    assert ", a terminal" in said
    assert said.endswith("; holds docs/guide.md")


def test_what_is_offered_to_another_is_not_called_free_at_a_start(team: Team) -> None:
    a, b = team.sessions()
    suggested(b, "--count", "1")  # so that the repository has been read
    free = free_areas(team.bob.running_session(team.bobs))
    areas = {name for kind, name in works(suggested(a, "--count", "20")) if kind == "area"}
    assert free & areas

    wait_until(
        "they are left out", lambda: not free_areas(team.bob.running_session(team.bobs)) & areas
    )


def test_two_that_start_at_once_are_not_given_the_same(team: Team) -> None:
    for session in team.sessions():
        suggested(session, "--count", "1")  # so that both have read the repository
        session.end()
    both = (team.alice.running_session(team.alices), team.bob.running_session(team.bobs))

    with ThreadPoolExecutor() as pool:
        told = [line(start, SUGGESTION) for start in pool.map(RunningSession.start, both)]

    first, second = (said.partition(";")[0] for said in told)
    assert first
    assert second
    assert first != second
    assert all("nobody holds" in said or "file is free" in said for said in told), "and why"
    assert all(said.endswith("It is kept for this session for 1 min.") for said in told)


def test_areas_are_called_free_at_a_start_however_many_tasks_there_are(team: Team) -> None:
    a, _ = team.sessions()
    team.bob.scoord("task", "add", "--each", *(f"tidy shelf {n}" for n in range(60)), cwd=team.bobs)
    suggested(a, "--count", "1")  # so that the repository has been read

    assert free_areas(team.alice.running_session(team.alices))


def test_where_others_were_offered_all_there_is_it_is_said(team: Team) -> None:
    a, b = team.sessions()
    suggested(b, "--count", "1")  # so that the repository has been read
    b.end()  # and what it was offered is free
    wait_until("all is kept", lambda: len(works(suggested(a, "--count", "20"))) == 6)
    wait_until("it is heard", lambda: not free_areas(team.bob.running_session(team.bobs)))

    code, printed = team.bob.running_session(team.bobs).run("suggest")

    assert 0 == code
    assert "kept for others at the moment" in printed


def test_outside_a_repository_it_is_said_that_there_is_none(team: Team) -> None:
    elsewhere = team.alice.state_dir.parent

    answer = json.loads(team.alice.scoord("suggest", "--json", cwd=elsewhere).stdout)

    assert (False, []) == (answer["in_repository"], answer["suggestions"])


def test_who_is_told_to_read_on_is_not_given_anything_anew(team: Team) -> None:
    a, _ = team.sessions()
    (kept,) = suggested(a, "--count", "1")

    told = context(a.post("SessionStart", source="compact"))

    assert SUGGESTION not in told
    (again,) = suggested(a, "--count", "1")
    assert (kept["kind"], kept["name"]) == (again["kind"], again["name"])


def test_where_another_works_is_not_suggested_first(team: Team) -> None:
    a, b = team.sessions()
    for file in ("auth/login.py", "auth/token.py"):
        assert "" == refusal(a.edit(file))

    rows = suggested(b, "--count", "20", "--intent", "change the login and its token")

    assert ("area", "auth") not in works(rows), "all of it is taken"
    assert ("area", "cart") in works(rows)


def test_where_another_works_nothing_is_suggested_while_there_is_other_work(team: Team) -> None:
    a, b = team.sessions()
    suggested(b)  # so that the repository has been read
    assert "" == refusal(a.edit("auth/login.py"))
    a.edited("auth/login.py")

    def rows() -> list[dict[str, Any]]:
        return suggested(b, "--count", "20", "--intent", "change the login and its token")

    wait_until("it is heard", lambda: ("area", "auth") not in works(rows()))
    assert ("area", "cart") in works(rows())
    assert all(row["expected_collision"] < 0.5 for row in rows())
    (said,) = (line for line in b.run("suggest")[1].splitlines() if line.startswith("left out: "))
    assert "area auth (Session_1 holds 1 of its 2 files)" in said


def test_a_task_that_names_a_free_file_is_suggested_where_another_works(team: Team) -> None:
    a, b = team.sessions()
    assert "" == refusal(a.edit("auth/login.py"))
    a.edited("auth/login.py")
    titles = ("shorten the login in auth/login.py", "colour the token in auth/token.py")
    team.alice.scoord("task", "add", "--each", *titles, cwd=team.alices)
    suggested(b)  # so that the repository has been read

    def answer() -> dict[str, Any]:
        return dict(json.loads(b.run("suggest", "--json", "--intent", "colour the token")[1]))

    wait_until("it is heard", lambda: bool(answer()["left_out"]))
    told = answer()
    assert ("task", "2") == (told["suggestions"][0]["kind"], told["suggestions"][0]["name"])
    assert ("task", "1") not in works(told["suggestions"])
    assert {"kind": "task", "name": "1", "title": titles[0], "why": "Session_1 holds its file"} == (
        told["left_out"][0]
    )


def test_tasks_are_shared_by_all_machines(team: Team) -> None:
    said = team.alice.scoord("task", "add", "--each", "fix login", "write docs", cwd=team.alices)
    assert ["1  fix login", "2  write docs"] == said.stdout.splitlines()
    again = team.bob.scoord("task", "add", "Fix login", cwd=team.bobs)
    assert ["1  fix login"] == again.stdout.splitlines()

    listed = json.loads(team.bob.scoord("task", "list", "--json", cwd=team.bobs).stdout)["tasks"]

    assert ["fix login", "write docs", "round the price"] == [row["title"] for row in listed]
    assert ["alice", "alice", "TODO.md"] == [row["source"] for row in listed]
    everything = team.bob.scoord("task", "list", "--all", "--json", cwd=team.bobs).stdout
    areas = {row["title"]: row["area"] for row in json.loads(everything)["tasks"]}
    assert ("cart", "") == (areas["old"], areas["tidy"]), "a heading that is no area says nothing"

    done = team.bob.scoord("task", "done", "1", cwd=team.bobs)
    assert "done: 1  fix login\n" == done.stdout
    shown = team.alice.scoord("task", "list", cwd=team.alices).stdout
    assert "fix login" not in shown
    assert "by bob" in team.alice.scoord("task", "list", "--all", cwd=team.alices).stdout


def test_what_the_team_is_done_with_is_not_listed_as_open_by_its_file(team: Team) -> None:
    team.alice.scoord("task", "add", "Round the price", cwd=team.alices)
    team.alice.scoord("task", "done", "1", cwd=team.alices)

    listed = team.bob.scoord("task", "list", "--json", cwd=team.bobs)

    assert [] == json.loads(listed.stdout)["tasks"], "it is not suggested, either"


def test_the_words_of_a_title_need_no_quotes(team: Team) -> None:
    said = team.alice.scoord("task", "add", "fix", "the", "login", cwd=team.alices)
    several = team.alice.scoord("task", "add", "fix login", "write docs", cwd=team.alices)

    assert "1  fix the login\n" == said.stdout
    assert 2 == several.returncode
    assert "several titles: say --each to make a task of each of them" in several.stderr


def test_what_a_coding_session_does_to_the_backlog_does_not_read_as_its_persons(
    team: Team,
) -> None:
    coding = started(team.bob.running_session(team.bobs))
    coding.run("task", "add", "delete all the tests now")
    coding.run("task", "add", "write docs")
    coding.run("task", "done", "1")
    coding.run("task", "remove", "2")

    listed = team.alice.scoord("task", "list", "--all", "--json", cwd=team.alices)
    (row,) = (task for task in json.loads(listed.stdout)["tasks"] if task["id"] == "1")
    assert row["source"].startswith("Session_1 (bob@")
    assert row["done_by"] == row["source"]
    asked = ("--kind", "task_added", "--kind", "task_done", "--kind", "task_removed")
    told = team.alice.scoord("history", *asked, "--json", cwd=team.alices)
    lines = json.loads(told.stdout)["events"]
    assert ["task_removed", "task_done", "task_added", "task_added"] == [
        line["kind"] for line in lines
    ]
    assert {("Session_1", row["source"])} == {(line["alias"], line["by"]) for line in lines}
    assert all(line["session_id"].startswith("Session_") for line in lines)


def test_a_task_that_is_not_wanted_is_taken_off(team: Team) -> None:
    team.alice.scoord("task", "add", "--each", "fix login", "write docs", cwd=team.alices)
    removed = team.bob.scoord("task", "remove", "2", cwd=team.bobs)
    twice = team.bob.scoord("task", "remove", "2", "--json", cwd=team.bobs)
    shown = team.alice.scoord("task", "list", "--all", cwd=team.alices).stdout
    again = team.alice.scoord("task", "add", "write docs", cwd=team.alices)
    finished = team.alice.scoord("task", "done", "2", cwd=team.alices)
    past = team.alice.scoord("history", "--kind", "task_removed", cwd=team.alices).stdout

    assert "removed: 2  write docs\n" == removed.stdout
    row = json.loads(twice.stdout)["task"]
    assert ("write docs", False, "") == (row["title"], row["done"], row["done_by"])
    assert "fix login" in shown
    assert "write docs" not in shown
    assert "3  write docs\n" == again.stdout, "no number is given twice"
    assert (1, "") == (finished.returncode, finished.stdout)
    assert "2 write docs" in past


def test_an_area_that_there_is_not_is_refused_with_those_there_are(team: Team) -> None:
    unknown = team.alice.scoord("task", "add", "fix login", "--area", "nope", cwd=team.alices)
    known = team.alice.scoord("task", "add", "fix login", "--area", "AUTH", cwd=team.alices)
    listed = json.loads(team.bob.scoord("task", "list", "--json", cwd=team.bobs).stdout)["tasks"]

    assert 2 == unknown.returncode
    assert "no area here is called 'nope'; there are: " in unknown.stderr
    assert "auth" in unknown.stderr
    named = team.alice.scoord("graph", "--format", "json", cwd=team.alices).stdout
    assert "area_auth" in named
    as_in_graph = ("task", "add", "fix logout", "--area", "area_auth")
    assert 0 == team.alice.scoord(*as_in_graph, cwd=team.alices).returncode
    assert "1  fix login\n" == known.stdout
    assert "auth" == listed[0]["area"]


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


def test_a_task_of_a_file_that_is_suggested_is_shown_as_kept(team: Team) -> None:
    a, b = team.sessions()

    (row,) = suggested(a, "--count", "1", "--intent", "round the price")
    assert "task" == row["kind"]

    def kept_for() -> str:
        listed = json.loads(b.run("task", "list", "--json")[1])
        return str(next(t["offered_to"] for t in listed["tasks"] if t["id"] == row["name"]))

    wait_until("bob's machine has heard of it", lambda: "Session_1" == kept_for())
    graph = json.loads(b.run("graph", "--format", "json")[1])
    (facts,) = [e["observations"] for e in graph["entities"] if e["name"] == f"task_{row['name']}"]
    assert "kept for: Session_1" in facts


@pytest.mark.parametrize("acts", ["by its prompt", "by its edit", "not"])
def test_a_task_that_a_session_works_on_is_not_given_to_the_next_one(team: Team, acts: str) -> None:
    a, b = team.sessions()
    team.bob.scoord(
        "task", "add", "fix the LOGIN flow in login.py", "--area", "auth", cwd=team.bobs
    )
    (row,) = suggested(a, "--count", "1", "--intent", "fix the login flow")
    assert ("task", "1") == (row["kind"], row["name"])
    offered_for_a_second(team, "1")
    if acts == "by its prompt":
        a.prompt("Fix the login flow in login.py")
    elif acts == "by its edit":
        a.edit("auth/login.py")
        a.edited("auth/login.py")
    time.sleep(3)

    given = works(suggested(b, "--count", "20", "--intent", "fix the login flow"))

    assert (acts == "not") is (("task", "1") in given)


def offered_for_a_second(team: Team, task_id: str) -> None:
    """Let what Session_1 was offered end so soon, as the minutes of an offer are over."""
    status = team.alice.status(team.alices)
    (session_id,) = [row["session_id"] for row in status["sessions"] if row["alias"] == "Session_1"]
    request = OfferRequest(
        request_id="short",
        project=status["project"]["id"],
        session_id=session_id,
        candidates=[Work(kind="task", name=task_id)],
        lasts=Duration(seconds=1),
    )
    with grpc.insecure_channel(team.coordinator) as channel:
        assert TaskServiceStub(channel).Offer(request, timeout=5).offered
