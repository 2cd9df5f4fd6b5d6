"""How long work takes yet: only by what was done of it, and never invented."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from scoord_agent.pace import MOST_MARKS, Left, Mark, left, marked


def _marks(*times: float) -> tuple[Mark, ...]:
    return tuple(Mark(at, done) for done, at in enumerate(times))


def test_with_less_than_two_finished_steps_nobody_can_tell() -> None:
    assert left((), 5, 100.0) is None
    assert left(_marks(0.0), 5, 100.0) is None
    assert left(_marks(0.0, 60.0), 5, 100.0) is None


def test_what_is_left_goes_on_at_the_pace_until_now() -> None:
    assert left(_marks(0.0, 60.0, 120.0), 5, 120.0) == Left(180.0, 180.0, 180.0, 2)


def test_what_the_step_under_way_has_taken_is_not_left_any_more() -> None:
    assert left(_marks(0.0, 60.0, 120.0), 5, 150.0) == Left(150.0, 150.0, 150.0, 2)


def test_steps_that_differ_spread_what_is_left() -> None:
    found = left(_marks(0.0, 30.0, 90.0, 210.0), 4, 210.0)

    assert found is not None
    assert found.low_s < found.middle_s < found.high_s
    assert (60.0, 3) == (found.middle_s, found.samples)


def test_nothing_is_told_of_a_last_step_that_is_overdue() -> None:
    assert left(_marks(0.0, 60.0, 120.0), 3, 179.0) is not None
    assert left(_marks(0.0, 60.0, 120.0), 3, 180.0) is None
    assert left(_marks(0.0, 60.0, 120.0), 3, 9_000.0) is None


def test_a_step_that_takes_longer_than_all_before_it_slows_the_pace() -> None:
    marks = _marks(0.0, 60.0, 120.0)
    on_time, late = left(marks, 5, 180.0), left(marks, 5, 1200.0)

    assert on_time is not None
    assert late is not None
    assert late.high_s > on_time.high_s
    assert 3 == late.samples


def test_steps_that_were_finished_at_once_share_their_time() -> None:
    marks = (Mark(0.0, 0), Mark(100.0, 2), Mark(150.0, 3))

    assert left(marks, 5, 150.0) == Left(100.0, 100.0, 100.0, 2)


def test_nothing_is_told_of_work_that_is_done() -> None:
    assert left(_marks(0.0, 60.0, 120.0), 2, 120.0) is None


def test_work_of_which_less_is_done_than_before_is_another() -> None:
    assert marked(_marks(0.0, 60.0), 90.0, 0) == (Mark(90.0, 0),)
    assert marked((), 90.0, 3) == (Mark(90.0, 3),)


def test_what_is_told_again_is_no_step() -> None:
    assert marked(_marks(0.0, 60.0), 90.0, 1) == _marks(0.0, 60.0)


TIMES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200).map(sorted)


@given(TIMES, st.integers(0, 300), st.floats(0, 1e6))
def test_an_estimate_is_never_negative_and_in_order(
    times: list[float], total: int, more: float
) -> None:
    marks: tuple[Mark, ...] = ()
    for done, at in enumerate(times):
        marks = marked(marks, at, done)
    found = left(marks, total, times[-1] + more)

    assert len(marks) <= MOST_MARKS
    assert all(before.done < now.done for before, now in pairwise(marks))
    assert found is None or 0.0 <= found.low_s <= found.middle_s <= found.high_s
