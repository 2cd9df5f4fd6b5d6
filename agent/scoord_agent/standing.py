"""Who stands at one name, in the way of who would break a lock there. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scoord.claimant import Claimant
from scoord.names import path_key
from scoord.paths import FileIdentity
from scoord.v1.locks_pb2 import Lock, Waiter


@dataclass(frozen=True, slots=True)
class Spot:
    """A file or a pattern, where the asker is."""

    named: FileIdentity
    is_pattern: bool
    branch: str
    """Where locks hold that are taken there; empty where that is every branch."""
    session: str
    """The asker's; empty where it has none."""

    def is_own(self, lock: Lock) -> bool:
        """Whether the asker's main thread has it: a subagent of its session is another."""
        holder = lock.holder
        return bool(self.session) and (holder.session_id, holder.agent_id) == (self.session, "")

    def beside(self, current: Lock, locks: Iterable[Lock]) -> list[Lock]:
        """What else is held there, on whatever branch."""
        return [lock for lock in locks if lock.token != current.token and self._is_of(lock)]

    def parted(self, locks: Sequence[Lock]) -> tuple[list[Lock], list[Lock]]:
        """Those that hold on its branch; and those on others, which are in nobody's way there."""
        near = [lock for lock in locks if self._is_near(_branch(lock))]
        return near, [lock for lock in locks if not self._is_near(_branch(lock))]

    def next(self, waiters: Iterable[Waiter]) -> Waiter | None:
        """For whom else a file is kept there now."""
        turns = (waiter for waiter in waiters if waiter.has_turn and self._is_waited_for(waiter))
        return next((w for w in turns if w.holder.session_id != self.session), None)

    def _is_of(self, lock: Lock) -> bool:
        same = path_key(lock.path) == self.named.key and lock.is_pattern == self.is_pattern
        return same and lock.project == self.named.project

    def _is_near(self, branch: str) -> bool:
        return not self.branch or branch in ("", self.branch)

    def _is_waited_for(self, waiter: Waiter) -> bool:
        place = waiter.project, path_key(waiter.path)
        is_its = not self.is_pattern and place == (self.named.project, self.named.key)
        return is_its and self._is_near(_branch(waiter))


def _branch(who: Lock | Waiter) -> str:
    """The branch that it holds, or waits, on; empty where that is every one."""
    return Claimant.of(who.holder, who.mode, who.scope).branch
