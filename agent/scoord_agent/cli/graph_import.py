"""Reads the files of knowledge-graph memories: each line checked before any is used.

Two kinds are known: with the marker of mcp-knowledge-graph as the first line, and
the plain ``memory.jsonl`` of the MCP memory server. What such a file says of sessions,
locks, areas and tasks is left out: here that follows from the state.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scoord.errors import InvalidRequest
from scoord.graph_limits import (
    MOST_FACT,
    MOST_FACTS,
    MOST_NAME,
    MOST_TYPE,
    state_name,
    state_relation,
    state_type,
)
from scoord.text import one_line
from scoord_agent.cli.graph_formats import MARKER
from scoord_agent.graph_shapes import Checked, EntityShape, RelationShape, check

MOST_FILE: Final = 8 * 1024 * 1024
"""Of a file; a project's graph keeps a quarter of that."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a file holds, and how much of it is not for keeping."""

    entities: tuple[EntityShape, ...]
    relations: tuple[RelationShape, ...]
    left_out: int = 0
    """Entities and relations that would pose as the state."""


def read_memory(file: Path) -> Memory:
    """Read and check all of ``file``. Raises InvalidRequest with file and line."""
    entities: list[EntityShape] = []
    relations: list[RelationShape] = []
    for number, row in _rows(file):
        where = f"{file}:{number}"
        match row.get("type"):
            case "entity":
                entities.append(_entity(row, where))
            case "relation":
                relations.append(_relation(row, where))
            case "_aim" if number == 1 and row == MARKER:
                continue
            case other:
                shown = one_line(str(other), 40)
                raise InvalidRequest(f"{where}: type {shown!r}; want 'entity' or 'relation'")
    return _notes(entities, relations)


def _notes(entities: list[EntityShape], relations: list[RelationShape]) -> Memory:
    """What may be written down, by the coordinator's rule, and does not lead to what may not."""
    state = {e.name for e in entities if state_type(e.entity_type) or state_name(e.name)}
    noted = tuple(entity for entity in entities if entity.name not in state)
    linked = tuple(
        r
        for r in relations
        if not {r.source, r.target} & state
        and not state_relation(r.source, r.relation_type, r.target)
    )
    left_out = len(entities) + len(relations) - len(noted) - len(linked)
    return Memory(noted, linked, left_out)


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_text(file).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"{where}: not JSON: {one_line(str(error), 80)}") from error
        if not isinstance(row, dict):
            raise InvalidRequest(f"{where}: a JSON {type(row).__name__}, not an object")
        yield number, row


def _text(file: Path) -> str:
    try:
        data = file.read_bytes() if file.stat().st_size <= MOST_FILE else None
    except OSError as error:
        raise InvalidRequest(f"cannot read {file}: {error.strerror}") from error
    if data is None:
        raise InvalidRequest(f"{file}: over {MOST_FILE >> 20} MiB; split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{file}: not UTF-8 at byte {error.start}") from error


def _entity(row: dict[str, Any], where: str) -> EntityShape:
    entity = _checked(EntityShape, row, where)
    _check_text("name", entity.name, MOST_NAME, where)
    _check_text("entityType", entity.entity_type, MOST_TYPE, where)
    if len(entity.observations) > MOST_FACTS:
        many = len(entity.observations)
        raise InvalidRequest(f"{where}: {many} observations; {MOST_FACTS} are allowed")
    for fact in entity.observations:
        _check_text("an observation", fact, MOST_FACT, where)
    return entity


def _relation(row: dict[str, Any], where: str) -> RelationShape:
    relation = _checked(RelationShape, row, where)
    _check_text("from", relation.source, MOST_NAME, where)
    _check_text("to", relation.target, MOST_NAME, where)
    _check_text("relationType", relation.relation_type, MOST_TYPE, where)
    return relation


def _checked(shape: type[Checked], row: dict[str, Any], where: str) -> Checked:
    try:
        return check(shape, row)
    except InvalidRequest as error:
        raise InvalidRequest(f"{where}: {error.message}") from error


def _check_text(what: str, text: str, most: int, where: str) -> None:
    """As the coordinator will: so that a file is refused before anything of it is added."""
    line = one_line(text, most + 1)
    if not line or len(line) > most:
        shown = one_line(text, 40)
        raise InvalidRequest(f"{where}: {what} {shown!r}: 1 to {most} characters are allowed")
