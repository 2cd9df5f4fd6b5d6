"""What one holder asks for: files of one project, or one pattern."""

from dataclasses import dataclass

from scoord.claimant import Claimant
from scoord.config import Settings
from scoord.ids import AgentId, ProjectId
from scoord.paths import FileIdentity, Head
from scoord.text import one_line
from scoord_agent.local_session import LocalSession
from scoord_agent.places import folder_of
from scoord_agent.turns import Asked, Place, Queued

NO_HEAD = Head()
"""What is checked out where there is no repository."""


@dataclass(frozen=True, slots=True)
class Request:
    """One holder that wants files of one project, or all files that a pattern matches."""

    session: LocalSession
    agent: AgentId
    project: ProjectId
    files: tuple[FileIdentity, ...]
    """A pattern goes by the same fields as a file, and goes alone."""
    settings: Settings
    reason: str
    conflict_action: str
    head: Head = NO_HEAD
    """What is checked out in their worktree."""
    reason_given: bool = False
    """Whether somebody gave the reason for these locks: what it has already gets it, too."""
    shared: bool = False
    lasts_s: float = 0.0
    """The locks end by themselves after so many seconds; 0 is never."""
    is_pattern: bool = False
    queues: bool = True
    """Whether a refusal takes a place in the queue: not where nobody could be told of the turn."""
    waits: bool = False
    """Whether a command waits, and goes on asking: what is refused it promises nobody a turn."""

    @property
    def by_branch(self) -> bool:
        """Whether locks hold on a branch each where it asks."""
        return self.settings.session_coordination.scope == "branch"

    @property
    def shown(self) -> list[str]:
        """The files, as people write them."""
        return [file.shown for file in self.files]

    @property
    def keys(self) -> set[str]:
        """The files, as they are compared."""
        return {file.key for file in self.files}

    @property
    def claimant(self) -> Claimant:
        """Who asks, and how far."""
        return claimant(self.session, self.agent, self.settings, self.head, shared=self.shared)

    @property
    def places(self) -> dict[Place, Queued]:
        """Where it would wait, and how."""
        who, branch = (self.session.session_id, self.agent), self.claimant.branch
        return {
            Place(self.project, file.key, *who, branch): Queued(
                file.shown, branch=branch, asked=self._asked(file)
            )
            for file in self.files
        }

    def _asked(self, file: FileIdentity) -> Asked:
        worktree = folder_of(file.worktree) if self.by_branch else ""
        claim_s = self.settings.session_coordination.claim_timeout
        return Asked(worktree, claim_s, promised=not self.waits)


def claimant(
    session: LocalSession, agent: AgentId, settings: Settings, head: Head, *, shared: bool = False
) -> Claimant:
    """Who a holder is by its project's settings: confined to its branch or not."""
    branch = confined_to(settings, head)
    return Claimant(session.session_id, agent, shared=shared, branch=branch)


def confined_to(settings: Settings, head: Head) -> str:
    """The branch that locks hold on by a project's settings; empty where it is every one."""
    return one_line(head.branch) if settings.session_coordination.scope == "branch" else ""
