"""Who is in whose way: the one rule that agents and coordinators must agree on. Pure.

A lock, a reservation and a place in a queue are compared alike: by who has it,
whether it may be shared, and on which branch it holds.
"""

from dataclasses import dataclass

from scoord.ids import AgentId, SessionId
from scoord.v1.locks_pb2 import Holder, LockMode, LockScope

# Read once: a protobuf enum looks its names up at every use.
_SHARED, _EXCLUSIVE = LockMode.LOCK_MODE_SHARED, LockMode.LOCK_MODE_EXCLUSIVE
_BRANCH, _REPOSITORY = LockScope.LOCK_SCOPE_BRANCH, LockScope.LOCK_SCOPE_REPOSITORY


@dataclass(frozen=True, slots=True)
class Claimant:
    """Whoever has, or wants, a path: and what it lets others have beside it."""

    session: SessionId
    agent: AgentId
    shared: bool = False
    branch: str = ""
    """The branch it is confined to; empty when it holds on every branch."""

    @classmethod
    def of(
        cls, holder: Holder, mode: "LockMode.ValueType", scope: "LockScope.ValueType"
    ) -> "Claimant":
        """Read who, and how far, from a record or a message."""
        session, agent = SessionId(holder.session_id), AgentId(holder.agent_id)
        return cls(session, agent).on(holder.branch, mode, scope)

    def on(
        self, branch: str, mode: "LockMode.ValueType", scope: "LockScope.ValueType"
    ) -> "Claimant":
        """The same session and subagent, by what it says of how and where it works."""
        confined = scope == _BRANCH
        return Claimant(
            self.session,
            self.agent,
            shared=mode == _SHARED,
            branch=branch if confined else "",
        )

    @property
    def mode(self) -> "LockMode.ValueType":
        """How it has or wants it, on the wire."""
        return _SHARED if self.shared else _EXCLUSIVE

    @property
    def scope(self) -> "LockScope.ValueType":
        """Where that is to hold, on the wire."""
        return _BRANCH if self.branch else _REPOSITORY

    def is_same(self, other: "Claimant") -> bool:
        """Whether it is the same session and subagent, on whatever branch."""
        return (self.session, self.agent) == (other.session, other.agent)

    def passes_to(self, other: "Claimant") -> bool:
        """Whether ``other`` may take over: a subagent what its session's main thread has."""
        return bool(other.agent) and self.session == other.session and not self.agent

    def gives_way_to(self, later: "Claimant") -> bool:
        """Whether its grant of a file ends with a grant to ``later``, which is as far or further.

        That is its own, or a subagent's that writes what its main thread wrote: of these one
        has the file. Under one token they can only pass on what is as far already.
        """
        if self.is_same(later):
            return later.covers(self)
        return self.passes_to(later) and not (self.shared or later.shared) and later.covers(self)

    def covers(self, other: "Claimant") -> bool:
        """Whether it holds wherever ``other`` would: on its branch, or on every one."""
        return self.branch in ("", other.branch)

    def meets(self, other: "Claimant") -> bool:
        """Whether there is a branch on which both of them hold."""
        return self.covers(other) or other.covers(self)

    def excludes(self, other: "Claimant") -> bool:
        """Whether ``other`` may not have a path that this one has."""
        if self.is_same(other) or self.passes_to(other) or (self.shared and other.shared):
            return False
        return self.meets(other)
