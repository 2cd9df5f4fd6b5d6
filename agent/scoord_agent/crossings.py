"""Merge conflicts that are coming: one file, locked on two branches at once.

Where locks hold on their branch only, nobody is refused for it; both sessions are
told, once for each pair of them and each file.
"""

from collections.abc import Iterable

from scoord.claimant import Claimant
from scoord.v1.locks_pb2 import Lock
from scoord_agent import wording_branches
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import claimant


def look(session: LocalSession, mine: HeldLock, others: Iterable[Lock]) -> None:
    """Tell ``session``, which has ``mine``, of each of ``others`` on another branch."""
    told = session.remembered.crossed
    for other in others:
        who = claimant(other)
        # Once more where one that shared it edits it, or the other way round.
        crossed = (who.session, mine.project, mine.key, mine.shared, who.shared)
        is_news = who.session != mine.session and crossed not in told
        if is_news and _is_crossing(mine, who):
            told[crossed] = None
            words = wording_branches.crossing(mine.shown, mine.branch, other, shared=mine.shared)
            session.tell(words)


def _is_crossing(mine: HeldLock, other: Claimant) -> bool:
    """Whether both hold on a branch of their own; two that share it do not change it."""
    on_one = bool(mine.branch and other.branch) and mine.branch != other.branch
    return on_one and not (mine.shared and other.shared)
