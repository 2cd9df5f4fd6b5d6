"""Each change of what a session publishes is a line of history, and nothing else of it is."""

from collections.abc import AsyncIterator

import pytest

from scoord.v1.records_pb2 import EventRecord
from scoord.v1.sessions_pb2 import (
    Areas,
    Dependencies,
    Dependency,
    EditedFiles,
    Estimate,
    SessionStatus,
    UpdateRequest,
    WorkProgress,
)
from scoord_server.model.recall import Wanted
from support.coordination import PROJECT, Bench, bench, kinds

WORKING = SessionStatus.SESSION_STATUS_WORKING
IDLE = SessionStatus.SESSION_STATUS_IDLE


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        await made.session("a")
        made.clock.advance(1)
        yield made


async def says(b: Bench, request: str = "", **what: object) -> list[tuple[str, str]]:
    """Publish it; the lines that this left."""
    before = len(await b.history())
    change = UpdateRequest(
        request_id=request or b.request(),
        project=PROJECT,
        session_id="a",
        **what,  # type: ignore[arg-type]  # its own fields
    )
    await b.coordinator.update(change)
    b.clock.advance(1)
    return [(line.kind, line.reason) for line in (await b.history())[before:]]


def progress(done: int, total: int, step: str = "", percent: int = 0) -> WorkProgress:
    return WorkProgress(done=done, total=total, step=step, percent=percent, source="tasks")


def depends(*on: Dependency) -> Dependencies:
    return Dependencies(on=on)


def areas(*names: str) -> Areas:
    return Areas(names=names)


async def test_how_far_it_is_is_a_line_when_a_step_or_the_count_is_another(b: Bench) -> None:
    far = progress(1, 5, "write the tests")

    assert [("progress", "1 of 5 steps: write the tests")] == await says(b, progress=far)
    assert [] == await says(b, progress=far)
    assert [("progress", "2 of 5 steps")] == await says(b, progress=progress(2, 5))
    said = WorkProgress(percent=60, step="lexer", source="said")
    assert [("progress", "60 %: lexer")] == await says(b, progress=said)
    assert [("progress", "none")] == await says(b, progress=WorkProgress())


async def test_a_long_step_is_cut(b: Bench) -> None:
    ((_, reason),) = await says(b, progress=progress(1, 5, "x" * 5000))

    assert 200 == len(reason)


async def test_what_it_does_now_is_a_line(b: Bench) -> None:
    assert [] == await says(b, status=IDLE), "it was idle from its start on"
    assert [("status", "working")] == await says(b, status=WORKING)
    assert [] == await says(b, status=WORKING)
    assert [("status", "idle")] == await says(b, status=IDLE)


async def test_where_it_works_is_a_line_but_not_where_it_did_last(b: Bench) -> None:
    assert [("areas", "api, web")] == await says(b, areas=areas("web", "api"))
    assert [] == await says(b, areas=areas("api", "web"))
    assert [("areas", "api")] == await says(b, areas=areas("api"))
    assert [("areas", "none")] == await says(b, areas=areas())


async def test_another_branch_is_a_line(b: Bench) -> None:
    assert [("branch", "feature/login")] == await says(b, branch="feature/login")
    assert [] == await says(b, branch="feature/login")
    assert [("branch", "none")] == await says(b, branch="")


async def test_on_whom_it_is_said_to_depend_is_a_line_in_the_history_of_each(b: Bench) -> None:
    one = Dependency(session_id="b", alias="Session_2", why="said")
    other = Dependency(session_id="c", alias="Session_3", why="said")

    both = await says(b, depends_on=depends(other, one))
    same = await says(b, depends_on=depends(one, other))
    only = await says(b, depends_on=depends(other))
    nobody = await says(b, depends_on=depends())

    assert [("depends", "Session_2, Session_3")] == both
    assert [] == same
    assert [("depends", "Session_3"), ("depends", "none")] == [*only, *nobody]
    assert ["depends", "depends"] == await kinds(b, session="Session_2")
    assert ["depends"] * 3 == await kinds(b, session="c")


@pytest.mark.parametrize("why", ["waits", "imports"])
async def test_on_whom_it_depends_by_a_lock_is_no_line_beside_those_of_the_lock(
    b: Bench, why: str
) -> None:
    """One lock that comes and goes would be two lines for each session that imports its file."""
    found = Dependency(session_id="b", alias="Session_2", why=why, path="auth.py")
    said = Dependency(session_id="c", alias="Session_3", why="said")

    assert [] == await says(b, depends_on=depends(found))
    assert [] == await says(b, depends_on=depends())
    assert [("depends", "Session_3")] == await says(b, depends_on=depends(found, said))
    assert [] == await says(b, depends_on=depends(said))


async def test_an_intent_that_is_gone_reads_as_other_states_do(b: Bench) -> None:
    await says(b, intent="mend login")

    assert [("intent", "none")] == await says(b, intent="")


async def test_counts_estimates_and_activity_are_no_states(b: Bench) -> None:
    estimate = Estimate(basis="progress", samples=3)
    estimate.left.FromSeconds(60)
    files = EditedFiles(paths=["a.py"])

    assert [] == await says(b, edits=3, commits=1, estimate=estimate, edited_files=files)
    assert [] == await says(b)


async def test_all_that_changes_at_once_is_one_step_with_a_line_each(b: Bench) -> None:
    everything = {
        "intent": "mend login",
        "branch": "main",
        "status": WORKING,
        "progress": progress(1, 2),
        "areas": areas("api"),
        "depends_on": depends(Dependency(session_id="b", why="said")),
    }
    told = await says(b, "r", **everything)
    again = await says(b, "r", **everything)

    page = await b.coordinator.recalling.read(PROJECT, Wanted(), len(told))
    assert {"intent", "branch", "status", "progress", "areas", "depends"} == {k for k, _ in told}
    assert 1 == len({line.revision for line in page.lines})
    assert len(told) == len({line.event_id for line in page.lines})
    assert [] == again


async def test_one_that_registers_anew_says_how_far_its_work_is(b: Bench) -> None:
    """Its end ended that all; a session that begins has nothing to say of it."""
    await b.dies("a")
    await b.coordinator.farewells.look()
    await b.session("a", status=WORKING, progress=progress(2, 5), areas=["api"])

    told = await kinds(b)
    assert ["registered", "expired", "registered"] == told[:3]
    assert {"areas", "progress", "status"} == set(told[3:])


async def test_a_line_says_whose_it_is(b: Bench) -> None:
    await says(b, "r", status=WORKING)

    line: EventRecord = (await b.history())[-1]
    assert ("a", "Session_1", "r") == (line.session.session_id, line.session.alias, line.request_id)
