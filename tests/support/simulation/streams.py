"""What one agent has heard of one project, by the messages of its stream."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from scoord.claimant import Claimant
from scoord.names import path_key
from scoord.patterns import matches
from scoord.v1.locks_pb2 import Lock
from support.simulation.oracle import excludes


@dataclass(frozen=True, slots=True)
class Heard:
    """A lock that stands, whosoever it is, as an agent has heard."""

    path: str
    token: int
    who: Claimant
    is_pattern: bool
    at_s: float

    def keeps(self, path: str, who: Iterable[Claimant]) -> bool:
        """Whether it is in the way of an edit of a path, by whichever of ``who`` that is."""
        covers = matches(self.path, path) if self.is_pattern else self.path == path
        return covers and all(excludes(self.who, one) for one in who)


@dataclass
class Stream:
    """One project as an agent has heard of it."""

    followed_at: float = float("-inf")
    """When it last told what is new, by the machine's clock."""
    revision: int = 0
    whole_to: int = 0
    """The last revision of which it has told everything."""
    listed_at: int = 0
    """The revision of the newest picture that it began with."""
    listed: frozenset[tuple[str, int]] = frozenset()
    """Paths and tokens of what stood then: an older grant that is not among it is over."""
    heard: dict[tuple[str, int], Heard] = field(default_factory=dict)
    """By path and token: the locks of all that stand as it has told."""

    def hear(self, response: Any, true_s: float, now: float) -> None:
        """A message of it; ``now`` by the machine's clock."""
        if response.revision != self.revision:
            self.whole_to, self.revision = self.revision, response.revision
        event = response.WhichOneof("event")
        if event != "snapshot":
            self.followed_at = now
        if event in {"snapshot", "progress"}:
            self.whole_to = response.revision
        match event:
            case "snapshot":
                self._replace(response.snapshot.locks, true_s)
            case "lock":
                self._hear_of(response.lock, true_s)
            case "lock_gone":
                lock = response.lock_gone.lock
                self.heard.pop((path_key(lock.path), lock.token), None)

    def leave(self) -> None:
        """Nobody is there any more for whom the project would be followed."""
        self.heard.clear()
        self.followed_at = float("-inf")

    def list(self, standing: Iterable[tuple[str, int]], revision: int) -> bool:
        """All that stood at a revision; False of a coordinator that is behind.

        What is known to be over stays so.
        """
        if revision < self.listed_at:
            return False
        self.listed, self.listed_at = frozenset(standing), revision
        return True

    def lists_no(self, path: str, token: int) -> bool:
        """Whether a grant would have been among what stood, and was not."""
        return token <= self.listed_at and (path, token) not in self.listed

    def _replace(self, locks: Iterable[Lock], true_s: float) -> None:
        before, self.heard = self.heard, {}
        for lock in locks:
            self._hear_of(lock, true_s)
        self.heard |= {key: before[key] for key in before.keys() & self.heard.keys()}

    def _hear_of(self, lock: Lock, true_s: float) -> None:
        path, who = path_key(lock.path), Claimant.of(lock.holder, lock.mode, lock.scope)
        self.heard[path, lock.token] = Heard(path, lock.token, who, lock.is_pattern, true_s)
