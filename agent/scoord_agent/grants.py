"""The grants of this machine's sessions: where each stands, and whose it is."""

import itertools
from collections.abc import Iterable, Iterator

from scoord.ids import AgentId, SessionId
from scoord_agent.held_lock import HeldLock, LockPath

_Who = tuple[SessionId, AgentId, str]
"""A holder, and the branch that its grant is confined to; empty when it holds on every one."""


class Grants:
    """Grants by path and holder, in the order in which their paths came.

    A session may have thousands, and others on its machine as many: nothing that is asked of
    one session or one path looks at those of the others.
    """

    def __init__(self) -> None:
        self._paths: dict[LockPath, dict[_Who, HeldLock]] = {}
        self._patterns: dict[LockPath, None] = {}
        """Those of the paths that are patterns."""
        self._came: dict[LockPath, int] = {}
        """In which order the paths came."""
        self._of: dict[SessionId, dict[LockPath, None]] = {}
        """Where each session has something."""
        self._numbers = itertools.count()

    def put(self, lock: HeldLock, instead_of: Iterable[HeldLock] = ()) -> None:
        """Add a grant, behind the others of its path; those that it is ``instead_of`` go."""
        path = self._paths.setdefault(lock.path, {})
        self._came.setdefault(lock.path, next(self._numbers))
        for other in instead_of:
            del path[_who(other)]
            self._note_gone(other)
        path[_who(lock)] = lock
        self._of.setdefault(lock.session, {})[lock.path] = None
        if lock.is_pattern:
            self._patterns[lock.path] = None

    def update(self, lock: HeldLock) -> None:
        """The grant is there, and something else is known of it now."""
        self._paths[lock.path][_who(lock)] = lock

    def remove(self, lock: HeldLock) -> None:
        """A grant that is there goes."""
        del self._paths[lock.path][_who(lock)]
        self._note_gone(lock)
        if not self._paths[lock.path]:
            del self._paths[lock.path], self._came[lock.path]
            self._patterns.pop(lock.path, None)

    def _note_gone(self, lock: HeldLock) -> None:
        """Its session has nothing more there, unless on another branch, or for a subagent."""
        if any(other.session == lock.session for other in self._paths[lock.path].values()):
            return
        own = self._of[lock.session]
        del own[lock.path]
        if not own:
            del self._of[lock.session]

    def get(self, path: LockPath, who: _Who) -> HeldLock | None:
        """What exactly this holder has of a path, as far as exactly this."""
        return self._paths.get(path, {}).get(who)

    def at(self, path: LockPath) -> list[HeldLock]:
        """The grants of a path."""
        return list(self._paths.get(path, {}).values())

    def of(self, session: SessionId) -> list[HeldLock]:
        """The grants of a session."""
        paths = sorted(self._of.get(session, ()), key=self._came.__getitem__)
        return [k for path in paths for k in self._paths[path].values() if k.session == session]

    def patterns(self) -> list[HeldLock]:
        """The grants of patterns."""
        return [lock for path in self._patterns for lock in self._paths[path].values()]

    def __iter__(self) -> Iterator[HeldLock]:
        return iter([lock for path in self._paths.values() for lock in path.values()])


def _who(lock: HeldLock) -> _Who:
    return lock.session, lock.agent, lock.branch
