"""C10: who holds what others wait for is told so, each thread at its own next hook.

Only where that is sure: its agent has heard of the place and of the grant, and both stand.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from scoord.claimant import Claimant
from scoord.names import path_key
from scoord.v1.locks_pb2 import LockMode, LockScope
from scoord_hooks.neutral import EventKind
from support.simulation.beliefs import Beliefs
from support.simulation.loop import Process
from support.simulation.machine import Agent, Hook
from support.simulation.oracle import excludes
from support.simulation.people import Person
from support.simulation.projects import project_of
from support.simulation.truth import Grant, Waiter

_ROOM = 5
"""A hook tells no more notices than this."""

_A_MOMENT_S = 0.05
"""Longer than an agent takes to read what its stream has brought."""

_TELLS_NOTHING = (EventKind.SESSION_END, EventKind.TURN_END, EventKind.SUBAGENT_END)

_Place = tuple[str, str, str, str]
"""A path, and the session, subagent and branch that wait there."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """When an agent was told of a place."""

    at_s: float
    """Last."""
    is_new: bool
    """Whether it was no older one: who left while nobody listened, and came again, has
    been told of."""


@dataclass
class Asked:
    """What each agent has heard of queues, and whom its sessions must have been told of."""

    beliefs: Beliefs
    people: Sequence[Person]
    _heard: dict[tuple[Process, str], dict[_Place, _Heard]] = field(default_factory=dict)
    """By agent process and project: the places that it was told of."""

    def streamed(self, process: Process, project: str, response: Any) -> None:
        """A stream's message arrives."""
        heard = self._heard.setdefault((process, project), {})
        now = self.beliefs.record.loop.true_s
        match response.WhichOneof("event"):
            case "snapshot":
                waiters = (one for one in response.snapshot.waiters if not one.has_turn)
                places = [_place(one.path, one.holder, one.scope) for one in waiters]
                new = {at: _Heard(now, at not in heard) for at in places}
                self._heard[process, project] = new
            case "waiting":
                waiting = response.waiting
                place = _place(waiting.path, waiting.waiter, waiting.scope)
                is_new = place not in heard or not waiting.again
                heard[place] = _Heard(now, is_new=is_new or heard[place].is_new)
            case "turn" | "waiting_gone" as gone:
                waiter = getattr(response, gone)
                heard.pop(_place(waiter.path, waiter.holder, waiter.scope), None)

    def decided(self, agent: Agent, session: str, hook: Hook) -> None:
        """A hook is answered by the relay, and its session has heard the answer."""
        person = next((p for p in self.people if p.pid == hook.pid), None)
        is_heard = not (hook.undecided or hook.given_up)
        if person is None or not is_heard or hook.event.kind in _TELLS_NOTHING:
            return
        thread = (session, hook.event.agent_id)
        begins_s = person.agent_heard.get(thread[1], float("inf")) if thread[1] else 0.0
        for grant in self._known(agent, thread):
            for waiter, since_s in self._kept_out(agent.process, grant, begins_s):
                if not (_is_full(hook) or _was_told(person, thread[1], waiter.path, since_s)):
                    what = f"{person.name} has {grant}, and was not told of {waiter}"
                    self.beliefs.record.violate("C10", what)

    def _known(self, agent: Agent, thread: tuple[str, str]) -> Iterator[Grant]:
        """What a thread has, as its agent knows and its stream has told.

        What was another thread's at first may have passed on just now.
        """
        mind = self.beliefs.mind(agent.process)
        for lock in agent.parts.held:
            is_own = (lock.session, lock.agent) == thread
            if is_own and lock.token <= mind.stream(lock.project).whole_to:
                for grant in self.beliefs.truth.of(lock.token):
                    if grant.path == lock.key and grant.first == grant.who == lock.claimant:
                        yield grant

    def _kept_out(
        self, process: Process, grant: Grant, begins_s: float
    ) -> Iterator[tuple[Waiter, float]]:
        """Those of whom its agent has heard that they wait for it, and not only just now.

        And since when it counts that they were told of. What was heard before its agent knew
        of a subagent, that has it by a command of another of its name, was for its main thread.
        """
        known = self._heard.get((process, project_of(grant.path)), {})
        latest_s = self.beliefs.record.loop.true_s - _A_MOMENT_S
        for waiter in self.beliefs.truth.waiters.values():
            who = waiter.who
            heard = known.get((waiter.path, who.session, who.agent, who.branch))
            # What was heard before is of a place that it had earlier.
            is_heard = heard is not None and max(waiter.wants_s, begins_s) <= heard.at_s < latest_s
            if heard and is_heard and grant.covers(waiter.path) and excludes(grant.who, who):
                yield waiter, waiter.since_s if heard.is_new else 0.0


def _place(path: str, holder: Any, scope: "LockScope.ValueType") -> _Place:
    who = Claimant.of(holder, LockMode.LOCK_MODE_EXCLUSIVE, scope)
    return path_key(path), who.session, who.agent, who.branch


def _is_full(hook: Hook) -> bool:
    """Whether there may have been no room to tell it yet."""
    decision = hook.decision
    return decision is None or len(f"{decision.reason}\n{decision.context}".splitlines()) > _ROOM


def _was_told(person: Person, agent: str, path: str, since_s: float) -> bool:
    """Whether a thread was told since then that somebody waits for the path."""
    told = (one for one in person.told if one.agent == agent and one.at_s >= since_s)
    return any(f"waits for {path}, which you hold" in path_key(one.text) for one in told)
