"""Locks that say otherwise than what is checked out by now where they are held.

A lock tells on which branch and commit it is held. A switch, a commit, a pull change that,
through a hook or in a terminal beside it. What each lock says is as the stream tells: what
did not get through is found again with the next beat.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from scoord.ids import ProjectId, SessionId
from scoord.paths import Head, Locator
from scoord.text import one_line
from scoord.v1.locks_pb2 import Holder
from scoord.v1.sessions_pb2 import LockHead
from scoord_agent.asking import ref_of
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.places import root_of
from scoord_agent.request import NO_HEAD

MOST_AT_ONCE: Final = 20
"""How many go with one heartbeat, which renews leases in the first place."""

Moves = dict[tuple[SessionId, ProjectId], list[LockHead]]
"""What has moved, by session and project."""


class Moving:
    """Compares what this machine's locks say with what is checked out."""

    def __init__(self, *, held: HeldLocks, neighbours: Neighbours, locator: Locator) -> None:
        self._held = held
        self._neighbours = neighbours
        self._locator = locator

    def of(self, sessions: Iterable[LocalSession]) -> Moves:
        """What has moved, as much as one heartbeat takes."""
        found: Moves = {}
        for lock, head in islice(self._moved(sessions), MOST_AT_ONCE):
            found.setdefault((lock.session, lock.project), []).append(head)
        return found

    def _moved(self, sessions: Iterable[LocalSession]) -> Iterator[tuple[HeldLock, LockHead]]:
        heads: dict[Path, Head] = {}
        for session in sessions:
            for lock in self._held.of(session.session_id):
                root, said = root_of(lock), self._said(lock)
                if root is None or said is None:
                    continue
                if root not in heads:
                    heads[root] = self._locator.head_at(root)
                if head := _news(lock, said, heads[root]):
                    yield lock, head

    def _said(self, lock: HeldLock) -> Holder | None:
        """Who holds it and where, as the stream tells."""
        known = self._neighbours.of(lock.project)
        if lock.is_pattern:
            told = known.patterns.get((lock.key, lock.token))
        else:
            told = known.paths.get(lock.key, {}).get(lock.token)
        return told.holder if told else None


def _news(lock: HeldLock, said: Holder, head: Head) -> LockHead | None:
    """What is checked out now, if the lock says otherwise."""
    branch = one_line(head.branch)
    # One that is confined to a branch goes with it; while detached, nothing is known of that.
    if head == NO_HEAD or lock.branch not in ("", branch):
        return None
    if (said.branch, said.commit) == (branch, head.commit):
        return None
    return LockHead(lock=ref_of(lock), branch=branch, commit=head.commit)
