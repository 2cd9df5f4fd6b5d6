"""The canonical identity of a file: when two edits are of the same file.

Owns the way from a path, as a tool got it, to the project and the path that every
session, worktree, clone and machine names the file by. ``scoord.names`` has the
form of those names, ``scoord.git`` reads repositories, ``scoord.lineage`` follows
clones to their source. It knows nothing of locks.

A project is named by the first of these that there is:

1. ``project:`` in ``coordination.yaml``, the main worktree's before this one's, so
   that worktrees on branches without the file go along;
2. the URL of the remote ``origin``. An origin on this machine is asked for its own;
3. the root commit's id, of the last of these origins before this one's own;
4. this machine and that repository's place on it. This one cannot meet other machines.
"""

import errno
import os
import stat
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from scoord import git
from scoord.bounded import BoundedDict
from scoord.clock import Clock, SystemClock
from scoord.config import CONFIG_FILE, project_name
from scoord.errors import InvalidConfig, InvalidPath, ScoordError
from scoord.filestamp import stamp
from scoord.git import Repository
from scoord.ids import MachineId, ProjectId
from scoord.lineage import Stamps, named_by_origin, root_commits
from scoord.names import (
    check_characters,
    check_path,
    commit_project,
    outside_project,
    path_key,
    path_project,
)

RECHECK_S = 1.0
"""How old an answer about directories may be; a new ``git init`` is seen within it."""

_KERNEL_TELLS = sys.platform == "linux" and os.path.isdir("/proc/self/fd")  # noqa: PTH112
_REMOVED = " (deleted)"
_MOST_DIRECTORIES = 4096
_MOST_WORKTREES = 512


class NamedBy(StrEnum):
    """Where a project's name comes from, strongest first."""

    CONFIG = "config"
    """``project:`` in the repository's ``coordination.yaml``."""
    ORIGIN = "origin"
    """The URL of the remote ``origin``."""
    ROOT_COMMIT = "root-commit"
    """The first commit of the history."""
    PATH = "path"
    """This machine and the repository's place on it; no other machine can say the same."""


@dataclass(frozen=True, slots=True)
class Worktree:
    """A checkout: a clone's own, or a linked one. Submodules are worktrees of their own."""

    root: Path
    """Real path, symlinks resolved."""
    project: ProjectId
    shared: bool
    """False when the project cannot meet other machines."""
    named_by: NamedBy


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """A file as every session, worktree, clone and machine names it."""

    project: ProjectId
    shown: str
    """Path in the project: NFC, ``/`` separators, case as written. Absolute outside any."""
    key: str
    """What is compared; see ``path_key``."""
    worktree: Worktree | None
    """None outside any repository."""

    @property
    def coordinated(self) -> bool:
        """False for what git keeps in ``.git``: each clone has its own, so it has no lock."""
        return ".git" not in self.key.split("/")


@dataclass(frozen=True, slots=True)
class UnnamedFile:
    """What is known of a file without asking git, which names its project."""

    root: Path | None
    """Of its worktree; None outside any repository."""
    shown: str
    """As in ``FileIdentity``."""

    @property
    def coordinated(self) -> bool:
        """As in ``FileIdentity``."""
        return ".git" not in path_key(self.shown).split("/")


@dataclass(frozen=True, slots=True)
class Head:
    """What is checked out; empty where it is detached, or not known."""

    branch: str = ""
    commit: str = ""
    """``git.UNBORN`` before the first."""


