"""Merge conflicts that are coming: one file, locked on two branches at once.

Where locks hold on their branch only, nobody is refused for it; both sessions are
told, once for each pair of them and each file.
"""

from collections.abc import Iterable

from scoord.v1.locks_pb2 import Lock
from scoord_agent import wording
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import claimant


def look(session: LocalSession, mine: HeldLock, others: Iterable[Lock]) -> None:
    """Tell ``session``, which has ``mine``, of each of ``others`` on another branch."""
    told = session.remembered.crossed
    for other in others:
        who = claimant(other)
        crossed = (who.session, mine.project, mine.key)
        is_news = who.session != mine.session and crossed not in told
        if is_news and _is_crossing(mine, who.branch):
            told[crossed] = None
            session.tell(wording.crossing(mine.shown, mine.branch, other))


def _is_crossing(mine: HeldLock, branch: str) -> bool:
    return bool(mine.branch and branch) and mine.branch != branch
