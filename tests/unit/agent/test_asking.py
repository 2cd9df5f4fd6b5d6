"""What an agent reads from the answers to the commands that take something."""

from pathlib import Path

import pytest

from scoord.config import load
from scoord.ids import AgentId, ProjectId, SessionId
from scoord.paths import FileIdentity, Head
from scoord.v1.locks_pb2 import Granted, LockMode, LockRef, LockScope
from scoord_agent.asking import granted_again, granted_locks
from scoord_agent.local_session import LocalSession
from scoord_agent.request import Request

SHOP = ProjectId("shop")
FILE = FileIdentity(SHOP, "a.py", "a.py", None)
EXCLUSIVE, SHARED = LockMode.LOCK_MODE_EXCLUSIVE, LockMode.LOCK_MODE_SHARED
REPOSITORY, BRANCH = LockScope.LOCK_SCOPE_REPOSITORY, LockScope.LOCK_SCOPE_BRANCH


def asked(tmp_path: Path, *, shared: bool) -> Request:
    """A request for a file on a branch."""
    env = {"SCOORD_SCOPE": "branch"}
    session = LocalSession(SessionId("Session_a"), "claude-code", None, "/")
    settings = load(None, tmp_path, env)
    head = Head("main", "c0ffee")
    return Request(
        session, AgentId(""), SHOP, (FILE,), settings, "", "block", head=head, shared=shared
    )


@pytest.mark.parametrize(
    ("shared", "stands", "is_shared"),
    [
        (True, EXCLUSIVE, False),
        (True, SHARED, True),
        (True, LockMode.LOCK_MODE_UNSPECIFIED, True),
        (False, LockMode.LOCK_MODE_UNSPECIFIED, False),
    ],
)
def test_a_grant_is_known_as_it_stands_or_where_nobody_says_as_it_was_asked_for(
    tmp_path: Path, shared: bool, stands: "LockMode.ValueType", is_shared: bool
) -> None:
    answer = Granted(locks=[LockRef(path="a.py", token=7, mode=stands)])

    (lock,) = granted_locks(asked(tmp_path, shared=shared), answer, now=0.0)

    assert is_shared == lock.shared


@pytest.mark.parametrize(
    ("stands", "branch"),
    [(REPOSITORY, ""), (BRANCH, "main"), (LockScope.LOCK_SCOPE_UNSPECIFIED, "main")],
)
def test_so_is_how_far_it_holds(tmp_path: Path, stands: "LockScope.ValueType", branch: str) -> None:
    answer = Granted(locks=[LockRef(path="a.py", token=7, scope=stands)])

    (lock,) = granted_locks(asked(tmp_path, shared=False), answer, now=0.0)

    assert branch == lock.branch


def test_so_it_is_of_what_is_granted_again(tmp_path: Path) -> None:
    answer = Granted(locks=[LockRef(path="a.py", token=7)])
    (lock,) = granted_locks(asked(tmp_path, shared=True), answer, now=0.0)

    again = granted_again(lock, LockRef(token=9, mode=EXCLUSIVE, scope=REPOSITORY))

    assert (9, False, "") == (again.token, again.shared, again.branch)
