"""Where a command or an event stands: in which worktree, and in which project.

In a thread: a first look at a repository starts git, which may take long.
"""

import asyncio

from scoord.ids import ProjectId
from scoord.paths import Locator, Worktree


async def worktree_of(locator: Locator, cwd: str) -> Worktree | None:
    """The worktree that ``cwd`` is in. Raises what ``Locator.worktree_of`` raises."""
    return await asyncio.to_thread(locator.worktree_of, cwd)


async def project_of(locator: Locator, cwd: str) -> ProjectId:
    """The project that ``cwd`` is in; outside of any worktree, the machine's own."""
    return locator.project_of(await worktree_of(locator, cwd))
