"""What became of commands. All frozen."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from scoord.claimant import Claimant
from scoord.ids import FencingToken, LeaseId
from scoord.v1.records_pb2 import TraceRecord
from scoord_server.model.facts import Known, LockFact, LockName, WaiterFact


@dataclass(frozen=True, slots=True)
class Granted:
    """All taken: for each name, in order, its token, and as what the asker has it.

    That may be more than it asked for: what it has alone it need not share.
    """

    tokens: tuple[FencingToken, ...]
    claimants: tuple[Claimant, ...]

    def at(self, positions: Sequence[int]) -> "Granted":
        """The same of the names at ``positions``, in their order."""
        return Granted(
            tuple(self.tokens[i] for i in positions), tuple(self.claimants[i] for i in positions)
        )


@dataclass(frozen=True, slots=True)
class Conflict:
    """One name that another has, or is next to have, and the asker's place in its queue."""

    name: LockName
    by: LockFact | WaiterFact
    place: int = 0
    """From 1; 0 is not queued."""
    place_revision: int = 0
    """When the place was last asked for, which is by this command."""


@dataclass(frozen=True, slots=True)
class Held:
    """None taken."""

    conflicts: tuple[Conflict, ...]


@dataclass(frozen=True, slots=True)
class Raced:
    """The store was not as assumed; ``known`` is how it was. Plan again."""

    known: Known


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """It is the asker's again."""

    token: FencingToken
    edits: tuple[TraceRecord, ...] = ()
    """Those by others since the lost grant, without a lock; oldest first."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Somebody was granted it since, or nobody knows: ``last`` is then empty."""

    last: TraceRecord


@dataclass(frozen=True, slots=True)
class Ended:
    """The grant is over, by this command."""

    unrecorded: bool = False
    """Whether nothing was written down of it, as the store takes nothing more."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The grant was over before; ``current`` is what stands now, if anything."""

    current: LockFact | None


class GivenBack(Enum):
    """What became of one release."""

    RELEASED = auto()
    """It is over, and its session gave it back, now or before."""
    NOT_HOLDER = auto()
    """It had ended otherwise."""
    LEASE_OVER = auto()
    """Its session does not live on that lease any more, and nothing tells how it ended."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The session is live."""

    alias: str
    lease: LeaseId
    ttl_s: int
    resumed: bool = False
    locks: tuple[LockFact, ...] = ()
    unused: str = ""
    """Why the lease that it had before was ended as unused."""


@dataclass(frozen=True, slots=True)
class AliasTaken:
    """Someone was faster; choose another alias."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """Whether the session lives, and for how many seconds more without a heartbeat."""

    live: bool
    remaining_s: int
