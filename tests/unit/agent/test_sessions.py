"""The sessions of a machine, and the file that outlives their agent."""

import json
import logging
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import cast

import pytest

from scoord.ids import AgentId, FencingToken, LeaseId, ProjectId, SessionId
from scoord.v1.sessions_pb2 import SessionStatus
from scoord_agent import wording
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import (
    MAIN,
    MAX_NOTICED,
    MAX_NOTICES,
    LocalSession,
    new_session_id,
)
from scoord_agent.processes import Process
from scoord_agent.sessions import Sessions
from scoord_agent.turns import Asked, Place, Queued
from scoord_agent.wanted import Wanted
from scoord_hooks.neutral import Step, Steps, StepState

NOW = 1_000.0
PLACE = Place(ProjectId("shop"), "a.py", SessionId("Session_far"), AgentId(""))
PROJECTS = {ProjectId("shop"), ProjectId("library")}
HELPER = AgentId("helper")


def a_session(number: int = 1, **changes: object) -> LocalSession:
    session = LocalSession(
        session_id=SessionId(f"Session_mbp_{number}_20260102T030405.000006Z"),
        client="claude-code",
        process=Process(number, 1_700_000_000.25),
        cwd="/home/alice/shop/src",
        client_session_ids={"first", "second"},
        lease=LeaseId(2**62),
        aliases={ProjectId("shop"): "Session_1", ProjectId("library"): "Session_3"},
        home=ProjectId("shop"),
        worktree="/home/alice/shop",
        branch="feature/login",
        intent='say "hello" → or not',
        intent_is_said=True,
        status=SessionStatus.SESSION_STATUS_WORKING,
        client_version="2.1.330",
        publish_within_s=60.0,
        to_greet=True,
    )
    for name, value in changes.items():
        setattr(session, name, value)
    return session


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sessions.jsonl"


def loaded(file: Path) -> list[LocalSession]:
    sessions = Sessions(file)
    sessions.load(NOW)
    return list(sessions)


def test_what_is_written_down_is_what_is_read(file: Path) -> None:
    sessions = Sessions(file)
    without_process = a_session(2, process=None, aliases={}, lease=LeaseId(0))
    without_process.publish_within_s = math.inf
    sessions.add(a_session())
    sessions.add(without_process)

    one, two = loaded(file)

    assert a_session(acted_at=NOW, inherited=PROJECTS) == one
    without_process.acted_at = NOW
    assert without_process == two


def test_no_text_costs_a_session(file: Path) -> None:
    session = a_session(cwd="/home/\ud83d", intent="a\u2028b\x85c")
    session.work.told_steps(Steps((Step("1", StepState.PENDING, "do \ud83d", "\udfff"),)), NOW)
    session.tell_loss("half a \ud83d is lost")
    Sessions(file).add(session)

    (after,) = loaded(file)

    assert (session.session_id, "/home/?") == (after.session_id, after.cwd)
    assert session.intent == after.intent
    assert ["half a ? is lost"] == after.take_losses(1)
    assert (Step("1", StepState.PENDING, "do ?", "?"),) == after.work.tasks.steps


def test_when_a_session_last_did_something_is_known_where_no_process_ends_it(file: Path) -> None:
    sessions = Sessions(file)
    for number, process, acted_at in (
        (1, Process(1, 2.0), NOW - 9),
        (2, None, NOW - 9),
        (3, None, NOW + 9),  # of before a boot
    ):
        sessions.add(a_session(number, process=process, acted_at=acted_at))

    assert [NOW, NOW - 9, NOW] == [session.acted_at for session in loaded(file)]


