"""One file on two branches: who edits it is told of as such, and who shares it is not."""

from dataclasses import replace

import pytest

from scoord.ids import AgentId, FencingToken, ProjectId, SessionId
from scoord.v1.locks_pb2 import Holder, Lock, LockMode, LockScope
from scoord_agent import crossings
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession

A = SessionId("Session_a")
MINE = HeldLock(
    ProjectId("p"), "a.py", "a.py", A, AgentId(""), FencingToken(5), branch="main", shared=False
)
BOB = Holder(session_id="Session_b", alias="Session_2", person="bob", host="mbp", branch="topic")


@pytest.fixture
def session() -> LocalSession:
    return LocalSession(A, "claude-code", None, "/")


def told(session: LocalSession, *, mine: bool, other: bool) -> str:
    """What is told where these share the file."""
    mode = LockMode.LOCK_MODE_SHARED if other else LockMode.LOCK_MODE_EXCLUSIVE
    lock = Lock(path="a.py", holder=BOB, mode=mode, scope=LockScope.LOCK_SCOPE_BRANCH)
    for _ in range(2):
        crossings.look(session, replace(MINE, shared=mine), [lock])
    return "\n".join(session.take_notices())


def test_who_edits_it_too_is_told_of_once(session: LocalSession) -> None:
    assert 1 == told(session, mine=False, other=False).count("edits a.py too")


def test_who_shares_it_relies_on_it_and_edits_nothing(session: LocalSession) -> None:
    words = told(session, mine=False, other=True)

    assert words.startswith("Session_2 (bob@mbp, branch topic) relies on a.py as it is on another")
    assert "merge conflict" not in words
    assert "edits a.py too" in told(session, mine=False, other=False), "that is news"


def test_who_shares_it_is_told_of_edits_of_what_it_relies_on(session: LocalSession) -> None:
    words = told(session, mine=True, other=False)

    assert "edits a.py, which you rely on, on another branch than yours (main)" in words
    assert "too" not in words


def test_two_that_share_it_are_told_nothing(session: LocalSession) -> None:
    assert "" == told(session, mine=True, other=True)
