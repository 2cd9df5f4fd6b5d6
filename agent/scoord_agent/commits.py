"""What commits have in, and whose they are, where several sessions work in one worktree.

Git says who the author is, and that is the person of all of them. A commit is whose files
are in it: that holds them, or else has edited them.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from scoord import git
from scoord.names import path_key
from scoord.patterns import matches
from scoord_agent.background import Background
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from scoord_agent.places import root_of


@dataclass(frozen=True, slots=True)
class _Files:
    """What a session had of its worktree when commits were noticed there."""

    session: LocalSession
    held: Collection[str]
    patterns: Collection[str]
    edited: Collection[str]

    def part(self, keys: Collection[str]) -> tuple[int, int]:
        """How many of these it holds, and has edited: who holds a file has it to itself."""
        return sum(map(self._holds, keys)), sum(key in self.edited for key in keys)

    def _holds(self, key: str) -> bool:
        return key in self.held or any(matches(pattern, key) for pattern in self.patterns)


def committed(root: str, locks: Sequence[HeldLock], until: float) -> set[HeldLock]:
    """Which of ``locks`` are of files that were committed since, and have no change left.

    Only commits that were made in the worktree at ``root`` count. What a pull, a merge or a
    switch brought is others' work, and what was amended, rebased or picked there may be.
    Raises what ``git.changed`` raises; git is asked ``until`` then.
    """
    made = {at: git.commits_since(root, at) for at in {lock.commit for lock in locks}}
    # The one that reaches back furthest has all of the others in.
    commits = max(made.values(), key=len)
    if not commits:
        return set()
    files = {commit: _keys(names) for commit, names in git.files_of(root, commits, until).items()}
    # Also where nothing was found: of a git that is too slow this tells.
    changed = _keys(git.changed(root, [lock.shown for lock in locks], until))
    clean = [lock for lock in locks if lock.key not in changed]
    return {k for k in clean if any(k.key in files.get(c, ()) for c in made[k.commit])}


def _keys(names: Iterable[str]) -> set[str]:
    return set(map(path_key, names))


class Commits:
    """Counts them."""

    def __init__(
        self,
        *,
        sessions: Iterable[LocalSession],
        held: HeldLocks,
        background: Background,
        committed: Callable[[LocalSession, int], None],
    ) -> None:
        """``committed`` is told how many more a session has made."""
        self._sessions = sessions
        self._held = held
        self._background = background
        self._committed = committed

    def made(self, first: LocalSession, commits: Sequence[str]) -> None:
        """They were made in the worktree of ``first``, who is first seen to go on after them."""
        others = [one for one in self._sessions if one.root == first.root and one is not first]
        if not others:
            self._committed(first, len(commits))
        elif commits:
            # As it is now: what was committed may be given back while git is asked.
            files = [self._files(session) for session in (first, *others)]
            self._background.start(self._count(files, commits))

    def _files(self, session: LocalSession) -> _Files:
        own = (lock for lock in self._held.of(session.session_id) if not lock.shared)
        here = [lock for lock in own if root_of(lock) == session.root]
        return _Files(
            session,
            held={lock.key for lock in here if not lock.is_pattern},
            patterns=[lock.key for lock in here if lock.is_pattern],
            edited={key for project, key in session.work.edited if project == session.home},
        )

    async def _count(self, files: Sequence[_Files], commits: Sequence[str]) -> None:
        """In a thread: git may be slow. What it does not know is of who was seen first."""
        root = str(files[0].session.root)
        changed = await asyncio.to_thread(git.files_of, root, commits, git.patience())
        for commit in commits:
            keys = _keys(changed.get(commit, ()))
            whose = max(files, key=lambda one: one.part(keys))
            self._committed(whose.session, 1)
