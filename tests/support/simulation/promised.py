"""C5: who was refused a file, and is to be told of its turn, hears what became of its place."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from scoord.names import path_key
from scoord_agent.local_session import MAIN
from support.simulation.loop import Process
from support.simulation.machine import Hook
from support.simulation.minds import asker_of, granted_as
from support.simulation.network import Exchange
from support.simulation.people import Person
from support.simulation.record import Record
from support.simulation.truth import Truth, Waiter

_WRITTEN_S = 1.0
"""Longer than an agent takes to write down what it has promised."""

_NEWS_S = 2.0
"""What happened later may not have been heard of."""

_OWN_DOING = frozenset({"left", "served"})

_REFUSED = re.compile(r"^⚠️ (\S+) (?:is|lies) (?!free now)")
_PROMISED = re.compile(r"You are [\w ]+ in the queue(?: for (\S+))? and will be told")
_SAID = ("free now", "was free", "not wait for")

_Place = tuple[str, str, str, str]
"""A session, its thread, a path, and the branch that it waits on."""


@dataclass(frozen=True, slots=True)
class _Promise:
    """When a thread was told that it will be told, and by which agent process."""

    at_s: float
    process: Process


@dataclass
class Promised:
    """What was promised, and what came of it."""

    record: Record
    truth: Truth
    people: Sequence[Person]
    promises: dict[_Place, _Promise] = field(default_factory=dict)
    _gone: list[tuple[_Place, _Promise, float]] = field(default_factory=list)
    """Places that ended otherwise than by their holders' doing, and when."""
    _renewed_s: dict[_Place, float] = field(default_factory=dict)
    """When each was last given up, or asked for anew and answered."""
    _left_s: dict[tuple[str, str], float] = field(default_factory=dict)
    """By session and path: when its main thread's place was last given up."""
    _granted_s: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """By session, thread and path: when it last asked for what it was granted on every branch."""

    def sent(self, exchange: Exchange) -> None:
        """A command leaves: whoever gives a place up is told nothing of it.

        Where its person does, those of its subagents go too: a command that fails on the way
        has sent the main thread's only.
        """
        request = exchange.request
        if exchange.method == "Leave":
            for path, branch in zip(request.paths, request.place_branches, strict=True):
                place = (request.session_id, request.agent_id, path_key(path), branch)
                self._is_old(place)
                mine = (request.session_id, path_key(path))
                if not request.agent_id:
                    self._left_s[mine] = self.record.loop.true_s

    def answered(self, exchange: Exchange) -> None:
        """An answer arrives: what was promised before it is old, also for every branch."""
        request, response = exchange.request, exchange.response
        if exchange.method != "Acquire" or response is None or request.takes_nothing:
            return
        who = asker_of(request)
        for path in map(path_key, request.paths):
            for branch in dict.fromkeys((who.branch, "")):
                self._is_old((who.session, who.agent, path, branch))
        self._note_granted(exchange)

    def _note_granted(self, exchange: Exchange) -> None:
        """On every branch: not what was promised after that was asked for, and is answered late."""
        for ref in exchange.response.granted.locks:
            who = granted_as(exchange.request, ref)
            if not who.branch:
                at = who.session, who.agent, path_key(ref.path)
                self._granted_s[at] = exchange.sent_true_s

    def _is_old(self, place: _Place) -> None:
        self._renewed_s[place] = self.record.loop.true_s
        self.promises.pop(place, None)

    def decided(
        self, process: Process, session: str, hook: Hook, branch_of: Callable[[str], str]
    ) -> None:
        """A hook is answered by the relay; ``branch_of`` says which a place at a path is for."""
        if hook.decision is None or hook.given_up or hook.undecided:
            return
        for path in _promised(hook.decision.reason):
            place = (session, hook.event.agent_id, path, branch_of(path))
            self.promises[place] = _Promise(self.record.loop.true_s, process)
            self.record.counts["promised a turn"] += 1

    def left(self, waiter: Waiter, cause: str) -> None:
        """A place ends."""
        place = _place_of(waiter)
        promise = self.promises.pop(place, None)
        if promise and cause not in _OWN_DOING:
            self._gone.append((place, promise, self.record.loop.true_s))

    def check(self) -> None:
        """Everybody has had hooks since all works again.

        A place that a late message has asked for again stands, and its turn will be told.
        """
        latest_s = self.record.loop.true_s - _NEWS_S
        standing = set(map(_place_of, self.truth.waiters.values()))
        for place, promise, at_s in self._gone:
            person = self._person(place, promise)
            if person is None or at_s > latest_s or place in standing:
                continue
            self.record.counts["promises that others ended"] += 1
            if not self._is_heard(person, place, promise):
                what = f"{person.name} was not told that {place} is gone, promised {promise.at_s}"
                self.record.violate("C5", what)

    def _person(self, place: _Place, promise: _Promise) -> Person | None:
        """Whose it is, if the thread lives yet, and its agent had time to write it down."""
        session, agent, _, _ = place
        person = next((p for p in self.people if f"_{p.pid}_" in session), None)
        known = person and person.machine.agent and person.machine.agent.parts.sessions
        if not (person and known and known.is_here(session)):
            return None
        process, has_ended = promise.process, person.agent_ends.get(agent, 0.0) >= promise.at_s
        if has_ended or (agent and agent not in person.subagents):
            return None
        is_lost = process.dead and process.died_s - promise.at_s < _WRITTEN_S
        return None if is_lost else person

    def _is_heard(self, person: Person, place: _Place, promise: _Promise) -> bool:
        """In the same breath, too: its turn may come while it is refused."""
        _, agent, path, _ = place
        own = (agent, MAIN)  # of a branch that is left the main thread hears for all
        told = (one for one in person.told if one.agent in own and one.at_s >= promise.at_s)
        lines = (line for one in told for line in one.text.splitlines())
        is_told = any(path in path_key(line) and _says(line) for line in lines)
        return is_told or self._old_s(place) > promise.at_s

    def _old_s(self, place: _Place) -> float:
        """When what was promised before became old.

        Who has the file on every branch, as from a detached head, waits for it on none.
        """
        session, agent, path, _ = place
        return max(
            self._renewed_s.get(place, 0.0),
            self._left_s.get((session, path), 0.0),
            self._granted_s.get((session, agent, path), 0.0),
        )


def _place_of(waiter: Waiter) -> _Place:
    return waiter.who.session, waiter.who.agent, waiter.path, waiter.who.branch


def _says(line: str) -> bool:
    return any(words in line for words in _SAID)


def _promised(text: str) -> Iterator[str]:
    """The paths of which a refusal says that its turn will be told."""
    refused = ""
    for line in text.splitlines():
        if found := _REFUSED.match(line):
            refused = found[1]
        if found := _PROMISED.search(line):
            yield path_key(found[1] or refused)
