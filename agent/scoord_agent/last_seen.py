"""When somebody last worked in each worktree of this machine: what came after was missed.

By this machine's wall clock, compared with nobody else's: only how long ago it was is told
to others.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scoord.bounded import BoundedDict
from scoord.clock import Clock
from scoord.ids import ProjectId
from scoord_agent.kept_file import KeptFile
from scoord_agent.local_session import LocalSession

_MOST_PLACES: Final = 512
_MOST_SESSIONS: Final = 8
_SAVE_MS: Final = 60_000
"""What is noted after each turn is written down at most that often."""

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """The last work in one worktree: when that was, and the latest sessions there."""

    at_ms: int
    sessions: tuple[str, ...]


class LastSeen:
    """The last work in each worktree."""

    def __init__(self, file: Path | None, clock: Clock) -> None:
        """Without a ``file`` it is forgotten with the agent."""
        self.file = KeptFile(file, self._content)
        self._clock = clock
        self._places = BoundedDict[_Key, Seen](_MOST_PLACES)
        self._saved_ms = 0

    def of(self, project: ProjectId, worktree: str) -> Seen | None:
        """The last work there; None when nobody has ever worked there."""
        return self._places.get((project, worktree))

    def away_s(self, seen: Seen) -> float:
        """How long ago that was."""
        return max(0, self._clock.wall_ms() - seen.at_ms) / 1000

    def note(self, session: LocalSession, *, save: bool = False) -> None:
        """The session works where it is now."""
        key, now = (session.home, session.worktree), self._clock.wall_ms()
        known = self._places.get(key, Seen(0, ())).sessions
        latest = dict.fromkeys((session.session_id, *known))
        self._places[key] = Seen(now, tuple(latest)[:_MOST_SESSIONS])
        if save or now - self._saved_ms >= _SAVE_MS:
            self.save()

    def save(self) -> None:
        """Have it written down."""
        self._saved_ms = self._clock.wall_ms()
        self.file.changed()

    def _content(self) -> bytes:
        lines = [_line(*key, seen) for key, seen in self._places.items()]
        return "\n".join(lines).encode() + b"\n"

    def load(self) -> None:
        """Read what was written down; what cannot be read is left out."""
        for line in self.file.lines():
            try:
                kept = _Line.model_validate_json(line)
            except ValidationError:
                continue
            seen = Seen(kept.at_ms, tuple(kept.sessions[:_MOST_SESSIONS]))
            self._places[kept.project, kept.worktree] = seen


class _Line(BaseModel):
    """One worktree as it is written down. A full disk or a crash may have left anything."""

    model_config = ConfigDict(strict=True, extra="ignore")

    project: str
    worktree: str
    at_ms: Annotated[int, Field(ge=0)]
    sessions: list[str]


def _line(project: str, worktree: str, seen: Seen) -> str:
    kept = {"project": project, "worktree": worktree}
    return json.dumps({**kept, "at_ms": seen.at_ms, "sessions": seen.sessions})
