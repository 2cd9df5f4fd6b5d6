"""What one agent knows of its grants, by the messages that it sent and got."""

from dataclasses import dataclass, field
from typing import Any

from scoord.claimant import Claimant
from scoord.patterns import matches
from scoord.v1.locks_pb2 import Holder, LockMode
from support.simulation.oracle import excludes

Place = tuple[str, str, str]
"""The key of a path or pattern, and a session and subagent that may have it."""


@dataclass(frozen=True, slots=True)
class Known:
    """A grant as its holder's agent knows it."""

    path: str
    token: int
    who: Claimant
    is_pattern: bool = False

    @property
    def place(self) -> Place:
        """What it is kept by."""
        return self.path, self.who.session, self.who.agent

    def covers(self, path: str) -> bool:
        """Whether it is a grant of ``path``, by name or by pattern."""
        return matches(self.path, path) if self.is_pattern else self.path == path

    def writes(self, who: Claimant) -> bool:
        """Whether it lets ``who`` edit."""
        return (
            self.who.is_same(who)
            and not (self.who.shared or self.is_pattern)
            and self.who.branch in ("", who.branch)
        )


@dataclass
class Mind:
    """What one agent process knows."""

    renewed: dict[str, float] = field(default_factory=dict)
    """When the last renewal that was answered was sent, by the machine's clock."""
    leases: dict[str, int] = field(default_factory=dict)
    locks: dict[Place, Known] = field(default_factory=dict)
    over: set[tuple[str, int]] = field(default_factory=set)
    """Paths and tokens that were given back or are known to be over."""
    revision: int = 0
    whole_to: int = 0
    """The last revision of which its stream has told everything."""

    def lapse(self, session: str) -> None:
        """All that the session held is over."""
        self.renewed.pop(session, None)
        for known in [known for known in self.locks.values() if known.who.session == session]:
            del self.locks[known.place]

    def end(self, path: str, token: int) -> None:
        """One grant is over."""
        self.over.add((path, token))
        for known in self.of_grant(path, token):
            del self.locks[known.place]

    def of_grant(self, path: str, token: int) -> list[Known]:
        """What is known of one grant."""
        return [
            known for known in self.locks.values() if (known.path, known.token) == (path, token)
        ]

    def adopt(self, new: Known) -> None:
        """A grant: what it cannot stand beside on its path is over, or was taken over."""
        if (new.path, new.token) in self.over:
            return
        before = self.locks.get(new.place)
        if before and before.token == new.token and new.who.shared:
            return  # it asked for less than it has
        for known in [known for known in self.locks.values() if known.path == new.path]:
            if known.token == new.token or excludes(known.who, new.who):
                del self.locks[known.place]
        self.locks[new.place] = new


def asker_of(request: Any) -> Claimant:  # whatever message asks for a path or pattern
    """Who asks, and how far."""
    holder = Holder(session_id=request.session_id, agent_id=request.agent_id, branch=request.branch)
    mode = getattr(request, "mode", LockMode.LOCK_MODE_EXCLUSIVE)
    return Claimant.of(holder, mode, request.scope)
