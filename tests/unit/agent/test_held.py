"""What a holder may believe, and until when."""

from dataclasses import replace
from typing import Any

import pytest

from scoord.claimant import Claimant
from scoord.ids import AgentId, FencingToken, ProjectId, SessionId
from scoord_agent.held import QUIET_S, HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.kept_locks import to_json
from support.held import BELIEF_S, LOCK, MAIN, SHOP, A, B, believed, use


@pytest.fixture
def held() -> HeldLocks:
    return believed()


def test_belief_counts_from_when_the_renewal_was_sent(held: HeldLocks) -> None:
    assert use(held, now=100.0 + BELIEF_S - 0.001)
    assert not use(held, now=100.0 + BELIEF_S)


def test_a_renewal_prolongs_belief(held: HeldLocks) -> None:
    held.renewed(A, sent_at=115.0)

    assert use(held, now=130.0)


def test_an_older_answer_changes_nothing(held: HeldLocks) -> None:
    held.renewed(A, sent_at=115.0)
    held.renewed(A, sent_at=105.0)

    assert use(held, now=130.0)
    assert not use(held, now=135.0)


def test_a_jump_over_the_deadline_ends_belief_at_once(held: HeldLocks) -> None:
    assert use(held, now=101.0)
    assert not use(held, now=50_000.0)


def test_belief_ends_but_the_grant_is_remembered_until_it_is_known_to_be_lost(
    held: HeldLocks,
) -> None:
    assert not use(held, now=500.0)
    assert held.find(SHOP, "auth.py", Claimant(A, MAIN)) == LOCK

    held.renewed(A, sent_at=500.0)
    assert use(held, now=501.0)


def test_nobody_believes_in_a_lock_that_was_never_renewed() -> None:
    held = HeldLocks(BELIEF_S)
    held.put(LOCK)

    assert not use(held, now=0.0)


def test_a_stream_is_believed_in_a_little_longer_than_a_renewal(held: HeldLocks) -> None:
    bound_s = BELIEF_S + QUIET_S

    assert held.is_followed(100.0, now=100.0 + BELIEF_S)
    assert held.is_followed(100.0, now=100.0 + bound_s - 0.001)
    assert not held.is_followed(100.0, now=100.0 + bound_s)
    assert not held.is_followed(None, now=100.0)


def test_one_sessions_renewal_is_not_anothers(held: HeldLocks) -> None:
    held.renewed(B, sent_at=200.0)

    assert not use(held, now=200.0)


@pytest.mark.parametrize(("session", "agent"), [(B, MAIN), (A, AgentId("agent-1"))])
def test_exactly_the_holder_has_it(held: HeldLocks, session: SessionId, agent: AgentId) -> None:
    assert not use(held, 101.0, session, agent)


def test_a_path_of_another_project_is_another_path(held: HeldLocks) -> None:
    assert not held.use(ProjectId("other"), "auth.py", Claimant(A, MAIN), 101.0)


def test_a_use_is_published_once(held: HeldLocks) -> None:
    assert [] == held.used(A)
    use(held, now=101.0)
    use(held, now=102.0)

    assert [replace(LOCK, used=True)] == held.used(A)
    held.published(held.used(A))
    assert [] == held.used(A)
    assert LOCK == held.find(SHOP, "auth.py", Claimant(A, MAIN))


def test_a_grant_is_dropped_by_its_own_token_only(held: HeldLocks) -> None:
    assert held.drop(replace(LOCK, token=FencingToken(6))) is None
    assert LOCK == held.drop(LOCK)
    assert held.drop(LOCK) is None
    assert not use(held, now=101.0)


def test_a_new_grant_of_another_ends_the_one_before(held: HeldLocks) -> None:
    newer = replace(LOCK, session=B, token=FencingToken(9))
    held.put(newer)

    assert [newer] == list(held)
    assert [LOCK] == held.overtaken()
    assert not use(held, now=101.0)


def test_a_new_grant_of_the_same_holder_replaces_the_one_before(held: HeldLocks) -> None:
    newer = replace(LOCK, token=FencingToken(9))
    held.put(newer)

    assert [newer] == list(held)
    assert [LOCK] == held.overtaken()
    assert use(held, now=101.0)


def test_a_subagent_takes_over_under_the_same_token(held: HeldLocks) -> None:
    taken = replace(LOCK, agent=AgentId("agent-1"))
    held.put(taken)

    assert [taken] == list(held)


