"""What is known of one session's work: its steps, pace, edits, and whom it waits for.

It changes in place, as its session does, and does no I/O. Times are the agent's clock's.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from scoord.bounded import BoundedDict
from scoord.ids import ProjectId, SessionId
from scoord.names import path_key
from scoord.paths import FileIdentity
from scoord_agent import pace
from scoord_agent.pace import Left, Mark
from scoord_agent.pursuit import Given, Pursuit
from scoord_agent.steps import TaskList
from scoord_hooks.neutral import Steps

TASKS: Final = "tasks"
SAID: Final = "said"

_MOST_EDITED: Final = 2_000
_MOST_AREAS: Final = 5
_MOST_IMPORTING: Final = 100
_MOST_TOLD: Final = 500
_MOST_SAID: Final = 20

FileKey = tuple[ProjectId, str]
"""A file, by its project and what its path is compared by."""

Hold = tuple[ProjectId, str, str]
"""What another session has: the project, the session, and the thing by what it is compared by."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    done: int
    total: int
    percent: int
    step: str
    source: str


@dataclass(frozen=True, slots=True)
class On:
    """Another session that this one depends on, and the path that it is about, if any."""

    session: SessionId
    alias: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Importer:
    """An edited file, and the paths that it imports: as shown, by what they are compared by."""

    file: FileIdentity
    paths: Mapping[str, str]


@dataclass(slots=True)
class Work:
    """All of it."""

    tasks: TaskList = field(default_factory=TaskList)
    percent: int = 0
    step: str = ""
    source: str = ""
    """Who told last how far it is: ``TASKS``, ``SAID``, or nobody."""
    marks: tuple[Mark, ...] = ()
    edits: int = 0
    commits: int = 0
    edited: BoundedDict[FileKey, str] = field(default_factory=lambda: BoundedDict(_MOST_EDITED))
    """The files as shown, the last edited last."""
    areas: BoundedDict[str, None] = field(default_factory=lambda: BoundedDict(_MOST_AREAS))
    """Where its latest edits were, the last one last."""
    waits: dict[FileKey, On] = field(default_factory=dict)
    """For what it has places in queues, and who was in the way."""
    imports: BoundedDict[FileKey, Importer] = field(
        default_factory=lambda: BoundedDict(_MOST_IMPORTING)
    )
    """What its latest edited files import, as far as that was known."""
    depends: BoundedDict[SessionId, On] = field(default_factory=lambda: BoundedDict(_MOST_SAID))
    """On whom it depends, as was said."""
    looked_at: BoundedDict[FileKey, tuple[str, ...]] = field(
        default_factory=lambda: BoundedDict(_MOST_EDITED)
    )
    """Of which files it was looked what their edits touch, and the keys that their test or
    source would have."""
    told: BoundedDict[Hold, int] = field(default_factory=lambda: BoundedDict(_MOST_TOLD))
    """Of what it was told that its own work depends on it, and the last token of that."""
    given: tuple[Given, ...] = ()
    """The tasks that it was offered last."""
    pursuit: Pursuit | None = None
    """That on which it works, as far as it is seen to."""
    offering: asyncio.Lock = field(default_factory=asyncio.Lock, compare=False)
    """Who has work kept for it holds this: each offer lets go of what the one before kept."""
    worked_s: float = 0.0
    """How long it worked until it was last idle."""
    working_since: float | None = None

    def begin_anew(self) -> None:
        """Its conversation is over: what it was to do is. What it did, and waits for, stays."""
        self.tasks, self.percent, self.step, self.source = TaskList(), 0, "", ""
        self.marks, self.working_since = (), None
        self.given, self.pursuit = (), None
        self.areas.clear()
        self.looked_at.clear()
        self.told.clear()

    def note_told(self, hold: Hold, tokens: Iterable[int], areas: Iterable[str] = ()) -> None:
        """It is told of what another session has now, by these tokens, and in which areas it is."""
        project, session, _ = hold
        self.told[hold] = max(self.told.get(hold, 0), *tokens)
        for area in areas:
            where = project, session, path_key(area)
            self.told[where] = self.told.get(where, 0)

    def knows_and_notes(self, hold: Hold, tokens: Collection[int]) -> bool:
        """Whether it was told of it, and one of the grants is from before; all are known then."""
        known = self.told.get(hold, -1) >= min(tokens)
        if known:
            self.note_told(hold, tokens)
        return known

    def importers(self, project: ProjectId, key: str) -> list[Importer]:
        """Its edited files that import the path."""
        found = (one for one in self.imports.values() if key in one.paths)
        return [one for one in found if one.file.project == project]

    def works(self, now: float) -> None:
        """It works from now on, if it did not already."""
        if self.working_since is None:
            self.working_since = now

    def rests(self, now: float) -> None:
        """It waits for its person from now on."""
        self.worked_s, self.working_since = self.worked(now), None

    def worked(self, now: float) -> float:
        """For how long it has worked."""
        since = self.working_since
        return self.worked_s + (max(0.0, now - since) if since is not None else 0.0)

    def told_steps(self, said: Steps, now: float) -> None:
        """Its coding CLI has told of its task list."""
        before = self.tasks
        self.tasks = before.told(said)
        other = self.source != TASKS or not before.steps
        self._mark(self.tasks.done, now, afresh=other)
        self.source = TASKS if self.tasks.steps else ""

    def said_percent(self, percent: int, step: str, now: float) -> None:
        """A person or script has told how far it is."""
        self._mark(percent, now, afresh=self.source != SAID)
        self.percent, self.step, self.source = percent, step, SAID

    @property
    def progress(self) -> Progress | None:
        """How far it is, by who told last; None when nobody did."""
        done, total = self.tasks.done, self.tasks.total
        match self.source:
            case "tasks":
                return Progress(done, total, 100 * done // total, self.tasks.current, TASKS)
            case "said":
                return Progress(0, 0, self.percent, self.step, SAID)
        return None

    def left(self, now: float) -> Left | None:
        """How long it will take yet; None when it cannot be told, as of one that rests."""
        if self.working_since is None or not self.source:
            return None
        total = self.tasks.total if self.source == TASKS else 100
        return pace.left(self.marks, total, self.worked(now))

    def edit(self, project: ProjectId, shown: str, area: str) -> bool:
        """It has edited a file; whether that says something new."""
        file = project, path_key(shown)
        new = file not in self.edited
        self.edited[file] = shown
        self.edits += new
        moved = bool(area) and area != next(reversed(self.areas), "")
        if moved:
            self.areas[area] = None
        return new or moved

    def _mark(self, done: int, now: float, *, afresh: bool) -> None:
        self.marks = pace.marked(() if afresh else self.marks, self.worked(now), done)
