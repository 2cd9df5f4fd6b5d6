"""What a git repository on this disk says of itself, without changing anything in it.

Finding a repository, its branch and its commit are reads of small files, cheap
enough for every edit. What else there is starts git itself, so that its own rules
for settings (includes, ``insteadOf``, ``safe.directory``) hold; callers keep the
answers. It does not know what a project is.
"""

import os
import re
import stat
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scoord.errors import DeadlineExceeded, InvalidPath
from scoord.regular import read_regular

GIT_PATIENCE_S = 1.5
"""How long git may take for all that one look at a repository asks. A hook that waits for
it answers within 1.9 s, and shall have the time to say why."""

_TAIL = 65_536  # bytes of a reflog: some hundred entries
_MOST_BYTES = 16 * 1024 * 1024
"""Of what git lists or keeps in one file; what is over that is left out."""

_MOST_COMMITS = 200  # that are looked into at once

UNBORN = "0" * 40
"""What is checked out before a repository's first commit, as git's own logs write it."""

_SMALL = 4096  # bytes; .git files, HEAD and loose refs are one short line
_MOST_LINKS = 5  # git follows as many from one symbolic ref to the next
_TRUST = "safe.directory"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_KEPT_VARIABLES = frozenset({"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"})


@dataclass(frozen=True, slots=True)
class Repository:
    """One worktree of a repository, by the directories that make it one."""

    root: str
    """Top of the worktree; a real path."""
    git_dir: str
    """What is this worktree's own: HEAD, index."""
    common_dir: str
    """What all worktrees share: settings, refs, objects."""

    @property
    def place(self) -> str:
        """Where the repository is, the same for all its worktrees: as a rule the main one."""
        return os.path.realpath(self.common_dir).removesuffix("/.git") or "/"


def containing(directory: str) -> Repository | None:
    """Return the innermost worktree that contains ``directory`` (a real path).

    Raises InvalidPath if its ``.git`` file names a repository that is not there,
    and OSError if a directory on the way cannot be looked into.
    """
    while True:
        found = _at(directory)
        parent = os.path.dirname(directory)  # noqa: PTH120  # strings: the way of every edit
        if found or parent == directory:
            return found
        directory = parent


def at(place: str) -> Repository | None:
    """Return the repository in just this folder, a worktree or bare; None if none can be read."""
    try:
        return _at(place) or _bare(place)
    except (InvalidPath, OSError):
        return None


def branch(root: str) -> str:
    """Return the branch checked out at ``root``; empty when detached or unknown."""
    repository = _at_or_none(root)
    head = _line(f"{repository.git_dir}/HEAD") if repository else ""
    name = head.removeprefix("ref: refs/heads/")
    # Where refs are in a reftable, HEAD is a file for older readers with no valid name.
    return "" if name in (head, ".invalid") else name


def commit(root: str) -> str:
    """Return the id of the commit checked out at ``root``; empty when unknown.

    ``UNBORN`` before the repository's first.
    """
    repository = _at_or_none(root)
    value = _line(f"{repository.git_dir}/HEAD") if repository else ""
    for _ in range(_MOST_LINKS):
        if repository is None or not value.startswith("ref: refs/") or ".." in value:
            break
        value = _ref(repository, value.removeprefix("ref: "))
    if repository and not value and _is_unborn(repository):
        return UNBORN
    return value if _COMMIT.fullmatch(value) else ""


def commits_since(root: str, before: str) -> list[str]:
    """Return which commits were made at ``root`` since ``before`` was checked out there.

    By the reflog, which tells commits from what a pull, a rebase or a switch brought; none
    where there is no such log, or it does not reach back so far.
    """
    repository = _at_or_none(root)
    lines = _tail(f"{repository.git_dir}/logs/HEAD") if repository else []
    made = list[str]()
    for line in reversed(lines):
        names, _, what = line.partition("\t")
        was, *after = names.split(" ", 2)[:2]
        if after == [before]:
            return made
        if what.startswith(("commit: ", "commit (initial): ", "commit (merge): ")):
            made += after
        if before == UNBORN and after and was == "0" * len(after[0]):
            return made
    return []


def patience() -> float:
    """Return until when git may be waited for, if one look at a repository begins now."""
    return time.monotonic() + GIT_PATIENCE_S


def origin(directory: str, until: float) -> str | None:
    """Return the URL of the remote ``origin``, as git would use it.

    Raises InvalidPath, and DeadlineExceeded if git has not answered ``until`` then.
    """
    asked = _ask(until, directory, "remote", "get-url", "origin")
    if asked.returncode and "No such remote" in asked.stderr:
        return None
    return _answer(directory, asked).partition("\n")[0] or None