def test_a_late_answer_grants_nothing_that_another_has_had_since(held: HeldLocks) -> None:
    subagents = replace(LOCK, agent=AgentId("agent-1"))
    assert not held.is_later_anothers(LOCK)

    held.put(LOCK)
    assert not held.is_later_anothers(subagents)
    held.put(subagents)
    assert held.is_later_anothers(LOCK)
    assert not held.is_later_anothers(replace(LOCK, token=FencingToken(8)))
    assert not held.is_later_anothers(replace(LOCK, key="other.py"))


@pytest.mark.parametrize("terms", [{"shared": True}, {"is_pattern": True}])
def test_a_late_share_or_pattern_stands_beside_what_a_subagent_has_since(
    terms: dict[str, Any],
) -> None:
    held = HeldLocks(BELIEF_S)
    subagents = replace(LOCK, agent=AgentId("agent-1"), token=FencingToken(8))
    held.put(subagents)

    late = replace(LOCK, **terms)
    assert not held.is_later_anothers(late)
    held.put(late)
    assert {late, subagents} == set(held)
    assert held.is_later_anothers(replace(late, session=B)), "others are not let in"


@pytest.mark.parametrize(("branch", "is_missed"), [("", False), ("topic", True)])
def test_what_a_subagent_has_anew_on_as_many_branches_its_main_thread_has_lost(
    branch: str, is_missed: bool
) -> None:
    held = HeldLocks(BELIEF_S)
    mine = replace(LOCK, branch="topic")
    held.put(mine)

    held.put(replace(mine, agent=AgentId("agent-1"), branch=branch, token=FencingToken(8)))

    assert [mine] == held.overtaken(), "how it ended is to be heard of"
    held.end(mine)
    assert held.losses.of(A) == [mine] * is_missed


def timed(ends_at: float, **differences: Any) -> HeldLock:
    return replace(LOCK, ends_at=ends_at, **differences)


@pytest.mark.parametrize("terms", [{}, {"shared": True}, {"is_pattern": True}])
def test_one_that_is_asked_for_again_ends_as_was_asked_for_last(terms: dict[str, bool]) -> None:
    held = HeldLocks(BELIEF_S)
    for asked, ends_at in (
        (0.0, 0.0),
        (160.0, 160.0),
        (900.0, 900.0),
        (0.0, 900.0),
        (130.0, 130.0),
    ):
        held.put(timed(asked, **terms))

        assert [timed(ends_at, **terms)] == list(held)


def test_one_that_a_subagent_takes_over_ends_when_its_sessions_was_to(held: HeldLocks) -> None:
    held.put(timed(160.0))

    held.put(timed(0.0, agent=AgentId("agent-1")))

    assert [timed(160.0, agent=AgentId("agent-1"))] == list(held)


def test_one_that_is_asked_for_again_keeps_the_reason_that_somebody_gave(held: HeldLocks) -> None:
    held.put(replace(LOCK, reason="first"))
    held.put(replace(LOCK, reason="second"))

    held.put(replace(LOCK, agent=AgentId("agent-1")))

    assert [replace(LOCK, agent=AgentId("agent-1"), reason="second")] == list(held)


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize(
    ("more", "is_used_in_both"),
    [
        ({"worktree": "/shop"}, False),
        ({"worktree": "/linked"}, True),
        ({"worktree": ""}, False),
        ({"worktree": "/shop", "in_several": True}, True),
        ({"worktree": "/linked", "agent": AgentId("agent-1")}, True),
    ],
)
def test_what_became_more_is_used_in_the_worktrees_of_both(
    more: dict[str, Any], *, is_used_in_both: bool, is_late: bool
) -> None:
    held = HeldLocks(BELIEF_S)
    first = replace(LOCK, branch="main", worktree="/shop")
    later = replace(LOCK, token=FencingToken(9), **more)
    for lock in (later, first) if is_late else (first, later):
        held.put(lock)

    assert [(9, is_used_in_both)] == [(lock.token, lock.in_several) for lock in held]


