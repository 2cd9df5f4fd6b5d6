"""C4, the other way round: nobody is told of a loss that was none."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scoord.names import path_key
from support.simulation.people import Person, Told
from support.simulation.record import Record
from support.simulation.truth import Grant, Truth

_LOSS = re.compile(
    r"Your (?:locks? on|share of) (\S+(?:, \S+)*)(?: and \d+ more)? (?:is|are|was|were) "
)

_WENT = re.compile(r"Your locks? on (\S+(?:, \S+)*)(?: and \d+ more)? went with the subagent ")

_OWN = ("", "released")
"""How a grant stands, or ends by its own session: no loss."""


@dataclass(frozen=True)
class Alarms:
    """What sessions were told of their losses, against what became of their grants."""

    record: Record
    truth: Truth

    def check(self, people: Iterable[Person]) -> None:
        """Each loss that was told of was one, of a grant of that session."""
        for person in people:
            for told in person.told:
                for path in _paths(_LOSS, told):
                    if not self._has_lost(person, path, told.at_s):
                        self.record.violate("C4", f"{person.name} had not lost {path}: {told}")
                for path in _paths(_WENT, told):
                    if not self._has_passed(person, path, told.at_s):
                        self.record.violate("C4", f"{path} did not pass from {person.name}: {told}")

    def _has_lost(self, person: Person, path: str, by_s: float) -> bool:
        own = self._own(person, path)
        return any(grant.until_s <= by_s and self._is_loss(grant) for grant in own)

    def _has_passed(self, person: Person, path: str, by_s: float) -> bool:
        """Whether a subagent took over what its main thread had, under its token or a later one."""
        mains = (g for g in self._own(person, path) if g.since_s <= by_s and not g.first.agent)
        return any(g.who.agent or (g.how == "replaced" and self._is_loss(g)) for g in mains)

    def _own(self, person: Person, path: str) -> Iterator[Grant]:
        grants = (grant for of_token in self.truth.grants.values() for grant in of_token)
        return (g for g in grants if g.path == path and f"_{person.pid}_" in g.session)

    def _is_loss(self, grant: Grant) -> bool:
        """Whether its thread has it no more: a subagent may have it now."""
        if grant.how != "replaced":
            return grant.how not in _OWN
        at_once = self.truth.grants.get(int(grant.until_revision), ())
        return any(g.path == grant.path and not g.who.is_same(grant.who) for g in at_once)


def _paths(said: "re.Pattern[str]", told: Told) -> Iterator[str]:
    for names in said.findall(told.text):
        yield from map(path_key, names.split(", "))
