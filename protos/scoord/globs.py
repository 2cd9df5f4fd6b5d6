"""Whether two gitignore-style patterns can match one path, and where their files begin.

A pattern is a list of names; ``**`` stands for any number of them. One without a
slash inside matches at any depth, and every pattern matches all that is below
what it matches (https://git-scm.com/docs/gitignore#_pattern_format). A character
class counts as ``?``, and so does a star or a question mark behind a backslash:
so two patterns may be said to meet that do not.

The other way round there is one exception: ``*.py`` is taken to name files, not
folders called so, or it would meet ``*.md`` in ``a.py/b.md``. Nothing is edited
twice for that: a file is compared with every pattern by itself.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, partial

from scoord.names import path_key

_ANY_DEPTH = "**"
_ESCAPED_OR_CLASS = re.compile(r"(?s)\\(.)|\[[!^]?\]?[^\]]*\]")
_FILE = re.compile(r"[^.].*\.\w+")
_WILD = re.compile(r"[*?\[\\]")


@lru_cache(4096)
def may_meet(one: str, other: str) -> bool:
    """Whether some path is matched by both."""
    return _meet(_names(one), _names(other), _ANY_DEPTH, _like_name)


def literal_prefix(pattern: str) -> str:
    """The folder, with its slash, that every match lies below; empty when there is none.

    As keys are compared: in one case.
    """
    plain: list[str] = []
    # The last name may be a file's, so it has no slash for certain.
    for name in _written(pattern).rstrip("/").split("/")[:-1]:
        if name == _ANY_DEPTH or _WILD.search(name):
            break
        plain.append(name)
    return "".join(f"{name}/" for name in plain if name)


def _written(pattern: str) -> str:
    """What counts of a pattern: a space at its end only behind a backslash."""
    key = path_key(pattern)
    return key if key.endswith("\\ ") else key.rstrip()


def _names(pattern: str) -> tuple[str, ...]:
    written = _written(pattern)
    bare = written.rstrip("/")
    names = [name for name in bare.split("/") if name]
    above = [] if "/" in bare else [_ANY_DEPTH]
    below = [] if bare == written and _FILE.fullmatch(names[-1]) else [_ANY_DEPTH]
    return (*above, *map(_plain, names), *below)


def _plain(name: str) -> str:
    """A name in which only ``*`` and ``?`` are special: a class is ``?``."""
    # From left to right: a bracket that a backslash takes the meaning from begins no class.
    return _ESCAPED_OR_CLASS.sub(_stands_for, name)


def _stands_for(found: re.Match[str]) -> str:
    return found[1] if found[1] and found[1] not in "*?" else "?"


def _meet(
    one: Sequence[str],
    other: Sequence[str],
    star: str,
    like: Callable[[Mapping[str, int], str], int],
) -> bool:
    """Whether two rows of pieces can say the same; ``star`` stands for any number of pieces.

    Both are walked at once. Of every place in ``one`` it is kept up to where ``other`` may have
    come there, as the bits of a number: each place is looked at once, in however many ways
    the stars can share what is between them. ``like`` tells which pieces of ``other`` can be one.
    """
    where = _places(other)
    stars, fitting = where.get(star, 0), cache(partial(like, where))
    reached = _past(stars, 1)
    for piece in one:
        if piece == star:  # it may take all that follows
            reached = -(reached & -reached) & ((2 << len(other)) - 1)
        else:
            reached = _past(stars, reached & stars | (reached & fitting(piece)) << 1)
        if not reached:
            return False
    return bool(reached >> len(other))


def _places(pieces: Sequence[str]) -> Mapping[str, int]:
    """Where each piece stands, as bits."""
    where: dict[str, int] = {}
    for place, piece in enumerate(pieces):
        where[piece] = where.get(piece, 0) | 1 << place
    return where


def _past(stars: int, reached: int) -> int:
    """The places reached, and those behind the stars there: they may stand for nothing."""
    while (further := reached | (reached & stars) << 1) != reached:
        reached = further
    return reached


def _like_name(where: Mapping[str, int], name: str) -> int:
    same = (each for each in where if each != _ANY_DEPTH and _names_meet(name, each))
    return sum(where[each] for each in same)


def _like_char(where: Mapping[str, int], char: str) -> int:
    if char == "?":
        return sum(places for each, places in where.items() if each != "*")
    return where.get(char, 0) | where.get("?", 0)


@lru_cache(4096)
def _names_meet(one: str, other: str) -> bool:
    return _meet(one, other, "*", _like_char)