def test_once_used_in_two_worktrees_it_is_so_for_whoever_goes_on_with_it() -> None:
    held = HeldLocks(BELIEF_S)
    held.put(replace(LOCK, branch="main", worktree="/shop", commit="c1"))
    held.renew_commit(next(iter(held)), "/linked", "c2")

    held.put(replace(LOCK, branch="main", worktree="/shop", commit="c1", agent=AgentId("agent-1")))
    assert [("/shop", "c1", True)] == [(it.worktree, it.commit, it.in_several) for it in held]

    held.put(replace(LOCK, token=FencingToken(9), worktree="/shop", agent=AgentId("agent-1")))
    assert [True] == [lock.in_several for lock in held]


def test_those_that_share_are_held_side_by_side_and_are_no_right_to_write(
    held: HeldLocks,
) -> None:
    held.drop(LOCK)
    mine = replace(LOCK, shared=True)
    others = replace(mine, session=B, token=FencingToken(9))
    held.put(mine)
    held.put(others)

    assert [mine, others] == held.at(SHOP, "auth.py")
    assert not use(held, now=101.0)


def test_a_lock_of_a_branch_is_held_on_it_alone(held: HeldLocks) -> None:
    held.drop(LOCK)
    held.put(replace(LOCK, branch="main"))

    assert held.use(SHOP, "auth.py", Claimant(A, MAIN, branch="main"), 101.0)
    assert not held.use(SHOP, "auth.py", Claimant(A, MAIN, branch="topic"), 101.0)
    assert not use(held, now=101.0)


@pytest.mark.parametrize(
    "again",
    [
        replace(LOCK, branch="main"),
        replace(LOCK, branch="main", shared=True),
        replace(LOCK, branch="main", agent=AgentId("agent-1")),
    ],
    ids=["asked for again", "asked to share", "taken over by a subagent"],
)
def test_a_lock_of_every_branch_stays_one(held: HeldLocks, again: HeldLock) -> None:
    held.put(again)

    assert [replace(LOCK, agent=again.agent)] == list(held)


def test_a_grant_comes_after_another_by_its_token_or_its_thread() -> None:
    subagents = replace(LOCK, agent=AgentId("agent-1"))

    assert LOCK.is_before(replace(LOCK, token=FencingToken(8), session=B))
    assert LOCK.is_before(subagents)
    assert not LOCK.is_before(replace(LOCK, used=True))
    assert not LOCK.is_before(replace(subagents, token=FencingToken(6)))


TWO = [replace(LOCK, branch="main"), replace(LOCK, branch="topic", token=FencingToken(9))]
"""One session, or thread of it, has a path on two branches: it has two worktrees."""


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("is_pattern", [False, True])
def test_one_holder_has_a_path_on_two_branches(
    held: HeldLocks, *, is_pattern: bool, order: int
) -> None:
    held.drop(LOCK)
    two = [replace(lock, is_pattern=is_pattern) for lock in TWO][::order]
    for lock in two:
        held.put(lock)

    assert two == list(held)
    assert [] == held.overtaken()
    for lock in two:
        found = held.find(SHOP, "auth.py", lock.claimant, is_pattern=is_pattern)
        assert lock == found


def test_each_of_two_branches_is_used_and_given_back_by_itself(held: HeldLocks) -> None:
    held.drop(LOCK)
    for lock in TWO:
        held.put(lock)
    on_main, on_topic = (lock.claimant for lock in TWO)

    assert held.use(SHOP, "auth.py", on_main, 101.0)
    assert [TWO[0].token] == [lock.token for lock in held.used(A)]
    held.drop(TWO[0])

    assert held.right(SHOP, "auth.py", on_main) is None
    assert TWO[1] == held.right(SHOP, "auth.py", on_topic)


def test_what_is_lost_on_one_branch_is_not_made_up_for_by_another(held: HeldLocks) -> None:
    held.drop(LOCK)
    for lock in TWO:
        held.put(lock)

    held.lose(TWO[0])

    assert [TWO[0]] == held.losses.of(A)


def test_what_is_granted_on_every_branch_takes_the_place_of_those_of_some(held: HeldLocks) -> None:
    held.drop(LOCK)
    everywhere = replace(LOCK, token=FencingToken(11))
    for lock in (*TWO, everywhere):
        held.put(lock)

    assert [everywhere] == list(held)
    assert all(map(held.has_passed, TWO))
    for lock in TWO:
        held.end(lock)
    assert [] == [*held.overtaken(), *held.losses.of(A)]


