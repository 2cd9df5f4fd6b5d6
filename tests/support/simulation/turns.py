"""What sessions are told of turns: each while it lasts, as far as their agents can know."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from scoord.claimant import Claimant
from scoord.config import Settings
from scoord.names import path_key
from scoord.v1.locks_pb2 import LockMode, Waiter
from support.simulation.loop import Process
from support.simulation.machine import Hook
from support.simulation.record import Record

SLOWEST, FASTEST = 0.82, 1.2
"""The rates of the slowest clock, and of the fastest."""

_FREE = re.compile(r"^(\S+) is free now(?: on (\S+))?, and you are next", re.MULTILINE)
_REFUSED = re.compile(r"^⚠️ (\S+) (?:is|lies) (?!free now)", re.MULTILINE)

_Place = tuple[Process, str, str, str, str]
"""An agent process, a session, a subagent, a path, and the branch that it waits on."""


@dataclass
class TurnsTold:
    """C5: nobody is told of a turn that is over, or that a refusal since then made old."""

    record: Record
    settings: Settings
    _came: dict[_Place, float] = field(default_factory=dict)

    def streamed(self, process: Process, _project: str, response: Any) -> None:
        """A stream's message arrives."""
        for waiter in _with_turn(response):
            who = Claimant.of(waiter.holder, LockMode.LOCK_MODE_EXCLUSIVE, waiter.scope)
            place = (process, who.session, who.agent, path_key(waiter.path), who.branch)
            self._came[place] = self.record.loop.true_s

    def decided(
        self, process: Process, session: str, hook: Hook, branch_at: Callable[[str], str]
    ) -> None:
        """A hook is answered by the relay; ``branch_at`` tells what is checked out for a path."""
        decision, agent = hook.decision, hook.event.agent_id
        text = f"{decision.reason}\n{decision.context}" if decision else ""
        refused = set(map(path_key, _REFUSED.findall(text)))
        for shown, on in _FREE.findall(text):
            path = path_key(shown)
            came_s = self._came.get((process, session, agent, path, on), float("-inf"))
            is_old = path in refused and came_s < hook.called_s
            if is_old and on in ("", branch_at(path)):
                self.record.violate("C5", f"{session} is refused {path}, and told that it is free")
            if self.record.loop.true_s - came_s > self._longest_s():
                self.record.violate("C5", f"{session} is told of a turn at {path} that is over")

    def _longest_s(self) -> float:
        return self.settings.session_coordination.claim_timeout / SLOWEST + 0.5


def _with_turn(response: Any) -> Iterable[Waiter]:
    match response.WhichOneof("event"):
        case "turn":
            return (response.turn,)
        case "snapshot":
            return (waiter for waiter in response.snapshot.waiters if waiter.has_turn)
    return ()
