"""What the judge of the simulation takes an agent to know."""

from dataclasses import replace

import pytest

from scoord.claimant import Claimant
from scoord.ids import AgentId, SessionId
from scoord.v1.locks_pb2 import AcquireRequest, LockMode, LockRef, LockScope
from support.simulation.minds import Known, Mind, granted_as
from support.simulation.projects import PROJECT
from support.simulation.streams import Heard

MAIN = Claimant(SessionId("Session_a"), AgentId(""))
"""On every branch: it was taken while none was checked out."""

HELPER = replace(MAIN, agent=AgentId("a1"))
LOCK = Known("auth.py", 7, MAIN)


def _on(who: Claimant, branch: str, *, shared: bool = False) -> Claimant:
    return replace(who, branch=branch, shared=shared)


def _writes(mind: Mind, who: Claimant, branch: str) -> bool:
    return mind.right_of("auth.py", [_on(who, branch)]) is not None


def test_what_was_given_back_is_no_known_conflict() -> None:
    mind = Mind()
    mind.stream(PROJECT).heard["auth.py", 7] = Heard(
        "auth.py", 7, HELPER, is_pattern=False, at_s=1.0
    )
    assert mind.known_conflict("auth.py", [MAIN], since_s=2.0)

    mind.end("auth.py", 7)
    assert not mind.known_conflict("auth.py", [MAIN], since_s=2.0)


@pytest.mark.parametrize("shared", [False, True])
def test_a_grant_of_every_branch_that_is_asked_for_again_on_one_stays_so(shared: bool) -> None:
    mind = Mind()
    mind.adopt(LOCK)
    mind.adopt(replace(LOCK, who=_on(MAIN, "main", shared=shared)))

    assert _writes(mind, MAIN, "main")
    assert _writes(mind, MAIN, "topic")


def test_it_stays_so_for_the_subagent_that_takes_it_over() -> None:
    mind = Mind()
    mind.adopt(LOCK)
    mind.adopt(replace(LOCK, who=_on(HELPER, "main")))

    assert _writes(mind, HELPER, "topic")
    assert not _writes(mind, MAIN, "topic")


def test_its_main_threads_late_answer_does_not_take_it_back() -> None:
    mind = Mind()
    mind.adopt(replace(LOCK, who=_on(HELPER, "main")))
    mind.adopt(replace(LOCK, who=_on(MAIN, "main")))

    assert _writes(mind, HELPER, "main")
    assert not _writes(mind, MAIN, "main")


def test_a_late_answer_to_a_subagent_takes_nothing_that_its_main_thread_has_by_a_later_one() -> (
    None
):
    mind = Mind()
    mind.adopt(LOCK)
    mind.adopt(replace(LOCK, token=5, who=_on(HELPER, "")))

    assert _writes(mind, MAIN, "main")


def test_a_share_goes_to_another_branch_with_its_holder() -> None:
    mind = Mind()
    for branch in ("main", "topic"):
        mind.adopt(replace(LOCK, who=_on(MAIN, branch, shared=True)))

    assert [_on(MAIN, "topic", shared=True)] == [known.who for known in mind.of_grant("auth.py", 7)]


def test_a_late_share_is_less_than_the_lock_that_came_after_it() -> None:
    mind = Mind()
    mind.adopt(LOCK)
    mind.adopt(replace(LOCK, token=5, who=_on(MAIN, "main", shared=True)))

    assert _writes(mind, MAIN, "main")


def test_a_late_share_does_not_end_the_lock_that_another_thread_has_since() -> None:
    mind = Mind()
    mind.adopt(replace(LOCK, who=HELPER))
    mind.adopt(replace(LOCK, token=5, who=replace(MAIN, shared=True)))

    assert _writes(mind, HELPER, "main")


def test_a_late_share_stands_beside_the_lock_that_a_subagent_has_since() -> None:
    mind = Mind()
    share = replace(LOCK, token=5, who=replace(MAIN, shared=True))
    mind.adopt(replace(LOCK, who=HELPER))
    mind.adopt(share)

    assert [share] == mind.of_grant("auth.py", 5)
    assert _writes(mind, HELPER, "main")


def test_who_writes_a_file_may_be_taken_to_share_it_yet_and_not_the_other_way_round() -> None:
    share = replace(LOCK, token=5, who=_on(MAIN, "", shared=True))

    assert LOCK.allows(share)
    assert not share.allows(LOCK)
    assert not LOCK.allows(replace(share, path="b.py"))
    assert not LOCK.allows(replace(share, token=9))


def test_so_is_what_its_holder_had_under_a_token_before() -> None:
    before = replace(LOCK, token=5)

    assert LOCK.allows(before)
    assert not before.allows(LOCK)


def test_so_is_what_its_holder_had_on_one_branch_and_has_on_all() -> None:
    on_main = replace(LOCK, token=5, who=_on(MAIN, "main"))

    assert LOCK.allows(on_main)
    assert not on_main.allows(LOCK)
    assert not LOCK.allows(replace(on_main, token=9))
    assert not replace(LOCK, who=_on(MAIN, "", shared=True)).allows(on_main)


def test_what_is_granted_is_known_as_the_answer_says_it_stands() -> None:
    share = AcquireRequest(
        session_id=MAIN.session,
        mode=LockMode.LOCK_MODE_SHARED,
        scope=LockScope.LOCK_SCOPE_BRANCH,
        branch="main",
    )
    alone, everywhere = LockMode.LOCK_MODE_EXCLUSIVE, LockScope.LOCK_SCOPE_REPOSITORY

    assert MAIN == granted_as(share, LockRef(mode=alone, scope=everywhere))
    assert _on(MAIN, "main", shared=True) == granted_as(
        share, LockRef(mode=share.mode, scope=share.scope)
    )


def test_what_its_stream_began_without_is_over_though_its_answer_comes_later() -> None:
    mind = Mind()
    mind.see_all(PROJECT, [("auth.py", 3)], 8)
    for token in (3, 7, 9):
        mind.adopt(Known(f"{token}.py" if token == 9 else "auth.py", token, MAIN))

    assert [("auth.py", 3), ("9.py", 9)] == [(k.path, k.token) for k in mind.locks.values()]


def test_a_stream_that_is_behind_does_not_bring_it_back() -> None:
    mind = Mind()
    mind.see_all(PROJECT, [], 8)
    mind.see_all(PROJECT, [("auth.py", 7)], 7)
    mind.adopt(LOCK)

    assert not mind.locks


def test_its_own_older_grant_that_is_answered_late_does_not_take_its_place() -> None:
    mind = Mind()
    mind.adopt(LOCK)
    mind.adopt(replace(LOCK, token=5))

    assert [LOCK] == list(mind.locks.values())
