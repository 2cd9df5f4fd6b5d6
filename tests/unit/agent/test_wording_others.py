"""What a session reads of the others, when it starts and where its work touches theirs."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from scoord.sections import SessionCoordination
from scoord.v1.locks_pb2 import Holder
from scoord.v1.sessions_pb2 import Dependency, Estimate, Session, SessionStatus, WorkProgress
from scoord_agent.estimates import Completion, Like
from scoord_agent.missed import Meanwhile, Missed
from scoord_agent.relevance import by_relevance, is_worth_telling
from scoord_agent.touching import How, Touch
from scoord_agent.wording_others import MAX_LINES, Other, Scene, kept, touching, welcome

IDLE, WORKING = SessionStatus.SESSION_STATUS_IDLE, SessionStatus.SESSION_STATUS_WORKING


def _session(alias: str = "Session_1", **fields: object) -> Session:
    return Session(session_id=alias, alias=alias, person="bob", host="mini", **fields)  # type: ignore[arg-type]


def _busy() -> Session:
    return _session(
        branch="login",
        intent="refactor auth",
        areas=["web"],
        progress=WorkProgress(done=3, total=5, percent=60, step="write tests"),
        estimate=Estimate(left=Duration(seconds=540)),
    )


def _crowd(count: int, *holds: str) -> list[Other]:
    return [Other(_session(f"Session_{n}"), holds) for n in range(count)]


def _missed(count: int, *, is_all: bool = True) -> Meanwhile:
    holder = Holder(alias="Session_9", person="carol", host="box")
    return Meanwhile([Missed(holder, ("a.py", "b.py"), 60.0, ended=True)] * count, is_all=is_all)


def test_one_other_and_no_other_are_told_in_good_english() -> None:
    one = welcome(Scene("Session_2", "shop", [Other(_session())]))

    assert one.splitlines()[2:] == [
        "1 other session is active (time left: not known, if not said):",
        "- Session_1 (bob@mini)",
    ]
    busy = welcome(Scene("Session_2", "shop", [Other(_busy())]))
    assert "1 other session is active:" == busy.splitlines()[2]
    assert welcome(Scene("Session_1", "shop")).endswith("No other sessions are active.")


def test_a_neighbour_is_told_with_all_that_is_known_of_its_work() -> None:
    line = welcome(Scene("Session_2", "shop", [Other(_busy(), ["auth.py"])])).splitlines()[3]

    assert line == (
        '- Session_1 (bob@mini, branch login): "refactor auth", 3 of 5 steps done,'
        ' now "write tests", about 9 min left; works on web; holds auth.py'
    )


def test_one_that_rests_or_waits_is_told_so() -> None:
    waiting = _session(status=SessionStatus.SESSION_STATUS_WAITING)
    lines = welcome(Scene("a", "shop", [Other(_session(status=IDLE)), Other(waiting)])).splitlines()

    assert lines[3:] == [
        "- Session_1 (bob@mini), idle",
        "- Session_1 (bob@mini), waiting for a lock",
    ]


def test_a_crowd_is_told_in_few_lines_with_the_rest_as_a_count() -> None:
    lines = welcome(Scene("Session_501", "shop", _crowd(500, "a.py"))).splitlines()

    assert MAX_LINES == len(lines)
    assert lines[2].startswith("500 other sessions are active (time left: not known, if not said)")
    assert "- and 484 more, who hold 484 files and patterns: see `scoord status`" == lines[-1]


def test_whatever_there_is_to_tell_it_is_never_more_than_twenty_lines() -> None:
    scene = Scene(
        "Session_201",
        "shop",
        _crowd(200, *(f"file{n}.py" for n in range(40))),
        free=[f"area{n}" for n in range(50)],
        missed=_missed(30),
        away_s=7500.0,
        kept=[f"x{n}.py" for n in range(30)],
    )
    lines = welcome(scene).splitlines()

    assert MAX_LINES == len(lines)
    free = "Free areas (nobody else works in them or holds a file there)"
    assert f"{free}: area0, area1, area2, area3, area4 and 45 more." in lines
    assert lines[-2] == "- and 26 more sessions: see `scoord history`"
    assert lines[-3] == "- Session_9 (carol@box) had a.py, b.py, last 1 min ago, and has ended"
    assert lines[-1].startswith("You still hold x0.py, ")


@pytest.mark.parametrize(
    ("missed", "said"),
    [
        (_missed(4), ""),
        (_missed(5), "- and 1 more session: see `scoord history`"),
        (_missed(9, is_all=False), "- and at least 5 more sessions: see `scoord history`"),
        (_missed(2, is_all=False), "- and maybe more sessions: see `scoord history`"),
    ],
)
def test_what_was_missed_is_counted_as_far_as_it_is_known(missed: Meanwhile, said: str) -> None:
    lines = welcome(Scene("a", "shop", missed=missed, away_s=7500.0)).splitlines()

    assert "Since this worktree was last worked in, 2 h 5 min ago:" in lines
    assert [line for line in lines if "see `scoord history`" in line] == ([said] if said else [])
    assert said in ("", lines[-1])


def test_what_was_missed_and_is_not_known_by_session_is_said_so() -> None:
    missed = _missed(0, is_all=False)
    lines = welcome(Scene("a", "shop", missed=missed, away_s=7500.0)).splitlines()

    assert lines[-1].endswith("ago, more happened than is shown here: see `scoord history`.")


def test_what_was_missed_says_since_when() -> None:
    lines = welcome(Scene("a", "shop", missed=_missed(1), away_s=7500.0)).splitlines()

    assert "Since this worktree was last worked in, 2 h 5 min ago:" == lines[3]


def test_many_files_are_told_as_five_and_a_number() -> None:
    assert "You still hold 0, 1, 2, 3, 4 and 3 more." == kept([str(n) for n in range(8)])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "takes its lock; an edit of one that another session holds is refused."),
        ({"conflict_action": "warn"}, "holds goes through, and both are told."),
        ({"conflict_action": "proceed"}, "holds goes through."),
        ({"enable_file_locks": False}, "No file is locked here: sessions only see each other."),
    ],
)
def test_a_welcome_says_what_becomes_of_an_edit_under_these_settings(
    settings: dict[str, object], said: str
) -> None:
    scene = Scene("a", "shop", settings=SessionCoordination.model_validate(settings))

    assert welcome(scene).splitlines()[1].endswith(said)


def test_work_that_touches_anothers_is_told_with_its_progress_and_how_long_to_wait() -> None:
    assert touching(Touch("b", How.BELONGS, "auth.py", "test_auth.py"), [_busy()]) == (
        "auth.py, which belongs to test_auth.py, is held by Session_1 (bob@mini, branch login):"
        ' "refactor auth", 3 of 5 steps done, now "write tests", about 9 min left.'
        " What depends on that can wait about 9 min; what does not can be done first."
    )


def test_work_that_ought_to_be_done_by_now_is_not_said_to_take_no_seconds() -> None:
    busy = _busy()
    busy.estimate.left.FromMilliseconds(900)

    told = touching(Touch("b", How.AREA, "web"), [busy])

    assert '"write tests", done any moment. What depends on that can wait for it;' in told


def test_where_its_holder_does_not_say_how_long_similar_holds_do() -> None:
    free = Completion(Like.FILE, 5.4, 4.0, 6.0, 4)
    touch = Touch("b", How.NAMED, "invoice.py")

    assert touching(touch, [_session()], free) == (
        "invoice.py, which the prompt names, is held by Session_1 (bob@mini). What depends on that"
        " can wait about 5 s (median of 4 holds of this file, 4 to 6 s); what does not can be done"
        " first."
    )
    assert "can wait about 9 min;" in touching(touch, [_busy()], free)
    soon = Completion(Like.FILE, 0.4, 0.0, 1.0, 4)
    assert "can wait for it; what" in touching(touch, [_session()], soon)


def test_where_nobody_can_tell_how_long_it_is_said() -> None:
    told = touching(Touch("b", How.AREA, "web"), [_session(), _session("Session_2")])

    assert told == (
        "web, which the prompt names, is also worked on by Session_1 (bob@mini), and by 1 more."
        " When that is done is not known: the part that does not depend on it can be done first."
    )


def test_of_one_that_says_it_is_done_it_is_not_said_that_nobody_knows_when_it_will_be() -> None:
    done = _session(progress=WorkProgress(done=4, total=4, percent=100))

    assert touching(Touch("b", How.BELONGS, "web.py", "test_web.py"), [done]) == (
        "web.py, which belongs to test_web.py, is held by Session_1 (bob@mini): 4 of 4 steps done."
        " It says that all is done, so that may be over any moment: the part that does not depend"
        " on it can be done first."
    )


@pytest.mark.parametrize(
    "free",
    [
        Completion(Like.PROGRESS, 0.0, percent=100),
        Completion(Like.FILE, 5.4, 4.0, 6.0, 4, 50, 2, 4),
    ],
)
def test_how_far_a_holder_is_is_told_once(free: Completion) -> None:
    done = 4 if free.is_all_done else 2
    far = _session(progress=WorkProgress(done=done, total=4, percent=25 * done))

    told = touching(Touch("b", How.NAMED, "web.py"), [far], free)

    assert 1 == told.count("done.") + told.count("steps done,")
    assert free.is_all_done == ("It says that all is done, so that may be over any moment" in told)


def test_a_start_with_one_that_says_it_is_done_needs_no_word_on_times() -> None:
    done = _session(progress=WorkProgress(done=4, total=4, percent=100))

    assert (
        "1 other session is active:" == welcome(Scene("a", "shop", [Other(done)])).splitlines()[2]
    )


def test_the_most_relevant_come_first() -> None:
    others = [
        Other(_session("idle", status=IDLE, branch="x")),
        Other(_session("working", status=WORKING, branch="x")),
        Other(_session("holding", branch="x"), ["a.py"]),
        Other(_session("branch", branch="login")),
        Other(_session("area", areas=["Web"], branch="x")),
    ]
    itself = _session("me", intent="mend the web pages", branch="login")

    assert ["area", "branch", "holding", "working", "idle"] == [
        other.session.alias for other in by_relevance(others, itself)
    ]


@pytest.mark.parametrize(
    ("facts", "holds", "is_told"),
    [
        ({}, (), False),
        ({}, ("a.py",), True),
        ({"depends_on": [Dependency(session_id="b", why="waits", path="a.py")]}, (), True),
        ({"depends_on": [Dependency(session_id="b", why="said")]}, (), False),
        ({"intent": "tidy up"}, (), True),
        ({"client": "claude-code"}, (), True),
    ],
)
def test_a_terminal_is_told_of_where_it_holds_or_waits_for_something_or_says_what_it_does(
    facts: dict[str, Any], holds: tuple[str, ...], *, is_told: bool
) -> None:
    one = Other(_session(**({"client": "terminal"} | facts)), holds)

    assert is_told is is_worth_telling(one)
