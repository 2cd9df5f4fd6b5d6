"""The picture of one project, as the stream tells it."""

import pytest

from scoord.claimant import Claimant
from scoord.ids import AgentId, SessionId
from scoord.v1.events_pb2 import LockGone, Progress, SessionGone, Snapshot, WatchResponse
from scoord.v1.locks_pb2 import Holder, Lock
from scoord.v1.sessions_pb2 import Session
from scoord_agent.neighbours import Neighbourhood


def lock(path: str, session: str, token: int = 5, agent: str = "") -> Lock:
    return Lock(path=path, token=token, holder=Holder(session_id=session, agent_id=agent))


def paths(known: Neighbourhood) -> list[str]:
    return [lock.path for lock in known.locks]


def who(session: str, agent: str = "") -> Claimant:
    return Claimant(SessionId(session), AgentId(agent))


@pytest.fixture
def known() -> Neighbourhood:
    """A holds Auth.py, its subagent b.py."""
    neighbourhood = Neighbourhood()
    snapshot = Snapshot(
        sessions=[Session(session_id="A")],
        locks=[lock("Auth.py", "A"), lock("b.py", "A", agent="agent-1")],
    )
    neighbourhood.apply(WatchResponse(revision=5, snapshot=snapshot), now=100.0)
    return neighbourhood


def test_a_snapshot_replaces_all_there_was(known: Neighbourhood) -> None:
    snapshot = Snapshot(sessions=[Session(session_id="B")], locks=[lock("c.py", "B")])
    known.apply(WatchResponse(revision=9, snapshot=snapshot), now=101.0)

    assert (["B"], ["c.py"]) == (list(known.sessions), paths(known))
    assert (9, 101.0) == (known.revision, known.heard_at)


def test_progress_makes_the_picture_younger_and_changes_nothing(known: Neighbourhood) -> None:
    known.apply(WatchResponse(revision=8, progress=Progress()), now=105.0)

    assert (8, 105.0) == (known.revision, known.heard_at)
    assert ["Auth.py", "b.py"] == paths(known)


def test_a_change_or_progress_is_followed_and_a_snapshot_is_not(known: Neighbourhood) -> None:
    assert known.followed_at is None

    known.apply(WatchResponse(revision=8, progress=Progress()), now=105.0)
    assert known.followed_at == 105.0
    known.apply(WatchResponse(revision=9, lock=lock("c.py", "B")), now=106.0)
    assert known.followed_at == 106.0
    known.apply(WatchResponse(revision=9, snapshot=Snapshot()), now=107.0)
    assert known.followed_at == 106.0


def test_sessions_come_and_go(known: Neighbourhood) -> None:
    known.apply(WatchResponse(revision=6, session=Session(session_id="B", intent="x")), now=1.0)
    assert "x" == known.sessions["B"].intent

    known.apply(WatchResponse(revision=7, session_gone=SessionGone(session_id="A")), now=1.0)
    known.apply(WatchResponse(revision=8, session_gone=SessionGone(session_id="nobody")), now=1.0)
    assert ["B"] == list(known.sessions)


def test_a_lock_is_gone_only_with_its_own_token(known: Neighbourhood) -> None:
    known.apply(WatchResponse(revision=9, lock=lock("auth.py", "B", token=9)), now=1.0)

    late = LockGone(lock=lock("Auth.py", "A", token=5))
    known.apply(WatchResponse(revision=10, lock_gone=late), now=1.0)
    assert known.in_the_way(who("A"), "auth.py") == lock("auth.py", "B", token=9)

    gone = LockGone(lock=lock("AUTH.py", "B", token=9))
    known.apply(WatchResponse(revision=11, lock_gone=gone), now=1.0)
    assert ["b.py"] == paths(known)


def test_a_lock_is_as_old_as_it_is_when_it_is_shown(known: Neighbourhood) -> None:
    timed = lock("c.py", "B")
    timed.held_for.FromSeconds(3)
    timed.ends_in.FromSeconds(20)
    known.apply(WatchResponse(revision=9, lock=timed), now=101.0)

    later, over = known.lock_at(timed, 106.0), known.lock_at(timed, 200.0)

    assert (8, 15) == (later.held_for.ToSeconds(), later.ends_in.ToSeconds())
    assert 0 == over.ends_in.ToSeconds()
    assert over.HasField("ends_in")


def test_a_lock_of_others_is_known_and_ones_own_is_not_in_ones_way(known: Neighbourhood) -> None:
    assert known.in_the_way(who("B"), "auth.py") == lock("Auth.py", "A")
    assert known.in_the_way(who("A"), "auth.py") is None
    assert known.in_the_way(who("B"), "free.py") is None


@pytest.mark.parametrize(
    ("session", "agent", "key", "stands"),
    [
        ("B", "", "auth.py", True),
        ("B", "agent-1", "b.py", True),
        ("A", "", "auth.py", False),
        ("A", "agent-2", "auth.py", False),
        ("A", "agent-1", "b.py", False),
        ("A", "agent-2", "b.py", True),
        ("A", "", "b.py", True),
        ("B", "", "free.py", False),
    ],
)
def test_threads_of_a_session_are_in_each_others_way_but_main_hands_over(
    known: Neighbourhood, session: str, agent: str, key: str, stands: bool
) -> None:
    assert stands == (known.in_the_way(who(session, agent), key) is not None)


def test_a_grant_is_over_when_it_should_have_been_heard_of(known: Neighbourhood) -> None:
    known.apply(WatchResponse(revision=8, lock=lock("c.py", "B", token=8)), now=1.0)
    assert not known.is_over("auth.py", 5)
    # The other changes of revision 8 may still come.
    assert not known.is_over("d.py", 8)

    known.apply(WatchResponse(revision=9, progress=Progress()), now=1.0)
    assert known.is_over("d.py", 8)
    assert not known.is_over("d.py", 10)


def test_a_grant_whose_end_was_heard_is_over_at_once(known: Neighbourhood) -> None:
    known.apply(WatchResponse(revision=8, lock_gone=LockGone(lock=lock("d.py", "B", 7))), now=1.0)

    assert known.is_over("d.py", 7)
    assert not known.is_over("d.py", 8)
