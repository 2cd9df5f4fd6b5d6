"""Lines of history as they come, also while the agent is being replaced."""

import time
from collections.abc import Iterator, Mapping
from typing import Final

from scoord.bounded import Once
from scoord.clock import SystemClock
from scoord.errors import CoordinatorUnreachable, DeadlineExceeded
from scoord_agent.cli import local_client
from scoord_agent.cli.local_client import Answer
from scoord_agent.cli.waiting import PATIENCE_S

_AGAIN_S: Final = 0.5

_MARGIN_S: Final = 60.0
"""How much the clocks behind the ages of lines may differ."""

_MOST_MISSED: Final = 10_000
"""Lines; as many as one question may ask for."""

_MOST_S: Final = 365 * 86_400.0
"""The same, of seconds."""


def follow(question: Mapping[str, object]) -> Iterator[Answer]:
    """Yield the lines that are asked for, then each that comes, once.

    Raises what the agent says, and CoordinatorUnreachable or DeadlineExceeded when it is
    not there, or has been away for long.
    """
    seen, clock, heard_at = _Seen(), SystemClock(), float("-inf")
    while True:
        try:
            for line in local_client.follow_history(**seen.rest_of(question, clock.now())):
                heard_at = clock.now()
                if "error" in line:
                    break
                if "event" in line and seen.take(line["event"], heard_at):
                    yield line["event"]
        except (CoordinatorUnreachable, DeadlineExceeded):
            if clock.now() - heard_at > PATIENCE_S:
                raise
            time.sleep(_AGAIN_S)
        else:
            raise local_client.failure_of(line["error"])


class _Seen:
    """Which lines of a history were shown, and when the latest of them was written."""

    def __init__(self) -> None:
        # More than are sent again, of which clocks that differ may leave some out.
        self._shown = Once[str](2 * _MOST_MISSED)
        self._first = ""
        self._oldest = ""
        self._at: float | None = None

    def take(self, line: Answer, now: float) -> bool:
        """Go on to a line; False where it was shown already, or is older than what was asked for.

        Revisions do not tell: what is sent first is in the order of several clocks, and a store
        that was wiped, or restored, begins again with lower ones.
        """
        name, at = line["event_id"], now - line["ago_s"]
        if name < self._oldest:
            return False
        self._oldest = ""  # what is sent again is in the order of names, what comes then is not
        self._first = self._first or name
        self._at = at if self._at is None else max(at, self._at)
        return self._shown.is_new(name)

    def rest_of(self, question: Mapping[str, object], now: float) -> dict[str, object]:
        """Return what asks for the lines behind those that were shown."""
        if self._at is None:
            return dict(question)
        self._oldest = self._first  # names are in the order of time: the margin reaches back
        since_s = min(max(0.0, now - self._at) + _MARGIN_S, _MOST_S)
        return {**question, "since_s": since_s, "limit": _MOST_MISSED}
