"""Every kind of edit event is guarded, and what else a session says is understood."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.machines import CodingSession, context, refusal, seconds_until, started
from support.pair import Clones, Pair, clones, pair

FILES = {"auth.py": "", "src/cart.py": "", "notes/plan.ipynb": "{}"}
TOOLS = ("Edit", "Write", "MultiEdit", "NotebookEdit")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair")) as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path) -> Clones:
    return clones(tmp_path, FILES)


@pytest.fixture
def a(both: Pair, shop: Clones) -> CodingSession:
    return started(both.alice.session(shop.alices))


@pytest.fixture
def b(both: Pair, shop: Clones) -> CodingSession:
    return started(both.bob.session(shop.bobs))


def by_absolute_path(session: CodingSession, file: str, tool: str) -> Any:
    return session.edit(session.cwd / file, tool)


def by_relative_path(session: CodingSession, file: str, tool: str) -> Any:
    return session.edit(file, tool)


def from_a_subdirectory(session: CodingSession, file: str, tool: str) -> Any:
    return session.edit(f"../{file}", tool, cwd=str(session.cwd / "src"))


def from_a_subagent(session: CodingSession, file: str, tool: str) -> Any:
    return session.edit(session.cwd / file, tool, agent_id="agent-7", agent_type="Explore")


@pytest.mark.parametrize(
    ("tool", "file"), [*((tool, "auth.py") for tool in TOOLS), ("Write", "src/not_there_yet.py")]
)
@pytest.mark.parametrize(
    "way", [by_absolute_path, by_relative_path, from_a_subdirectory, from_a_subagent]
)
def test_an_edit_takes_the_file_and_another_machine_is_refused(
    a: CodingSession,
    b: CodingSession,
    way: Callable[[CodingSession, str, str], Any],
    tool: str,
    file: str,
) -> None:
    assert "" == refusal(way(a, file, tool))
    assert f"{file} is locked by Session_1" in refusal(by_absolute_path(b, file, tool))


@pytest.mark.parametrize(
    "way", [by_absolute_path, by_relative_path, from_a_subdirectory, from_a_subagent]
)
def test_each_way_of_an_edit_is_refused_what_another_holds(
    a: CodingSession, b: CodingSession, way: Callable[[CodingSession, str, str], Any]
) -> None:
    by_absolute_path(a, "auth.py", "Edit")

    assert "auth.py is locked by Session_1" in refusal(way(b, "auth.py", "Edit"))


def test_two_subagents_of_one_session_exclude_each_other(a: CodingSession) -> None:
    assert "" == refusal(a.edit("auth.py", agent_id="agent-1"))

    told = refusal(a.edit("auth.py", agent_id="agent-2"))

    assert "locked by another thread of this session (subagent agent-1)" in told
    assert "another thread of this session" in refusal(a.edit("auth.py"))


def test_a_subagent_may_take_over_what_its_main_thread_holds(a: CodingSession) -> None:
    assert "" == refusal(a.edit("auth.py"))
    assert "" == refusal(a.edit("auth.py", agent_id="agent-1"))

    assert "subagent agent-1" in refusal(a.edit("auth.py"))


def test_what_a_subagent_held_is_free_when_it_stops(a: CodingSession, b: CodingSession) -> None:
    a.edit("auth.py", agent_id="agent-1")
    a.edit("src/cart.py", agent_id="agent-2")

    a.post("SubagentStop", agent_id="agent-1", stop_hook_active=False)
    seconds_until("it is free", lambda: not refusal(b.edit("auth.py")), 2)

    assert "subagent agent-2" not in refusal(b.edit("auth.py"))
    assert refusal(b.edit("src/cart.py"))


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("Read", {"file_path": "auth.py"}),
        ("Bash", {"command": "rm auth.py"}),
        ("mcp__files__write", {"file_path": "auth.py"}),
        ("EditAnything", {"file_path": 3}),
    ],
)
def test_a_tool_that_is_not_an_edit_passes_and_locks_nothing(
    both: Pair, a: CodingSession, b: CodingSession, tool: str, given: dict[str, object]
) -> None:
    b.edit("auth.py")
    (before,) = both.alice.status(a.cwd)["locks"]

    assert {} == a.post("PreToolUse", tool_name=tool, tool_input=given)
    assert [before["token"]] == [lock["token"] for lock in both.alice.status(a.cwd)["locks"]]


def test_a_finished_edit_keeps_its_lock_and_says_nothing(
    a: CodingSession, b: CodingSession
) -> None:
    a.edit("auth.py")

    answer = a.post(
        "PostToolUse",
        tool_name="Edit",
        tool_input={"file_path": "auth.py"},
        tool_response={"success": True},
    )

    assert {} == answer
    assert refusal(b.edit("auth.py"))


def test_the_end_of_a_turn_keeps_locks(a: CodingSession, b: CodingSession) -> None:
    a.edit("auth.py")

    assert {} == a.post("Stop", stop_hook_active=False)
    assert refusal(b.edit("auth.py"))


def test_after_clear_a_session_goes_on_under_its_name_with_its_locks(
    both: Pair, a: CodingSession, b: CodingSession
) -> None:
    a.edit("auth.py")
    (before,) = [s for s in both.alice.status(a.cwd)["sessions"] if s["local"]]

    a.end("clear")
    a.session_id = "another-conversation"
    told = context(a.post("SessionStart", source="clear"))

    assert f"this session is {before['alias']} in " in told
    assert "You still hold auth.py." in told
    (after,) = [s for s in both.alice.status(a.cwd)["sessions"] if s["local"]]
    assert before["session_id"] == after["session_id"]
    assert refusal(b.edit("auth.py"))
    assert "" == refusal(a.edit("auth.py"))


@pytest.mark.parametrize("how", ["clear", "resume", "fork"])
def test_another_conversation_in_a_process_has_an_intent_of_its_own(
    a: CodingSession, b: CodingSession, how: str
) -> None:
    a.prompt("refactor the login")
    a.edit("auth.py")

    a.end("resume" if how == "fork" else how)
    a.session_id = f"another-conversation-{how}"
    a.post("SessionStart", source=how)
    a.prompt("port the lexer")
    a.edit("lexer.py")

    assert '"port the lexer"' in refusal(b.edit("lexer.py"))


@pytest.mark.parametrize("how", ["clear", "resume", "fork"])
def test_what_its_person_said_it_is_to_do_stays_in_another_conversation(
    both: Pair, shop: Clones, b: CodingSession, how: str
) -> None:
    a = both.alice.session(shop.alices)
    a.said_intent = "migrate the billing"
    a.start()
    a.prompt("a word between us")

    a.end("resume" if how == "fork" else how)
    a.session_id = f"another-conversation-{how}"
    a.post("SessionStart", source=how)
    a.prompt("another word between us")
    a.edit("auth.py")

    assert '"migrate the billing"' in refusal(b.edit("auth.py"))


def test_what_its_person_said_at_its_start_goes_before_a_prompt_that_came_first(
    both: Pair, shop: Clones, b: CodingSession
) -> None:
    a = both.alice.session(shop.alices)
    a.prompt("a word between us")
    a.said_intent = "migrate the billing"
    a.start()
    a.edit("auth.py")

    assert '"migrate the billing"' in refusal(b.edit("auth.py"))


def test_the_same_conversation_taken_up_again_keeps_its_intent(
    a: CodingSession, b: CodingSession
) -> None:
    a.prompt("refactor the login")

    for how in ("compact", "resume"):
        a.post("SessionStart", source=how)
    a.prompt("go on")
    a.edit("auth.py")

    assert '"refactor the login"' in refusal(b.edit("auth.py"))


def test_a_session_that_never_announced_itself_is_registered_with_its_process(
    both: Pair, shop: Clones, b: CodingSession
) -> None:
    silent = both.alice.http_session(shop.alices)

    assert "" == refusal(silent.edit("auth.py"))

    assert "auth.py is locked by" in refusal(b.edit("auth.py"))
    (found,) = [s for s in both.alice.status(shop.alices)["sessions"] if s["local"]]
    assert silent.pid == found["pid"]
    silent.kill()
    assert seconds_until("it is ended", lambda: not refusal(b.edit("auth.py")), 3) < 2


def test_a_conversation_resumed_in_a_second_process_is_a_second_session(
    both: Pair, shop: Clones, a: CodingSession
) -> None:
    a.edit("auth.py")
    again = both.alice.session(shop.alices, name=a.session_id)
    told = context(again.post("SessionStart", source="resume"))

    assert "this session is Session_2" in told
    assert "auth.py is locked by Session_1" in refusal(again.edit("auth.py"))
    assert "" == refusal(a.edit("auth.py"))
    again.end()
    assert "" == refusal(a.edit("auth.py")), "the end of one process is not the other's"


def test_events_by_http_find_the_right_one_of_two_processes_with_one_conversation(
    both: Pair, shop: Clones
) -> None:
    first, second = both.alice.http_session(shop.alices), both.alice.http_session(shop.alices)
    second.session_id = first.session_id
    first.edit("auth.py")
    # Its start always comes by a command, which knows the process.
    _, answer = both.alice.post(
        "/v1/hooks/claude-code/SessionStart",
        json.dumps(second.body("SessionStart", source="resume")).encode(),
        {"X-Scoord-Pid": str(second.pid)},
    )
    assert "this session is Session_2" in context(answer)

    assert "auth.py is locked by Session_1" in refusal(second.edit("auth.py"))
    assert "" == refusal(first.edit("auth.py"))


def test_the_first_events_of_a_silent_session_make_one_session(both: Pair, shop: Clones) -> None:
    silent = both.alice.session(shop.alices)
    files = [f"new_{number}.py" for number in range(8)]

    with ThreadPoolExecutor(max_workers=len(files)) as pool:
        answers = list(pool.map(silent.edit, files))

    assert [{}] * len(files) == answers
    assert 1 == len(both.alice.status(shop.alices)["sessions"])
