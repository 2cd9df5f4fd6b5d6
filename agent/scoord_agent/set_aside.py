"""What is kept for somebody without a lock, as the stream tells: turns, and offers. Pure.

A turn that is not used ends without a word, so it counts for as long as a claim lasts.
"""

from dataclasses import dataclass, field

from scoord.names import path_key
from scoord.v1.events_pb2 import Offer, Snapshot, WatchResponse
from scoord.v1.locks_pb2 import Holder, Waiter


@dataclass(slots=True)
class SetAside:
    """Of one project."""

    _turns: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By path key: for which session, and since when."""
    _offers: dict[tuple[str, str], Holder] = field(default_factory=dict)
    """By kind and name: to which session."""

    def apply(self, response: WatchResponse, now: float) -> None:
        """Take a step of the stream in."""
        match response.WhichOneof("event"):
            case "snapshot":
                self._replace(response.snapshot, now)
            case "turn":
                self._turn(response.turn, now)
            case "lock":
                self._turns.pop(path_key(response.lock.path), None)
            case "offer":
                self._offer(response.offer)
            case "offer_gone":
                gone = response.offer_gone
                self._offers.pop((gone.kind, gone.name), None)

    def turn_of_other(self, key: str, session: str, now: float, claim_s: float) -> bool:
        """Whether the path is kept for another session that waited for it."""
        who, since = self._turns.get(key, ("", 0.0))
        return who not in ("", session) and now - since < claim_s

    def offered_to_other(self, kind: str, name: str, session: str) -> bool:
        """Whether a piece of work is offered to another session."""
        holder = self._offers.get((kind, name))
        return holder is not None and holder.session_id != session

    def offered_to(self, kind: str, name: str) -> str:
        """The short name of the session that a piece of work is offered to; empty for none."""
        holder = self._offers.get((kind, name), Holder())
        return holder.alias or holder.session_id

    def offers_to_others(self, session: str) -> frozenset[tuple[str, str]]:
        """All work that is offered to other sessions, by kind and name."""
        return frozenset(
            work for work, holder in self._offers.items() if holder.session_id != session
        )

    def _replace(self, snapshot: Snapshot, now: float) -> None:
        self._turns.clear()
        self._offers.clear()
        for waiter in snapshot.waiters:
            if waiter.has_turn:
                self._turn(waiter, now)
        for offer in snapshot.offers:
            self._offer(offer)

    def _turn(self, waiter: Waiter, now: float) -> None:
        self._turns[path_key(waiter.path)] = (waiter.holder.session_id, now)

    def _offer(self, offer: Offer) -> None:
        self._offers[offer.kind, offer.name] = offer.session