class Locator:
    """Answers which file a path means.

    A first look at a repository may start git, and so may one after its settings
    have changed. Otherwise an edit costs the resolution of its path; once in
    ``RECHECK_S`` a few stats tell whether what was read still holds. Safe to use
    from several threads.
    """

    def __init__(self, machine: MachineId, clock: Clock | None = None) -> None:
        self._machine = machine
        self._clock = clock or SystemClock()
        self._places = BoundedDict[str, _Place](_MOST_DIRECTORIES)
        self._names = BoundedDict[str, _Name](_MOST_WORKTREES)
        self._heads = BoundedDict[Path, tuple[float, Head]](_MOST_WORKTREES)

    @property
    def machine_project(self) -> ProjectId:
        """The project of this machine's files that are in no repository."""
        return outside_project(self._machine)

    def locate(self, path: str, cwd: str) -> FileIdentity:
        """Return the identity of the file that ``path`` means to a process in ``cwd``.

        Neither the file nor the folders above it need to exist. Raises InvalidPath
        for what cannot name a file (a folder, for one) or cannot be looked at,
        InvalidConfig if the settings that may name the project cannot be read, and
        DeadlineExceeded if git takes too long.
        """
        return self._locate(path, cwd, may_ask=True)

    def locate_at_once(self, path: str, cwd: str) -> FileIdentity | None:
        """As ``locate``, but None where git has to be asked: that can block for long."""
        try:
            return self._locate(path, cwd, may_ask=False)
        except _GitIsNeeded:
            return None

    def named(self, path: str, cwd: str) -> FileIdentity:
        """As ``locate``, whatever is there by now: what was a file may have become a folder."""
        return self._identity(_resolved(path, cwd), may_ask=True)

    def unnamed(self, path: str, cwd: str) -> UnnamedFile:
        """Return where the file is that ``path`` means to a process in ``cwd``.

        Git is not asked. Raises InvalidPath.
        """
        real = _resolved(path, cwd)
        try:
            repository = git.containing(os.path.dirname(real))  # noqa: PTH120  # strings, as all here
        except OSError as failure:
            raise InvalidPath(f"{real!r}: {failure.strerror}") from failure
        root = Path(repository.root) if repository else None
        return UnnamedFile(root, _composed(real[_prefix_length(repository) :]))

    def _locate(self, path: str, cwd: str, *, may_ask: bool) -> FileIdentity:
        real = _resolved(path, cwd)
        if os.path.isdir(real):  # noqa: PTH112  # the way of every edit
            raise InvalidPath(f"{path!r}: is a folder, not a file")
        return self._identity(real, may_ask=may_ask)

    def _identity(self, real: str, *, may_ask: bool) -> FileIdentity:
        directory = os.path.dirname(real)  # noqa: PTH120  # the way of every edit
        place = self._place(directory, may_ask=may_ask)
        worktree = place.worktree
        project = worktree.project if worktree else self.machine_project
        shown = check_path(project, _composed(real[place.prefix_length :]))
        return FileIdentity(project, shown, path_key(shown), worktree)

    def worktree_of(self, cwd: str) -> Worktree | None:
        """Return the worktree that the folder ``cwd`` is in; None outside any repository.

        Raises as ``locate``.
        """
        return self._place(_resolved(cwd, "."), may_ask=True).worktree

    def project_of(self, worktree: Worktree | None) -> ProjectId:
        """Return the project of what is in ``worktree``; outside of any, the machine's own."""
        return worktree.project if worktree else self.machine_project

    def head(self, worktree: Worktree | None) -> Head:
        """Return what is checked out, outside of any worktree nothing.

        It may be ``RECHECK_S`` old.
        """
        return self.head_at(worktree.root) if worktree else Head()

    def head_at(self, root: Path) -> Head:
        """Return what is checked out in the worktree with this root; as ``head``."""
        known = self._heads.get(root)
        if known and self._clock.now() - known[0] < RECHECK_S:
            return known[1]
        head = Head(git.branch(str(root)), git.commit(str(root)))
        self._heads[root] = (self._clock.now(), head)
        return head

    def look_anew(self, root: Path) -> None:
        """What is checked out there is read when it is next asked for, however old it is."""
        self._heads.pop(root, None)

    def _place(self, directory: str, *, may_ask: bool) -> "_Place":
        place = self._places.get(directory)
        if place is None or self._clock.now() - place.seen >= RECHECK_S:
            place = self._places[directory] = self._look(directory, may_ask=may_ask)
        if place.failure:
            # A new one each time: one that is raised again grows its traceback.
            raise type(place.failure)(place.failure.message)
        return place

    def _look(self, directory: str, *, may_ask: bool) -> "_Place":
        try:
            repository = git.containing(directory)
            worktree = self._worktree(repository, may_ask=may_ask) if repository else None
        except OSError as failure:
            refused = InvalidPath(f"{directory}: {failure.strerror}")
            return _Place(self._clock.now(), failure=refused)
        except ScoordError as failure:
            return _Place(self._clock.now(), failure=failure)
        return _Place(self._clock.now(), worktree, _prefix_length(repository))

    def _worktree(self, repository: Repository, *, may_ask: bool) -> Worktree:
        name = self._names.get(repository.root)
        if name is None or not name.holds():
            if not may_ask:
                raise _GitIsNeeded
            name = self._renamed(repository, name)
            self._names[repository.root] = name
        shared = name.by is not NamedBy.PATH
        return Worktree(Path(repository.root), name.project, shared, name.by)

    def _renamed(self, repository: Repository, former: "_Name | None") -> "_Name":
        try:
            return _named(repository, self._machine)
        except InvalidConfig:
            # Whoever mends the file still works in the same project.
            if former is None:
                raise
            return former


