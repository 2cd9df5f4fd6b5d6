"""Keeping a file that carries a token out of a repository's history."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from scoord.errors import NotAllowed
from scoord.local import atomic_write

_SECONDS = 10


def worktree_root(directory: Path) -> Path | None:
    """Return the root of the worktree around a directory; None outside any repository."""
    root = _git(directory, "rev-parse", "--show-toplevel")
    return Path(root) if root else None


def is_tracked(file: Path) -> bool:
    """Tell whether the repository already holds the file, so that no ignore rule helps."""
    return file.parent.is_dir() and bool(_git(file.parent, "ls-files", "--", file.name))


def exclude(root: Path, pattern: str, examples: Sequence[str]) -> Path | None:
    """Make git ignore a pattern in this clone, for all its worktrees; return the file changed.

    Returns None if git ignores the examples already. Raises NotAllowed if the file
    cannot be written.
    """
    if all(_git(root, "check-ignore", "--", example) for example in examples):
        return None
    file = Path(root, _git(root, "rev-parse", "--git-common-dir"), "info", "exclude")
    try:
        file.parent.mkdir(exist_ok=True)
        old = file.read_bytes() if file.exists() else b""
        gap = b"" if not old or old.endswith(b"\n") else b"\n"
        atomic_write(file, old + gap + pattern.encode() + b"\n", mode=0o644)
    except OSError as failure:
        raise NotAllowed(f"{file}: cannot be written: {failure.strerror}") from failure
    return file


def include(root: Path, pattern: str, name: str) -> Path | None:
    """Take back what ``exclude`` did; return the file changed.

    Returns None if it did nothing, or another worktree of the clone still has the
    file. Raises NotAllowed if it cannot be written.
    """
    file = Path(root, _git(root, "rev-parse", "--git-common-dir"), "info", "exclude")
    line = pattern.encode() + b"\n"
    try:
        old = file.read_bytes() if file.exists() else b""
        lines = old.splitlines(keepends=True)
        if line not in lines or any(Path(tree, name).exists() for tree in _worktrees(root)):
            return None
        atomic_write(file, b"".join(each for each in lines if each != line))
    except OSError as failure:
        raise NotAllowed(f"{file}: cannot be written: {failure.strerror}") from failure
    return file


def _worktrees(root: Path) -> list[str]:
    """Return the roots of all worktrees of the clone but this one."""
    listed = _git(root, "worktree", "list", "--porcelain").splitlines()
    roots = [line.removeprefix("worktree ") for line in listed if line.startswith("worktree ")]
    return [each for each in roots if each != str(root)]


def _git(directory: Path, *arguments: str) -> str:
    """Return what git says, without the last line end; empty if it fails or is missing."""
    try:
        run = subprocess.run(
            ["git", "-C", directory, *arguments], capture_output=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return run.stdout.decode(errors="surrogateescape").removesuffix("\n")
