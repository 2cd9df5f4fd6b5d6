"""Between which revisions the store was when, as far as this replica knows.

No two machines' wall clocks are compared: who asks says how long ago something was, and
this replica looks up what it knew of the store around then, on its own clock. What it has
seen, by its watch or in an answer, the store had come to by then; a watch may be late, so
only the answer to what was asked afterwards shows that the store had come no further.
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


class Span(NamedTuple):
    """The store was at ``low`` at least at some moment, and at ``high`` at most."""

    low: int
    high: float
    """Without end where nothing was asked since."""


@dataclass(slots=True)
class _Looks:
    """What was known when, by moments that are ``step_s`` apart."""

    step_s: float
    most: int
    _lows: deque[tuple[float, int]] = field(init=False)
    _highs: deque[tuple[float, int]] = field(init=False)

    def __post_init__(self) -> None:
        self._lows, self._highs = deque(maxlen=self.most), deque(maxlen=self.most)

    def seen(self, now: float, revision: int) -> None:
        """Of one step the last one counts, as if it had been seen at its end.

        What comes late is no news.
        """
        last_at, last = self._lows[-1] if self._lows else (-math.inf, 0)
        if revision < last:
            return
        if now - last_at < self.step_s:
            self._lows[-1] = (last_at, revision)
        else:
            self._lows.append((now, revision))

    def bounded(self, begun: float, revision: int) -> None:
        """Of one step the first one counts; one that was overtaken says nothing new."""
        if not self._highs or begun >= self._highs[-1][0] + self.step_s:
            self._highs.append((begun, revision))

    def span(self, at: float) -> Span:
        lows = (revision for seen, revision in reversed(self._lows) if seen + self.step_s <= at)
        highs = (revision for begun, revision in self._highs if begun > at)
        return Span(next(lows, 0), next(highs, math.inf))


@dataclass(slots=True)
class Past:
    """The last minutes closely, some hours roughly."""

    _fine: _Looks = field(default_factory=lambda: _Looks(FINE_S, _MOST_FINE))
    _coarse: _Looks = field(default_factory=lambda: _Looks(COARSE_S, _MOST_COARSE))

    def seen(self, now: float, revision: int) -> None:
        """All up to ``revision`` has been seen."""
        self._fine.seen(now, revision)
        self._coarse.seen(now, revision)

    def bounded(self, begun: float, revision: int) -> None:
        """What was asked at ``begun`` found nothing later than ``revision`` done before it."""
        self._fine.bounded(begun, revision)
        self._coarse.bounded(begun, revision)

    def forget(self) -> None:
        """Know nothing any more: all that was seen is of another store."""
        self._fine, self._coarse = _Looks(FINE_S, _MOST_FINE), _Looks(COARSE_S, _MOST_COARSE)

    def span(self, at: float) -> Span:
        """Between which revisions the store was then. What nobody saw may be anything."""
        fine, coarse = self._fine.span(at), self._coarse.span(at)
        return Span(max(fine.low, coarse.low), min(fine.high, coarse.high))
