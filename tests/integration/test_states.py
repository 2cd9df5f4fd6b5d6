"""What sessions say of their work, and are offered, as lines of history on another machine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.machines import CodingSession, Machine, clone, machines, repository, seconds_until
from support.processes import coordinator

ORIGIN = "git@git.example.org:team/shop.git"
FILES = {"api/auth.py": "", "web/cart.py": "", "docs/use.md": ""}
STEPS = ("design", "code", "test", "document")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[CodingSession, CodingSession]]:
    """A session of Alice's and one of Bob's, each on a machine of its own."""
    alices = repository(tmp_path / "alice" / "shop", FILES, ORIGIN)
    bobs = clone(alices, tmp_path / "bob" / "shop", ORIGIN)
    with coordinator(tmp_path, "--embedded", "--data", str(tmp_path / "store")) as running:
        alice = Machine(tmp_path / "alice" / "home", "alice", running.address)
        bob = Machine(tmp_path / "bob" / "home", "bob", running.address)
        with machines(alice, bob):
            a, b = alice.session(alices), bob.session(bobs)
            a.start()
            b.start()
            yield a, b


def history(session: CodingSession, *options: str) -> list[dict[str, Any]]:
    """What is read where it works, oldest first."""
    answer = session.machine.scoord("history", "--json", *options, cwd=session.cwd)
    assert 0 == answer.returncode, answer.stderr
    return list(reversed(json.loads(answer.stdout)["events"]))


def lines(session: CodingSession, kind: str, *options: str) -> list[str]:
    return [event["reason"] for event in history(session, "--kind", kind, *options)]


def steps(session: CodingSession, done: int) -> None:
    """Its task list, with the step after those that are done begun."""
    states = ["completed"] * done + ["in_progress"] + ["pending"] * len(STEPS)
    listed = [
        {"content": step, "status": state, "activeForm": f"{step} it"}
        for step, state in zip(STEPS, states, strict=False)
    ]
    answer = {"oldTodos": [], "newTodos": listed}
    session.post(
        "PostToolUse", tool_name="TodoWrite", tool_input={"todos": listed}, tool_response=answer
    )


def test_another_machine_reads_when_a_session_worked_and_how_far_it_was(
    pair: tuple[CodingSession, CodingSession],
) -> None:
    a, b = pair
    a.prompt("mend the login")
    for done in range(len(STEPS) + 1):
        steps(a, done)
        far = f"{done} of 4 steps" + (f": {STEPS[done]} it" if done < len(STEPS) else "")
        seconds_until(far, lambda far=far: far in lines(b, "progress"), 8)
    a.post("Stop", stop_hook_active=False)
    seconds_until("it rests", lambda: 2 <= len(lines(b, "status")), 8)

    assert ["working", "idle"] == lines(b, "status", "--person", "alice")
    assert len(STEPS) + 1 == len(lines(b, "progress"))


def test_whom_a_session_depends_on_as_a_person_says_is_in_the_history_of_both(
    pair: tuple[CodingSession, CodingSession],
) -> None:
    a, b = pair
    a.edit(a.cwd / "api/auth.py")
    b.edit(b.cwd / "api/auth.py")  # refused: it waits, which the line of its place says

    def told(of: str) -> list[str]:
        return lines(a, "depends", "--session", of)

    said = b.machine.scoord("depends", "Session_1", "--session", "Session_2", cwd=b.cwd)
    assert 0 == said.returncode, said.stderr
    seconds_until("bob depends on alice", lambda: ["Session_1"] == told("Session_1"), 8)
    assert told("Session_1") == told("Session_2")
    a.end()
    seconds_until("bob does not any more", lambda: "none" == told("Session_2")[-1], 8)

    assert ["Session_1", "none"] == told("Session_2")


def test_what_a_session_is_offered_is_a_line_and_so_is_that_it_is_free_again(
    pair: tuple[CodingSession, CodingSession],
) -> None:
    a, b = pair
    added = a.machine.scoord("task", "add", "fix login", cwd=a.cwd)
    assert 0 == added.returncode, added.stderr
    third = b.machine.session(b.cwd)
    third.start()

    def withdrawn() -> list[str]:
        return lines(a, "withdrawn", "--session", "Session_3")

    offered = lines(a, "offered", "--session", "Session_3")
    third.end()

    ended = 'task 1 "fix login": its session is over'
    assert ['task 1 "fix login": for 1 min'] == offered
    seconds_until("it is free", lambda: [ended] == withdrawn(), 8)


def test_how_far_a_session_is_hides_nothing_else_unless_it_is_asked_for(
    pair: tuple[CodingSession, CodingSession],
) -> None:
    a, b = pair
    a.prompt("mend the login")
    steps(a, 1)
    seconds_until("its step is told", lambda: lines(b, "progress"), 8)

    shown = {event["kind"] for event in history(b)}
    everything = {event["kind"] for event in history(b, "--all")}

    assert {"registered", "intent"} == shown
    assert {"registered", "intent", "status", "progress"} <= everything
