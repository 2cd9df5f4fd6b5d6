"""What is said of locks that hold on one branch only."""

from collections.abc import Sequence

from scoord.text import one_line
from scoord.v1.locks_pb2 import Lock, LockMode
from scoord_agent.wording import names, who, why


def crossing(path: str, branch: str, other: Lock, *, shared: bool) -> str:
    """A file of ours is locked on another branch too; ``shared`` is how we have it.

    Who shares a file changes nothing: it relies on what the file is on its branch.
    """
    where = f"another branch than yours ({one_line(branch, 60)}){why(other.reason)}"
    if other.mode == LockMode.LOCK_MODE_SHARED:
        return (
            f"{who(other.holder)} relies on {one_line(path)} as it is on {where}. Your change"
            " reaches it when the branches are merged."
        )
    if shared:
        return (
            f"⚠️ {who(other.holder)} edits {one_line(path)}, which you rely on, on {where}. It"
            " changes for you when the branches are merged."
        )
    return (
        f"⚠️ {who(other.holder)} edits {one_line(path)} too, on {where}. A merge conflict is"
        " coming: agree on who changes what."
    )


def switched(paths: Sequence[str], before: str, now: str) -> str:
    """The worktree is on another branch than its locks were for."""
    locks, were, are = ("lock", "was", "is") if len(paths) == 1 else ("locks", "were", "are")
    return (
        f"The branch is {one_line(now, 60)} now: your {locks} on {names(paths)}, which {were} for"
        f" {one_line(before, 60)} only, {are} given back."
    )


def waits_no_more(paths: Sequence[str], before: str, now: str) -> str:
    """The worktree is on another branch than its places in queues were for."""
    said = f"The branch is {one_line(now, 60)} now" if now else "No branch is checked out now"
    where = one_line(before, 60) or "no branch"
    return (
        f"{said}: you do not wait for {names(paths)} on {where} any more."
        " What you edit now is asked for anew."
    )
