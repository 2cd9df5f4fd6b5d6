"""JSON as its author wrote it: change one member and leave every other byte alone.

Settings files belong to people. Reading and re-writing them with ``json`` would
lose their indentation, number forms, escapes and repeated names, so changes are
made in the text. Knows nothing of hooks.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NoReturn

from scoord.errors import InvalidConfig

Place = tuple[str | int, ...]
"""From the top: a member's name or an item's number at each level."""

_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_BARE: Final = re.compile(r"[^ \t\r\n,\]}]+")
_MOST_LEVELS: Final = 200
"""Well below what Python's stack takes; settings have some ten."""


@dataclass(frozen=True, slots=True)
class _Node:
    """One value, from ``start`` to ``end`` in the text."""

    start: int
    end: int
    children: tuple["_Child", ...] = ()


@dataclass(frozen=True, slots=True)
class _Child:
    """A member or an item; ``start`` is where its name, or else its value, begins."""

    step: str | int
    start: int
    node: _Node


@dataclass(frozen=True)
class Document:
    """A valid JSON text. Changes return a new document."""

    text: str

    @classmethod
    def parse(cls, text: str, origin: str) -> "Document":
        """Check a text. Raises InvalidConfig naming the origin, line and column."""
        document = cls(text)
        try:
            top = json.loads(text, parse_int=len, parse_float=len, parse_constant=_no_constant)
            document._top  # noqa: B018 (read now: it may be nested too deeply)
        except json.JSONDecodeError as failure:
            place = f"{origin}:{failure.lineno}:{failure.colno}"
            raise _not_json(place, failure.msg) from failure
        except ValueError as failure:
            raise _not_json(origin, str(failure)) from failure
        except RecursionError as failure:
            raise InvalidConfig(f"{origin}: nested too deeply; nothing was changed") from failure
        if not isinstance(top, dict):
            raise InvalidConfig(f"{origin}: must hold one JSON object; nothing was changed")
        return document

    def value(self, place: Place) -> object:
        """Return the value there as Python sees it; None if there is none."""
        node = self._find(place)
        if node is None:
            return None
        return json.loads(self.text[node.start : node.end], parse_int=_whole)

    def kind(self, place: Place) -> str:
        """Return the first character of the value there: ``{``, ``[``, a quote...; or empty."""
        node = self._find(place)
        return "" if node is None else self.text[node.start]

    def steps(self, place: Place) -> tuple[str | int, ...]:
        """Return the names of the members there, or the numbers of the items."""
        node = self._find(place)
        return () if node is None else tuple(child.step for child in node.children)

    def with_member(self, place: Place, name: str, value: object) -> "Document":
        """Set a member of the object there: in its place if it exists, else last."""
        old = self._find((*place, name))
        if old is None:
            return self._append(place, f"{_compact(name)}: ", value)
        return self._splice(old.start, old.end, self._write(value, self._indent_at(old.start)))

    def with_item(self, place: Place, value: object) -> "Document":
        """Put an item last in the array there."""
        return self._append(place, "", value)

    def without(self, place: Place) -> "Document":
        """Take a member or an item out, together with its comma."""
        parent = self._get(place[:-1])
        siblings = parent.children
        at = max(i for i, child in enumerate(siblings) if child.step == place[-1])
        if at > 0:
            return self._splice(siblings[at - 1].node.end, siblings[at].node.end, "")
        if len(siblings) > 1:
            return self._splice(siblings[0].start, siblings[1].start, "")
        return self._splice(parent.start + 1, parent.end - 1, "")

    @cached_property
    def _top(self) -> _Node:
        return _read(self.text, _after(_BLANKS, self.text, 0))

    @cached_property
    def _newline(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"

    @cached_property
    def _unit(self) -> str:
        """One level of indentation; empty if the file is on one line."""
        if not self._top.children:
            return "  "
        gap = self.text[self._top.start + 1 : self._top.children[0].start]
        return (gap.rpartition("\n")[2] or "  ") if "\n" in gap else ""

    def _find(self, place: Place) -> _Node | None:
        node: _Node | None = self._top
        for step in place:
            children = node.children if node else ()
            # A name given twice counts as its last one, as every reader takes it.
            node = next((child.node for child in reversed(children) if child.step == step), None)
        return node

    def _get(self, place: Place) -> _Node:
        node = self._find(place)
        if node is None:
            raise KeyError(place)
        return node

    def _append(self, place: Place, prefix: str, value: object) -> "Document":
        container = self._get(place)
        if not container.children:
            return self._fill(container, prefix, value)
        last = container.children[-1].node.end
        gap = self.text[container.start + 1 : container.children[0].start]
        if "\n" not in gap:
            return self._splice(last, last, f", {prefix}{_compact(value)}")
        indent = gap.rpartition("\n")[2]
        return self._splice(
            last, last, f",{self._newline}{indent}{prefix}{self._write(value, indent)}"
        )

    def _fill(self, container: _Node, prefix: str, value: object) -> "Document":
        """Put the first child into an empty container."""
        outside = self._indent_at(container.start)
        inside = outside + self._unit
        written = prefix + self._write(value, inside)
        if self._unit:
            written = f"{self._newline}{inside}{written}{self._newline}{outside}"
        return self._splice(container.start + 1, container.end - 1, written)

    def _write(self, value: object, indent: str) -> str:
        if not self._unit:
            return _compact(value)
        lines = json.dumps(value, ensure_ascii=False, indent=self._unit).split("\n")
        return f"{self._newline}{indent}".join(lines)

    def _indent_at(self, position: int) -> str:
        line = self.text[self.text.rfind("\n", 0, position) + 1 : position]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def _splice(self, start: int, end: int, new: str) -> "Document":
        return Document(self.text[:start] + new + self.text[end:])


def _not_json(place: str, why: str) -> InvalidConfig:
    return InvalidConfig(f"{place}: not valid JSON ({why}); nothing was changed")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _whole(digits: str) -> float:
    """Return a number; one longer than Python takes is as far off as one with an exponent."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _read(text: str, at: int, above: int = 0) -> _Node:
    """Read the value that begins here, in a text known to be valid, ``above`` levels deep.

    Raises RecursionError where it is nested too deeply, however deep the caller's stack is.
    """
    if text[at] in "{[":
        if above == _MOST_LEVELS:
            raise RecursionError
        return _read_container(text, at, above + 1)
    return _Node(at, _after(_STRING if text[at] == '"' else _BARE, text, at))


def _read_container(text: str, start: int, above: int) -> _Node:
    children: list[_Child] = []
    at = _after(_BLANKS, text, start + 1)
    while text[at] not in "}]":
        number = None if text[start] == "{" else len(children)
        child = _read_child(text, at, number, above)
        children.append(child)
        at = _after(_BLANKS, text, child.node.end)
        if text[at] == ",":
            at = _after(_BLANKS, text, at + 1)
    return _Node(start, at + 1, tuple(children))


def _read_child(text: str, start: int, number: int | None, above: int) -> _Child:
    """Read an item by its number, or a member, which has none."""
    if number is not None:
        return _Child(number, start, _read(text, start, above))
    end = _after(_STRING, text, start)
    after_colon = _after(_BLANKS, text, _after(_BLANKS, text, end) + 1)
    return _Child(json.loads(text[start:end]), start, _read(text, after_colon, above))
