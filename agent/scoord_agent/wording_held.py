"""How a path is held by another."""

from scoord.text import one_line
from scoord.v1.locks_pb2 import Lock, LockMode


def how(path: str, holder: str, lock: Lock, *, is_everywhere: bool) -> str:
    """By itself or by a pattern, alone or shared; ``is_everywhere`` is to be said."""
    shared, pattern = lock.mode == LockMode.LOCK_MODE_SHARED, one_line(lock.path)
    on = " on every branch" if is_everywhere else ""
    if lock.is_pattern and pattern != path:
        if shared:
            return f"lies in {pattern}, which {holder} shares{on}, relying on its not changing"
        return f"lies in {pattern}, which {holder} holds{on}"
    if shared:
        return f"is shared{on} by {holder}, who relies on its not changing"
    return f"is locked{on} by {holder}"
