"""What is wrong with the settings where a command runs, told on stderr beside its answer.

The agent tells what is wrong with the files; what this terminal has in its environment
only the command sees. The last good settings stay in force, so it goes on.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from scoord import local, text
from scoord.errors import InvalidConfig
from scoord.program_variables import OF_PROGRAMS
from scoord_hooks.git_exclude import worktree_root


def tell_own() -> None:
    """Tell what is wrong with the settings of this user and of this environment, if it sets any."""
    if any(name.startswith("SCOORD_") and name not in OF_PROGRAMS for name in os.environ):
        _tell(_wrong_for(None))


def tell_of(place: Path) -> None:
    """Tell what is wrong with the settings that hold at ``place``."""
    _tell(_wrong_for(worktree_root(place)))


def tell(answer: dict[str, Any]) -> None:
    """Take what the agent says is wrong out of its answer, and tell what was not told yet."""
    _tell(answer.pop("problems", ()))


def tell_beside(answer: dict[str, Any]) -> None:
    """Tell the same of an answer that scripts read, which has it, too."""
    _tell(answer.get("problems", ()))


def _wrong_for(root: Path | None) -> list[str]:
    # Not at the top: it takes longer than all else here, and most set nothing.
    from scoord import config  # noqa: PLC0415

    try:
        config.load(root, local.config_dir(), os.environ)
    except InvalidConfig as error:
        return list(error.lines)
    return []


def _tell(lines: Iterable[str]) -> None:
    told: set[str] = click.get_current_context().meta.setdefault(__name__, set())
    for line in lines:
        if line not in told:
            told.add(line)
            click.echo(f"problem: {text.failure(line)}", err=True)
