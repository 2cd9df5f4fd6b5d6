"""What sessions let each other know: progress, queues, relations, words. Real programs."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.machines import CodingSession, git, refusal, seconds_until, started
from support.pair import Clones, Pair, clones, pair


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("publishing")) as made:
        yield made


@pytest.fixture
def team(tmp_path: Path) -> Clones:
    files = {"web/auth.py": "pass\n", "web/other.py": "pass\n", "docs/a.md": "a\n"}
    return clones(tmp_path, files)


def _seen(two: Pair, team: Clones, alias: str) -> dict[str, Any]:
    """A session as Bob's ``scoord status --json`` prints it."""
    rows = two.bob.status(team.bobs)["sessions"]
    return next((row for row in rows if row["alias"] == alias), {})


def _until(two: Pair, team: Clones, alias: str, **fields: Any) -> dict[str, Any]:
    def holds() -> bool:
        row = _seen(two, team, alias)
        return all(row.get(name) == value for name, value in fields.items())

    try:
        seconds_until(f"{alias} has {fields}", holds, 8)
    except AssertionError:
        assert fields == {name: _seen(two, team, alias).get(name) for name in fields}
    return _seen(two, team, alias)


def _todos(session: CodingSession, *todos: tuple[str, str]) -> dict[str, Any]:
    listed = [{"content": c, "status": s, "activeForm": f"{c}ing"} for c, s in todos]
    return session.post(
        "PostToolUse",
        tool_name="TodoWrite",
        tool_input={"todos": listed},
        tool_response={"oldTodos": [], "newTodos": listed},
    )


def _task(session: CodingSession, tool: str, asked: object, answer: object) -> None:
    session.post("PostToolUse", tool_name=tool, tool_input=asked, tool_response=answer)


def test_a_task_list_tells_the_others_how_far_a_session_is(two: Pair, team: Clones) -> None:
    alice = started(two.alice.session(team.alices))
    alice.prompt("Refactor the login")
    _todos(alice, ("design", "completed"), ("cod", "in_progress"), ("test", "pending"))
    row = _until(two, team, "Session_1", status="working", intent="Refactor the login")
    row = _until(
        two,
        team,
        "Session_1",
        progress={"done": 1, "total": 3, "percent": 33, "step": "coding", "source": "tasks"},
    )
    assert row["estimate"] is None  # of one step, nobody can tell

    done = ["completed"] * 3
    for _ in range(2):
        time.sleep(2)  # a step takes time: what is done in none has no pace
        done.append("completed")
        todos = [*done, *["pending"] * 6][:8]
        _todos(alice, *((f"step {n}", state) for n, state in enumerate(todos)))
    seconds_until("there is an estimate", lambda: _seen(two, team, "Session_1")["estimate"], 8)
    estimate = _seen(two, team, "Session_1")["estimate"]
    assert ("progress", 2) == (estimate["basis"], estimate["samples"])
    assert 0 < estimate["low_s"] <= estimate["left_s"] <= estimate["high_s"] < 20
    shown = two.bob.scoord("status", cwd=team.bobs).stdout
    assert " s left (5 of 8 steps)" in shown
    assert "━━━━━━╌╌╌╌ about " in shown


def test_the_task_tools_of_later_versions_tell_the_same(two: Pair, team: Clones) -> None:
    alice = started(two.alice.session(team.alices))
    for number, subject in (("1", "one"), ("2", "two")):
        asked = {"subject": subject, "activeForm": f"doing {subject}"}
        _task(alice, "TaskCreate", asked, {"task": {"id": number, "subject": subject}})
    _task(alice, "TaskUpdate", {"taskId": "1", "status": "completed"}, {"success": True})
    _task(alice, "TaskUpdate", {"taskId": "2", "status": "in_progress"}, {"success": True})
    _task(alice, "TaskUpdate", {"taskId": ["?"]}, None)

    progress = {"done": 1, "total": 2, "percent": 50, "step": "doing two", "source": "tasks"}
    _until(two, team, "Session_1", progress=progress)