def test_a_share_that_an_older_coordinator_moves_to_another_branch_is_there(
    held: HeldLocks,
) -> None:
    held.drop(LOCK)
    shares = [replace(LOCK, shared=True, branch=branch) for branch in ("main", "topic")]
    for share in shares:
        held.put(share)

    assert shares[1:] == list(held)


def test_a_pattern_is_not_the_path_that_is_written_like_it(held: HeldLocks) -> None:
    pattern = replace(LOCK, is_pattern=True)
    held.drop(LOCK)
    held.put(pattern)

    assert held.find(SHOP, "auth.py", Claimant(A, MAIN)) is None
    assert pattern == held.grant(SHOP, "auth.py", LOCK.token, is_pattern=True)


def test_an_ended_session_leaves_nothing(held: HeldLocks) -> None:
    subagents = replace(LOCK, key="b.py", agent=AgentId("agent-1"))
    others = replace(LOCK, key="c.py", session=B)
    held.put(subagents)
    held.put(others)

    held.lapse(A)
    held.put(LOCK)
    held.forget(A)

    assert [others] == list(held)
    assert [] == held.losses.of(A)
    assert not held.believes(A, now=0.0)


def test_a_grant_that_was_overtaken_is_lost_with_its_session(held: HeldLocks) -> None:
    newer = replace(LOCK, session=B, token=FencingToken(9))
    held.put(newer)

    assert [LOCK] == held.overtaken()
    assert [] == held.of(A)
    held.lapse(A)
    assert [LOCK] == held.losses.of(A)
    assert [] == held.overtaken()
    assert [newer] == list(held)


def test_what_goes_with_its_lease_is_not_held_and_to_be_asked_for_again(held: HeldLocks) -> None:
    use(held, now=101.0)
    held.lapse(A)

    assert [] == list(held)
    assert not use(held, now=101.0)
    (lost,) = held.losses.of(A)
    assert LOCK == replace(lost, used=False)
    assert [] == held.losses.of(B)


def test_a_lost_lock_is_settled_once(held: HeldLocks) -> None:
    held.lose(LOCK)
    held.lose(LOCK)

    assert held.losses.settle(LOCK)
    assert not held.losses.settle(LOCK)
    assert [] == held.losses.of(A)


@pytest.mark.parametrize("shared", [False, True])
def test_who_is_granted_on_a_branch_what_it_had_on_all_has_that_no_more(
    held: HeldLocks, *, shared: bool
) -> None:
    on_main = replace(LOCK, branch="main", token=FencingToken(8), shared=shared)
    held.put(on_main)

    assert [on_main] == list(held)
    assert [LOCK] == held.overtaken(), "it would have been enough"


def test_who_shares_on_all_branches_and_writes_on_one_has_both(held: HeldLocks) -> None:
    share = replace(LOCK, key="b.py", shared=True)
    on_main = replace(share, branch="main", token=FencingToken(8), shared=False)
    held.put(share)
    held.put(on_main)

    assert [share, on_main] == held.at(SHOP, "b.py")


def replaced(held: HeldLocks) -> HeldLock:
    """A share whose holder was granted more, before anything told of its end."""
    share = replace(LOCK, key="b.py", token=FencingToken(8), shared=True)
    held.put(share)
    held.put(replace(share, token=FencingToken(9), shared=False))
    return share


def test_a_share_that_became_a_lock_is_not_lost(held: HeldLocks) -> None:
    share = replaced(held)
    assert [share] == held.overtaken()

    held.end(share)

    assert [] == [*held.overtaken(), *held.losses.of(A)]


@pytest.mark.parametrize("later", [{"branch": ""}, {"session": B}])
def test_what_is_over_unheard_is_written_down_for_the_agent_after(
    held: HeldLocks, later: dict[str, Any]
) -> None:
    on_main = replace(LOCK, key="b.py", branch="main", token=FencingToken(8))
    held.put(on_main)
    held.put(replace(on_main, token=FencingToken(9), **later))

    assert on_main not in held.of(A)
    assert on_main.token in [kept["token"] for kept in to_json(held.known(A))]


@pytest.mark.parametrize("is_heard_of", [True, False])
def test_of_a_share_that_ended_unheard_it_is_found_out_how(
    held: HeldLocks, is_heard_of: bool
) -> None:
    share = replaced(held)
    if is_heard_of:
        held.lose(share)
    else:
        held.lapse(A)

    assert share in held.losses.of(A)
    assert held.losses.was_replaced(share), "and it is not asked for again"


