"""The table of connection states, every pair of it."""

from itertools import product

import pytest

from scoord_agent.connection import TABLE, Connection, Happening, State

BELIEF_S = 20.0


@pytest.mark.parametrize(("state", "happening"), list(product(State, Happening)))
def test_the_table_says_what_follows_from_every_pair(state: State, happening: Happening) -> None:
    follows = TABLE[state, happening]

    match happening:
        case Happening.ANSWERED:
            assert State.CONNECTED is follows
        case Happening.EXPIRED:
            assert State.LOST is follows
        case Happening.FAILED:
            assert (State.LOST if state is State.LOST else State.SUSPENDED) is follows


def test_the_table_has_nothing_else() -> None:
    assert set(product(State, Happening)) == set(TABLE)


def test_an_agent_that_has_heard_nothing_assumes_nothing() -> None:
    assert State.LOST is Connection(BELIEF_S).look(now=5.0)


def test_an_answer_connects_and_forgets_the_failure() -> None:
    connection = Connection(BELIEF_S)
    connection.failed("no route", now=100.5)

    connection.answered(now=100.0)

    assert State.CONNECTED is connection.look(now=100.0)
    assert ("", 100.0) == (connection.error, connection.heard_at)


def test_a_failure_suspends_and_says_why() -> None:
    connection = Connection(BELIEF_S)
    connection.answered(now=100.0)

    connection.failed("no route", now=100.5)

    assert State.SUSPENDED is connection.look(now=101.0)
    assert "no route" == connection.error


def test_it_is_lost_exactly_when_belief_ends() -> None:
    connection = Connection(BELIEF_S)
    connection.answered(now=100.0)
    connection.failed("no route", now=100.5)

    assert State.SUSPENDED is connection.look(now=100.0 + BELIEF_S - 0.001)
    assert State.LOST is connection.look(now=100.0 + BELIEF_S)


def test_a_machine_that_slept_past_its_belief_is_lost_without_a_failure() -> None:
    connection = Connection(BELIEF_S)
    connection.answered(now=100.0)

    assert State.LOST is connection.look(now=4_000.0)


def test_a_failure_does_not_bring_hope_back() -> None:
    connection = Connection(BELIEF_S)

    connection.failed("no route", now=100.5)

    assert State.LOST is connection.look(now=1.0)


def test_who_waits_in_vain_hears_why_though_another_call_was_answered_meanwhile() -> None:
    connection = Connection(BELIEF_S)
    connection.failed("no space", now=101.0)
    connection.answered(now=101.1)

    assert "no space" == connection.why_silent(since=100.5)
    assert "the coordinator did not answer in time" == connection.why_silent(since=101.5)


def test_what_has_failed_before_still_says_why() -> None:
    connection = Connection(BELIEF_S)
    connection.failed("no route", now=100.0)

    assert "no route" == connection.why_silent(since=101.0)
