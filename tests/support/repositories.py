"""Real git repositories to test with, untouched by the settings of whoever runs the tests."""

import os
import subprocess
from pathlib import Path

ORIGIN = "git@github.com:Org/Name.git"
NAME = "github.com/org/name"
"""The project that ``ORIGIN`` names."""

_WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Test"), ("EMAIL", "test@example.com"))
}


def git(where: Path, *arguments: str, at: int = 1_700_000_000) -> str:
    """Run git in ``where``; a commit is dated ``at`` (seconds since 1970)."""
    dates = {"GIT_AUTHOR_DATE": f"{at} +0000", "GIT_COMMITTER_DATE": f"{at} +0000"}
    apart = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # A submodule from a path is refused unless it is asked for.
    command = ["git", "-C", str(where), "-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(
        command, env=own | _WHO | dates | apart, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def repository(root: Path, origin: str | None = None, *, message: str = "start") -> Path:
    """Make a repository with ``src/a.py`` in its one commit; its id follows from ``message``."""
    (root / "src").mkdir(parents=True)
    (root / "src" / "a.py").write_text("a = 1\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", message)
    if origin:
        git(root, "remote", "add", "origin", origin)
    return root


def clone(source: Path, target: Path, *arguments: str) -> Path:
    """Clone ``source``; its URL is the origin."""
    git(source, "clone", "-q", *arguments, str(source), str(target))
    return target


def worktree(main: Path, target: Path, branch: str) -> Path:
    """Add a linked worktree on a new branch."""
    git(main, "worktree", "add", "-q", "-b", branch, str(target))
    return target
