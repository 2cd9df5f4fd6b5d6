"""Who holds one path, and who waits for it, as a replica has last seen. No I/O."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from scoord.claimant import Claimant
from scoord_server.model.facts import WaiterFact
from scoord_server.seen import SeenLock, SeenWaiter

_MOST_ASKED: Final = 10
"""Of how many of those who wait a new holder is told: of a thousand it is told how many."""


@dataclass(slots=True)
class AtPath:
    """By store key. It changes in its place."""

    holds: dict[bytes, SeenLock] = field(default_factory=dict)
    waiters: dict[bytes, SeenWaiter] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """What it is called: as who has it spelt it, else as the first who waits did."""
        held = (seen.fact.record.path for seen in self.holds.values())
        waited_for = (seen.fact.record.path for seen in self.queue())
        return next(held, "") or next(waited_for, "")

    def queue(self) -> list[SeenWaiter]:
        """Those who wait, the first one first."""
        return sorted(self.waiters.values(), key=lambda waiter: waiter.fact.create_revision)

    def queue_facts(self) -> tuple[WaiterFact, ...]:
        """The same, as the rules take them."""
        return tuple(waiter.fact for waiter in self.queue())

    def interrupt(self, who: Claimant, *, behind: int = 0) -> None:
        """End the turns of those, ``behind`` a place, whom ``who`` keeps out, if for a moment."""
        for key, waiter in self.waiters.items():
            is_behind = waiter.fact.create_revision > behind
            if waiter.turn_at is not None and is_behind and who.excludes(waiter.fact.claimant):
                self.waiters[key] = replace(waiter, turn_at=None)

    def end_turns(self, *, except_of: Collection[bytes]) -> None:
        """End the turns of all others than those at these places."""
        for key, waiter in self.waiters.items():
            if waiter.turn_at is not None and key not in except_of:
                self.waiters[key] = replace(waiter, turn_at=None)

    def kept_out(self, lock: SeenLock) -> Iterator[SeenWaiter]:
        """The first whom a grant keeps out, with how many there are."""
        who, holders, shown = lock.fact.claimant, (lock.fact.record.holder,), self.shown
        waiters = [w for w in self.queue() if who.excludes(w.fact.claimant)]
        for number, waiter in enumerate(waiters[:_MOST_ASKED], 1):
            more = len(waiters) - number if number == _MOST_ASKED else 0
            yield replace(waiter, holders=holders, shown=shown, more=more, again=True)