def test_what_a_session_was_not_told_is_told_by_the_agent_after_us(file: Path) -> None:
    sessions = Sessions(file)
    session = a_session()
    sessions.add(session)
    sessions.changed = sessions.save
    session.changed = sessions.save
    for number in range(MAX_NOTICES + 1):
        session.tell(f"{number}")
    session.tell_wanted(PLACE, Wanted("somebody waits"))
    session.tell_loss("a.py was broken")
    session.tell_loss("b.py was broken")
    assert ["a.py was broken"] == session.take_losses(1)

    (after,) = loaded(file)

    assert ["b.py was broken", "somebody waits", wording.left_out(1)] == after.take_notices(3)
    assert [f"{n}" for n in range(1, MAX_NOTICES + 1)] == after.take_notices()


def test_who_waits_is_known_with_the_branch_and_also_as_an_older_agent_wrote_it(
    file: Path,
) -> None:
    sessions, session = Sessions(file), a_session()
    on_branch = replace(PLACE, branch="topic")
    session.hear(HELPER)
    session.tell_wanted(on_branch, Wanted("bob waits"))
    session.tell_wanted(PLACE, Wanted("bob waits for it", 7), HELPER)
    sessions.add(session)
    (after,) = loaded(file)
    assert {
        MAIN: {on_branch: Wanted("bob waits")},
        HELPER: {PLACE: Wanted("bob waits for it", 7)},
    } == after.wanted


def test_where_a_session_waits_is_known_to_the_agent_after_us(file: Path) -> None:
    sessions, session = Sessions(file), a_session()
    mine = Place(ProjectId("shop"), "auth.py", session.session_id, HELPER, "topic")
    places = {mine: Queued("Auth.py", 7, "topic", Asked("/shop", 600.0, promised=True))}
    sessions.unheard = lambda _session: places
    sessions.add(session)

    (after,) = loaded(file)

    assert places == after.waited


@pytest.mark.parametrize(
    ("project", "branch", "worktree"),
    [
        ("shop", "feature/login", "/home/alice/shop"),
        ("shop", "topic", ""),
        ("shop", "", ""),
        ("library", "feature/login", ""),
    ],
)
def test_where_it_waits_is_known_also_as_an_older_agent_wrote_it(
    file: Path, project: str, branch: str, worktree: str
) -> None:
    Sessions(file).add(session := a_session())
    line = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(line | {"waits": [[project, "", branch, "Auth.py", 7]]}) + "\n")

    (after,) = loaded(file)

    place = Place(ProjectId(project), "auth.py", session.session_id, MAIN, branch)
    assert {place: Queued("Auth.py", 7, branch, Asked(worktree))} == after.waited


def test_of_who_is_on_no_branch_a_place_for_every_branch_goes_by_no_worktree(file: Path) -> None:
    Sessions(file).add(a_session(branch=""))
    line = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(line | {"waits": [["shop", "", "", "Auth.py", 7]]}) + "\n")

    (after,) = loaded(file)

    assert [Queued("Auth.py", 7)] == [*after.waited.values()]


def test_what_is_known_of_an_inbox_is_known_to_the_agent_after_us(file: Path) -> None:
    sessions = Sessions(file)
    session = a_session()
    session.noticed.extend(f"n{number}" for number in range(MAX_NOTICED))
    sessions.add(session)

    (after,) = loaded(file)

    assert f"n{MAX_NOTICED - 1}" in after.noticed
    assert MAX_NOTICED == after.noticed.maxlen


def test_locks_are_known_to_the_agent_after_us_but_for_shares_and_patterns(file: Path) -> None:
    sessions, session = Sessions(file), a_session()
    mine = HeldLock(
        ProjectId("shop"),
        "auth.py",
        "Auth.py",
        session.session_id,
        AgentId("agent-1"),
        FencingToken(7),
        branch="main",
        commit="abc",
        worktree="/home/alice/shop",
        in_several=True,
        ends_at=60.0,
        reason="the login",
    )
    others = (
        replace(mine, key="b.py", shown="b.py", shared=True),
        replace(mine, key="src/**", shown="src/**", is_pattern=True),
    )
    sessions.held = lambda one: (mine, *others) if one == session.session_id else ()
    sessions.stood_at = lambda _session: 40.0
    sessions.add(session)

    (after,) = loaded(file)
    again = Sessions(file)
    again.add(after)

    assert (mine,) == after.had
    (later,) = loaded(file)
    assert (mine,) == later.had, "nobody could be asked about it yet"
    assert 40.0 == after.had_at == later.had_at
    for one in (after, later):
        known = [(lock.shown, lock.is_pattern, lock.worktree) for lock in one.had_beside]
        where = "/home/alice/shop"
        assert [("b.py", False, where), ("src/**", True, where)] == known


