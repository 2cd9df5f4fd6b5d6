"""Whether the coordinator can be asked: a table of states, and what each allows.

* CONNECTED: it answered last. Held locks stand until their deadlines.
* SUSPENDED: it did not answer. Held locks still stand until their deadlines;
  nothing new can be granted. Commands fail fast instead of trying until late.
* LOST: so long ago that every deadline has passed. Nothing is assumed; what was
  held is asked for again when the coordinator is back.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How the agent stands to its coordinator."""

    CONNECTED = "connected"
    SUSPENDED = "suspended"
    LOST = "lost"


class Happening(StrEnum):
    """What moves it."""

    ANSWERED = "answered"
    FAILED = "failed"
    EXPIRED = "expired"


TABLE: dict[tuple[State, Happening], State] = {
    (State.CONNECTED, Happening.ANSWERED): State.CONNECTED,
    (State.CONNECTED, Happening.FAILED): State.SUSPENDED,
    # A machine that slept wakes up past its deadlines without one failed call.
    (State.CONNECTED, Happening.EXPIRED): State.LOST,
    (State.SUSPENDED, Happening.ANSWERED): State.CONNECTED,
    (State.SUSPENDED, Happening.FAILED): State.SUSPENDED,
    (State.SUSPENDED, Happening.EXPIRED): State.LOST,
    (State.LOST, Happening.ANSWERED): State.CONNECTED,
    (State.LOST, Happening.FAILED): State.LOST,
    (State.LOST, Happening.EXPIRED): State.LOST,
}


@dataclass(slots=True)
class Connection:
    """The state now, when it was last heard, and why not since."""

    belief_s: float
    state: State = State.LOST
    heard_at: float | None = None
    error: str = ""
    _failed: tuple[float, str] = (float("-inf"), "")
    """When a call failed last, and why; an answer to another call does not undo it."""

    def answered(self, now: float) -> None:
        """The coordinator answered, with a result or a refusal."""
        self.heard_at, self.error = now, ""
        self._move(Happening.ANSWERED)

    def failed(self, error: str, now: float) -> None:
        """It could not be asked."""
        self.error, self._failed = error, (now, error)
        self._move(Happening.FAILED)

    def why_silent(self, since: float) -> str:
        """Why a call got no answer that began at ``since``, as far as is known.

        Where a coordinator's store fails, its stream and heartbeats may go on answering
        between the tries of that call.
        """
        failed_at, why = self._failed
        known = why if failed_at >= since else self.error
        return known or "the coordinator did not answer in time"

    def look(self, now: float) -> State:
        """The state at ``now``, time passed since the last answer included."""
        if self.heard_at is None or now - self.heard_at >= self.belief_s:
            self._move(Happening.EXPIRED)
        return self.state

    def _move(self, happening: Happening) -> None:
        self.state = TABLE[self.state, happening]
