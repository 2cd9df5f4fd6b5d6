"""How a graph is written down: table, JSON, Mermaid, Graphviz, and the original's lines.

Names and facts are other people's texts: each goes on one line, and is escaped as
the format asks, so that none can end its own quotes or begin a line of its own.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from scoord.graph_limits import LOCK, MOST_FACT, MOST_SHOWN_NAME, SESSION
from scoord.text import one_line

Graph = Mapping[str, Any]
Row = Mapping[str, Any]

MARKER: Final = {"type": "_aim", "source": "mcp-knowledge-graph"}
"""The first line of the original's files, without which it does not touch them."""

_SHAPES: Final = {
    SESSION: ("([", "])", "ellipse"),
    LOCK: ("[/", "/]", "note"),
    "area": ("[(", ")]", "folder"),
    "task": ("{{", "}}", "hexagon"),
}
_BOX: Final = ("[", "]", "box")

# Mermaid reads its labels as Markdown and HTML, even in quotes: entities by number
# are the one escape that it has. An underscore within a word is no Markdown.
_MERMAID: Final = re.compile(r"""["#&;<>`|\\\[\](){}*~%]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])""")
_DOT: Final = str.maketrans({'"': '\\"', "\\": "\\\\"})


def clean(graph: Graph) -> dict[str, Any]:
    """``graph`` with every text on one bounded line."""
    return {
        **{key: one_line(str(graph.get(key, ""))) for key in ("project", "context", "location")},
        "entities": [_entity(row) for row in graph.get("entities", ())],
        "relations": [_relation(row) for row in graph.get("relations", ())],
        "left_out": int(graph.get("left_out", 0)),
        "known": graph.get("known") is not False,
    }


def entity_line(row: Row) -> dict[str, Any]:
    """An entity in the original's own keys."""
    return {"type": "entity", **{k: row[k] for k in ("name", "entityType", "observations")}}


def relation_line(row: Row) -> dict[str, Any]:
    """A relation in the original's own keys."""
    return {"type": "relation", **{k: row[k] for k in ("from", "to", "relationType")}}


def as_json(graph: Graph) -> str:
    """One JSON object."""
    return json.dumps(graph, indent=2, ensure_ascii=False)


def as_jsonl(graph: Graph) -> str:
    """The original's file: its marker, then entities, then relations."""
    rows = [
        MARKER,
        *map(entity_line, graph["entities"]),
        *map(relation_line, graph["relations"]),
    ]
    return "\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)


def as_mermaid(graph: Graph) -> str:
    """A flowchart of Mermaid."""
    names = _numbered(graph)
    lines = ["flowchart LR"]
    for row in graph["entities"]:
        begin, end, _ = _SHAPES.get(row["entityType"], _BOX)
        lines.append(f'    {names[row["name"]]}{begin}"{_mermaid(row["name"])}"{end}')
    lines += _beside(graph, names, lambda node, name: f'    {node}["{_mermaid(name)}"]')
    for row in graph["relations"]:
        label = _mermaid(row["relationType"])
        lines.append(f'    {names[row["from"]]} -->|"{label}"| {names[row["to"]]}')
    return "\n".join(lines)


def as_dot(graph: Graph) -> str:
    """A graph of Graphviz."""
    names = _numbered(graph)
    lines = ["digraph scoord {", "    rankdir=LR;"]
    for row in graph["entities"]:
        shape = _SHAPES.get(row["entityType"], _BOX)[2]
        tip = _dot("; ".join(row["observations"])[:MOST_FACT])
        lines.append(
            f'    {names[row["name"]]} [label="{_dot(row["name"])}", shape={shape},'
            f' tooltip="{tip}"];'
        )
    lines += _beside(graph, names, lambda node, name: f'    {node} [label="{_dot(name)}"];')
    for row in graph["relations"]:
        label = _dot(row["relationType"])
        lines.append(f'    {names[row["from"]]} -> {names[row["to"]]} [label="{label}"];')
    return "\n".join([*lines, "}"])


FORMATS: Final[Mapping[str, Callable[[Graph], str]]] = {
    "json": as_json,
    "jsonl": as_jsonl,
    "mermaid": as_mermaid,
    "dot": as_dot,
}


def _entity(row: Row) -> dict[str, Any]:
    return {
        "name": one_line(str(row.get("name", "")), MOST_SHOWN_NAME),
        "entityType": one_line(str(row.get("entityType", ""))),
        "observations": [one_line(str(f), MOST_FACT) for f in row.get("observations", ())],
        "derived": row.get("derived") is True,
        "tokens": [int(token) for token in row.get("tokens", ())],
        "ended": row.get("ended") is True,
    }


def _relation(row: Row) -> dict[str, Any]:
    return {
        "from": one_line(str(row.get("from", "")), MOST_SHOWN_NAME),
        "to": one_line(str(row.get("to", "")), MOST_SHOWN_NAME),
        "relationType": one_line(str(row.get("relationType", ""))),
        "derived": row.get("derived") is True,
    }


def _numbered(graph: Graph) -> dict[str, str]:
    """An identifier of ours for each name: no name is one by itself."""
    ends = (row[end] for row in graph["relations"] for end in ("from", "to"))
    every = (*(row["name"] for row in graph["entities"]), *ends)
    return {name: f"n{number}" for number, name in enumerate(dict.fromkeys(every), 1)}


def _beside(
    graph: Graph, names: Mapping[str, str], node: Callable[[str, str], str]
) -> Iterator[str]:
    """The ends of relations that are no entities: they would be shown by our numbers."""
    known = {row["name"] for row in graph["entities"]}
    for name, number in names.items():
        if name not in known:
            yield node(number, name)


def _mermaid(text: str) -> str:
    return _MERMAID.sub(lambda found: f"#{ord(found[0])};", text)


def _dot(text: str) -> str:
    return text.translate(_DOT)


def by_type(rows: Iterable[Row]) -> Sequence[Row]:
    """Entities in the order in which people look: who, what is locked, the rest, who was."""
    order = {name: number for number, name in enumerate(_SHAPES)}
    return sorted(
        rows,
        key=lambda row: (row["ended"], order.get(row["entityType"], len(order)), row["name"]),
    )