def test_what_is_being_given_back_is_known_to_the_agent_after_us(file: Path) -> None:
    session = a_session()
    lock = HeldLock(
        ProjectId("shop"), "auth.py", "Auth.py", session.session_id, AgentId(""), FencingToken(7)
    )
    pattern = replace(lock, key="src/**", shown="src/**", is_pattern=True)
    session.owe([lock, pattern])
    Sessions(file).add(session)

    (after,) = loaded(file)
    assert [lock, pattern] == after.owed
    after.owes_no_more([lock])
    assert [pattern] == after.owed


def test_an_older_state_does_not_overwrite_a_newer_one(file: Path) -> None:
    sessions = Sessions(file)
    before = sessions.file.written()
    sessions.add(a_session())

    sessions.file.write(before)

    assert 1 == len(loaded(file))


def test_a_session_that_was_removed_is_not_read(file: Path) -> None:
    sessions = Sessions(file)
    gone = a_session()
    sessions.add(gone)
    sessions.add(a_session(2))
    sessions.remove(gone)

    assert [2] == [s.process.pid for s in loaded(file) if s.process]


def test_the_mark_of_a_missed_start_is_seen_once(file: Path) -> None:
    mark = file.with_name("ungreeted.4711")
    mark.touch()
    sessions = Sessions(file)

    assert not sessions.has_missed_start(4712)
    assert sessions.has_missed_start(4711)
    assert not sessions.has_missed_start(4711)
    assert not mark.exists()


def test_without_a_file_there_are_no_sessions(file: Path) -> None:
    assert [] == loaded(file)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("session_id", None),
        ("session_id", "\ud800"),
        ("pid", "7"),
        ("pid", -1),
        ("pid", 2**40),
        ("started", "soon"),
        ("client_session_ids", "abc"),
        ("client_session_ids", [1]),
        ("lease", "seven"),
        ("lease", -1),
        ("lease", 2**63),
        ("aliases", {"shop": 1}),
        ("aliases", ["shop"]),
        ("home", None),
        ("branch", ["main"]),
        ("intent", {}),
    ],
)
def test_a_line_with_a_wrong_value_is_left_out_alone(file: Path, field: str, value: object) -> None:
    Sessions(file).add(a_session())
    good = file.read_text(encoding="utf-8").strip()
    bad = json.dumps(json.loads(good) | {field: value})
    file.write_text(f"{bad}\n{good}\n", encoding="utf-8")

    assert [a_session(acted_at=NOW, inherited=PROJECTS)] == loaded(file)


LOCK = {"project": "shop", "path": "a.py", "agent": "", "token": 7}


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        ("status", 99, None),
        ("status", "waiting", None),
        ("losses", [1, "a", None, "b"], ["a", "b"]),
        ("notices", "none", None),
        ("waits", [["shop", "", "", "a.py", "7"], ["shop", "", "", "b.py", 7]], [1]),
        ("waits", [["shop", "", "", "a.py", -1]], []),
        ("waits", [["shop", "", "", "a.py"], ["shop", "", "", "b.py", 7, 8]], []),
        ("held", [LOCK | {"token": 0}, LOCK, LOCK | {"token": "7"}, "a.py", LOCK], [1, 4]),
        ("owed", [LOCK | {"path": None}, LOCK], [1]),
        ("beside", [LOCK | {"worktree": 7}, LOCK], [1]),
        ("wanted_by", [["", "shop", "a.py", "Session_far", "", "", "bob waits"]], []),
        ("subagents", {"a1": ["lost"], "a2": [7]}, {"a1": ["lost"]}),
        ("work", {"edits": 3, "percent": 101, "steps": [["1", "done", "x"]]}, {"edits": 3}),
    ],
)
def test_of_a_session_that_can_be_read_what_cannot_is_left_out_alone(
    file: Path, field: str, value: object, read: object
) -> None:
    Sessions(file).add(a_session(status=SessionStatus.SESSION_STATUS_UNSPECIFIED))
    line = json.loads(file.read_text(encoding="utf-8"))
    left = line | {field: value}
    del line[field]
    if isinstance(value, list):
        read = [value[at] if isinstance(at, int) else at for at in cast("list[object]", read)]
    file.write_text(json.dumps(line if read is None else line | {field: read}) + "\n")
    (expected,) = loaded(file)
    file.write_text(json.dumps(left) + "\n")

    assert [expected] == loaded(file)