def main_root(repository: Repository, until: float) -> str | None:
    """Return the main worktree's root; None where there is none, or nothing tells which.

    Git does not know it either once the repository is elsewhere, by a link or by
    ``--separate-git-dir``: only the main worktree knows its repository then. Raises
    as ``origin``.
    """
    parent, name = os.path.split(repository.common_dir)
    if name == ".git":
        return parent
    if repository.git_dir == repository.common_dir:
        return repository.root
    # Of a submodule, the settings tell. Most others are bare: git is not started for these.
    if "worktree" not in _line(f"{repository.common_dir}/config").lower():
        return None
    asked = _ask(until, repository.common_dir, "rev-parse", "--show-toplevel")
    main = at(asked.stdout.rstrip("\n")) if not asked.returncode else None
    return main.root if main and main.place == repository.place else None


def root_commit(directory: str, until: float) -> str | None:
    """Return the oldest commit without parents; None when there is none, or history is cut.

    Of all that is reachable from any branch, whichever is checked out, so that a
    worktree on an orphan branch (``gh-pages``) has the name of the others. Raises
    as ``origin``.
    """
    all_history = ("--exclude=refs/notes/*", "--exclude=refs/stash", "--all")
    asked = _ask(until, directory, "rev-list", "--timestamp", "--max-parents=0", *all_history)
    roots = [line.split() for line in _answer(directory, asked).splitlines()]
    shallow = _ask(until, directory, "rev-parse", "--is-shallow-repository")
    if not roots or _answer(directory, shallow).strip() != "false":
        return None
    return min((int(seconds), commit) for seconds, commit in roots)[1]


def changed(root: str, paths: Sequence[str], until: float) -> list[str]:
    """Return which of ``paths`` differ from the commit: edited, staged, or not in it at all.

    They are relative to ``root``; more may be returned than was asked for. Raises as
    ``origin``.
    """
    # In any case, as files are compared here. Where an accent may be written in two
    # ways git would see one of them only, so there it tells of all.
    named = [f":(top,literal,icase){path}" for path in paths] if all(map(_plain, paths)) else []
    asked = _ask(
        until,
        root,
        *("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--"),
        *named,
    )
    return [entry[3:] for entry in _answer(root, asked).split("\0") if entry]


def files(root: str, until: float) -> list[str]:
    """Return the files that git knows at ``root``, as far as they fit into some megabytes.

    Raises as ``origin``; what git could not list ``until`` then is left out.
    """
    listed = _read(until, root, "ls-files", "-z", "--cached")
    return [os.fsdecode(name) for name in listed.split(b"\0")[:-1] if name]


def touched(root: str, most: int, until: float) -> list[list[str]]:
    """Return which files each of the latest ``most`` commits touched, the latest first.

    Merges are left out. Bounded and raises as ``files``.
    """
    plain = ("--no-renames", "--no-merges", "--no-color", "--no-show-signature", "--no-relative")
    which = ("--name-only", "--format=%x01", f"--max-count={most}")
    commits = _read(until, root, "log", "-z", *plain, *which).split(b"\x01")[1:]
    names = ([os.fsdecode(name.strip(b"\n")) for name in each.split(b"\0")] for each in commits)
    return [[name for name in each if name] for each in names]


def files_of(root: str, commits: Sequence[str], until: float) -> dict[str, list[str]]:
    """Return which files each of ``commits`` changed; of a merge, what it has of no parent.

    Bounded and raises as ``files``; nothing is told of what git does not know.
    """
    plain = ("--no-renames", "--no-color", "--no-show-signature", "--no-relative", "-c", "--root")
    which = ("--name-only", "--format=%x01%H", "--no-walk=unsorted", *commits[:_MOST_COMMITS])
    told = _read(until, root, "log", "-z", *plain, *which, "--").split(b"\x01")[1:]
    names = ([os.fsdecode(name.strip(b"\n")) for name in each.split(b"\0")] for each in told)
    return {commit: [name for name in rest if name] for commit, *rest in names}


