"""How a path is held by another."""

from collections.abc import Sequence

from scoord.text import one_line
from scoord.v1.locks_pb2 import Holder, Lock, LockMode

_PRESENT = ("is", "lies", "holds", "shares", "relies")
_PAST = ("was", "lay", "held", "shared", "relied")


def how(path: str, holder: str, lock: Lock, *, is_everywhere: bool, is_past: bool = False) -> str:
    """By itself or by a pattern, alone or shared; ``is_everywhere`` is to be said.

    ``is_past`` is as it was when last heard.
    """
    is_, lies, holds, shares, relies = _PAST if is_past else _PRESENT
    shared, pattern = lock.mode == LockMode.LOCK_MODE_SHARED, one_line(lock.path)
    on = " on every branch" if is_everywhere else ""
    if lock.is_pattern and pattern != path:
        if shared:
            return f"{lies} in {pattern}, which {holder} {shares}{on}, relying on its not changing"
        return f"{lies} in {pattern}, which {holder} {holds}{on}"
    if shared:
        return f"{is_} shared{on} by {holder}, who {relies} on its not changing"
    return f"{is_} locked{on} by {holder}"


def more_than_before(paths: Sequence[str]) -> str:
    """A command was granted more of what we had, and failed at the rest."""
    return (
        f"⚠️ Your lock on {', '.join(map(one_line, paths))} holds further than before by a command"
        " that failed at the rest: what was shared is yours alone now. `scoord release` gives it"
        " up."
    )


def wanted_within(path: str, waiter: Holder) -> str:
    """Another thread of our session waits for a file that we hold."""
    thread = "Another subagent" if waiter.agent_id else "The main thread"
    return f"{thread} of this session waits for {one_line(path)}, which you hold."


def and_more(told: str, more: int) -> str:
    """``told``, of one that waits for a file, and how many more there are."""
    if not more:
        return told
    return f"{told} {more} {'more wait' if more > 1 else 'more waits'} for it."
