"""What an object and all that it is made of still know, to find what is never forgotten."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

_MANY = (list, tuple, set, frozenset, deque)


def is_known(text: str, *roots: object) -> bool:
    """Whether a string that has ``text`` in it is anywhere in ``roots``: also as a key."""
    seen: set[int] = set()
    left: list[Any] = list(roots)
    while left:
        one = left.pop()
        if isinstance(one, str) and text in one:
            return True
        if id(one) not in seen:
            seen.add(id(one))
            left.extend(_inside(one))
    return False


def _inside(one: Any) -> Iterator[Any]:
    """What it is made of; of objects, of those of our own programs alone."""
    if isinstance(one, Mapping):
        yield from one.keys()
        yield from one.values()
    elif isinstance(one, _MANY):
        yield from one
    elif type(one).__module__.startswith("scoord"):
        slots = (name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ()))
        yield from (getattr(one, name, None) for name in slots)
        yield from getattr(one, "__dict__", {}).values()
