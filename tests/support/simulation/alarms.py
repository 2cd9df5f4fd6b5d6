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
                for path in _paths(told):
                    if not self._has_lost(person, path, told.at_s):
                        self.record.violate("C4", f"{person.name} had not lost {path}: {told}")

    def _has_lost(self, person: Person, path: str, by_s: float) -> bool:
        grants = (grant for of_token in self.truth.grants.values() for grant in of_token)
        own = (g for g in grants if g.path == path and f"_{person.pid}_" in g.session)
        return any(grant.until_s <= by_s and self._is_loss(grant) for grant in own)

    def _is_loss(self, grant: Grant) -> bool:
        """Whether its thread has it no more: a subagent may have it now."""
        if grant.how != "replaced":
            return grant.how not in _OWN
        at_once = self.truth.grants.get(int(grant.until_revision), ())
        return any(g.path == grant.path and not g.who.is_same(grant.who) for g in at_once)


def _paths(told: Told) -> Iterator[str]:
    for names in _LOSS.findall(told.text):
        yield from map(path_key, names.split(", "))
