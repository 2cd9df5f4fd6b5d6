"""Keeping a file that carries a token out of a repository's history."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from scoord import git
from scoord.errors import InvalidPath, NotAllowed
from scoord.git import Repository
from scoord.local import atomic_write

_SECONDS = 10
_SPECIAL = re.compile(r"[\\*?[]")


def worktree_root(directory: Path) -> Path | None:
    """Return the root of the worktree around a directory; None outside any repository."""
    found = _around(directory)
    return Path(found.root) if found else None


def is_tracked(file: Path) -> bool | None:
    """Tell whether the repository already holds the file, so that no ignore rule helps.

    None is that git does not say.
    """
    if not file.parent.is_dir() or _around(file.parent) is None:
        return False
    try:
        return bool(_run(file.parent, "ls-files", "--", file.name))
    except (OSError, subprocess.SubprocessError):
        return None


def keep_out(path: Path, ending: str, examples: Sequence[str]) -> tuple[str, ...]:
    """Make git ignore ``path`` and its ``ending`` in this clone, for all its worktrees.

    ``examples`` are ends of what is ignored then. Returns a note; none if git ignores
    them already, or ``path`` is in no repository. Raises NotAllowed if it cannot be
    written.
    """
    repository, name = _in_repository(path)
    if repository is None:
        return ()
    if all(_git(repository.root, "check-ignore", "--", f"{name}{each}") for each in examples):
        return ()
    file, line = _exclude(repository), _line(name, ending)
    with _writable(file):
        file.parent.mkdir(exist_ok=True)
        old = file.read_bytes() if file.exists() else b""
        if line in old.splitlines(keepends=True):
            return ()
        gap = b"" if not old or old.endswith(b"\n") else b"\n"
        atomic_write(file, old + gap + line, mode=0o644)
    return (f"git now ignores /{name}{ending} (by {file})",)


def let_in(path: Path, ending: str) -> tuple[str, ...]:
    """Take back what ``keep_out`` did, unless another worktree of the clone has such a path.

    Returns a note; none if it did nothing. Raises NotAllowed if it cannot be written.
    """
    repository, name = _in_repository(path)
    if repository is None:
        return ()
    file, line = _exclude(repository), _line(name, ending)
    with _writable(file):
        lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
        if line not in lines or _is_elsewhere(repository, name):
            return ()
        atomic_write(file, b"".join(each for each in lines if each != line))
    return (f"git does not ignore /{name}{ending} any more (by {file})",)


def _in_repository(path: Path) -> tuple[Repository | None, str]:
    """Return the repository that a path is in, and its name there: git looks through no link."""
    folder = Path(os.path.realpath(path.parent))
    repository = _around(folder)
    if repository is None:
        return None, ""
    return repository, (folder / path.name).relative_to(repository.root).as_posix()


def _around(checkout: Path) -> Repository | None:
    try:
        return git.containing(os.path.realpath(checkout))
    except (InvalidPath, OSError):
        return None


def _line(name: str, ending: str) -> bytes:
    """The rule that ignores what has that name, and no other."""
    # A rule is one line: nothing but a wildcard stands for a line end in a name.
    literal = re.sub(r"[\r\n]", "?", _SPECIAL.sub(r"\\\g<0>", name))
    return os.fsencode(f"/{literal}{ending}\n")


def _exclude(repository: Repository) -> Path:
    """The file of rules that all worktrees of a clone share, and nobody else."""
    return Path(repository.common_dir, "info", "exclude")


@contextlib.contextmanager
def _writable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        mend = "see that it is a file that you may write"
        raise NotAllowed(f"{file}: cannot be written: {failure.strerror}; {mend}") from failure


def _is_elsewhere(repository: Repository, name: str) -> bool:
    """Whether another worktree of the clone has a path of that name."""
    listed = _git(repository.root, "worktree", "list", "--porcelain").splitlines()
    roots = [line.removeprefix("worktree ") for line in listed if line.startswith("worktree ")]
    return any(Path(root, name).exists() for root in roots if root != repository.root)


def _git(directory: str | Path, *arguments: str) -> str:
    """Return what git says, without the last line end; empty if it fails or is missing."""
    try:
        return _run(directory, *arguments)
    except (OSError, subprocess.SubprocessError):
        return ""


def _run(directory: str | Path, *arguments: str) -> str:
    run = subprocess.run(
        ["git", "-C", directory, *arguments],
        env=git.environment(),
        capture_output=True,
        timeout=_SECONDS,
        check=True,
    )
    return run.stdout.decode(errors="surrogateescape").removesuffix("\n")
