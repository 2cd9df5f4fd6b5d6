"""Between which revisions the store was when, as far as a replica knows."""

import math

from scoord_server.past import COARSE_S, Past, Span


def seen(*looks: tuple[float, int]) -> Past:
    past = Past()
    for at, revision in looks:
        past.seen(at, revision)
    return past


def asked(*looks: tuple[float, int]) -> Past:
    past = Past()
    for begun, revision in looks:
        past.bounded(begun, revision)
    return past


def test_the_store_had_come_to_what_was_seen_by_then() -> None:
    past = seen((10, 5), (12, 5), (14, 6))

    assert 5 == past.span(13.9).low
    assert 6 == past.span(14.5).low


def test_that_nothing_was_seen_does_not_show_that_nothing_was_done() -> None:
    """A watch may be late, and is silent then."""
    assert math.inf == seen((10, 5), (12, 5)).span(11).high


def test_the_store_had_come_no_further_than_was_found_afterwards() -> None:
    past = asked((10, 5), (12, 7), (14, 9))

    assert 7 == past.span(11).high
    assert 9 == past.span(12).high, "what was asked just then may have come before it"
    assert math.inf == past.span(14).high


def test_an_answer_that_was_overtaken_says_nothing_new() -> None:
    past = asked((10, 5), (13, 6), (12, 7), (15, 8))

    assert 6 == past.span(11).high
    assert 8 == past.span(13).high


def test_before_the_first_look_and_after_the_last_nothing_is_known() -> None:
    assert Span(0, math.inf) == Past().span(5)
    assert 0 == seen((10, 5)).span(9).low
    assert 5 == asked((10, 5)).span(9).high


def test_of_long_ago_it_is_known_roughly() -> None:
    past = Past()
    for number in range(40_000):
        past.seen(number / 10, number)
        past.bounded(number / 10, number)

    low, high = past.span(100)
    assert low <= 1_000 <= high
    assert high - low <= 3 * COARSE_S * 10


def test_what_is_kept_is_bounded() -> None:
    past = Past()
    for number in range(100_000):
        past.seen(number, number)
        past.bounded(number, number)

    assert 0 == past.span(0).low
    assert 99_000 == past.span(99_000.5).low
    assert 99_001 == past.span(99_000.5).high
