"""Up to which revision a replica saw the store when."""

import math

from scoord_server.past import COARSE_S, Past, Span


def seen(*looks: tuple[float, int]) -> Past:
    past = Past()
    for at, revision in looks:
        past.note(at, revision)
    return past


def test_between_two_looks_it_is_as_at_the_first() -> None:
    """A change is seen as it is made, while the store is heard."""
    past = seen((10, 5), (12, 5), (14, 6))

    assert Span(5, 5) == past.span(13.9, 20)
    assert Span(6, 6) == past.span(14.5, 20)


def test_what_was_seen_after_a_silence_may_have_been_made_at_any_moment_of_it() -> None:
    past = seen((10, 5), (20, 9))

    assert Span(5, 9) == past.span(11, 20)
    assert Span(9, 9) == past.span(21, 21)


def test_before_the_first_look_and_after_the_last_nothing_is_known() -> None:
    assert Span(0, 5) == seen((10, 5)).span(9, 10)
    assert Span(5, math.inf) == seen((10, 5)).span(11, 20)
    assert Span(0, math.inf) == Past().span(5, 10)


def test_of_long_ago_it_is_known_roughly() -> None:
    past = Past()
    for number in range(40_000):
        past.note(number / 10, number)

    low, high = past.span(100, 4_000)
    assert low <= 1_000 <= high
    assert high - low <= 2 * COARSE_S * 10


def test_what_is_kept_is_bounded() -> None:
    past = Past()
    for number in range(100_000):
        past.note(number, number)

    assert 0 == past.span(0, 100_000).low
    assert 99_000 == past.span(99_000.5, 100_000).low
