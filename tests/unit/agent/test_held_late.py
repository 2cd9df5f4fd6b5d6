"""What is held where answers come late, and where a lock passes on before that is settled."""

from dataclasses import replace

import pytest

from scoord.ids import AgentId, FencingToken
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from support.held import BELIEF_S, LOCK, A, B, believed, use


@pytest.fixture
def held() -> HeldLocks:
    return believed()


def test_a_late_answer_does_not_take_the_place_of_a_later_grant(held: HeldLocks) -> None:
    share = replace(LOCK, shared=True, token=FencingToken(5))
    held.put(share)

    assert [LOCK] == list(held)
    assert [share] == held.overtaken(), "who shared it may write it now"
    held.end(share)
    assert [] == [*held.overtaken(), *held.losses.of(A)], "and misses nothing"


def test_a_late_answer_is_remembered_until_its_end_is_heard_of(held: HeldLocks) -> None:
    others = replace(LOCK, session=B, token=FencingToken(5))
    held.put(others)

    assert [LOCK] == list(held)
    assert [others] == held.overtaken()


def test_by_what_is_given_back_at_once_nobody_has_more(held: HeldLocks) -> None:
    share = replace(LOCK, token=FencingToken(5), shared=True)
    beside = replace(share, agent=AgentId("a1"), token=FencingToken(6))
    lost = replace(share, key="lost.py")
    locks = HeldLocks(BELIEF_S)
    for lock in (share, beside, lost):
        locks.put(lock)
    locks.lose(lost)

    locks.turn_down(LOCK)
    locks.turn_down(replace(lost, token=FencingToken(7), shared=False))

    assert [] == list(locks)
    assert [share, beside] == locks.overtaken()
    assert [lost] == locks.losses.of(A)


def test_what_is_given_back_at_once_ends_nothing_that_stands_beside_it(held: HeldLocks) -> None:
    later = replace(LOCK, key="b.py", token=FencingToken(9))
    on_main = replace(LOCK, key="c.py", branch="main")
    for lock in (later, on_main):
        held.put(lock)

    held.turn_down(replace(later, token=FencingToken(8)))
    held.turn_down(replace(on_main, branch="topic", token=FencingToken(8)))

    assert [LOCK, later, on_main] == list(held)
    assert [] == held.overtaken()


def test_what_passed_to_a_subagent_that_wants_it_no_more_is_not_held(held: HeldLocks) -> None:
    held.turn_down(replace(LOCK, agent=AgentId("a1")))

    assert [] == list(held)
    assert [] == held.overtaken()


@pytest.mark.parametrize(("on", "passed"), [("topic", True), ("", False)])
def test_what_a_subagent_took_over_on_more_branches_is_known_to_have_passed_on(
    held: HeldLocks, on: str, *, passed: bool
) -> None:
    """On as many, a later token shows that it was taken away in between."""
    held.put(replace(LOCK, key="b.py", branch=on))
    held.put(replace(LOCK, key="b.py", agent=AgentId("a1"), token=FencingToken(9)))

    assert [passed] == [lock.passed for lock in held.at(LOCK.project, "b.py")]


def test_what_passes_on_unsettled_is_not_held_and_goes_on_as_it_was(held: HeldLocks) -> None:
    helpers = replace(LOCK, agent=AgentId("a1"), branch="topic")
    held.put(replace(LOCK, ends_at=130.0))

    held.pass_on(helpers)
    assert not use(held, now=101.0)
    assert held.passes_on(helpers)

    held.put(helpers)
    assert [replace(helpers, ends_at=130.0, branch="")] == list(held)
    assert [] == held.overtaken()


