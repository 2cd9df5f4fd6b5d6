"""Up to which revision the store was when, as far as this replica saw it.

No two machines' wall clocks are compared: who asks says how long ago something was, and
this replica looks up what it had seen of the store by then, on its own clock.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

FINE_S: Final = 0.1
COARSE_S: Final = 10.0

_MOST_FINE: Final = 3_000
_MOST_COARSE: Final = 1_440
"""Four hours, as long as traces are kept."""

_QUIET_S: Final = 6.0
"""The store is heard of more often than this, as long as it can be heard."""


class Span(NamedTuple):
    """The store was at ``low`` at least at some moment, and at ``high`` at most."""

    low: int
    high: float
    """Without end where nothing was seen since."""


@dataclass(slots=True)
class _Looks:
    """What was seen when; looks of one ``step_s`` are one."""

    step_s: float
    most: int
    _seen: deque[tuple[float, int]] = field(init=False)

    def __post_init__(self) -> None:
        self._seen = deque(maxlen=self.most)

    def note(self, now: float, revision: int) -> None:
        if self._seen and now - self._seen[-1][0] < self.step_s:
            self._seen[-1] = (self._seen[-1][0], revision)
        else:
            self._seen.append((now, revision))

    def reaches(self, at: float) -> bool:
        return bool(self._seen) and self._seen[0][0] <= at

    def span(self, at: float, now: float) -> Span:
        """A silence may hide when that was changed which was seen after it."""
        low, last = 0, (-math.inf, 0)
        for look in self._seen:
            if look[0] > at:
                after: tuple[float, float] = look
                break
            last = look
            low = look[1] if look[0] + self.step_s <= at else low
        else:
            after = now, math.inf
        was_silent = after[0] - last[0] > self.step_s + _QUIET_S
        return Span(low, after[1] if was_silent else last[1])


@dataclass(slots=True)
class Past:
    """The last minutes closely, some hours roughly."""

    _fine: _Looks = field(default_factory=lambda: _Looks(FINE_S, _MOST_FINE))
    _coarse: _Looks = field(default_factory=lambda: _Looks(COARSE_S, _MOST_COARSE))

    def note(self, now: float, revision: int) -> None:
        """All up to ``revision`` has been seen."""
        self._fine.note(now, revision)
        self._coarse.note(now, revision)

    def span(self, at: float, now: float) -> Span:
        """Between which revisions the store was then. What nobody saw may be anything."""
        looks = self._fine if self._fine.reaches(at) else self._coarse
        return looks.span(at, now)
