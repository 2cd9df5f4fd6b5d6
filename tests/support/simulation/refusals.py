"""C3: who is refused a path is refused it for somebody."""

from collections.abc import Iterable
from dataclasses import dataclass

from scoord.claimant import Claimant
from scoord.names import path_key
from support.simulation.minds import asker_of
from support.simulation.network import Exchange
from support.simulation.oracle import excludes
from support.simulation.record import Record
from support.simulation.truth import Truth


@dataclass
class Refusals:
    """Looks at each answer that a path is held: some time since it was asked, it was."""

    record: Record
    truth: Truth

    def answered(self, exchange: Exchange) -> None:
        """An answer arrives."""
        request, response = exchange.request, exchange.response
        if exchange.method != "Acquire" or response is None or request.takes_nothing:
            return
        who = asker_of(request)
        for conflict in response.held.conflicts:
            path = path_key(conflict.path)
            if not any(excludes(one, who) for one in self._there(path, exchange.sent_true_s)):
                what = f"{who} was refused {path}, which nobody has, or waits for: {conflict}"
                self.record.violate("C3", what)

    def _there(self, path: str, since_s: float) -> Iterable[Claimant]:
        """Who had a path at some time since then, or waited for it."""
        for grants in self.truth.grants.values():
            for grant in grants:
                if grant.until_s >= since_s and grant.covers(path):
                    yield from (grant.first, grant.who)
        for waiter in self.truth.waited(path, since_s):
            yield waiter.who
