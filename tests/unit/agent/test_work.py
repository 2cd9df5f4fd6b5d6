"""What is known of a session's work, as its client and its person tell it."""

import json

from scoord.ids import ProjectId, SessionId
from scoord.v1.sessions_pb2 import SessionStatus
from scoord_agent.kept_work import KeptWork, from_kept, to_json
from scoord_agent.local_session import LocalSession
from scoord_agent.published import status_of, update_of
from scoord_agent.pursuit import Given, Pursuit
from scoord_agent.steps import MOST_STEPS, TaskList
from scoord_agent.work import On, Progress, Work
from scoord_hooks.neutral import Step, Steps, StepState

SHOP = ProjectId("example.org/shop")
PENDING, ACTIVE, DONE, GONE = StepState.PENDING, StepState.ACTIVE, StepState.DONE, StepState.GONE


def _list(*states: StepState) -> Steps:
    return Steps(tuple(Step(str(n), s, f"step {n}") for n, s in enumerate(states)), whole=True)


def _one(key: str, state: StepState | None, subject: str = "", doing: str = "") -> Steps:
    return Steps((Step(key, state, subject, doing),))


def test_tasks_that_are_told_one_by_one_make_a_list() -> None:
    tasks = TaskList()
    for said in (
        _one("1", PENDING, "write"),
        _one("2", PENDING, "test", "Testing"),
        _one("1", DONE),
        _one("2", ACTIVE),
        _one("3", PENDING, "x"),
        _one("3", GONE),
    ):
        tasks = tasks.told(said)

    assert (1, 2, "Testing") == (tasks.done, tasks.total, tasks.current)


def test_a_list_without_what_is_doing_keeps_what_is_known_of_it() -> None:
    tasks = TaskList().told(_one("1", ACTIVE, "test", "Testing"))

    assert "Testing" == tasks.told(Steps((Step("1", ACTIVE, "test"),), whole=True)).current
    assert "ship" == tasks.told(Steps((Step("1", ACTIVE, "ship"),), whole=True)).current


def test_a_list_that_never_ends_is_followed_so_far() -> None:
    many = Steps(tuple(Step(str(n), PENDING, "x") for n in range(MOST_STEPS + 5)))

    assert MOST_STEPS == TaskList().told(many).total


def test_nobody_said_how_far_it_is_until_somebody_does() -> None:
    work = Work()
    assert work.progress is None

    work.told_steps(_list(DONE, ACTIVE, PENDING), 0.0)
    assert Progress(1, 3, 33, "step 1", "tasks") == work.progress

    work.said_percent(60, "nearly", 1.0)
    assert Progress(0, 0, 60, "nearly", "said") == work.progress

    work.told_steps(_list(), 2.0)
    assert work.progress is None


def test_the_time_in_which_it_waits_for_its_person_does_not_count() -> None:
    work = Work()
    work.works(0.0)
    work.told_steps(_list(ACTIVE, PENDING, PENDING), 0.0)
    work.told_steps(_list(DONE, ACTIVE, PENDING), 60.0)
    work.rests(60.0)
    assert work.left(5000.0) is None

    work.works(10_000.0)
    work.told_steps(_list(DONE, DONE, ACTIVE), 10_060.0)
    left = work.left(10_060.0)

    assert left is not None
    assert (60.0, 2) == (left.middle_s, left.samples)


def test_percents_that_are_said_have_a_pace_too() -> None:
    work = Work()
    work.works(0.0)
    for percent, at in ((10, 0.0), (20, 100.0), (40, 300.0)):
        work.said_percent(percent, "", at)
    left = work.left(300.0)

    assert left is not None
    assert 590.0 <= left.middle_s <= 600.0


def test_a_file_counts_once_however_often_it_is_edited() -> None:
    work = Work()
    assert work.edit(SHOP, "a.py", "web")
    assert not work.edit(SHOP, "a.py", "web")
    assert work.edit(SHOP, "b.py", "docs")

    assert 2 == work.edits
    assert ["web", "docs"] == list(work.areas)


def test_a_new_conversation_keeps_what_was_done_and_is_waited_for() -> None:
    work = Work()
    work.told_steps(_list(DONE, PENDING), 0.0)
    work.edit(SHOP, "a.py", "web")
    work.waits[SHOP, "b.py"] = On(SessionId("b"), "Session_2", "b.py")
    work.begin_anew()

    assert work.progress is None
    assert 1 == work.edits
    assert [] == list(work.areas)
    assert [(SHOP, "b.py")] == list(work.waits)


def test_what_is_written_down_is_known_again() -> None:
    work = Work()
    work.told_steps(_list(DONE, ACTIVE), 0.0)
    work.edit(SHOP, "a.py", "web")
    work.commits = 3
    work.depends[SessionId("b")] = On(SessionId("b"), "Session_2")
    work.pursuit = Pursuit(Given(SHOP, "2", "fix it", frozenset({"a.py"})), 7.0, 8)
    kept = KeptWork.model_validate_json(json.dumps(to_json(work)))
    again = from_kept(kept)

    assert (again.progress, again.edits, again.commits) == (work.progress, 1, 3)
    assert again.depends == work.depends
    assert Pursuit(Given(SHOP, "2", "")) == again.pursuit, "with nothing of its times"
    assert ["fix it"] == [task.title for task in again.given]
    assert not again.edit(SHOP, "a.py", "web")
    assert ["a.py"] == list(again.edited.values())


def _session(**fields: object) -> LocalSession:
    return LocalSession(SessionId("a"), "claude-code", None, "/", **fields)  # type: ignore[arg-type]


def test_one_that_works_and_has_a_place_in_a_queue_waits() -> None:
    session = _session(status=SessionStatus.SESSION_STATUS_WORKING)
    session.work.waits[SHOP, "b.py"] = On(SessionId("b"), "Session_2", "b.py")
    assert SessionStatus.SESSION_STATUS_WAITING == status_of(session)

    session.status = SessionStatus.SESSION_STATUS_IDLE
    assert SessionStatus.SESSION_STATUS_IDLE == status_of(session)


def test_steps_stay_private_where_prompts_do_but_their_count_is_told() -> None:
    session = _session()
    session.work.told_steps(_list(DONE, ACTIVE), 0.0)
    private = update_of(session, SHOP, (), 0.0, share_steps=False).progress
    shared = update_of(session, SHOP, (), 0.0, share_steps=True).progress

    assert (1, 2, "") == (private.done, private.total, private.step)
    assert "step 1" == shared.step


def test_what_is_said_on_purpose_is_shared() -> None:
    session = _session()
    session.work.said_percent(50, "half", 0.0)

    assert "half" == update_of(session, SHOP, (), 0.0, share_steps=False).progress.step


def test_that_a_session_does_not_wait_any_more_is_told_also_where_nothing_else_is_known() -> None:
    session = _session()
    session.work.waits[SHOP, "b.py"] = On(SessionId("b"), "Session_2", "b.py")
    waiting = update_of(session, SHOP, (), 0.0, share_steps=True)
    session.work.waits.clear()
    granted = update_of(session, SHOP, (), 0.0, share_steps=True)

    assert SessionStatus.SESSION_STATUS_WAITING == waiting.status
    assert granted.HasField("status")
    assert SessionStatus.SESSION_STATUS_UNSPECIFIED == granted.status
