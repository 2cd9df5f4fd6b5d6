"""What an agent is given, and what all of its parts share."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from scoord.clock import Clock
from scoord.paths import Locator
from scoord.sections import Leases
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.held import HeldLocks
from scoord_agent.knowledge.knowing import Learn
from scoord_agent.last_seen import LastSeen
from scoord_agent.registration import Machine
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from scoord_agent.turns import Turns
from scoord_agent.unreported import Unreported
from scoord_agent.writing_down import WritingDown, disk_threads


@dataclass(frozen=True, kw_only=True)
class Common:
    """All that reaches the outside is a field of it."""

    client: CoordinatorClient
    sessions: Sessions
    unreported: Unreported
    settings: SettingsFor
    leases: Leases
    locator: Locator
    machine: Machine
    clock: Clock
    last_seen: LastSeen
    rng: random.Random | None = None
    learn: Learn | None = None
    """Without it nothing is known of any repository."""

    @cached_property
    def held(self) -> HeldLocks:
        """What the sessions of this machine hold."""
        return HeldLocks(belief_s=self.leases.belief)

    @cached_property
    def turns(self) -> Turns:
        """What they wait for, and whose turn has come."""
        return Turns(self.clock)

    @cached_property
    def background(self) -> Background:
        """What nobody waits for."""
        return Background()

    @cached_property
    def disk(self) -> ThreadPoolExecutor:
        """The threads that write to the state directory."""
        return disk_threads()

    @cached_property
    def writing_down(self) -> WritingDown:
        """Writes the sessions down."""
        return WritingDown(self.sessions.file, self.background, self.disk)

    @cached_property
    def writing_edits(self) -> WritingDown:
        """Writes down the edits that are to be reported."""
        return WritingDown(self.unreported.file, self.background, self.disk)
