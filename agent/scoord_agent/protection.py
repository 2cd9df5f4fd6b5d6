"""Under which grant each edit was allowed, to be compared once it has happened.

Between the two a lock may be broken or run out, and another be granted the path.
Then the edit was made without protection, and whoever has the path is to know.
"""

from scoord.claimant import Claimant
from scoord.ids import FencingToken
from scoord.paths import FileIdentity
from scoord_agent.held import HeldLocks
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.remembered import Allowed, Edit

_WITHOUT = FencingToken(0)
"""Let through without a lock, which was said or written down when it was."""


class Protection:
    """What is known of edits from before they happen until they have."""

    def __init__(self, held: HeldLocks, neighbours: Neighbours) -> None:
        self._held = held
        self._neighbours = neighbours

    def allow(
        self, session: LocalSession, file: FileIdentity, who: Claimant, now: float, *, asked: bool
    ) -> None:
        """An edit is about to happen; without having ``asked``, by no grant that is known."""
        right = self._held.right(file.project, file.key, who) if asked else None
        allowed = Allowed(right.token if right else _WITHOUT, now)
        session.remembered.allowed[_edit(file, who)] = allowed

    def lost_since(
        self, session: LocalSession, file: FileIdentity, who: Claimant, now: float
    ) -> int | None:
        """An edit has happened: after which revision a grant to others would have met it.

        None when its lock stood all the while, or it is known to have had none.
        """
        allowed = session.remembered.allowed.pop(_edit(file, who), None)
        token = allowed.token if allowed else None
        stands = self._stands(file, who, token, now)
        if stands or token == _WITHOUT:
            return None
        if token is not None:
            return token
        # Nobody asked before it: hooks that were installed midway, or do not see this tool.
        taken = self._taken(file, who)
        return taken - 1 if taken else None

    def _stands(
        self, file: FileIdentity, who: Claimant, token: FencingToken | None, now: float
    ) -> bool:
        right = self._held.right(file.project, file.key, who)
        followed_at = self._neighbours.of(file.project).followed_at
        if right is None or not self._held.use(file.project, file.key, who, now):
            return False
        return token in (None, right.token) and self._held.is_followed(followed_at, now)

    def _taken(self, file: FileIdentity, who: Claimant) -> int | None:
        """The token of another that has it, as last heard or as granted here since."""
        if heard := self._neighbours.of(file.project).in_the_way(who, file.key):
            return heard.token
        here = self._held.at(file.project, file.key)
        return next((lock.token for lock in here if lock.claimant.excludes(who)), None)


def _edit(file: FileIdentity, who: Claimant) -> Edit:
    """A file of two worktrees is edited in each; on which branch may change meanwhile."""
    root = file.worktree.root if file.worktree else None
    return file.project, file.key, who.agent, root
