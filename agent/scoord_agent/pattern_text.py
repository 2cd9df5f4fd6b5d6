"""What an argument says by its text: names, and perhaps a pattern after them. Pure.

What is on disk has no part in it, so that an argument names one lock before and after
a file is there.
"""

import re
from typing import Final

from scoord.errors import InvalidRequest
from scoord.patterns import BRACES

EXAMPLE: Final = "want for example 'src/api/**'"

# Brackets alone are none: web frameworks have folders called [id], and nobody means a class.
_WILD = re.compile(r"[*?]|\\[*?\[\]{}!#\\]")
_SPECIAL = re.compile(r"([*?\[\\])")


def is_pattern(argument: str) -> bool:
    """Whether it has a wildcard or an escape, or ends in a slash."""
    return argument.endswith("/") or _WILD.search(argument) is not None


def split(argument: str) -> tuple[str, str]:
    """The names ahead of the first one with a wildcard, brackets and all, and the rest."""
    found = _WILD.search(argument)
    start = argument.rfind("/", 0, found.start()) + 1 if found else len(argument)
    return argument[:start], argument[start:]


def escaped(names: str) -> str:
    """Names as a pattern says them, for nothing but themselves."""
    return BRACES.sub(lambda found: f"\\{found[0]}", _SPECIAL.sub(r"\\\1", names))


def anchored(rest: str, folder: str, *, is_fixed: bool) -> str:
    """The pattern ``rest`` as the worktree's root would say it, where ``folder`` said it.

    As in ``.gitignore``, a name alone matches at any depth below the folder, unless it
    ``is_fixed`` there by a name ahead of it. No rest is all of the folder; "" is the root.
    """
    if {".", ".."} & set(rest.split("/")):
        raise InvalidRequest(f"{rest!r} cannot be held; {EXAMPLE}")
    *names, last = escaped(folder).split("/")
    if rest:
        return _joined([*names, last] if folder else [], rest, is_fixed=is_fixed)
    return _joined(names, f"{last}/" if folder else "**", is_fixed=True)


def _joined(names: list[str], rest: str, *, is_fixed: bool) -> str:
    above = "".join(f"{name}/" for name in names)
    if above.startswith(("!", "#")):
        above = f"\\{above}"
    if is_fixed or "/" in rest.rstrip("/"):
        return f"{above}{rest}" if above or "/" in rest.rstrip("/") else f"/{rest}"
    return f"{above}**/{rest}" if above and not rest.startswith("**") else f"{above}{rest}"
