"""In which worktrees a lock is used: in several, no commit gives it back."""

import pytest

from scoord_agent.held import QUIET_S
from support.house import BELIEF_S, A, House
from support.repositories import git, worktree


@pytest.mark.parametrize("is_asked", [False, True])
async def test_what_is_edited_in_another_worktree_is_used_in_several(
    house: House, *, is_asked: bool
) -> None:
    await house.edit()
    first = house.holds("a.py")
    linked = worktree(house.root, house.root.parent / "linked", "feature")
    git(linked, "commit", "-q", "--allow-empty", "-m", "more")
    if is_asked:
        house.clock.advance(BELIEF_S + QUIET_S)
        house.held.renewed(A, house.clock.now())

    await house.edit(str(linked / "a.py"))

    assert len(house.coordinator.acquires) == 1 + is_asked
    lock = house.holds("a.py")
    assert first is not None
    assert lock is not None
    assert (first.worktree, first.commit) == (lock.worktree, lock.commit)
    assert (first.in_several, lock.in_several) == (False, True)