class _GitIsNeeded(Exception):  # noqa: N818 (it never leaves this file)
    """What was read of a repository does not hold any more, or nothing was read yet."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What is known of a directory, and since when."""

    seen: float
    worktree: Worktree | None = None
    prefix_length: int = 0
    """How much of a real path is not shown."""
    failure: ScoordError | None = None


@dataclass(slots=True)
class _Name:
    """A worktree's project, and the files that it was read from, as they were then."""

    project: ProjectId = ProjectId("")
    by: NamedBy = NamedBy.PATH
    read: Stamps = field(default_factory=dict)

    def reads(self, path: str) -> None:
        self.read.setdefault(path, stamp(path))

    def holds(self) -> bool:
        return all(stamp(path) == before for path, before in self.read.items())


def _named(repository: Repository, machine: MachineId) -> _Name:
    name = _Name()
    name.project, name.by = next(_candidates(repository, machine, name))
    return name


def _candidates(
    repository: Repository, machine: MachineId, name: _Name
) -> Iterator[tuple[ProjectId, NamedBy]]:
    """Yield the names a worktree may have, the strongest first; later ones cost more."""
    until = git.patience()
    main_root = git.main_root(repository, until) or repository.root
    for root in dict.fromkeys((main_root, repository.root)):
        file = f"{root}/{CONFIG_FILE}"
        name.reads(file)
        configured = project_name(Path(file))
        if configured:
            yield ProjectId(configured), NamedBy.CONFIG
    for file in (f"{repository.common_dir}/config", f"{repository.git_dir}/config.worktree"):
        name.reads(file)
    origin, source = named_by_origin(repository, until, name.read)
    if origin:
        yield ProjectId(origin), NamedBy.ORIGIN
    for commit in root_commits(repository, source, until, name.read):
        yield commit_project(commit), NamedBy.ROOT_COMMIT
    yield path_project(machine, source.place), NamedBy.PATH


def _resolved(path: str, cwd: str) -> str:
    """Return the real, absolute path; what does not exist yet stays as it is named."""
    if not path:
        raise InvalidPath("the path is empty")
    check_characters(path)
    joined = check_characters(path if path.startswith("/") else f"{cwd}/{path}")
    if not joined.startswith("/"):
        raise InvalidPath(f"{cwd!r}: want an absolute folder to start from")
    try:
        return _real(joined)
    except (FileNotFoundError, NotADirectoryError):
        return _resolved_ahead(joined)
    except OSError as failure:
        raise InvalidPath(f"{joined!r}: {failure.strerror}") from failure


def _real(existing: str) -> str:
    """Return the real path of what exists.

    Linux's kernel tells it at once, a quarter of the time of looking at every
    component; a name it gives to what has just been removed is not taken.
    """
    if _KERNEL_TELLS:
        descriptor = os.open(existing, os.O_PATH | os.O_CLOEXEC)
        try:
            told = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115  # strings, as all here
        finally:
            os.close(descriptor)
        if not told.endswith(_REMOVED):
            return told
    return os.path.realpath(existing, strict=True)


def _resolved_ahead(joined: str) -> str:
    real = probe = os.path.realpath(joined)
    while True:
        try:
            mode = os.lstat(probe).st_mode
        except (FileNotFoundError, NotADirectoryError):
            probe = os.path.dirname(probe)  # noqa: PTH120  # strings, as all here
            continue
        except OSError as failure:
            raise InvalidPath(f"{joined!r}: {failure.strerror}") from failure
        if stat.S_ISLNK(mode):  # what realpath leaves is a link to itself
            raise InvalidPath(f"{joined!r}: {os.strerror(errno.ELOOP)}")
        if probe != real and not stat.S_ISDIR(mode):
            raise InvalidPath(f"{joined!r}: {probe!r} is a file, not a folder")
        return real


def _prefix_length(repository: Repository | None) -> int:
    return len(repository.root.rstrip("/")) + 1 if repository else 0


def _composed(path: str) -> str:
    return path if path.isascii() else unicodedata.normalize("NFC", path)
