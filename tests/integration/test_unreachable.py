"""Nobody can be asked: what is held stays editable, what is known stays denied."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.machines import FAST_LEASES, Answer, CodingSession, context, refusal, seconds_until
from support.pair import Pair, alices, bobs, clones, pair
from support.processes import coordinator

ACTIONS = ("block", "warn", "proceed")
LONG_BELIEF = {"SCOORD_LEASES_TTL": "60", "SCOORD_LEASES_BELIEF": "40"}
FILES = ("auth.py", "b.py", "c.py", "d.py", "e.py")
OVER_S = float(FAST_LEASES["SCOORD_LEASES_TTL"]) + 1
"""After that every lease is over that nobody renewed."""

FOUND_OUT_S = 2.0
"""After that an agent knows what became of what it asked for."""

ANSWER_S = 2.5
"""A hook answers within this, whatever happens."""


@dataclass(frozen=True)
class Project:
    """Alice holds auth.py; a subagent of hers holds c.py; a second session of hers nothing."""

    a: CodingSession
    beside: CodingSession
    b: CodingSession


@pytest.fixture(scope="module")
def severed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Project]]:
    """A project for each ``unreachable_action``, and the coordinator dead."""
    directory = tmp_path_factory.mktemp("severed")
    with pair(directory, **LONG_BELIEF) as both:
        projects = {action: prepared(directory, both, action) for action in ACTIONS}
        both.coordinator.kill()
        yield projects


def prepared(directory: Path, both: Pair, action: str) -> Project:
    settings = f"session_coordination:\n  unreachable_action: {action}\n"
    files = {"coordination.yaml": settings, **dict.fromkeys(FILES, "")}
    here = clones(directory / action, files)
    project = Project(
        both.alice.session(here.alices),
        both.alice.session(here.alices),
        both.bob.session(here.bobs),
    )
    for session in (project.a, project.beside, project.b):
        session.start()
    project.a.edit("auth.py")
    project.a.edit("c.py", agent_id="agent-1")
    seconds_until("Bob's agent has heard of it", lambda: _count(both, here.bobs) == 2, 3)
    return project


def _count(both: Pair, cwd: Path) -> int:
    return len(both.bob.status(cwd)["locks"])


def timely(session: CodingSession, file: str, **fields: str) -> Answer:
    """The answer to an edit, which came in time."""
    begun = time.monotonic()
    answer = session.edit(file, **fields)
    assert time.monotonic() - begun < ANSWER_S
    return answer


@pytest.mark.parametrize("action", ACTIONS)
def test_what_is_held_stays_editable(severed: dict[str, Project], action: str) -> None:
    assert {} == timely(severed[action].a, "auth.py")
    assert {} == timely(severed[action].a, "c.py", agent_id="agent-1")


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("name", ["b", "beside"])
def test_a_known_conflict_stays_denied(severed: dict[str, Project], action: str, name: str) -> None:
    told = refusal(timely(getattr(severed[action], name), "auth.py"))

    assert "auth.py was locked by Session_1 (alice@" in told
    assert "that cannot be checked now" in told


@pytest.mark.parametrize("action", ACTIONS)
def test_what_one_subagent_holds_stays_denied_to_another(
    severed: dict[str, Project], action: str
) -> None:
    told = refusal(timely(severed[action].a, "c.py", agent_id="agent-2"))

    assert "c.py was locked by another thread of this session (subagent agent-1)" in told


def test_block_denies_the_unknown(severed: dict[str, Project]) -> None:
    told = refusal(timely(severed["block"].b, "b.py"))

    assert "b.py: no lock can be taken now, so the edit is refused" in told
    assert "cannot be reached" in told


def test_warn_lets_the_unknown_through_and_says_so(severed: dict[str, Project]) -> None:
    answer = timely(severed["warn"].b, "b.py")

    assert "" == refusal(answer)
    assert "b.py: let through without a lock, nobody could be asked" in context(answer)
    assert context(answer) == answer["systemMessage"]


def test_proceed_lets_the_unknown_through(severed: dict[str, Project]) -> None:
    assert {} == timely(severed["proceed"].b, "b.py")


def test_a_session_that_starts_is_told_and_its_edits_follow_the_setting(
    severed: dict[str, Project],
) -> None:
    known = severed["block"].b
    late = known.machine.session(known.cwd)

    assert "this session is not registered yet" in late.start()
    assert "no lock can be taken now" in refusal(timely(late, "d.py"))
    assert "auth.py was locked by Session_1" in refusal(timely(late, "auth.py"))


def test_status_says_that_the_picture_is_old(severed: dict[str, Project]) -> None:
    b = severed["warn"].b

    status = b.machine.status(b.cwd)

    assert "suspended" == status["coordinator"]["state"]
    assert "cannot be reached" in status["coordinator"]["error"]
    assert status["view_age_s"] > 0
    assert ["auth.py", "c.py"] == [lock["path"] for lock in status["locks"]]
    assert all(lock["held_s"] >= status["view_age_s"] for lock in status["locks"])
    waiting = [status["waiters"], *(lock["waiters"] for lock in status["locks"])]
    assert [None] * 3 == waiting, "nobody tells of queues as they are"


def test_what_was_asked_of_a_coordinator_that_stood_still_is_known_when_it_goes_on(
    tmp_path: Path,
) -> None:
    with pair(tmp_path, **LONG_BELIEF) as both:
        told = {action: prepared(tmp_path, both, action) for action in ("block", "warn")}
        both.coordinator.freeze()
        assert refusal(timely(told["block"].a, "b.py"))
        assert not refusal(timely(told["warn"].a, "b.py"))
        both.coordinator.thaw()

        seconds_until("it is held", lambda: "b.py" in _locked(both, told["warn"]), 10)
        assert "is locked by Session_1" in refusal(told["warn"].b.edit("b.py"))
        b = told["block"].b
        seconds_until("it is given back", lambda: not refusal(b.edit("b.py")), 10)


def test_what_is_given_back_while_nobody_can_be_asked_is_owed_and_said_so(tmp_path: Path) -> None:
    with pair(tmp_path) as both:
        here = clones(tmp_path, dict.fromkeys(FILES, ""))
        a, b = alices(both, here), bobs(both, here)
        a.edit("auth.py")
        both.coordinator.freeze()
        for _ in range(2):
            code, output = a.run("release", "auth.py")
            assert 3 == code
            assert "auth.py is given back as soon as the coordinator can be asked" in output
        time.sleep(OVER_S)
        both.coordinator.thaw()

        seconds_until("it is free", lambda: not refusal(b.edit("auth.py")), 10)
        seconds_until("it is owed no more", lambda: a.run("release", "auth.py")[0] == 1, 10)
        assert "lost" not in a.told()
        a.kill()
        b.kill()


@pytest.mark.parametrize("action", ["block", "warn"])
def test_who_is_refused_while_nobody_can_be_asked_keeps_its_place_in_the_queue(
    tmp_path: Path, action: str
) -> None:
    store = ("--embedded", "--data", str(tmp_path / "store"))
    with pair(tmp_path, **LONG_BELIEF) as both:
        settings = f"session_coordination:\n  unreachable_action: {action}\n"
        here = clones(tmp_path, {"coordination.yaml": settings, "auth.py": ""})
        a, b, c = alices(both, here), bobs(both, here), alices(both, here)
        for session in (a, b, c):
            session.edit("auth.py")
        port = int(both.coordinator.address.rpartition(":")[2])
        both.coordinator.kill()
        assert "cannot be checked now" in refusal(b.edit("auth.py"))
        assert 3 == a.run("release", "auth.py")[0]
        assert both.bob.agent
        both.bob.agent.freeze()
        with coordinator(tmp_path, *store, port=port):
            seconds_until("it is free", lambda: not both.alice.status(here.alices)["locks"], 10)
            both.bob.agent.thaw()
            assert "auth.py is free now, and you are next" in b.told_at_last("auth.py")
            time.sleep(FOUND_OUT_S)

            assert "auth.py" not in b.told() + c.told()
            queue = both.alice.status(here.alices)["waiters"]
            assert ["bob", "alice"] == [waiter["person"] for waiter in queue]
            assert [] == both.alice.status(here.alices)["locks"]
            assert "" == refusal(b.edit("auth.py"))
        for session in (a, b, c):
            session.kill()


def _locked(both: Pair, project: Project) -> list[str]:
    return [lock["path"] for lock in both.alice.status(project.a.cwd)["locks"]]


def test_belief_ends_and_what_was_held_is_asked_for_again(tmp_path: Path) -> None:
    with pair(tmp_path) as both:
        project = prepared(tmp_path, both, "block")
        a, port = project.a, int(both.coordinator.address.rpartition(":")[2])
        both.coordinator.kill()

        assert {} == timely(a, "auth.py")
        seconds_until("belief ends", lambda: refusal(timely(a, "auth.py")), 6)
        assert "no lock can be taken now" in refusal(timely(a, "auth.py"))

        store = ("--embedded", "--data", str(tmp_path / "store"))
        with coordinator(tmp_path, *store, port=port):
            seconds_until("it is met again", lambda: not refusal(a.edit("auth.py")), 5)
            seconds_until(
                "so does Bob's",
                lambda: "is locked by Session_1" in refusal(project.b.edit("auth.py")),
                5,
            )
