"""What a tool is: its words, its shapes, and what it does for a caller."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scoord.text import escaped, one_line
from scoord_agent.mcp.asking import Caller

Arguments = Mapping[str, Any]

MOST_TEXT: Final = 300
MOST_ROWS: Final = 200
MOST_PATH: Final = 4096
_MOST_DEPTH: Final = 6
_PATHS: Final = frozenset({"path", "paths", "released", "owed", "left", "not_held"})
"""What names files: another call may be told of them, and means these."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a tool answers: words for the model, and the same as data."""

    text: str
    data: dict[str, Any] | None = None


Run = Callable[[Caller, Arguments], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool as clients see it, and what it does."""

    name: str
    title: str
    description: str
    input_schema: dict[str, Any]
    run: Run
    output_schema: dict[str, Any] | None = None
    reads_only: bool = False
    destroys: bool = False


def harmless(path: str) -> str:
    """A path as it is, unless something in it is hidden, a tag, or moves a cursor."""
    is_plain = path.isprintable() and escaped(path) == path
    return path if is_plain else one_line(path, MOST_PATH)


def bounded(data: Mapping[str, Any], path: Callable[[str], str] = harmless) -> dict[str, Any]:
    """JSON whose every text is one harmless line, and that is not endless.

    ``path`` is what becomes of a path: one that the caller named itself may stay whole.
    What lists leave out is counted by their names in ``rows_left_out``.
    """
    lists = {key: each for key, each in data.items() if isinstance(each, list | tuple)}
    out = {key: len(rows) - MOST_ROWS for key, rows in lists.items() if len(rows) > MOST_ROWS}
    whole: dict[str, Any] = _bounded(data, path)
    return whole | ({"rows_left_out": out} if out else {})


def _bounded(value: Any, path: Callable[[str], str], key: str = "", depth: int = 0) -> Any:
    if isinstance(value, str):
        return path(value) if key in _PATHS else one_line(value, MOST_TEXT)
    if depth > _MOST_DEPTH:
        return None
    if isinstance(value, Mapping):
        rows = ((str(name), each) for name, each in value.items())
        return {one_line(name, 80): _bounded(each, path, name, depth + 1) for name, each in rows}
    if isinstance(value, list | tuple):
        return [_bounded(each, path, key, depth + 1) for each in value[:MOST_ROWS]]
    return value
