"""What the agent's parts remember of one session, so as not to ask or tell it twice.

It is kept with the session, and so is forgotten with it: an agent runs for weeks, and what
is kept by the ids of sessions elsewhere grows with each that there ever was.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scoord.bounded import BoundedDict
from scoord.claimant import Claimant
from scoord.ids import AgentId, FencingToken, ProjectId, RequestId, SessionId
from scoord.paths import Head
from scoord_agent.held_lock import HeldLock

_MOST_BESIDE: Final = 2_000
_MOST_CROSSED: Final = 2_000
_MOST_ALLOWED: Final = 2_000
_MOST_GIVEN_BACK: Final = 1_000
"""What matters was given back within the last seconds."""

_File = tuple[ProjectId, str]

Edit = tuple[ProjectId, str, AgentId, Path | None]
"""A file that is edited, by whom, and in which worktree."""


@dataclass(frozen=True, slots=True)
class Relied:
    """An edit that has happened under a grant which stood then, as far as was heard."""

    shown: str
    who: Claimant
    token: FencingToken
    at: float


@dataclass(frozen=True, slots=True)
class Allowed:
    """An edit that goes on."""

    token: FencingToken
    """Of its grant; 0 is without one."""
    at: float
    """When it was allowed, on the agent's clock."""


@dataclass(slots=True)
class Remembered:
    """It changes in place, as its session does."""

    beside: BoundedDict[_File, int] = field(default_factory=lambda: BoundedDict(_MOST_BESIDE))
    """The grants that its edits went beside, by file: of those nothing is news."""
    crossed: BoundedDict[tuple[SessionId, ProjectId, str, bool, bool], None] = field(
        default_factory=lambda: BoundedDict(_MOST_CROSSED)
    )
    """Who else has which file on another branch, as it was told."""
    allowed: BoundedDict[Edit, Allowed] = field(default_factory=lambda: BoundedDict(_MOST_ALLOWED))
    """Under which grant each edit was allowed that has not happened yet."""
    relied: BoundedDict[Edit, Relied] = field(default_factory=lambda: BoundedDict(_MOST_ALLOWED))
    """The edits that happened lately: the end of what each relied on may be on its way."""
    given_back: BoundedDict[tuple[_File, FencingToken], None] = field(
        default_factory=lambda: BoundedDict(_MOST_GIVEN_BACK)
    )
    """The grants that it gave back."""
    last_given_back: BoundedDict[tuple[_File, AgentId, str], FencingToken] = field(
        default_factory=lambda: BoundedDict(_MOST_GIVEN_BACK)
    )
    """The last token of a path that each holder gave back on each branch."""
    reclaims: dict[HeldLock, RequestId] = field(default_factory=dict)
    """The command that asks for a lost lock: until it is answered, it is the same one."""
    looked: tuple[float, Head] | None = None
    """When it was last looked what is checked out in its worktree, and what that was."""

    def awaits(self, lock: HeldLock, since: float) -> bool:
        """Whether an edit was allowed by a grant since then, and has not happened yet."""
        asked = (lock.project, lock.key, lock.agent)
        found = (it for edit, it in self.allowed.items() if edit[:3] == asked)
        return any(it.token == lock.token and it.at >= since for it in found)

    def turn_begins(self, agent: AgentId) -> None:
        """A thread begins a turn: what it may edit and has not by now, it never will."""
        for edit in [edit for edit in self.allowed if edit[2] == agent]:
            self.allowed.pop(edit, None)

    def has_given_back(self, lock: HeldLock) -> bool:
        """Whether exactly this grant was given back, which may not have been done yet."""
        return ((lock.project, lock.key), lock.token) in self.given_back