def test_so_it_is_when_another_was_granted_the_file_in_between(held: HeldLocks) -> None:
    share = replace(LOCK, key="b.py", shared=True)
    later = replace(share, token=FencingToken(9), shared=False)
    held.put(share)
    held.put(replace(later, session=B, token=FencingToken(8)))
    held.put(later)

    held.lose(share)

    assert share in held.losses.of(A)
    assert held.losses.was_replaced(share)


def test_so_it_is_when_its_end_was_heard_of_before_the_answer_that_replaced_it(
    held: HeldLocks,
) -> None:
    share = replace(LOCK, key="b.py", shared=True)
    held.put(share)
    held.lose(share)
    assert not held.losses.was_replaced(share)

    held.put(replace(share, token=FencingToken(8), shared=False))

    assert [share] == held.losses.of(A)
    assert held.losses.was_replaced(share)


def test_so_it_is_when_an_agent_takes_it_up_beside_what_replaced_it(held: HeldLocks) -> None:
    share = replace(LOCK, token=FencingToken(5), shared=True)

    held.missing(share, stood_at=99.0)

    assert [share] == held.losses.of(A)
    assert held.losses.was_replaced(share)


def test_who_asks_to_share_what_it_has_alone_has_it_alone(held: HeldLocks) -> None:
    held.put(LOCK)
    held.put(replace(LOCK, shared=True))

    assert [LOCK] == held.of(A)


def test_a_pattern_is_used_with_each_file_in_it_that_its_holder_gets_or_uses() -> None:
    held = HeldLocks(BELIEF_S)
    held.renewed(A, sent_at=100.0)
    inside = HeldLock(SHOP, "src/a.py", "src/A.py", A, AgentId("helper"), FencingToken(9))
    pattern, other = (
        HeldLock(SHOP, key, key, A, MAIN, FencingToken(8), is_pattern=True)
        for key in ("src/**", "doc/**")
    )
    theirs = HeldLock(SHOP, "src/**", "src/**", B, MAIN, FencingToken(5), is_pattern=True)
    for lock in (theirs, pattern, other):
        held.put(lock)
    assert [] == held.used(A)

    held.put(inside)
    assert [replace(pattern, used=True)] == held.used(A)
    held.published(held.used(A))
    assert [] == held.used(A)

    assert held.use(SHOP, "src/a.py", Claimant(A, AgentId("helper")), now=101.0)
    assert {"src/a.py", "src/**"} == {lock.key for lock in held.used(A)}
    assert [] == held.used(B)
    held.drop(replace(pattern, used=True))
    held.published(held.used(A))
    assert held.use(SHOP, "src/a.py", Claimant(A, AgentId("helper")), now=101.0)
    assert ["src/a.py"] == [lock.key for lock in held.used(A)]


def test_what_the_agent_before_held_is_lost_unless_it_is_confirmed(held: HeldLocks) -> None:
    gone = replace(LOCK, key="gone.py", shown="gone.py", token=FencingToken(5))
    newer, share = replace(LOCK, token=FencingToken(6)), replace(LOCK, shared=True)
    share = replace(share, token=FencingToken(6))

    for lock in (LOCK, gone, newer, share):
        held.missing(lock, 40.0)

    assert [gone, newer] == held.losses.of(A), "its own later grant hides who had it in between"
    assert [LOCK, gone, newer] == held.known(A)
    assert held.find(SHOP, "gone.py", Claimant(A, MAIN)) is None, "it allows nothing"
    assert 60.0 == held.losses.away_s(gone, now=100.0)
    assert 40.0 == held.stood_at(A)


def test_what_was_lost_is_asked_for_under_whatever_terms_it_is_told_of_meanwhile(
    held: HeldLocks,
) -> None:
    held.put(LOCK)
    held.lose(LOCK)

    assert held.losses.is_asked_for(replace(LOCK, ends_at=60.0, used=True))
    assert not held.losses.is_asked_for(replace(LOCK, session=B))
    assert not held.losses.is_asked_for(replace(LOCK, token=FencingToken(LOCK.token + 1)))

    held.losses.settle(LOCK)
    assert not held.losses.is_asked_for(LOCK)
