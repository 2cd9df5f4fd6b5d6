"""Merge conflicts that are coming: one file, locked on two branches at once.

Where locks hold on their branch only, nobody is refused for it; both sessions are
told, once for each pair of them and each file.
"""

from collections.abc import Iterable

from scoord.bounded import BoundedDict
from scoord.ids import ProjectId, SessionId
from scoord.v1.locks_pb2 import Lock
from scoord_agent import wording
from scoord_agent.held import HeldLock
from scoord_agent.neighbours import claimant
from scoord_agent.sessions import LocalSession

_MOST = 10_000

_Pair = tuple[SessionId, SessionId, ProjectId, str]


class Crossings:
    """Who was told of whom."""

    def __init__(self) -> None:
        self._told = BoundedDict[_Pair, None](_MOST)

    def look(self, session: LocalSession, mine: HeldLock, others: Iterable[Lock]) -> None:
        """Tell ``session``, which has ``mine``, of each of ``others`` on another branch."""
        for other in others:
            who = claimant(other)
            pair = (mine.session, who.session, mine.project, mine.key)
            if _is_crossing(mine, who.branch) and who.session != mine.session:
                self._tell(session, pair, wording.crossing(mine.shown, mine.branch, other))

    def _tell(self, session: LocalSession, pair: _Pair, notice: str) -> None:
        if pair not in self._told:
            self._told[pair] = None
            session.tell(notice)


def _is_crossing(mine: HeldLock, branch: str) -> bool:
    return bool(mine.branch and branch) and mine.branch != branch
