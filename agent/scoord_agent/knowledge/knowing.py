"""Keeps what is known of each worktree, and learns it anew when its commit changes.

Nothing here is waited for by a hook: what is known already is answered at once, and
what is old is answered while it is being learned anew.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from scoord.bounded import BoundedDict
from scoord.clock import Clock
from scoord.errors import ScoordError
from scoord.paths import Locator, Worktree
from scoord.sections import AreaSettings
from scoord_agent.background import Background
from scoord_agent.knowledge.areas import Areas, configured
from scoord_agent.knowledge.repository import Knowledge
from scoord_agent.settings import SettingsFor

_log = logging.getLogger(__name__)

Learn = Callable[[Path, str], Knowledge]
"""Reads the worktree at a path, at a commit; slow."""

AGAIN_S = 30.0
"""How often one worktree is learned anew at most, however often its commit changes."""

_MOST_WORKTREES = 8

T = TypeVar("T")


class Knowing:
    """What is known of the worktrees of this machine."""

    def __init__(
        self,
        *,
        learn: Learn | None,
        locator: Locator,
        settings: SettingsFor,
        background: Background,
        clock: Clock,
        learned: Callable[[Path], None],
    ) -> None:
        """Without ``learn`` nothing is ever known. ``learned`` is told of what is, by its root."""
        self._learn = learn
        self._locator = locator
        self._settings = settings
        self._background = background
        self._clock = clock
        self._learned = learned
        self._kept = BoundedDict[Path, Knowledge](_MOST_WORKTREES)
        self._worktrees = BoundedDict[Path, Worktree](_MOST_WORKTREES)
        self._begun_at = BoundedDict[Path, float](_MOST_WORKTREES)
        self._learning: dict[Path, asyncio.Task[None]] = {}
        self._sorting: dict[Path, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._areas = BoundedDict[Path, tuple[Knowledge, Mapping[str, AreaSettings], Areas]](
            _MOST_WORKTREES
        )

    def at_once(self, worktree: Worktree) -> Knowledge | None:
        """What is known now; None before the first time. Sees to it that it becomes known."""
        self._worktrees[worktree.root] = worktree
        kept = self._kept.get(worktree.root)
        if self._learn and worktree.root not in self._learning:
            commit = self._locator.head(worktree).commit
            if kept is None or kept.commit != commit:
                self._begin(self._learn, worktree.root, commit)
        return kept

    def worktree_at(self, root: Path) -> Worktree | None:
        """The worktree with this root, as it was last asked about; None when it was not."""
        return self._worktrees.get(root)

    async def of(self, worktree: Worktree, within_s: float) -> Knowledge | None:
        """As ``at_once``; wait for the first time that all is known, for so long at most."""
        kept = self.at_once(worktree)
        task = self._learning.get(worktree.root)
        if kept is None and task is not None:
            await asyncio.wait({task}, timeout=within_s)
        self.areas(worktree)
        if sorting := self._sorting.get(worktree.root):
            await asyncio.wait({sorting}, timeout=within_s)
        return self._kept.get(worktree.root)

    def areas(self, worktree: Worktree) -> Areas | None:
        """The areas that the repository names, else those found; None before they are known.

        Which files are in those that it names takes a while: it is found out in a thread,
        and until then only told of a file that is asked about.
        """
        knowledge = self.at_once(worktree)
        if knowledge is None:
            return None
        named = self._settings.of(worktree).areas
        if not named:
            return knowledge.areas
        kept = self._areas.get(worktree.root)
        if kept is None or kept[0] is not knowledge or kept[1] is not named:
            self._sort(worktree.root, knowledge, named)
        same = kept is not None and kept[1] is named
        return kept[2] if kept and same else configured(named, ())

    def _begin(self, learn: Learn, root: Path, commit: str) -> None:
        now = self._clock.now()
        if now - self._begun_at.get(root, now - AGAIN_S) < AGAIN_S:
            return
        self._begun_at[root] = now
        self._learning[root] = self._background.start(self._learn_it(learn, root, commit))

    def _sort(self, root: Path, knowledge: Knowledge, named: Mapping[str, AreaSettings]) -> None:
        if root in self._sorting:
            return

        async def sort() -> None:
            try:
                found = await _in_thread(lambda: configured(named, knowledge.files))
                self._areas[root] = (knowledge, named, found)
            finally:
                self._sorting.pop(root, None)

        self._sorting[root] = self._background.start(sort())

    async def _learn_it(self, learn: Learn, root: Path, commit: str) -> None:
        try:
            async with self._one_at_a_time:
                self._kept[root] = await _in_thread(lambda: learn(root, commit))
            self._learned(root)
        except ScoordError as error:
            _log.warning("nothing is known of %s: %s", root, error)
        finally:
            self._learning.pop(root, None)


async def _in_thread(work: Callable[[], T]) -> T:
    """In a thread that does not keep the program from ending, and that no hook needs."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            try:
                loop.call_soon_threadsafe(settle, done.set_result, work())
            except BaseException as error:  # noqa: BLE001 (handed on to who waits)
                loop.call_soon_threadsafe(settle, done.set_exception, error)

    def settle(told: Callable[[Any], None], outcome: object) -> None:
        if not done.done():
            told(outcome)

    threading.Thread(target=run, name="scoord-learn", daemon=True).start()
    return await done