@pytest.mark.parametrize("is_heard_first", [False, True])
def test_what_a_subagent_takes_over_on_every_branch_is_no_loss(*, is_heard_first: bool) -> None:
    held = HeldLocks(BELIEF_S)
    on_main, elsewhere = replace(LOCK, branch="main"), replace(LOCK, key="b.py", branch="main")
    helpers = replace(LOCK, agent=AgentId("a1"), token=FencingToken(9))
    for lock in (on_main, elsewhere):
        held.put(lock)
    if is_heard_first:
        held.lose(on_main)

    held.put(helpers)

    assert {elsewhere, helpers} == set(held)
    assert held.losses.was_replaced(on_main) == is_heard_first
    held.end(on_main)
    assert [on_main] * is_heard_first == [*held.overtaken(), *held.losses.of(A)]


def test_what_a_subagent_gives_back_at_once_its_main_thread_misses(held: HeldLocks) -> None:
    on_main = replace(LOCK, key="b.py", branch="main")
    held.put(on_main)

    held.turn_down(replace(on_main, agent=AgentId("a1"), branch="", token=FencingToken(9)))

    assert [LOCK] == list(held)
    assert [on_main] == held.overtaken()


def test_what_passed_on_unsettled_is_lost_with_its_lease(held: HeldLocks) -> None:
    held.pass_on(replace(LOCK, agent=AgentId("a1")))
    held.lapse(A)

    assert [LOCK] == held.losses.of(A)


def test_what_is_not_kept_takes_nothing_back_that_passed_on(held: HeldLocks) -> None:
    held.pass_on(replace(LOCK, agent=AgentId("a1")))
    held.turn_down(replace(LOCK, agent=AgentId("a1")))

    assert [] == list(held)
    assert [] == held.overtaken()


@pytest.mark.parametrize("becomes", ["put", "turn_down", "lapse"])
def test_what_passed_on_is_over_for_a_late_answer_until_that_is_settled(becomes: str) -> None:
    held, helpers = HeldLocks(BELIEF_S), replace(LOCK, agent=AgentId("a1"))
    share = replace(LOCK, shared=True, token=FencingToken(5))
    before = replace(LOCK, session=B, token=FencingToken(5))

    held.pass_on(helpers)
    assert [True, True] == list(map(held.is_later_anothers, (LOCK, before)))
    assert not any(map(held.is_later_anothers, (helpers, share, replace(LOCK, key="b.py"))))

    getattr(held, becomes)(A if becomes == "lapse" else helpers)
    assert held.is_later_anothers(LOCK) is (becomes == "put"), "what is had shows it by itself"


def test_what_passed_on_and_was_asked_for_again_is_settled_with_that(held: HeldLocks) -> None:
    helpers = replace(LOCK, agent=AgentId("a1"))
    held.pass_on(helpers)

    held.turn_down(replace(helpers, token=FencingToken(8)))

    assert not held.is_later_anothers(LOCK)


def test_what_a_later_grant_ended_is_over_before_that_is_settled(held: HeldLocks) -> None:
    share = replace(LOCK, key="b.py", shared=True)
    held.put(share)

    held.pass_on(replace(LOCK, session=B, token=FencingToken(8)))
    held.pass_on(replace(share, shared=False, token=FencingToken(8)))

    assert [share] == list(held), "its holder's own is a part of it"
    assert [LOCK] == held.overtaken()


SHARE = replace(LOCK, key="b.py", shared=True, ends_at=130.0, reason="given")
EDITED = replace(SHARE, shared=False, token=FencingToken(9), ends_at=0.0, reason="")
ON_X = replace(SHARE, shared=False, branch="x")


@pytest.mark.parametrize("asked_at", [0.0, 110.0, 900.0])
@pytest.mark.parametrize("order", ["as granted", "late", "its end is heard of first"])
@pytest.mark.parametrize(
    ("before", "now"),
    [
        (SHARE, EDITED),
        (ON_X, EDITED),
        (ON_X, replace(EDITED, agent=AgentId("a1"))),
        (replace(SHARE, branch="x"), replace(EDITED, shared=True)),
        (ON_X, replace(EDITED, shared=True)),
    ],
    ids=["an edited share", "of every branch", "by a subagent", "a wider share", "shared wider"],
)
def test_what_became_more_ends_when_it_was_to_unless_another_time_is_asked_for(
    before: HeldLock, now: HeldLock, order: str, asked_at: float
) -> None:
    held, now = HeldLocks(BELIEF_S), replace(now, ends_at=asked_at)
    for lock in (now, before) if order == "late" else (before, now):
        held.put(lock)
        if order == "its end is heard of first":
            held.end(before)

    assert [replace(now, ends_at=asked_at or 130.0, reason="given")] == list(held)


