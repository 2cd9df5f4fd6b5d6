"""Where a command, an event or a lock stands: in which worktree, and in which project."""

import asyncio
from functools import lru_cache
from pathlib import Path

from scoord.ids import ProjectId
from scoord.paths import Locator, Worktree
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession

_looks: dict[tuple[int, str], asyncio.Future[Worktree | None]] = {}
"""Those that are under way, by locator and folder."""


async def worktree_of(locator: Locator, cwd: str) -> Worktree | None:
    """The worktree that ``cwd`` is in. Raises what ``Locator.worktree_of`` raises.

    In a thread: a first look at a repository starts git, which may take long. Whoever asks of
    a folder that is being looked at waits for the same look: threads that hang in it are few.
    """
    name = id(locator), cwd
    look = _looks.get(name)
    if look is None or look.done():
        loop = asyncio.get_running_loop()
        look = _looks[name] = loop.run_in_executor(None, locator.worktree_of, cwd)
        look.add_done_callback(lambda _: _looks.pop(name, None))
    return await asyncio.shield(look)


async def place_of(locator: Locator, cwd: str) -> tuple[Worktree | None, ProjectId]:
    """The same, and the project; outside of any worktree, the machine's own."""
    worktree = await worktree_of(locator, cwd)
    return worktree, locator.project_of(worktree)


async def project_of(locator: Locator, cwd: str) -> ProjectId:
    """The project that ``cwd`` is in."""
    _, project = await place_of(locator, cwd)
    return project


def folder_of(worktree: Worktree | None) -> str:
    """Where a worktree is, as a session or a lock keeps it; empty outside of any."""
    return str(worktree.root) if worktree else ""


def root_of(lock: HeldLock) -> Path | None:
    """Where the lock's file is; of what an agent before us was granted last, nobody may know."""
    return _root(lock.worktree) if lock.worktree else None


def settings_root(session: LocalSession, lock: HeldLock) -> Path | None:
    """Whose settings count for it: where nobody knows its worktree, its session's own of there."""
    own = session.root if lock.project == session.home else None
    return root_of(lock) or own


def is_gone(root: Path) -> bool:
    """Whether a worktree is not there any more. One that cannot be looked at may be."""
    try:
        root.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


@lru_cache
def _root(worktree: str) -> Path:
    # One object, which keeps its hash: hooks ask this of all that their session holds.
    return Path(worktree)
