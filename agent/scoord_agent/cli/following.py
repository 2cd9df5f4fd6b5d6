"""Lines of history as they come, also while the agent is being replaced."""

import time
from collections.abc import Iterator, Mapping
from typing import Final

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
    """How far a history was shown: to a revision, of which there may be several lines."""

    def __init__(self) -> None:
        self._revision = -1
        self._ids: set[str] = set()
        self._at: float | None = None

    def take(self, line: Answer, now: float) -> bool:
        """Go on to a line; False where it was shown already."""
        revision, name = line.get("revision", 0), line["event_id"]
        if revision < self._revision or name in self._ids:
            return False
        self._ids = {name} if revision > self._revision else self._ids | {name}
        self._revision, self._at = revision, now - line["ago_s"]
        return True

    def rest_of(self, question: Mapping[str, object], now: float) -> dict[str, object]:
        """Return what asks for the lines behind those that were shown."""
        if self._at is None:
            return dict(question)
        since_s = min(max(0.0, now - self._at) + _MARGIN_S, _MOST_S)
        return {**question, "since_s": since_s, "limit": _MOST_MISSED}
