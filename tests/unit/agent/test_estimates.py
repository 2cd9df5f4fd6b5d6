"""When a lock will be free: by its holder's progress, else by similar holds, else not known."""

import asyncio

import pytest
from google.protobuf.duration_pb2 import Duration

from scoord.v1.events_pb2 import WatchResponse
from scoord.v1.history_pb2 import HoldTime
from scoord.v1.locks_pb2 import Holder, Lock
from scoord.v1.sessions_pb2 import Estimate, Session, WorkProgress
from scoord_agent.estimates import Completion, Like, PastHold, by_similar, completion
from scoord_agent.hold_times import AGAIN_S
from scoord_agent.wording_times import completed
from scoord_hooks.neutral import Verdict
from support.house import House, settle

MIN = 60.0


def past(key: str, *minutes: float) -> list[PastHold]:
    return [PastHold(key, each * MIN) for each in minutes]


def lock(path: str = "src/a.py", *, is_pattern: bool = False) -> Lock:
    return Lock(path=path, is_pattern=is_pattern, holder=Holder(session_id="s1"))


def test_three_holds_of_the_file_say_more_than_many_of_others() -> None:
    holds = past("src/a.py", 2, 4, 9) + past("src/b.py", *[60] * 20)

    found = by_similar(holds, "src/a.py", 0)

    assert Completion(Like.FILE, 4 * MIN, 3 * MIN, 6.5 * MIN, 3) == found


def test_else_files_like_it_are_asked_then_the_whole_project() -> None:
    alike, any_file = past("src/b.py", 5, 5, 5), past("docs/x.md", 8, 8)
    holds = past("src/a.py", 1, 1) + alike + any_file

    files_like_it = by_similar(holds, "src/a.py", 0)
    whole_project = by_similar(alike + any_file, "web/c.ts", 0)

    assert (Like.ALIKE, 5, 5 * MIN) == _short(files_like_it)
    assert (Like.PROJECT, 5, 5 * MIN) == _short(whole_project)


def test_what_is_held_already_is_taken_off() -> None:
    found = by_similar(past("a", 4, 6, 8), "a", 3 * MIN)

    assert (Like.FILE, 3, 3 * MIN) == _short(found)


def test_only_holds_that_lasted_longer_say_how_much_longer() -> None:
    found = by_similar(past("a", 1, 1, 1, 10, 12, 14), "a", 5 * MIN)

    assert (Like.FILE, 3, 7 * MIN) == _short(found)


@pytest.mark.parametrize(
    ("holds", "held_min"),
    [
        ([], 0.0),
        (past("a", 1, 2), 0.0),
        (past("b/c.py", 1, 2, 3, 4), 0.0),
        (past("a", 1, 2, 3), 2.5),
    ],
    ids=["none", "too few of it", "too few of others", "longer than similar ones"],
)
def test_without_a_basis_nothing_is_said(holds: list[PastHold], held_min: float) -> None:
    assert by_similar(holds, "a", held_min * MIN) is None
    assert "not known" == completed(None)


def test_a_pattern_is_like_no_file() -> None:
    assert completion(lock("src/**", is_pattern=True), None, past("src/a.py", *[1] * 9)) is None


def test_the_holders_own_progress_says_it_best() -> None:
    left = Duration(seconds=540)
    holder = Session(
        estimate=Estimate(left=left, basis="progress"), progress=WorkProgress(done=3, total=5)
    )

    found = completion(lock(), holder, past("src/a.py", 1, 1, 1))

    assert "9 min (60 % done)" == completed(found)


@pytest.mark.parametrize("is_pattern", [False, True])
def test_a_holder_that_says_all_is_done_may_be_so_any_moment(*, is_pattern: bool) -> None:
    holder = Session(progress=WorkProgress(done=4, total=4, percent=100))

    found = completion(lock(is_pattern=is_pattern), holder, past("src/a.py", 4, 4, 4))

    assert "any moment (it says that all is done)" == completed(found)


@pytest.mark.parametrize(
    ("progress", "far"),
    [
        (WorkProgress(done=2, total=4, percent=50), "2 of 4 steps done"),
        (WorkProgress(done=0, total=4), "0 of 4 steps done"),
        (WorkProgress(percent=40), "40 % done"),
    ],
)
def test_progress_without_a_pace_is_told_beside_what_is_known(
    progress: WorkProgress, far: str
) -> None:
    holder = Session(progress=progress)

    by_holds = completion(lock(), holder, past("src/a.py", 4, 4, 4))

    assert f"about 4 min (median of 3 holds of this file, 4 min; {far})" == completed(by_holds)
    assert f"not known ({far})" == completed(completion(lock(), holder, ()))
    pattern = completion(lock(is_pattern=True), holder, past("src/a.py", 4, 4, 4))
    assert f"not known ({far})" == completed(pattern)


def test_an_estimate_without_an_end_is_none() -> None:
    holder = Session(estimate=Estimate(basis="progress"))

    found = completion(lock(), holder, past("src/a.py", 4, 4, 4))

    assert "about 4 min (median of 3 holds of this file, 4 min)" == completed(found)


def test_a_spread_says_its_unit_once() -> None:
    of_file = Completion(Like.FILE, 240, 120, 540, 12)
    of_kind = Completion(Like.ALIKE, 240, 20, 5400, 12)

    assert "about 4 min (median of 12 holds of this file, 2 to 9 min)" == completed(of_file)
    assert "about 4 min (median of 12 holds of files like it, 20 s to 1 h 30 min)" == (
        completed(of_kind)
    )


async def test_a_refusal_says_when_and_asks_nobody_for_it(house: House) -> None:
    house.coordinator.past_holds = [HoldTime(path="A.py", held_for=Duration(seconds=240))] * 3
    house.coordinator.hold("a.py", "Session_far")

    unknown = await house.edit()
    await settle()
    known = await house.edit()

    assert Verdict.DENY is known.verdict
    assert "estimated completion: not known." in unknown.reason
    assert "about 4 min (median of 3 holds of this file, 4 min)." in known.reason
    assert 1 == house.coordinator.asked_for_holds


async def test_what_is_left_counts_down_until_the_holder_tells_anew(house: House) -> None:
    estimate = Estimate(left=Duration(seconds=540), basis="progress")
    progress = WorkProgress(done=3, total=5)
    holder = Session(session_id="Session_far", estimate=estimate, progress=progress)
    house.coordinator.hold("a.py", "Session_far")
    house.stream.tell(WatchResponse(revision=2, session=holder))

    said = [(await house.edit()).reason]
    house.clock.advance(120)
    house.coordinator.connection.answered(house.clock.now())
    said.append((await house.edit()).reason)

    assert "estimated completion: 9 min (60 % done)." in said[0]
    assert "estimated completion: 7 min (60 % done)." in said[1]


async def test_holds_are_asked_for_once_a_minute(house: House) -> None:
    house.coordinator.hold("a.py", "Session_far")
    for _ in range(3):
        await house.edit()
        await asyncio.sleep(0)
    house.clock.advance(AGAIN_S)
    house.coordinator.connection.answered(house.clock.now())
    await house.edit()
    await settle()

    assert 2 == house.coordinator.asked_for_holds


def _short(found: Completion | None) -> tuple[Like, int, float | None]:
    assert found is not None
    return found.like, found.samples, found.left_s