def test_edits_and_commits_are_counted_and_tell_the_area(two: Pair, team: Clones) -> None:
    alice = started(two.alice.session(team.alices))
    for file in ("web/auth.py", "web/auth.py", "docs/a.md"):
        alice.edit(team.alices / file)
        alice.edited(team.alices / file)
    (team.alices / "docs/a.md").write_text("b\n")
    git(team.alices, "commit", "-q", "-am", "second")
    row: dict[str, Any] = {}

    def counted() -> bool:
        alice.prompt("go on")
        row.update(_seen(two, team, "Session_1"))
        return (row["edits"], row["commits"]) == (2, 1)

    seconds_until("edits and commits are told", counted, 8)
    assert ["docs", "web"] == row["areas"]
    assert (str(team.alices), "alice") == (row["worktree"], row["person"])


def test_of_two_in_one_worktree_who_edited_what_is_committed_has_made_the_commit(
    two: Pair, team: Clones
) -> None:
    first, second = (started(two.alice.session(team.alices)) for _ in range(2))
    for session, file in ((first, "web/auth.py"), (second, "docs/a.md")):
        session.edit(team.alices / file)
        session.edited(team.alices / file)
    time.sleep(1.1)  # what is checked out is looked at once in a second
    for session in (first, second):
        session.prompt("go on")
    (team.alices / "web/auth.py").write_text("changed\n")
    git(team.alices, "commit", "-q", "-am", "second")

    def counted() -> list[int]:
        second.prompt("go on")  # it is the first that is seen after the commit
        return [_seen(two, team, f"Session_{number}")["commits"] for number in (1, 2)]

    seconds_until("the commit is told", lambda: sum(counted()) == 1, 8)
    assert [1, 0] == counted()


def test_an_edit_that_changes_nothing_of_a_session_writes_nothing(two: Pair, team: Clones) -> None:
    alice = started(two.alice.session(team.alices))
    alice.prompt("Refactor the login")

    def edit(*files: str) -> int:
        """Edit them, each as long as a pause between two updates; the store's revision then."""
        for file in files:
            alice.edit(file)
            alice.edited(file)
            time.sleep(1.2)
        told = two.bob.scoord("refresh", "--json", cwd=team.bobs)
        return int(json.loads(told.stdout)["revision"])

    before = edit("web/auth.py", "web/auth.py")
    assert before == edit("web/auth.py", "web/auth.py", "web/auth.py")
    assert before < edit("web/other.py")
    _until(two, team, "Session_1", edits=2, areas=["web"])


def test_one_that_waits_for_a_file_says_so_and_for_whom_until_it_has_it(
    two: Pair, team: Clones
) -> None:
    alice = two.alice.running_session(team.alices)
    bob = two.bob.session(team.bobs)
    alice.start()
    bob.start()
    alice.edit("web/auth.py")
    bob.prompt("change it")
    assert refusal(bob.edit("web/auth.py"))
    row = _until(two, team, "Session_2", status="waiting")
    (on,) = row["depends_on"]
    assert ("Session_1", "waits", "web/auth.py") == (on["alias"], on["why"], on["path"])
    assert "Session_1 (waits for web/auth.py)" in two.bob.scoord("status", cwd=team.bobs).stdout

    alice.run("release", "web/auth.py")
    _until(two, team, "Session_2", status="working", depends_on=[])
    assert not refusal(bob.edit("web/auth.py"))


def test_one_whose_prompt_was_not_seen_is_idle_until_it_edits_and_waits_no_longer_than_it_does(
    two: Pair, team: Clones
) -> None:
    alice = two.alice.running_session(team.alices)
    bob = two.bob.session(team.bobs)
    alice.start()
    bob.start()
    assert ("idle", "idle") == tuple(
        _seen(two, team, alias)["status"] for alias in ("Session_1", "Session_2")
    )
    alice.edit("web/auth.py")
    _until(two, team, "Session_1", status="working")
    assert refusal(bob.edit("web/auth.py"))
    _until(two, team, "Session_2", status="waiting")

    alice.run("release", "web/auth.py")
    assert not refusal(bob.edit("web/auth.py"))
    _until(two, team, "Session_2", status="working", depends_on=[])