def environment() -> dict[str, str]:
    """Return our environment without what would point git at another repository."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in _KEPT_VARIABLES
    }
    # Looking must not fetch, prompt, write an index or follow replaced commits.
    return kept | {
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _read(until: float, directory: str, *arguments: str) -> bytes:
    """Read what git prints: no more than ``_MOST_BYTES``, and no longer than ``until``."""
    command = ["git", "-C", directory, *arguments]
    try:
        process = subprocess.Popen(
            command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError as failure:
        raise InvalidPath(f"{directory} is a git repository, but git is not installed") from failure
    with process:
        timer = threading.Timer(max(0.0, until - time.monotonic()), process.kill)
        timer.start()
        try:
            return process.stdout.read(_MOST_BYTES) if process.stdout else b""
        finally:
            process.kill()
            timer.cancel()


def _plain(path: str) -> bool:
    return path.isascii()


def _at(root: str) -> Repository | None:
    dot_git = f"{root.rstrip('/')}/.git"
    try:
        mode = os.stat(dot_git).st_mode  # noqa: PTH116  # strings: the way of every edit
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(mode):
        common_dir = _common_dir(dot_git)
        return Repository(root, dot_git, common_dir) if common_dir else None
    return _linked(root, dot_git) if stat.S_ISREG(mode) else None


def _bare(place: str) -> Repository | None:
    common_dir = _common_dir(place)
    return Repository(place, place, common_dir) if common_dir else None


def _at_or_none(root: str) -> Repository | None:
    try:
        return _at(root)
    except (InvalidPath, OSError):
        return None


def _linked(root: str, dot_git: str) -> Repository | None:
    """Read a ``.git`` file: a linked worktree's, or a submodule's."""
    line = _line(dot_git)
    if not line.startswith("gitdir: "):
        return None
    git_dir = _real(root, line.removeprefix("gitdir: "))
    common_dir = _common_dir(git_dir)
    if common_dir is None:
        raise InvalidPath(
            f"{dot_git} names a repository that is not there, or not whole: {git_dir};"
            " in a container, mount that repository at this very place, too; if it was moved,"
            " `git worktree repair` in the main worktree may mend it"
        )
    return Repository(root, git_dir, common_dir)


def _common_dir(git_dir: str) -> str | None:
    """Return what a git directory shares with others; None if it is not one (setup.c)."""
    if not os.path.lexists(f"{git_dir}/HEAD"):
        return None
    named = _line(f"{git_dir}/commondir")
    common = Path(_real(git_dir, named) if named else git_dir)
    complete = (common / "objects").is_dir() and (common / "refs").is_dir()
    return str(common) if complete else None


def _real(start: str, path: str) -> str:
    # Not Path.resolve: at a link to itself it fails, in some versions of Python.
    return os.path.realpath(Path(start, path))


def _is_unborn(repository: Repository) -> bool:
    """Whether nothing was ever checked out there, of which a log would be there.

    A branch whose ref is not to be seen, as in the midst of renaming it, is no such.
    """
    return bool(branch(repository.root)) and not os.path.lexists(f"{repository.git_dir}/logs/HEAD")


def _ref(repository: Repository, name: str) -> str:
    """Return the value of a ref; empty when unknown."""
    return _line(f"{repository.common_dir}/{name}") or _packed(repository.common_dir, name)


def _packed(common_dir: str, name: str) -> str:
    try:
        packed = read_regular(f"{common_dir}/packed-refs", _MOST_BYTES) or b""
    except OSError:
        return ""
    end = packed.find(b" " + os.fsencode(name) + b"\n")
    return (
        packed[packed.rfind(b"\n", 0, end) + 1 : end].decode("ascii", "replace") if end > 0 else ""
    )


def _line(path: str) -> str:
    """Return a small file's text without the newline at its end; empty if it cannot be read.

    As git reads it, it ends at a NUL: nothing can be looked for by a name with one in it.
    """
    try:
        text = os.fsdecode(read_regular(path, _SMALL) or b"")
    except OSError:
        return ""
    return text.partition("\0")[0].rstrip("\r\n")


def _tail(path: str) -> list[str]:
    """Return the last lines of a file; none if it cannot be read."""
    try:
        return os.fsdecode(read_regular(path, _TAIL, end=True) or b"").splitlines()
    except OSError:
        return []


def _ask(until: float, directory: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", directory, *arguments]
    try:
        return subprocess.run(
            command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=max(0.0, until - time.monotonic()),
            check=False,
        )
    except FileNotFoundError as failure:
        raise InvalidPath(f"{directory} is a git repository, but git is not installed") from failure
    except subprocess.TimeoutExpired as failure:
        # Not an answer about the path: another name than usual would be another lock.
        raise DeadlineExceeded(
            f"git took over {GIT_PATIENCE_S:g} s to read {directory};"
            " set `project:` in coordination.yaml, and it is not asked"
        ) from failure


def _answer(directory: str, asked: subprocess.CompletedProcess[str]) -> str:
    if asked.returncode:
        said, *more = asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"]
        # Of a repository of another user's: the command that trusts it all the same.
        advice = "".join(f"; if you trust it: {line.strip()}" for line in more if _TRUST in line)
        raise InvalidPath(f"git cannot read {directory}: {said}{advice}")
    return asked.stdout
