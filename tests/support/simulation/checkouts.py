"""What is checked out on each machine, and what is changed there: git, without git."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scoord.ids import ProjectId
from scoord.names import path_key
from scoord.paths import Head
from support.simulation.projects import PROJECT

MAIN, OTHER, LINKED = "main", "feature", "topic"


@dataclass
class Checkout:
    """A worktree of a machine; its sessions share it."""

    root: Path
    branch: str
    """Empty where it is detached."""
    project: ProjectId = PROJECT
    changed: dict[str, None] = field(default_factory=dict)
    """The keys of files that were edited since they were last committed."""
    branches: list[tuple[float, str]] = field(default_factory=list)
    """What was checked out before, and until when."""
    committed: dict[str, list[str]] = field(default_factory=dict)
    """The files of each commit that was made here, oldest first."""
    _commits: int = 0

    @property
    def head(self) -> Head:
        """As git would say it."""
        return Head(self.branch, f"{self._commits:040x}")

    def edit(self, path: str) -> None:
        """A file is changed."""
        self.changed[path_key(path)] = None

    def commit(self, paths: list[str]) -> None:
        """A new commit has these files as they are."""
        self._commits += 1
        self.committed[self.head.commit] = paths
        for path in paths:
            self.changed.pop(path_key(path), None)

    def switch(self, now_s: float) -> None:
        """Check another branch out, of another commit; what is changed stays so."""
        self.branches.append((now_s, self.branch))
        self.branch = OTHER if self.branch == MAIN else MAIN
        self._commits += 1

    def since(self, at_s: float) -> set[str]:
        """Every branch that was checked out then or later."""
        return {self.branch, *(branch for until_s, branch in self.branches if until_s >= at_s)}


def whose(checkouts: Sequence[Checkout], project: str, cwd: str) -> Checkout:
    """Where somebody at ``cwd`` finds the files of a project: there, or in its own worktree."""
    there = [checkout for checkout in checkouts if checkout.project == project]
    return next((checkout for checkout in there if str(checkout.root) == cwd), there[0])


class Checkouts(dict[Path, Checkout]):
    """All machines', by where they are: in place of the functions of ``scoord.git``."""

    def add(self, checkout: Checkout) -> Checkout:
        """One more."""
        self[checkout.root] = checkout
        return checkout

    def branch_of(self, root: str) -> str:
        """As ``git.branch``."""
        return self[Path(root)].branch

    def changed_of(self, root: str, paths: list[str], until: float) -> list[str]:
        """As ``git.changed``."""
        return [path for path in paths if path_key(path) in self[Path(root)].changed]

    def commits_since(self, root: str, before: str) -> list[str]:
        """As ``git.commits_since``: a switch is none."""
        made = reversed(self[Path(root)].committed)
        return [commit for commit in made if int(commit, 16) > int(before, 16)]

    def files_of(self, root: str, commits: Sequence[str], until: float) -> dict[str, list[str]]:
        """As ``git.files_of``."""
        committed = self[Path(root)].committed
        return {commit: committed[commit] for commit in commits}
