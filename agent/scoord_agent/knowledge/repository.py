"""All that is known of one worktree at one commit, and how it is found out.

``learn`` reads history and files, and takes seconds: it runs in a thread of its own,
never where a hook waits. What it cannot read in its time is left out.
"""

import json
import time
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from scoord import git
from scoord.names import path_key
from scoord.text import one_line
from scoord_agent.knowledge import areas, cochange, habits, imports
from scoord_agent.knowledge.areas import Areas
from scoord_agent.knowledge.cochange import CoChange
from scoord_agent.knowledge.habits import Habits
from scoord_agent.knowledge.imports import Imports
from scoord_agent.knowledge.mentions import Mentions
from scoord_agent.knowledge.telling import Telling

MOST_FILES = 20_000
MOST_COMMITS = 1500
LEARN_S = 20.0
"""How long it may take altogether."""

_GIT_S = 8.0
_MOST_MANIFESTS = 60
_MOST_MANIFEST_BYTES = 64 * 1024
_MANIFESTS = ("pyproject.toml", "Cargo.toml", "package.json")
"""Those with a description in them."""


@dataclass(frozen=True)
class Knowledge:
    """One worktree at one commit."""

    commit: str
    files: Mapping[str, str]
    """As shown, by key; those that git knows."""
    habits: Habits = habits.NOTHING
    cochange: CoChange = cochange.NOTHING
    imports: Imports = imports.NOTHING
    areas: Areas = areas.NOTHING
    """As found; the repository may name others."""

    @cached_property
    def mentions(self) -> Mentions:
        """Finds its files in texts. Worked out once: it costs a look at each file."""
        return Mentions(self.files)

    @cached_property
    def telling(self) -> Telling:
        """Finds the words that tell its files apart. Worked out once, as that is."""
        return Telling(self.files)


def learn(root: Path, commit: str) -> Knowledge:
    """Read the worktree at ``root``. Raises InvalidPath when git cannot be had."""
    begun = time.monotonic()
    names = git.files(str(root), begun + _GIT_S)[:MOST_FILES]
    shown = [unicodedata.normalize("NFC", name) for name in names if name.isprintable()]
    files = {path_key(path): path for path in shown}
    commits = git.touched(str(root), MOST_COMMITS, time.monotonic() + _GIT_S)
    together = cochange.learn(commits, files)
    known = Knowledge(
        commit=commit,
        files=files,
        habits=habits.learn(shown),
        cochange=together,
        imports=imports.learn(root, files, begun + LEARN_S),
        areas=areas.found(files, together, _descriptions(root, shown)),
    )
    _ = known.mentions, known.telling  # here, not where a hook is the first to ask
    return known


def _descriptions(root: Path, shown: list[str]) -> dict[str, str]:
    """What the manifests say their folders are."""
    manifests = [path for path in shown if PurePosixPath(path).name in _MANIFESTS]
    found = {
        PurePosixPath(path).parent.as_posix(): _description(root / path)
        for path in manifests[:_MOST_MANIFESTS]
    }
    return {folder: said for folder, said in found.items() if said}


def _description(manifest: Path) -> str:
    said = _parsed(manifest)
    whole = (said, said.get("project"), said.get("package"))
    texts = (part.get("description") for part in whole if isinstance(part, dict))
    return one_line(next((text for text in texts if isinstance(text, str)), ""), 120)


def _parsed(manifest: Path) -> dict[str, Any]:
    try:
        if manifest.is_symlink() or not manifest.is_file():
            return {}
        with manifest.open("rb") as file:
            text = file.read(_MOST_MANIFEST_BYTES).decode("utf-8", "replace")
        said = json.loads(text) if manifest.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