def test_people_say_intent_and_progress_and_dependence(two: Pair, team: Clones) -> None:
    alice = two.alice.running_session(team.alices)
    alice.start()
    started(two.bob.session(team.bobs))

    assert alice.run("intent", "port the \x1b[31mlexer")[1] == 'Session_1: "port the lexer"\n'
    assert alice.run("progress", "60", "nearly there")[1] == 'Session_1: 60 %, "nearly there"\n'
    assert alice.run("depends", "session_2")[1] == "Session_1 depends on Session_2\n"
    progress = {"done": 0, "total": 0, "percent": 60, "step": "nearly there", "source": "said"}
    row = _until(two, team, "Session_1", intent="port the lexer", progress=progress)
    assert [("Session_2", "said")] == [(on["alias"], on["why"]) for on in row["depends_on"]]
    shown = two.bob.scoord("status", cwd=team.bobs).stdout
    assert "60 %" in shown
    assert "port the lexer; now: nearly there" in shown

    code, told = alice.run("depends", "--none", "--json")
    assert (0, []) == (code, json.loads(told)["depends_on"])
    _until(two, team, "Session_1", depends_on=[])
    named = two.bob.scoord("intent", "docs", "--session", "Session_2", cwd=team.bobs)
    assert (0, 'Session_2: "docs"\n') == (named.returncode, named.stdout)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("tell", "Session_9", "hi"), 1, "no session is called Session_9 in git.example.org/"),
        (("depends", "nobody"), 1, "there are: Session_1"),
        (("depends", "Session_1"), 2, "does not depend on itself"),
        (("depends",), 2, "name the sessions"),
        (("progress", "101"), 2, "'101': want 0 to 100"),
        (("tell", "Session_1", " \x1b[0m "), 2, "text is empty"),
    ],
)
def test_what_cannot_be_said_is_one_clear_line(
    two: Pair, team: Clones, arguments: tuple[str, ...], code: int, said: str
) -> None:
    alice = two.alice.running_session(team.alices)
    alice.start()
    found, shown = alice.run(*arguments)

    assert (code, 1) == (found, len(shown.splitlines()))
    assert said in shown


def test_a_session_of_another_machine_speaks_for_itself(two: Pair, team: Clones) -> None:
    started(two.alice.session(team.alices))
    refused = two.bob.scoord("intent", "mine", "--session", "Session_1", cwd=team.bobs)

    assert 1 == refused.returncode
    assert "say it there" in refused.stderr


def test_what_a_person_tells_a_session_reaches_it_once_at_its_next_hook(
    two: Pair, team: Clones
) -> None:
    bob = started(two.bob.session(team.bobs))
    told = two.alice.scoord("tell", "Session_1", "the API is frozen until 5 pm", cwd=team.alices)
    assert (0, 'told Session_1: "the API is frozen until 5 pm"\n') == (told.returncode, told.stdout)
    heard = bob.told_at_last("the API is frozen")
    line = next(line for line in heard.splitlines() if "frozen" in line)
    assert line.startswith("alice@")
    assert line.endswith('says: "the API is frozen until 5 pm"')
    assert "frozen" not in bob.told() + bob.told()


def test_who_tells_more_than_a_line_has_room_for_is_told_so(two: Pair, team: Clones) -> None:
    started(two.bob.session(team.bobs))
    fits = two.alice.scoord("tell", "Session_1", "w" * 200, cwd=team.alices)
    assert (0, "") == (fits.returncode, fits.stderr)

    cut = two.alice.scoord("tell", "Session_1", "word " * 50 + "END", cwd=team.alices)
    said = "that was over 200 characters: it reads the beginning only\n"
    assert (0, said) == (cut.returncode, cut.stderr)
    assert cut.stdout.endswith('word…"\n')


def test_a_terminal_reads_no_messages_and_nobody_reads_that_it_did(two: Pair, team: Clones) -> None:
    two.bob.scoord("intent", "by hand", cwd=team.bobs)
    told = two.alice.scoord("tell", "Session_1", "hello", cwd=team.alices)
    said = "Session_1 is a terminal without a coding CLI, which reads no messages\n"
    assert (1, "", said) == (told.returncode, told.stdout, told.stderr)
    past = two.alice.scoord("history", "--kind", "told", "--json", cwd=team.alices)
    assert [] == json.loads(past.stdout)["events"], past.stdout


def test_prompts_and_steps_stay_private_where_that_is_set(two: Pair, tmp_path: Path) -> None:
    text = "session_coordination: {share_prompts: false}\n"
    team = clones(tmp_path, {"coordination.yaml": text})
    alice = started(two.alice.session(team.alices))
    alice.prompt("the secret plan")
    _todos(alice, ("secret step", "in_progress"), ("other", "pending"))
    progress = {"done": 0, "total": 2, "percent": 0, "step": "", "source": "tasks"}
    _until(two, team, "Session_1", progress=progress)

    assert "secret" not in json.dumps(two.bob.status(team.bobs)["sessions"])
