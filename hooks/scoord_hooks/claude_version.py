"""Which Claude Code is installed or runs, and what it cannot do yet."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Version = tuple[int, int, int]

_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_SECONDS: Final = 10
_MOST_ARGUMENTS: Final = 3  # a runtime, its script, and the link that was called
_MOST_LEVELS: Final = 3


@dataclass(frozen=True, slots=True)
class Feature:
    """Something our hooks use, the first version that has it, and what its lack means."""

    name: str
    since: Version
    without: str

    def missing_in(self, version: Version | None) -> bool:
        """Tell whether that version lacks it; an unknown version is taken for a new one."""
        return version is not None and version < self.since

    def is_in(self, version: Version | None) -> bool:
        """Tell whether that version is known to have it."""
        return version is not None and not self.missing_in(version)

    def complaint(self, version: Version) -> str:
        """Return one line for the person who has that version."""
        return f"Claude Code {show(version)} is older than {show(self.since)}: {self.without}"


# Versions as in https://github.com/anthropics/claude-code/blob/main/CHANGELOG.md
HTTP_HOOKS: Final = Feature(
    "http hooks",
    (2, 1, 63),
    "it has no http hooks and would call none; update it, or use --transport command",
)
STOP_FAILURE: Final = Feature(
    "StopFailure",
    (2, 1, 78),
    "it does not tell of a turn that an error of its API ends, so release_on: stop gives nothing "
    "back then",
)
PLUGIN_FOLDERS: Final = Feature(
    "plugins in folders",
    (2, 1, 157),
    "it does not load a plugin that lies beside its settings; update it, or use --as settings",
)
EXEC_FORM: Final = Feature(
    "exec form", (2, 1, 139), "it runs command hooks through a shell; they are written that way"
)
ON_FAILURE: Final = Feature(
    "onFailure",
    (2, 1, 295),
    "it ignores onFailure, so an edit whose http hook fails goes through although "
    "unreachable_action is block; update it, or use --transport command",
)


def show(version: Version) -> str:
    """Return the version as it is written."""
    return ".".join(map(str, version))


def where() -> str | None:
    """Return the claude on PATH; None if there is none."""
    return shutil.which("claude")


def unknown() -> str:
    """Return why ``installed`` found no version."""
    program = where()
    return f"the version of {program} cannot be read" if program else "no claude on PATH"


def installed() -> Version | None:
    """Return the version of the claude on PATH; None if there is none that answers."""
    try:
        run = subprocess.run(
            ["claude", "--version"], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(run.stdout)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def running(command: Sequence[str]) -> str:
    """Return the version of a running Claude Code, by its program's path; empty if unknown.

    Its own installer puts programs at ``.../claude/versions/2.1.330``; npm's lie below the
    package that names its version. ``command`` is the executable and its arguments.
    """
    for path in map(Path, command[:_MOST_ARGUMENTS]):
        if path.parent.name == "versions" and _VERSION.fullmatch(path.name):
            return path.name
        for folder in tuple(path.parents)[:_MOST_LEVELS]:
            if folder.name.startswith("claude-code"):
                return _package_version(folder / "package.json")
    return ""


def _package_version(file: Path) -> str:
    try:
        package = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    version = package.get("version") if isinstance(package, dict) else None
    return version if isinstance(version, str) and _VERSION.fullmatch(version) else ""
