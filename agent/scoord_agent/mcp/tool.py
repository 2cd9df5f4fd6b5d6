"""What a tool is: its words, its shapes, and what it does for a caller."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scoord.text import one_line
from scoord_agent.mcp.asking import Caller

Arguments = Mapping[str, Any]

MOST_TEXT: Final = 300
MOST_ROWS: Final = 200
_MOST_DEPTH: Final = 6


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


def bounded(value: Any, depth: int = 0) -> Any:
    """JSON whose every text is one harmless line, and that is not endless."""
    if isinstance(value, str):
        return one_line(value, MOST_TEXT)
    if depth > _MOST_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {one_line(str(key), 80): bounded(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [bounded(each, depth + 1) for each in value[:MOST_ROWS]]
    return value
