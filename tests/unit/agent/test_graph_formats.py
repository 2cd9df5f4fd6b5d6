import json
import re
from typing import Any

import pytest

from scoord_agent.cli.graph_formats import FORMATS, as_dot, as_jsonl, as_mermaid, clean
from scoord_agent.mcp.aim import pretty
from support.hostile import TEXTS, harm_in

HOSTILE = [
    '"] --> evil["x',
    '"; evil [label="x"]; "',
    "a\nb --> c",
    "`**bold**` __init__.py",
    "<script>alert(1)</script>",
    "\\",
    'x\\"',
    "%%{init: {}}%%",
    "#quot;",
    "\x1b[31mred\u202e",
    "end",
    *TEXTS,
]


def entity(name: str, entity_type: str = "person", *facts: str) -> dict[str, Any]:
    return {"name": name, "entityType": entity_type, "observations": list(facts)}


def relation(source: str, relation_type: str, target: str) -> dict[str, Any]:
    return {"from": source, "to": target, "relationType": relation_type}


def graph(entities: list[dict[str, Any]], relations: list[dict[str, Any]]) -> dict[str, Any]:
    return clean({"project": "p", "entities": entities, "relations": relations})


def test_mermaid_draws_entities_by_their_kind_and_relations_by_their_names() -> None:
    seen = graph(
        [entity("active_session_Session_1", "active_session"), entity("lock_a.py", "file_lock")],
        [relation("active_session_Session_1", "holds_lock", "lock_a.py")],
    )

    assert as_mermaid(seen).split("\n") == [
        "flowchart LR",
        '    n1(["active_session_Session_1"])',
        '    n2[/"lock_a.py"/]',
        '    n1 -->|"holds_lock"| n2',
    ]


def test_the_ends_of_a_relation_are_drawn_under_their_names_also_without_an_entity() -> None:
    seen = graph([entity("Alice")], [relation("Alice", "leads", "Search")])

    assert '    n2["Search"]' in as_mermaid(seen)
    assert '    n2 [label="Search"];' in as_dot(seen)


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda text: ascii(text[:30]))
def test_no_name_ends_its_quotes_in_mermaid(hostile: str) -> None:
    seen = graph([entity(hostile, hostile, hostile)], [relation(hostile, hostile, "b")])

    node = re.compile(r'    n\d+(\(\[|\[/|\[\(|\{\{|\[)"[^"`<>\\]*"(\]\)|/\]|\)\]|\}\}|\])')
    edge = re.compile(r'    n\d+ -->\|"[^"`<>|\\]*"\| n\d+')
    first, *lines = as_mermaid(seen).split("\n")
    assert "flowchart LR" == first
    assert 3 == len(lines)
    for line in lines:
        assert node.fullmatch(line) or edge.fullmatch(line), line
        assert len(line) < 3000


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda text: ascii(text[:30]))
def test_no_name_ends_its_quotes_in_dot(hostile: str) -> None:
    seen = graph([entity(hostile, hostile, hostile)], [relation(hostile, hostile, "b")])

    text = r'"(?:[^"\\]|\\["\\])*"'
    line_of = re.compile(
        rf"    n\d+(?: -> n\d+)? \[label={text}(?:, shape=\w+, tooltip={text})?\];"
    )
    lines = as_dot(seen).split("\n")
    assert 6 == len(lines)
    assert all(line_of.fullmatch(line) for line in lines[2:-1]), lines


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda text: ascii(text[:30]))
@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_every_text_is_one_bounded_line_in_json(form: str, hostile: str) -> None:
    seen = graph([entity(hostile, hostile, hostile)], [relation(hostile, hostile, "b")])

    written = FORMATS[form](seen)

    assert len(written) < 10_000
    assert "" == harm_in(written, lines=60, longest=6000)


def test_jsonl_is_the_originals_file() -> None:
    seen = graph(
        [entity("Alice_Smith", "person", "Lives in San Francisco")],
        [relation("Alice_Smith", "leads", "ML_Project_X")],
    )

    assert as_jsonl(seen) == (
        '{"type":"_aim","source":"mcp-knowledge-graph"}\n'
        '{"type":"entity","name":"Alice_Smith","entityType":"person",'
        '"observations":["Lives in San Francisco"]}\n'
        '{"type":"relation","from":"Alice_Smith","to":"ML_Project_X","relationType":"leads"}'
    )


def test_json_is_one_object_that_says_what_follows_from_the_state() -> None:
    seen = clean({"entities": [{**entity("lock_a", "file_lock"), "derived": True, "tokens": [7]}]})

    (row,) = json.loads(FORMATS["json"](seen))["entities"]

    assert (True, [7]) == (row["derived"], row["tokens"])


def test_an_empty_graph_says_so_to_people() -> None:
    assert "=== shop database ===\n\nENTITIES: (none)\n\nRELATIONS: (none)" == pretty(
        "shop", [], []
    )
