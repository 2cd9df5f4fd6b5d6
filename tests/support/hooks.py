"""Hooks of the one session of a house, on the real relay."""

from types import SimpleNamespace
from typing import Any

from scoord.ids import AgentId
from scoord_agent.background import Background
from scoord_agent.delivery import Delivery
from scoord_agent.lifecycle import Origin
from scoord_agent.local_session import MAIN
from scoord_agent.relay import Relay
from scoord_hooks.neutral import Decision, EventKind, HookEvent
from support.house import House


class Hooks:
    """The relay, with all that is not about locks and turns left out."""

    greeting = "this session is Session_1"
    """What it is told that was not told at its start."""

    def __init__(self, house: House, background: Background) -> None:
        async def session_of(*_: object) -> object:
            return house.session

        nothing: Any = SimpleNamespace(
            session_of=session_of,
            rested=lambda _session: None,
            worked=lambda _session: None,
            prompted=lambda *_: None,
            acted=lambda *_: None,
            late=self._late,
            look_anew=lambda _session: None,
            look=lambda _session: False,
            may_go_back=lambda *_: False,
            after_turn=house.taking.unsettled.turn_over,
        )
        self.relay = Relay(
            lifecycle=nothing,
            welcoming=nothing,
            edits=house.edits,
            taking=house.taking,
            held=house.held,
            handing_back=nothing,
            activity=nothing,
            publishing=nothing,
            dependents=nothing,
            pursuits=nothing,
            settings=house.settings,
            background=background,
            turns=house.turns,
            clock=house.clock,
        )

    async def _late(self, *_: object) -> str:
        return self.greeting

    async def send(
        self,
        kind: EventKind,
        agent: AgentId = MAIN,
        *,
        is_alone: bool = False,
        delivery: Delivery | None = None,
    ) -> Decision:
        """One hook, and what it is answered."""
        event = HookEvent("claude-code", kind, kind, "c1", "/", agent_id=agent, is_alone=is_alone)
        return await self.relay.decide(event, Origin(), 1.0, delivery or Delivery())
