"""What the coordinator ends by decree: only as somebody asked, or after its time.

A grant is broken by whoever named it, and its break is answered so; idle after its limit,
over after the time that it was taken for. A place in a queue ends by its session's doing,
or when its turn was not used.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scoord.names import path_key
from scoord.v1.locks_pb2 import ReleaseOutcome
from support.simulation.network import Exchange
from support.simulation.record import Record
from support.simulation.replica import Replica
from support.simulation.truth import Grant, Truth, Waiter
from support.simulation.turns import SLOWEST

EARLIEST = 0.8
"""What a replica's clock that goes fast leaves of a limit, at least."""

SWEPT_S = 5.0
"""Longer than it takes to end what is overdue, when nothing is in the way."""


@dataclass
class Decrees:
    """Whether what ended by decree was to end, and whether what was to end did."""

    record: Record
    truth: Truth
    replicas: Sequence[Replica]
    breaks: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By who breaks it: the path and token that were named."""
    leaves: set[tuple[str, str, str]] = field(default_factory=set)
    """The sessions, their subagents and paths whose places were given up."""

    def sent(self, exchange: Exchange) -> None:
        """A command leaves."""
        request = exchange.request
        if exchange.method == "Break":
            self.breaks[request.by] = (path_key(request.lock.path), request.lock.token)
        elif exchange.method == "Leave":
            about = request.session_id, request.agent_id
            self.leaves |= {(*about, path_key(path)) for path in request.paths}

    def answered(self, exchange: Exchange) -> None:
        """C3: what is answered to be over is."""
        request, response = exchange.request, exchange.response
        if response is None:
            return
        if exchange.method == "Break" and response.WhichOneof("outcome") == "broken":
            self._check_broken(request.by, path_key(request.lock.path), request.lock.token)
        elif exchange.method == "Release":
            for ref, outcome in zip(request.locks, response.outcomes, strict=True):
                if outcome == ReleaseOutcome.RELEASE_OUTCOME_RELEASED:
                    self._check_released(path_key(ref.path), ref.token)

    def _check_broken(self, by: str, path: str, token: int) -> None:
        grants = [g for g in self.truth.grants.get(token, ()) if g.path == path]
        if not any((grant.how, grant.by) == ("broken", by) for grant in grants):
            self.record.violate("C3", f"{by} was told that it broke {path}: {grants}")

    def _check_released(self, path: str, token: int) -> None:
        if standing := [grant for grant in self.truth.of(token) if grant.path == path]:
            self.record.violate("C3", f"{standing} was answered to be released")

    def ended(self, grant: Grant) -> None:
        """C3: nothing ends by decree that nobody named, or before its time."""
        now_s = self.record.loop.true_s
        match grant.how:
            case "broken":
                is_right = self.breaks.get(grant.by) == (grant.path, grant.token)
            case "idle":
                is_right = _is_over(grant.idle_s, now_s - grant.used_s)
            case "lasted":
                lasted = _is_over(grant.lasts_s, now_s - grant.begun_s)
                is_right = lasted or bool(grant.lasts_s and self._may_reckon(grant))
            case "idle session":
                is_right = _is_over(*self.truth.unused_s(grant.lease))
            case _:
                return
        if not is_right:
            self.record.violate("C3", f"{grant} was not to end")

    def _may_reckon(self, grant: Grant) -> bool:
        """Whether a replica listed it after its grant, and a wall clock says that its time is over.

        The wall clocks of the simulation's replicas differ by hours.
        """
        running = (replica for replica in self.replicas if replica.process is not None)
        listed = (r for r in running if r.link.watched_s >= grant.begun_s)
        lasted_ms = (r.clock.wall_ms() - grant.begun_unix_ms for r in listed)
        return any(ms >= EARLIEST * grant.lasts_s * 1000 for ms in lasted_ms)

    def left(self, waiter: Waiter, cause: str) -> None:
        """C8: a place ends by its session's doing, or after a turn that was not used."""
        match cause:
            case "left":
                place = waiter.who.session, waiter.who.agent, waiter.path
                is_right = place in self.leaves
            case "unused":
                is_right = _is_over(waiter.claim_s, self.truth.had_turn_s(waiter))
            case _:
                is_right = bool(cause)
        if not is_right:
            self.record.violate("C8", f"{waiter} lost its place: {cause}")

    def check(self, calm_since_s: float) -> None:
        """C5: nothing stands for long after its time."""
        now_s = self.record.loop.true_s
        for grant in self.truth.standing.values():
            for limit_s, since_s in _limits(grant):
                late_s = now_s - max(since_s, calm_since_s) - limit_s / SLOWEST
                if limit_s and late_s > SWEPT_S:
                    self.record.violate("C5", f"{grant} is over since {late_s:.1f} s, and stands")


def _limits(grant: Grant) -> Iterable[tuple[float, float]]:
    """What ends it, and since when that is counted."""
    yield grant.lasts_s, grant.begun_s
    yield grant.idle_s, grant.used_s


def _is_over(limit_s: float, passed_s: float) -> bool:
    return limit_s > 0 and passed_s >= EARLIEST * limit_s
