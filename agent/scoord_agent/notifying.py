"""What the person in front of a session is shown on the desktop, and how often. Decides only."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from scoord.clock import Clock
from scoord.text import one_line
from scoord_agent.local_session import LocalSession
from scoord_agent.settings import SettingsFor

MOST = 3
"""Notices within ``WITHIN_S``, of all sessions together: a person reads no more."""
WITHIN_S = 60.0

_MOST_TEXT = 240  # characters


@dataclass(frozen=True, slots=True)
class Note:
    """One notice on the desktop."""

    title: str
    text: str


class Pacing:
    """Lets through what a person can read, and counts the rest.

    The same words again are news, too: of another session, or of what has happened once more.
    """

    def __init__(self) -> None:
        self._shown: deque[float] = deque(maxlen=MOST)
        self._left_out = 0

    def pace(self, text: str, now: float) -> str | None:
        """Return what is shown of ``text``; None if nothing is."""
        if len(self._shown) == MOST and now - self._shown[0] < WITHIN_S:
            self._left_out += 1
            return None
        self._shown.append(now)
        more, self._left_out = self._left_out, 0
        return f"{text} (and {more} more since: see scoord status)" if more else text


class Notifying:
    """Passes on what concerns a person, unless the settings say not to."""

    def __init__(self, settings: SettingsFor, clock: Clock, show: Callable[[Note], None]) -> None:
        self._settings = settings
        self._clock = clock
        self._show = show
        self._pacing = Pacing()

    def tell(self, session: LocalSession, notice: str) -> None:
        """A session has been told something that its person wants to know; waits for nothing."""
        if not self._settings.at(session.root).session_coordination.show_notifications:
            return
        text = self._pacing.pace(one_line(notice.removeprefix("⚠️ "), _MOST_TEXT), self._clock.now())
        if text is not None:
            self._show(Note(_title(session), text))


def _title(session: LocalSession) -> str:
    project = one_line(session.home.rpartition("/")[2], 60)
    return f"{one_line(session.alias, 40) or 'A session'} in {project}"