@pytest.mark.parametrize("is_given_back", [False, True])
def test_what_is_shared_on_every_branch_instead_is_no_loss(*, is_given_back: bool) -> None:
    """It ended by its holder's own command, also where that is heard of late."""
    held, share = HeldLocks(BELIEF_S), replace(EDITED, shared=True)
    held.put(ON_X)
    held.put(share)
    if is_given_back:
        held.drop(share)

    held.end(ON_X)

    assert [] == [*held.overtaken(), *held.losses.of(A)]


def test_what_is_shared_anew_on_the_same_branch_was_lost_before() -> None:
    held = HeldLocks(BELIEF_S)
    held.put(ON_X)
    held.put(replace(EDITED, shared=True, branch="x"))

    held.end(ON_X)

    assert [ON_X] == held.losses.of(A), "it would have been kept"


def test_of_several_that_became_one_the_last_end_counts() -> None:
    held = HeldLocks(BELIEF_S)
    for branch, ends_at in (("x", 120.0), ("y", 130.0), ("z", 0.0)):
        held.put(replace(ON_X, branch=branch, ends_at=ends_at))

    held.put(EDITED)

    assert [130.0] == [lock.ends_at for lock in held]


def test_what_was_granted_anew_under_as_much_does_not_end_as_what_was_taken_away() -> None:
    held = HeldLocks(BELIEF_S)
    held.put(replace(EDITED, ends_at=130.0, token=FencingToken(8)))
    held.put(EDITED)
    held.put(replace(SHARE, key="c.py"))
    held.put(replace(SHARE, key="c.py", ends_at=0.0, token=FencingToken(9)))

    assert [0.0, 0.0] == [lock.ends_at for lock in held]


def test_a_pattern_of_every_branch_is_one_more_and_does_not_end_as_that_of_one() -> None:
    held = HeldLocks(BELIEF_S)
    on_x = replace(ON_X, is_pattern=True)
    held.put(on_x)
    held.lose(on_x)
    held.put(replace(EDITED, is_pattern=True))

    assert [0.0] == [lock.ends_at for lock in held]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("is_late", [False, True])
def test_what_is_had_on_another_branch_meanwhile_is_not_over(
    *, shared: bool, is_late: bool
) -> None:
    held = HeldLocks(BELIEF_S)
    before = replace(LOCK, branch="main")
    now = replace(LOCK, branch="topic", token=FencingToken(9), shared=shared)

    for lock in (now, before) if is_late else (before, now):
        held.put(lock)

    assert {before, now} == set(held)
    assert [] == held.overtaken()


@pytest.mark.parametrize("is_settled", [False, True])
def test_what_a_subagent_goes_on_with_its_main_thread_has_not_lost(
    held: HeldLocks, *, is_settled: bool
) -> None:
    held.lose(LOCK)
    passed = replace(LOCK, agent=AgentId("a1"))

    if is_settled:
        held.put(passed)
    else:
        held.pass_on(passed)

    assert [] == held.losses.of(A)


def test_of_what_was_taken_away_a_subagent_has_not_gone_on() -> None:
    on_main = replace(LOCK, branch="main", token=FencingToken(5))
    held = HeldLocks(BELIEF_S)
    held.put(on_main)
    everywhere = replace(LOCK, agent=AgentId("a1"), token=FencingToken(8))
    held.put(everywhere)
    assert next(iter(held)).passed

    held.void(on_main)

    assert not next(iter(held)).passed
