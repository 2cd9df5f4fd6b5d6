"""Time that a test sets."""


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, now: float = 1_000.0, wall_ms: int = 1_700_000_000_000) -> None:
        self._now = now
        self._wall_ms = wall_ms

    def now(self) -> float:
        """Seconds, as set."""
        return self._now

    def wall_ms(self) -> int:
        """Milliseconds, as set."""
        return self._wall_ms

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._now += seconds
        self._wall_ms += round(seconds * 1000)
