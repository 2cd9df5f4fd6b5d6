"""What the real world is replaced by: chance, wall time, processes, files, settings."""

import contextlib
import logging
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from unittest.mock import patch

from scoord import git
from scoord.config import Settings, SettingsCache
from scoord.ids import MachineId
from scoord.names import path_key
from scoord.paths import FileIdentity, Head, Locator, NamedBy, Worktree
from scoord_agent import kept_file, lifecycle, sessions
from scoord_agent.processes import Process
from scoord_agent.suggest import Instead
from scoord_agent.wording_work import ELSEWHERE
from support.simulation.checkouts import Checkout, Checkouts
from support.simulation.loop import running_process
from support.simulation.projects import project_of


class NamedFiles(Locator):
    """Files are known by their names alone, which tell their projects."""

    def __init__(self, machine: MachineId, checkouts: Sequence[Checkout]) -> None:
        super().__init__(machine)
        self._checkouts = {checkout.root: checkout for checkout in checkouts}
        self._worktrees = {str(checkout.root): _worktree(checkout) for checkout in checkouts}
        # The first of each is its machine's own.
        self._own = {checkout.project: _worktree(checkout) for checkout in reversed(checkouts)}

    def locate(self, path: str, cwd: str) -> FileIdentity:
        """The file of that name: where its caller works, or in its project's own worktree."""
        project, worktree = project_of(path), self._worktrees[cwd]
        if worktree.project != project:
            worktree = self._own[project]
        return FileIdentity(project, path, path_key(path), worktree)

    def locate_at_once(self, path: str, cwd: str) -> FileIdentity:
        """The same: git is never asked."""
        return self.locate(path, cwd)

    def worktree_of(self, cwd: str) -> Worktree | None:
        """The one that the folder is in: all work in the top ones, and name others below."""
        above = (str(folder) for folder in (Path(cwd), *Path(cwd).parents))
        return next((self._worktrees[root] for root in above if root in self._worktrees), None)

    def head_at(self, root: Path) -> Head:
        """What is checked out now."""
        return self._checkouts[root].head


def _worktree(checkout: Checkout) -> Worktree:
    return Worktree(checkout.root, checkout.project, shared=True, named_by=NamedBy.ORIGIN)


class FixedSettings(SettingsCache):
    """The same settings everywhere."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(Path("/simulated"), {})
        self._settings = settings

    def get(self, root: Path | None, recheck_s: float = 0.0) -> Settings:
        """The settings."""
        return self._settings


class MemoryFile:
    """A file that outlives the process that wrote it."""

    def __init__(self) -> None:
        self._data: bytes | None = None

    def write(self, data: bytes) -> None:
        """Replace all of it."""
        self._data = data

    @property
    def lines(self) -> list[str]:
        """Its lines; none before it is written."""
        return self._data.decode().splitlines() if self._data else []

    def read_bytes(self) -> bytes:
        """All of it. Raises FileNotFoundError."""
        if self._data is None:
            raise FileNotFoundError
        return self._data

    def with_name(self, _name: str) -> "MemoryFile":
        """What lies beside it: nothing."""
        return MemoryFile()

    def unlink(self) -> None:
        """Remove it. Raises FileNotFoundError."""
        self.read_bytes()
        self._data = None


@dataclass
class ProcessTable:
    """The processes of all machines; what ``scoord_agent.processes`` would see."""

    alive: dict[int, Process] = field(default_factory=dict)
    _next: int = 1000

    def spawn(self) -> int:
        """Start a process; its id."""
        self._next += 1
        self.alive[self._next] = Process(self._next, float(self._next))
        return self._next

    def end(self, pid: int) -> None:
        """End a process."""
        self.alive.pop(pid, None)

    def find(self, pid: int) -> Process | None:
        """The process, if it runs."""
        return self.alive.get(pid)

    def is_running(self, process: Process) -> bool:
        """Whether it runs."""
        return self.alive.get(process.pid) == process

    def is_gone(self, pid: int) -> bool:
        """Whether it does not run."""
        return pid not in self.alive

    def client_of_connection(self, port: int) -> int | None:
        """Nobody: all events say whose they are."""
        return None

    def ancestors(self, pid: int) -> list[int]:
        """Itself."""
        return [pid]

    def tty_of(self, pid: int) -> str:
        """None of them is in a terminal."""
        return ""

    def command_of(self, pid: int) -> list[str]:
        """Nobody sees."""
        return []

    def behind_shells(self, pid: int) -> int:
        """Itself."""
        return pid

    def terminal_of(self, pid: int) -> int | None:
        """Itself."""
        return pid


class _WallTime(datetime):
    """What a process of the simulation thinks the date is."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # no subclass needed
        """By the clock of whoever asks."""
        return datetime.fromtimestamp(running_process().clock.wall_ms() / 1000, tz or UTC)


class Unforeseen(logging.Handler):
    """Collects what a program logs as an error: none is expected in any trouble."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        error = record.exc_info[1] if record.exc_info else None
        self.found.append(f"{record.name}: {record.getMessage()}: {error!r}")


@contextlib.contextmanager
def replaced(seed: int, table: ProcessTable, checkouts: Checkouts) -> Iterator[Unforeseen]:
    """Put ours in the place of the world's, for one history."""
    rng, unforeseen = random.Random(f"chance of {seed}"), Unforeseen()
    before, level = random.getstate(), logging.root.manager.disable
    patches: tuple[Any, ...] = (
        patch.object(os, "urandom", rng.randbytes),
        patch.object(random, "_urandom", rng.randbytes),
        patch.object(lifecycle, "processes", table),
        patch.object(sessions, "processes", table),
        patch.object(lifecycle, "datetime", _WallTime),
        patch.object(lifecycle, "branch", checkouts.branch_of),
        patch.object(git, "changed", checkouts.changed_of),
        patch.object(git, "commits_since", checkouts.commits_since),
        patch.object(git, "files_of", checkouts.files_of),
        # No file is there, so none is suggested; to look for each on the disk costs time.
        patch.object(Instead, "of", lambda *_: ELSEWHERE),
        patch.object(kept_file, "atomic_write", lambda file, data: file.write(data)),
    )
    random.seed(seed)
    logging.disable(logging.WARNING)
    logging.root.addHandler(unforeseen)
    with contextlib.ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        try:
            yield unforeseen
        finally:
            logging.root.removeHandler(unforeseen)
            logging.disable(level)
            random.setstate(before)
