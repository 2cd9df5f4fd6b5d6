"""In which pattern a file lies that is named where only the pattern is held. Pure."""

from collections.abc import Iterable
from pathlib import Path

from scoord.names import path_key
from scoord.paths import FileIdentity
from scoord.patterns import matches


def pattern_of(file: FileIdentity, held: Iterable[tuple[str, str]]) -> str:
    """The first pattern of ``held``, projects and patterns, that ``file`` lies in; or empty."""
    return next(
        (
            pattern
            for project, pattern in held
            if project == file.project and matches(path_key(pattern), file.key)
        ),
        "",
    )


def within(file: FileIdentity, pattern: str, cwd: str) -> dict[str, object]:
    """What is told of it: a pattern is of the folder that it is said in."""
    root = file.worktree.root if file.worktree else None
    return {"path": file.shown, "pattern": pattern, "said_here": Path(cwd).resolve() == root}


def all_within(
    files: Iterable[FileIdentity], patterns: Iterable[tuple[str, str]], cwd: str
) -> list[dict[str, object]]:
    """The same of each of ``files`` that lies in one of ``patterns``, by project and pattern."""
    known = tuple(patterns)
    found = ((file, pattern_of(file, known)) for file in files)
    return [within(file, pattern, cwd) for file, pattern in found if pattern]
