"""A task that a session was given, and whether it works on it. Pure.

It does when its prompt means the task, or when it edits a file that the task names.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from scoord.ids import ProjectId
from scoord.paths import FileIdentity
from scoord_agent.knowledge.meant import means

KEPT_S: Final = 120
"""How long work is kept for who asked for it, or works on it, unless it is kept again."""
AGAIN_S: Final = 40.0
"""How often it is kept again: one time that fails does no harm."""
MOST_AGAIN: Final = 45
"""How often at most, half an hour in all: by then who works on it has said or shown so again."""

_MOST_READ: Final = 2000


@dataclass(frozen=True, slots=True)
class Given:
    """A task that a session was offered. It is the same by any title, and in any repository."""

    project: ProjectId
    task_id: str
    title: str = field(compare=False)
    files: frozenset[str] = field(default=frozenset(), compare=False)
    """Keys of those that its title names."""

    def is_meant(self, prompt: str) -> bool:
        """Whether a prompt names it, or says what it says."""
        name, said = re.escape(self.task_id), prompt[:_MOST_READ]
        # The name of one in a file is a word of its own, and not the end of a longer one, as
        # that of a file in a folder; that of another is a number.
        begin = r"(?<![\w-])(?<!\w[./])" if "#" in self.task_id else r"\btask\s+"
        named = re.search(rf"{begin}{name}(?!\w)", said, re.IGNORECASE)
        return named is not None or means(said, self.title)


@dataclass(frozen=True, slots=True)
class Pursuit:
    """A task that a session works on."""

    task: Given
    kept_at: float = float("-inf")
    """When the task was last kept for it, by the agent's clock."""
    again: int = 0
    """How often it was, since the session was last seen to work on it."""
    missed: bool = False
    """Whether another was offered it meanwhile, and the session was told so."""

    @property
    def is_over(self) -> bool:
        """Whether the session was not seen to work on it for long."""
        return self.again >= MOST_AGAIN

    def is_due(self, now: float) -> bool:
        """Whether it is to be kept again."""
        return not self.is_over and now - self.kept_at >= AGAIN_S

    def kept(self, now: float) -> "Pursuit":
        """The same, kept once more."""
        return replace(self, kept_at=now, again=self.again + 1)


def meant(given: Iterable[Given], prompt: str) -> Given | None:
    """The task that a prompt is about."""
    return next((task for task in given if task.is_meant(prompt)), None)


def touched(given: Iterable[Given], file: FileIdentity) -> Given | None:
    """The task that an edit of a file is for: the one that names the fewest."""
    found = (task for task in given if task.project == file.project and file.key in task.files)
    return min(found, key=lambda task: len(task.files), default=None)
