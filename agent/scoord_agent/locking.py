"""How an agent comes to its locks and gives them back: these parts, wired together."""

from collections.abc import Callable

from scoord_agent.awareness import Awareness
from scoord_agent.common import Common
from scoord_agent.owed import Owed
from scoord_agent.reclaiming import Reclaiming
from scoord_agent.registration import Registration
from scoord_agent.strays import Strays
from scoord_agent.taking import Taking


class Locking:
    """From the lease of a session to the last of what it gives back."""

    def __init__(
        self, common: Common, awareness: Awareness, *, changed: Callable[[], None]
    ) -> None:
        """``changed`` is told of a new lease, and of a session in a new project."""
        self.registration = Registration(
            client=common.client,
            held=common.held,
            turns=common.turns,
            clock=common.clock,
            machine=common.machine,
            ttl_s=common.leases.ttl,
            changed=changed,
            is_over=awareness.neighbours.is_over,
            describe=awareness.publishing.describe,
            last_of=awareness.publishing.last_of,
            written=common.writing_down.in_time,
        )
        self.owed = Owed(common.client, self.registration.lapse)
        self.reclaiming = Reclaiming(
            client=common.client,
            registration=self.registration,
            held=common.held,
            neighbours=awareness.neighbours,
            owed=self.owed,
            settings=common.settings,
            clock=common.clock,
            background=common.background,
        )
        self.taking = Taking(
            client=common.client,
            registration=self.registration,
            held=common.held,
            neighbours=awareness.neighbours,
            turns=common.turns,
            reclaiming=self.reclaiming,
            owed=self.owed,
            clock=common.clock,
            background=common.background,
            waits=awareness.waits,
        )
        self.strays = Strays(
            sessions=common.sessions,
            neighbours=awareness.neighbours,
            taking=self.taking,
            clock=common.clock,
        )
