"""Whether two gitignore-style patterns can match one path, and where their files begin.

A pattern is a list of names; ``**`` stands for any number of them. One without a
slash inside matches at any depth, and every pattern matches all that is below
what it matches (https://git-scm.com/docs/gitignore#_pattern_format). A character
class counts as ``?``: so two patterns may be said to meet that do not.

The other way round there is one exception: ``*.py`` is taken to name files, not
folders called so, or it would meet ``*.md`` in ``a.py/b.md``. Nothing is edited
twice for that: a file is compared with every pattern by itself.
"""

import re
from functools import lru_cache

from scoord.names import path_key

_ANY_DEPTH = "**"
_CLASS = re.compile(r"\[[!^]?\]?[^\]]*\]")
_FILE = re.compile(r"[^.].*\.\w+")
_WILD = re.compile(r"[*?\[\\]")


def may_meet(one: str, other: str) -> bool:
    """Whether some path is matched by both."""
    return _lists_meet(_names(one), _names(other))


def literal_prefix(pattern: str) -> str:
    """The folder, with its slash, that every match lies below; empty when there is none.

    As keys are compared: in one case.
    """
    plain: list[str] = []
    # The last name may be a file's, so it has no slash for certain.
    for name in path_key(pattern.strip()).rstrip("/").split("/")[:-1]:
        if name == _ANY_DEPTH or _WILD.search(name):
            break
        plain.append(name)
    return "".join(f"{name}/" for name in plain if name)


def _names(pattern: str) -> tuple[str, ...]:
    written = path_key(pattern.strip())
    bare = written.rstrip("/")
    names = [name for name in bare.split("/") if name]
    above = [] if "/" in bare else [_ANY_DEPTH]
    below = [] if bare == written and _FILE.fullmatch(names[-1]) else [_ANY_DEPTH]
    return (*above, *names, *below)


@lru_cache(4096)
def _lists_meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if not one or not other:
        return all(name == _ANY_DEPTH for name in (*one, *other))
    if one[0] == _ANY_DEPTH:
        return _lists_meet(one[1:], other) or _lists_meet(one, other[1:])
    if other[0] == _ANY_DEPTH:
        return _lists_meet(other, one)
    return _names_meet(_plain(one[0]), _plain(other[0])) and _lists_meet(one[1:], other[1:])


@lru_cache(4096)
def _names_meet(one: str, other: str) -> bool:
    if not one or not other:
        return set(one + other) <= {"*"}
    if one[0] == "*":
        return _names_meet(one[1:], other) or _names_meet(one, other[1:])
    if other[0] == "*":
        return _names_meet(other, one)
    return (one[0] == other[0] or "?" in (one[0], other[0])) and _names_meet(one[1:], other[1:])


def _plain(name: str) -> str:
    """A name with classes, and what a backslash takes the meaning from, as ``?``."""
    return re.sub(r"\\.", "?", _CLASS.sub("?", name))