def test_a_damaged_byte_costs_its_own_line_alone(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = Sessions(file)
    for number in (1, 2, 3):
        sessions.add(a_session(number))
    first, second, third, *_ = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join((first, second.replace(b"claude", b"cl\xffude"), third)))

    assert [1, 3] == [s.process.pid for s in loaded(file) if s.process]
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize(
    "garbage", [b"", b"\n\n", b"{}", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b"\0" * 4096]
)
def test_garbage_is_no_session(file: Path, garbage: bytes) -> None:
    file.write_bytes(garbage)

    assert [] == loaded(file)


def test_a_line_of_a_newer_agent_is_read(file: Path) -> None:
    Sessions(file).add(a_session())
    newer = json.loads(file.read_text(encoding="utf-8")) | {"mood": "good"}
    file.write_text(json.dumps(newer), encoding="utf-8")

    assert [a_session(acted_at=NOW, inherited=PROJECTS)] == loaded(file)


def test_a_file_that_cannot_be_written_is_said_and_no_obstacle(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.mkdir()
    sessions = Sessions(file)

    with caplog.at_level(logging.WARNING):
        sessions.add(a_session())

    assert [a_session()] == list(sessions)
    assert "cannot write" in caplog.text


def test_a_session_is_found_by_what_is_known_of_it(file: Path) -> None:
    sessions = Sessions(file)
    one, two = a_session(1), a_session(2, client_session_ids={"second", "third"})
    sessions.add(one)
    sessions.add(two)

    assert one is sessions.get(one.session_id)
    assert two is sessions.by_process(Process(2, 1_700_000_000.25))
    assert [one, two] == sessions.all_by_client_id("claude-code", "second")
    assert [two] == sessions.all_by_client_id("claude-code", "third")
    assert [] == sessions.all_by_client_id("codex", "third")
    assert sessions.get("nobody") is None


def test_of_much_that_a_subagent_is_to_be_told_the_latest_is_kept_too() -> None:
    session, agent = LocalSession(SessionId("Session_a"), "claude-code", None, "/"), AgentId("a1")
    session.hear(agent)
    for number in range(MAX_NOTICES + 2):
        session.tell_editor(f"{number}", agent)

    assert [wording.left_out(2)] == session.take_notices()
    kept = [f"{number}" for number in range(2, MAX_NOTICES + 2)]
    assert kept == session.take_losses(2 * MAX_NOTICES, agent)


def test_a_session_is_told_a_thing_once_and_of_many_the_latest_and_how_many_are_left_out() -> None:
    session = a_session()
    for number in [0, 0, *range(MAX_NOTICES + 2)]:
        session.tell(f"{number}")

    left_out = "⚠️ 2 notices before these were left out, for want of room: see `scoord history`."
    assert [left_out, "2", "3"] == session.take_notices(3)
    assert [f"{n}" for n in range(4, MAX_NOTICES + 2)] == session.take_notices()
    assert [] == session.take_notices()


def test_that_somebody_waits_is_told_before_the_rest_and_crowded_out_by_none_of_it() -> None:
    session = a_session()
    session.tell_wanted(PLACE, Wanted("bob waits"))
    for number in range(MAX_NOTICES + 1):
        session.tell(f"{number}")
    session.tell_loss("lost")

    first = session.take_notices(3)

    assert ["lost", "bob waits"] == first[:2]
    assert "1 notice before these was left out" in first[2]


def test_of_many_who_wait_the_latest_are_told_and_each_as_it_said_last() -> None:
    session = a_session()
    places = [replace(PLACE, key=f"{number}.py") for number in range(MAX_NOTICES + 1)]
    for place in (*places, places[-1]):
        session.tell_wanted(place, Wanted(f"somebody waits for {place.key}"))
    session.tell_wanted(places[-1], Wanted("somebody waits for another reason"))

    told = session.take_notices()

    assert MAX_NOTICES == len(told)
    assert "somebody waits for 1.py" == told[0]
    assert "somebody waits for another reason" == told[-1]
    assert "1 notice before these was left out" in session.take_notices()[0]


def test_after_a_clear_a_session_waits_for_its_prompt() -> None:
    session = a_session(intent="fix login", intent_is_said=False)

    session.begin_anew()

    assert (SessionStatus.SESSION_STATUS_IDLE, "") == (session.status, session.intent)


def test_after_a_clear_a_session_is_still_to_do_what_its_person_said() -> None:
    session = a_session(intent="", intent_is_said=False)
    session.say_intent("migrate the billing")
    session.begin_anew()
    assert "migrate the billing" == session.intent

    session.say_intent("")
    assert not session.intent_is_said, "then its next prompt says it"


def test_a_loss_is_told_first_and_not_crowded_out() -> None:
    session = a_session()
    for number in range(3):
        session.tell_loss(f"lost {number}")
        session.tell_loss(f"lost {number}")
        session.tell(f"{number}")

    assert ["lost 0", "lost 1"] == session.take_notices(2)
    assert ["lost 2", "0"] == session.take_notices(2)
    assert ["1", "2"] == session.take_notices(5)


def test_what_does_not_fit_into_one_hook_is_told_at_the_next() -> None:
    session = a_session()
    for number in range(7):
        session.tell(f"{number}")

    assert ["0", "1", "2", "3", "4"] == session.take_notices(5)
    assert ["5", "6"] == session.take_notices(5)


def test_a_session_id_tells_host_process_and_time_in_utc() -> None:
    here = timezone(timedelta(hours=2))
    now = datetime(2026, 1, 2, 5, 4, 5, 6, here)

    assert "Session_mbp_7_20260102T030405.000006Z" == new_session_id("mbp", Process(7, 0.0), now)
    assert new_session_id("mbp", None, now.astimezone(UTC)).startswith("Session_mbp_0_")


def test_of_all_who_wait_for_one_file_the_first_is_named_and_the_others_counted() -> None:
    session = a_session()
    for number in range(1_000):
        place = replace(PLACE, session=SessionId(f"Session_{number}"))
        session.tell_wanted(place, Wanted(f"{number} waits."))
    session.tell_wanted(replace(PLACE, key="b.py"), Wanted("bob waits.", 1))

    assert ["0 waits. 999 more wait for it.", "bob waits. 1 more waits for it."] == (
        session.take_notices()
    )


def test_a_subagent_is_told_who_waits_for_what_it_holds_and_its_main_thread_after_it() -> None:
    session, other = a_session(), replace(PLACE, key="b.py")
    session.hear(HELPER)
    session.tell_wanted(PLACE, Wanted("bob waits"), HELPER)
    assert [] == session.take_notices()
    assert ["bob waits"] == session.take_wanted(5, HELPER)

    session.tell_wanted(other, Wanted("carol waits"), HELPER)
    own = replace(PLACE, session=session.session_id)
    session.tell_wanted(own, Wanted("the main thread waits"), HELPER)
    session.subagent_over(HELPER)

    assert ["carol waits"] == session.take_notices()
