"""Locks that are given back before their session ends: with its turn, its commit, its branch.

``release_on`` says which of the first two. A lock that holds on one branch only goes
when another branch is checked out in its worktree, whatever is set.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from scoord import git
from scoord.bounded import BoundedDict
from scoord.clock import Clock
from scoord.errors import ScoordError
from scoord.ids import SessionId
from scoord.paths import RECHECK_S, Head, Locator
from scoord.text import one_line
from scoord_agent import wording_branches
from scoord_agent.background import Background
from scoord_agent.commits import committed
from scoord_agent.having import all_of
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import MAIN, LocalSession
from scoord_agent.places import is_gone, root_of, settings_root
from scoord_agent.request import NO_HEAD
from scoord_agent.settings import SettingsFor
from scoord_agent.taking import Taking
from scoord_agent.turns import Place

_log = logging.getLogger(__name__)

_MOST_WORKTREES = 512

EDIT_WITHIN_S = 300.0
"""How long an edit that was allowed may wait for its person; one that was denied never happens."""


class HandingBack:
    """Gives back what a session holds and does not need any more."""

    def __init__(
        self,
        *,
        taking: Taking,
        held: HeldLocks,
        settings: SettingsFor,
        locator: Locator,
        background: Background,
        clock: Clock,
        committed: Callable[[LocalSession, Sequence[str]], None],
    ) -> None:
        """``committed`` is told of commits, and of who is first seen to go on after them."""
        self._taking = taking
        self._held = held
        self._settings = settings
        self._locator = locator
        self._background = background
        self._clock = clock
        self._committed = committed
        self._counted = BoundedDict[Path, Head](_MOST_WORKTREES)
        """What was checked out when commits were last counted, by worktree."""
        self._asking: set[tuple[SessionId, Path]] = set()
        """For whom, and of which worktree, git is being asked."""

    def look(self, session: LocalSession) -> bool:
        """See what is checked out, and count its commits; False when it is not time to.

        Every hook asks, and most have the same answer: at once when it changed where the
        session is, else once in ``RECHECK_S``.
        """
        now, head = self._clock.now(), self._head(session.root)
        looked_at, before = session.remembered.looked or (float("-inf"), NO_HEAD)
        if head == before and now - looked_at < RECHECK_S:
            return False
        session.remembered.looked = (now, head)
        self._count_commits(session, head)
        return True

    def look_anew(self, session: LocalSession) -> None:
        """It is at rest: what is checked out is read for it now, if its commits are to count.

        Else one that was made right after the last look would be seen by the next hook, which
        may come much later.
        """
        for root in set(map(root_of, self._held.of(session.session_id))):
            if root and self._release_on_at(root) == "commit":
                self._locator.look_anew(root)
                session.remembered.looked = None

    def _count_commits(self, session: LocalSession, head: Head) -> None:
        """Each once, whichever session of the worktree is first seen to go on after it."""
        root = session.root
        before = self._counted.get(root) if root else None
        if root is None or head == before:
            return
        self._counted[root] = head
        if before and before.commit and head.commit != before.commit:
            self._committed(session, git.commits_since(str(root), before.commit))

    def take_up_branch(self, session: LocalSession) -> bool:
        """It is on what is checked out in its own worktree; whether that is another branch."""
        before, session.branch = session.branch, one_line(self._head(session.root).branch)
        return before != session.branch

    async def leave_queues(self, session: LocalSession) -> None:
        """Wait no more for what was to hold on branches that are not checked out any more."""
        leaving, left = self._taking.leaving, dict[tuple[str, str], list[Place]]()
        for place, worktree in leaving.confined(session).items():
            now = one_line(self._head(Path(worktree)).branch)
            if now != place.branch:
                left.setdefault((place.branch, now), []).append(place)
        for (before, now), places in left.items():
            if promised := leaving.promised(places):
                session.tell(wording_branches.waits_no_more(promised, before, now))
            self._background.start(leaving.those(session, places))
        if left:
            # Let it begin: no turn there is told any more.
            await asyncio.sleep(0)

    async def after_switch(self, session: LocalSession) -> None:
        """Give back what is held for branches that are not checked out any more."""
        left: dict[tuple[str, str], list[HeldLock]] = {}
        for lock in self._held.of(session.session_id):
            now = one_line(self._head(root_of(lock)).branch) if lock.branch else ""
            # Detached, as in the middle of a rebase, it may come back to its branch.
            if now and now != lock.branch:
                left.setdefault((lock.branch, now), []).append(lock)
        for (before, now), locks in left.items():
            session.tell(wording_branches.switched([lock.shown for lock in locks], before, now))
            self._give_back(session, locks)
        if left:
            # Let it begin: an edit of the same file, that may come now, waits for it then.
            await asyncio.sleep(0)

    def after_turn(self, session: LocalSession) -> None:
        """The main thread's turn is over. Its subagents may still work."""
        own = (k for k in all_of(session, self._held) if k.agent == MAIN)
        over = [lock for lock in own if self._release_on(session, lock) == "stop"]
        self._taking.unsettled.turn_over(session)
        self._give_back(session, over)

    def after_commit(self, session: LocalSession) -> bool:
        """Give back what was committed since it was granted or last used; whether any may be.

        So is what was in a worktree that is gone: what was committed there nobody can ask.
        """
        moved = self._moved(session)
        for root, locks in moved.items():
            mine = session.session_id, root
            if self._release_on_at(root) != "commit" or mine in self._asking:
                continue
            if self._is_gone(root):
                self._give_back(session, locks)
            else:
                self._asking.add(mine)
                self._background.start(self._give_back_committed(session, root, locks))
        return bool(moved)

    def may_go_back(self, session: LocalSession, lock: HeldLock) -> bool:
        """Whether git is being asked if it was committed: it may be free in a moment."""
        is_asked = (session.session_id, root_of(lock)) in self._asking
        return _ends_with_commits(lock) and is_asked

    def _moved(self, session: LocalSession) -> dict[Path, list[HeldLock]]:
        """By worktree, what may be in a commit: another one is checked out there by now."""
        moved: dict[Path, list[HeldLock]] = {}
        for lock in self._held.of(session.session_id):
            root = root_of(lock)
            is_moved = root and _ends_with_commits(lock) and self._has_moved(lock, root)
            if root and is_moved and not self._is_to_be_edited(session, lock):
                moved.setdefault(root, []).append(lock)
        return moved

    def _is_to_be_edited(self, session: LocalSession, lock: HeldLock) -> bool:
        """Whether an edit that it allowed has not happened yet: no commit has that."""
        return session.remembered.awaits(lock, self._clock.now() - EDIT_WITHIN_S)

    def _has_moved(self, lock: HeldLock, root: Path) -> bool:
        """Whether another commit is checked out than was, or none is any more."""
        commit = self._head(root).commit
        return bool(lock.commit and commit != lock.commit) if commit else self._is_gone(root)

    def _is_gone(self, root: Path) -> bool:
        return self._head(root) == NO_HEAD and is_gone(root)

    async def _give_back_committed(
        self, session: LocalSession, root: Path, locks: Sequence[HeldLock]
    ) -> None:
        """Those that are in a commit, with no change left. The others wait for the next one."""
        commit = self._head(root).commit
        try:
            # In a thread, and for a moment only: git may be slow.
            over = await asyncio.to_thread(committed, str(root), locks, git.patience())
        except ScoordError as error:
            _log.info("what is committed in %s is not known: %s", root, error)
            return
        finally:
            self._asking.discard((session.session_id, root))
        unused = [lock for lock in locks if self._is_unused_since(lock)]
        for lock in unused:
            if lock not in over:
                self._held.renew_commit(lock, lock.worktree, commit)
        await self._taking.release(session, [lock for lock in unused if lock in over])

    def _is_unused_since(self, lock: HeldLock) -> bool:
        """Whether no edit of it began while git was asked, wherever: that one relies on it."""
        now = self._held.find_same(lock)
        return now is not None and now.commit == lock.commit and _ends_with_commits(now)

    def _give_back(self, session: LocalSession, locks: list[HeldLock]) -> None:
        if locks:
            self._background.start(self._taking.release(session, locks))

    def _release_on(self, session: LocalSession, lock: HeldLock) -> str:
        return self._release_on_at(settings_root(session, lock))

    def _release_on_at(self, root: Path | None) -> str:
        return self._settings.at(root).session_coordination.release_on

    def _head(self, root: Path | None) -> Head:
        return self._locator.head_at(root) if root else NO_HEAD


def _ends_with_commits(lock: HeldLock) -> bool:
    """Whether a commit may end it: patterns stay, and what is taken for a time has that.

    What is used in several worktrees has no commit that has all of it.
    """
    return not (lock.is_pattern or lock.ends_at or lock.in_several)
