"""Who stands at one name, in the way of who would break a lock there. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from scoord.claimant import Claimant
from scoord.names import path_key
from scoord.paths import FileIdentity
from scoord.v1.locks_pb2 import Lock, LockScope, Waiter


@dataclass(frozen=True, slots=True)
class Spot:
    """A file or a pattern, where the asker is."""

    named: FileIdentity
    is_pattern: bool
    branch: str
    """What is checked out there."""
    session: str
    """The asker's; empty where it has none."""

    def is_own(self, lock: Lock) -> bool:
        """Whether the asker's main thread has it: a subagent of its session is another."""
        holder = lock.holder
        return bool(self.session) and (holder.session_id, holder.agent_id) == (self.session, "")

    def beside(self, current: Lock, locks: Iterable[Lock]) -> list[Lock]:
        """What else is held there, on its branch or on all."""
        return [lock for lock in locks if lock.token != current.token and self._is_here(lock)]

    def next(self, waiters: Iterable[Waiter]) -> Waiter | None:
        """For whom else a file is kept there now."""
        turns = (waiter for waiter in waiters if waiter.has_turn and self._is_waited_for(waiter))
        return next((w for w in turns if w.holder.session_id != self.session), None)

    def _is_here(self, lock: Lock) -> bool:
        branch = Claimant.of(lock.holder, lock.mode, lock.scope).branch
        same = path_key(lock.path) == self.named.key and lock.is_pattern == self.is_pattern
        return same and lock.project == self.named.project and branch in ("", self.branch)

    def _is_waited_for(self, waiter: Waiter) -> bool:
        is_confined = waiter.scope == LockScope.LOCK_SCOPE_BRANCH
        near = not is_confined or waiter.holder.branch == self.branch
        place = waiter.project, path_key(waiter.path)
        return near and not self.is_pattern and place == (self.named.project, self.named.key)
