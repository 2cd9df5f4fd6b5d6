"""The settings that apply to a worktree, also while its file is being mended.

A settings file that does not load must not open the door, and must not lock it
either: the session may be the one who mends the file. The last good settings
stay in force, and everyone who asks is told what is wrong.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from scoord.bounded import BoundedDict
from scoord.config import RECHECK_S, Settings, SettingsCache
from scoord.errors import InvalidConfig
from scoord.layers import variable
from scoord.paths import Worktree
from scoord_agent.local_session import LocalSession
from scoord_agent.places import is_gone

COORDINATION: Final = "session_coordination"
_MOST_WORKTREES = 512


class SettingsFor:
    """Settings by worktree, and what is wrong with them."""

    def __init__(self, cache: SettingsCache, fallback: Settings) -> None:
        self._cache = cache
        self._fallback = fallback
        self._good = BoundedDict[Path | None, Settings](_MOST_WORKTREES)
        self._problems = BoundedDict[Path | None, str](_MOST_WORKTREES)

    def of(self, worktree: Worktree | None) -> Settings:
        """The settings in force for ``worktree``; None is outside any repository."""
        return self.at(worktree.root if worktree else None)

    def now(self, worktree: Worktree | None) -> Settings:
        """As ``of``, by the files as they are now: who says a command may just have saved one."""
        return self.at(worktree.root if worktree else None, recheck_s=0.0)

    def at(self, root: Path | None, recheck_s: float = RECHECK_S) -> Settings:
        """The settings in force below ``root``."""
        try:
            settings = self._cache.get(root, recheck_s)
        except InvalidConfig as error:
            self._problems[root] = error.message
            return self._good.get(root, self._fallback)
        self._problems.pop(root, None)
        good = self._good.get(root)
        if good is settings:
            return good
        if good and root and is_gone(root):
            # Removed with its files: what its sessions still have is by these.
            return good
        self._good[root] = settings
        return settings

    def problem(self, root: Path | None) -> str:
        """What is wrong with the settings below ``root``; empty when nothing is."""
        return self._problems.get(root, "")

    def problems(self) -> list[str]:
        """All that is wrong anywhere, one line each."""
        for root in tuple(self._problems):
            self.at(root)  # mended or removed since, where nobody works any more
        lines = (line for each in self._problems.values() for line in each.splitlines())
        return sorted(set(lines))


def publish_interval_s(settings: SettingsFor, session: LocalSession) -> float:
    """How often it is published what a session does and uses.

    As its settings say, and often enough for all that it has: that was given its time by the
    settings of the repository that it is in, as they were then.
    """
    own = settings.at(session.root).session_coordination
    return min(own.heartbeat_interval, session.publish_within_s)


def read_once(settings: Settings, environ: Mapping[str, str]) -> dict[str, Any]:
    """What an agent reads at its start only, ready for JSON: whom it asks, and its timings.

    Its channels and its sessions' leases are made from them. Of ``session_coordination``
    it is what ``environ`` sets: that overrides all files, for as long as the agent runs.
    """
    return {
        COORDINATION: _of_variables(settings, environ),
        "coordinator": settings.coordinator.model_dump(mode="json"),
        "leases": settings.leases.model_dump(mode="json"),
    }


def _of_variables(settings: Settings, environ: Mapping[str, str]) -> dict[str, Any]:
    # No source is stronger: what a variable gives is what the settings have.
    said = settings.session_coordination.model_dump(mode="json")
    return {key: value for key, value in said.items() if environ.get(variable(COORDINATION, key))}
