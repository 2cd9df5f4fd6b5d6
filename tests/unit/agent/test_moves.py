"""Locks say what is checked out now, not what was when they were taken."""

from dataclasses import replace
from typing import cast

import pytest

from scoord.paths import RECHECK_S
from scoord.v1.events_pb2 import WatchResponse
from scoord.v1.locks_pb2 import Holder, Lock, LockRef
from scoord.v1.sessions_pb2 import LockHead
from scoord_agent.moves import MOST_AT_ONCE, Moving
from scoord_agent.neighbours import Neighbours
from support.house import SHOP, A, House
from support.repositories import git


@pytest.fixture
def moving(house: House) -> Moving:
    return Moving(
        held=house.held, neighbours=cast("Neighbours", house.stream), locator=house.locator
    )


async def takes(house: House, *files: str) -> None:
    """The session edits ``files``, and the stream tells of its locks as they were granted."""
    head = house.locator.head_at(house.root)
    for file in files:
        await house.edit(file)
        lock = house.holds(file)
        assert lock is not None
        holder = Holder(session_id=A, branch=head.branch, commit=head.commit)
        told = Lock(project=SHOP, path=file, token=lock.token, holder=holder)
        house.stream.tell(WatchResponse(revision=lock.token, lock=told))


def moved(house: House, moving: Moving) -> list[LockHead]:
    """What is found now, of the one session."""
    house.clock.advance(RECHECK_S)
    return moving.of([house.session]).get((A, SHOP), [])


def ref(house: House, file: str) -> LockRef:
    lock = house.holds(file)
    assert lock is not None
    return LockRef(path=file, token=lock.token)


async def test_what_says_what_is_checked_out_has_not_moved(house: House, moving: Moving) -> None:
    await takes(house, "a.py")

    assert [] == moved(house, moving)


async def test_after_a_switch_a_lock_is_on_the_new_branch(house: House, moving: Moving) -> None:
    await takes(house, "a.py", "b.py")
    git(house.root, "switch", "-q", "-c", "feature")

    first, second = moved(house, moving)

    commit = git(house.root, "rev-parse", "HEAD")
    assert LockHead(lock=ref(house, "a.py"), branch="feature", commit=commit) == first
    assert ref(house, "b.py") == second.lock


async def test_after_a_commit_a_lock_is_at_that(house: House, moving: Moving) -> None:
    await takes(house, "a.py")
    git(house.root, "commit", "-q", "--allow-empty", "-m", "next")

    (one,) = moved(house, moving)

    assert ("main", git(house.root, "rev-parse", "HEAD")) == (one.branch, one.commit)
    again = moved(house, moving)
    assert [one] == again, "until the stream tells that it is known"


async def test_what_the_stream_does_not_tell_of_is_left_alone(house: House, moving: Moving) -> None:
    await house.edit("a.py")
    git(house.root, "switch", "-q", "-c", "feature")

    assert [] == moved(house, moving)


async def test_where_nobody_knows_a_locks_worktree_nothing_is_said(
    house: House, moving: Moving
) -> None:
    await takes(house, "a.py")
    (lock,) = house.held
    house.held.drop(lock)
    house.held.put(replace(lock, worktree=""))
    git(house.root, "switch", "-q", "-c", "feature")

    house.session.home, house.session.worktree = SHOP, str(house.root)
    assert [] == moved(house, moving)


async def test_where_nothing_is_known_of_what_is_checked_out_nothing_is_said(
    house: House, moving: Moving
) -> None:
    await takes(house, "a.py")
    (house.root / ".git").rename(house.root / "gone")

    assert [] == moved(house, moving)


async def test_a_lock_of_one_branch_does_not_move_to_another(house: House, moving: Moving) -> None:
    (house.root / "coordination.yaml").write_text("session_coordination: {scope: branch}")
    house.clock.advance(RECHECK_S)
    await takes(house, "a.py")
    git(house.root, "commit", "-q", "--allow-empty", "-m", "next")
    assert ["main"] == [one.branch for one in moved(house, moving)]

    git(house.root, "switch", "-q", "-c", "feature")
    assert [] == moved(house, moving)
    git(house.root, "switch", "-q", "--detach")
    assert [] == moved(house, moving)


async def test_one_heartbeat_takes_so_many(house: House, moving: Moving) -> None:
    await takes(house, *(f"f{number}.py" for number in range(MOST_AT_ONCE + 2)))
    git(house.root, "switch", "-q", "-c", "feature")

    assert MOST_AT_ONCE == len(moved(house, moving))
