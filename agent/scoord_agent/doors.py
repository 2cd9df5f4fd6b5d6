"""What people, scripts and tools come in by, from the parts of one agent."""

from scoord_agent import answering
from scoord_agent.actors import Actors
from scoord_agent.break_desk import BreakDesk
from scoord_agent.desk import Desk
from scoord_agent.giving_up import GivingUp
from scoord_agent.graph_desk import GraphDesk
from scoord_agent.history_desk import HistoryDesk
from scoord_agent.parts import Parts
from scoord_agent.queueing import Queueing
from scoord_agent.saying import Saying
from scoord_agent.status_desk import AgentFacts, StatusDesk
from scoord_agent.work_desk import WorkDesk


class Doors:
    """One for each kind of question; they share who it is that asks."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._common = parts.common
        self._awareness = parts.awareness
        self._locking = parts.locking
        self._actors = Actors(parts.common.machine, parts.common.sessions)

    def status_desk(self, facts: AgentFacts) -> StatusDesk:
        """What answers who is here and what is locked."""
        common = self._common
        return StatusDesk(
            facts=facts,
            machine=common.machine,
            client=common.client,
            sessions=common.sessions,
            neighbours=self._awareness.neighbours,
            hold_times=self._awareness.hold_times,
            locator=common.locator,
            settings=common.settings,
            clock=common.clock,
        )

    def break_desk(self) -> BreakDesk:
        """What takes locks away."""
        return BreakDesk(
            client=self._common.client,
            sessions=self._common.sessions,
            actors=self._actors,
            locator=self._common.locator,
            settings=self._common.settings,
        )

    def desk(self) -> Desk:
        """What takes locks and gives them back."""
        common, taking = self._common, self._locking.taking
        return Desk(
            sessions=common.sessions,
            lifecycle=self._parts.lifecycle,
            taking=taking,
            giving_up=GivingUp(
                client=common.client, taking=taking, turns=common.turns, locator=common.locator
            ),
            held=common.held,
            turns=common.turns,
            queueing=self._queueing(),
            neighbours=self._awareness.neighbours,
            hold_times=self._awareness.hold_times,
            instead=answering.instead(common, self._awareness),
            locator=common.locator,
            settings=common.settings,
            clock=common.clock,
            background=common.background,
        )

    def _queueing(self) -> Queueing:
        """Who waits by a command."""
        common = self._common
        return Queueing(
            taking=self._locking.taking,
            turns=common.turns,
            background=common.background,
            clock=common.clock,
        )

    def history_desk(self) -> HistoryDesk:
        """What answers about the past."""
        return HistoryDesk(
            client=self._common.client,
            locator=self._common.locator,
            clock=self._common.clock,
            is_local=self._common.sessions.is_here,
        )

    def saying(self) -> Saying:
        """What takes down what is said of sessions, and to them."""
        common = self._common
        return Saying(
            actors=self._actors,
            client=common.client,
            sessions=common.sessions,
            lifecycle=self._parts.lifecycle,
            registration=self._locking.registration,
            publishing=self._awareness.publishing,
            locator=common.locator,
            settings=common.settings,
            clock=common.clock,
        )

    def work_desk(self) -> WorkDesk:
        """What answers about work."""
        return WorkDesk(
            client=self._common.client,
            actors=self._actors,
            lifecycle=self._parts.lifecycle,
            registration=self._locking.registration,
            work=self._parts.work,
            locator=self._common.locator,
            settings=self._common.settings,
        )

    def graph_desk(self) -> GraphDesk:
        """What answers about the graph."""
        hold_times, neighbours = self._awareness.hold_times, self._awareness.neighbours
        return GraphDesk(
            client=self._common.client,
            actors=self._actors,
            locator=self._common.locator,
            settings=self._common.settings,
            work=self._parts.work,
            free_in=lambda where, locks: hold_times.completions(where, locks, neighbours),
        )
