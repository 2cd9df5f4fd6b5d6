"""Gitignore-style patterns: which files are locked at all, and which a pattern holds."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from scoord.errors import InvalidConfig
from scoord.globs import may_meet
from scoord.names import check_characters, path_key
from scoord.text import one_line

# A pattern becomes a regular expression that tries all ways to share a path among
# its stars. A cloned repository must not be able to keep the agent busy with that.
_MOST_STARS = 3
_MOST_DEEP_STARS = 2
_LONGEST = 400

BRACES: Final = re.compile(r"(?<!\\)\{[^{},]*,[^{}]*\}")
"""As a shell says several names at once. To git they are part of a name."""

NO_BRACES: Final = "has braces, which no pattern knows; say each by itself"

_CLASS: Final = re.compile(r"(?s)\\.|(\[(?!\^/\])\^?\]?[^\]]*\])")
"""In the regular expression of a pattern, but for ``[^/]``: a star's, or a question mark's."""

_NO_NAMES: Final = "matches nothing: no name in a path is '.', '..' or empty; say 'src/**'"


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns of files to lock, and of files never to lock. The second kind wins."""

    lock: tuple[str, ...] = ("*",)
    ignore: tuple[str, ...] = ()
    _locked: GitIgnoreSpec = field(init=False, repr=False, compare=False)
    _ignored: GitIgnoreSpec = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_locked", _compiled(self.lock))
        object.__setattr__(self, "_ignored", _compiled(self.ignore))

    def locks(self, shown: str) -> bool:
        """Whether the file is locked before an edit. Case does not matter, as in its key."""
        return self._locked.match_file(path_key(shown)) and not self.ignores(shown)

    def may_lock(self, pattern: str) -> bool:
        """Whether some file that ``pattern`` matches may be one to lock, by the names alone."""
        return any(may_meet(pattern, each) for each in self.lock if not each.startswith("!"))

    def ignores(self, shown: str) -> bool:
        """Whether the file, or all that a pattern matches, is never to be locked.

        A pattern's own text is matched: what has a star where it has one matches whatever
        stands for it.
        """
        return self._ignored.match_file(path_key(shown).removeprefix("/"))


def check_pattern(pattern: str) -> str:
    """Return ``pattern`` if it is one that git would take, and is soon matched.

    Raises InvalidConfig.
    """
    if BRACES.search(pattern):
        raise InvalidConfig(f"{pattern!r} {NO_BRACES}")
    names = pattern.removeprefix("!").split("/")
    # An empty one begins what is said from the top, and ends what is below a folder.
    if {".", ".."} & set(names) or "" in names[1:-1]:
        raise InvalidConfig(f"{pattern!r} {_NO_NAMES}")
    if max(map(_stars, names)) > _MOST_STARS or names[:-1].count("**") > _MOST_DEEP_STARS:
        most = f"at most {_MOST_STARS} in a name, and {_MOST_DEEP_STARS} **/"
        raise InvalidConfig(f"{pattern!r} has too many stars ({most})")
    try:
        matches_any = _matches_any(pattern)
    except re.error as error:
        # Git takes [A-_], which is [a-_] where paths are compared, and ends before it begins.
        why = f"{one_line(error.msg)} (in lower case, as paths are compared)"
        raise InvalidConfig(f"{pattern!r} is not a pattern: {why}") from error
    except ValueError as error:
        raise InvalidConfig(f"{pattern!r} is not a pattern") from error
    if not matches_any:
        raise InvalidConfig(f"{pattern!r} matches nothing")
    return pattern


def is_readable(pattern: str) -> bool:
    """Whether a pattern can be matched that was not checked here: by a newer program perhaps."""
    try:
        return _matches_any(pattern)
    except (re.error, ValueError):
        return False


def _matches_any(pattern: str) -> bool:
    return any(each.include is not None for each in _compiled_alone(pattern).patterns)


@lru_cache(512)
def _compiled_alone(pattern: str) -> GitIgnoreSpec:
    return _compiled((pattern,))


def matches(pattern: str, key: str) -> bool:
    """Whether a checked pattern matches the path with this key."""
    return _compiled_alone(pattern).match_file(key)


def check_reservable(pattern: str) -> str:
    """Return ``pattern`` if it names files to hold: one that ``!`` begins takes some out.

    Raises InvalidConfig, and InvalidPath where it has what no path has.
    """
    if pattern.startswith(("!", "#")) or len(pattern) > _LONGEST:
        raise InvalidConfig(f"{pattern[:40]!r} cannot be held; want for example 'src/api/**'")
    return check_pattern(check_characters(pattern))


def _stars(name: str) -> int:
    return 0 if name == "**" else name.count("*")


def _compiled(patterns: Iterable[str]) -> GitIgnoreSpec:
    # Folded as the paths are, so that every spelling of a file has the same answer.
    # Other backends, if they are installed, know no look-ahead.
    return GitIgnoreSpec([_pattern(path_key(each)) for each in patterns], backend="simple")


def _pattern(line: str) -> GitIgnoreSpecPattern:
    """As git matches it: a class such as ``[!a]`` stands for one character of a name.

    The library's does for a slash, too, and where patterns are compared it never may.
    """
    made = GitIgnoreSpecPattern(line)
    if made.regex:
        made.regex = re.compile(_CLASS.sub(_but_no_slash, made.regex.pattern))
    return made


def _but_no_slash(found: re.Match[str]) -> str:
    return f"(?!/){found[1]}" if found[1] else found[0]
