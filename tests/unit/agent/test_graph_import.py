import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from scoord.errors import InvalidRequest
from scoord_agent.cli.app import run
from scoord_agent.cli.graph import graph
from scoord_agent.cli.graph_import import read_memory
from support.local_api import ScriptedApi, scripted_api

MARKER = '{"type":"_aim","source":"mcp-knowledge-graph"}'
ALICE = '{"type":"entity","name":"Alice","entityType":"person","observations":["Works here"]}'
LEADS = '{"type":"relation","from":"Alice","to":"Search","relationType":"leads"}'


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "memory.jsonl"


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as made:
        yield made


def test_the_originals_file_is_read(memory: Path) -> None:
    memory.write_text(f"{MARKER}\n{ALICE}\n\n{LEADS}")

    read = read_memory(memory)

    assert [("Alice", "person", ["Works here"])] == [
        (e.name, e.entity_type, e.observations) for e in read.entities
    ]
    assert [("Alice", "leads", "Search")] == [
        (r.source, r.relation_type, r.target) for r in read.relations
    ]


def test_the_memory_servers_file_has_no_marker_and_is_read_too(memory: Path) -> None:
    memory.write_text(f"{ALICE}\r\n{LEADS}\r\n")

    read = read_memory(memory)

    assert (1, 1) == (len(read.entities), len(read.relations))


def test_an_empty_file_is_an_empty_graph(memory: Path) -> None:
    memory.write_text("")

    assert ((), ()) == (read_memory(memory).entities, read_memory(memory).relations)


def test_what_tells_of_live_sessions_and_locks_is_left_out_with_its_relations(
    memory: Path,
) -> None:
    lock = {"type": "entity", "name": "lock_a.py", "entityType": "file_lock", "observations": []}
    holds = {"type": "relation", "from": "Alice", "to": "lock_a.py", "relationType": "holds"}
    named = {**lock, "name": "LOCK_b.py", "entityType": "note"}
    typed = {**lock, "name": "Session_9", "entityType": "Active_Session"}
    rows = map(json.dumps, (lock, named, typed, holds))
    memory.write_text("\n".join([ALICE, *rows, LEADS]))

    read = read_memory(memory)

    assert (["Alice"], 4) == ([entity.name for entity in read.entities], read.left_out)
    assert ["Search"] == [relation.target for relation in read.relations]


def test_what_poses_as_state_is_left_out_as_the_coordinator_refuses_it(memory: Path) -> None:
    def entity(name: str, entity_type: str) -> str:
        row = {"type": "entity", "name": name, "entityType": entity_type, "observations": []}
        return json.dumps(row)

    def relation(source: str, relation_type: str, target: str) -> str:
        row = {"type": "relation", "from": source, "relationType": relation_type, "to": target}
        return json.dumps(row)

    rows = (
        entity("task_7", "note"),
        entity("src", "Area"),
        relation("active_session_Session_1", "depends_on", "active_session_Session_2"),
        relation("Alice", "Holds_Lock", "lock_a.py"),
        relation("Billing", "depends_on", "Search"),
        relation("Alice", "reviews", "lock_a.py"),
    )
    memory.write_text("\n".join([ALICE, *rows]))

    read = read_memory(memory)

    assert (["Alice"], 4) == ([entity.name for entity in read.entities], read.left_out)
    assert ["depends_on", "reviews"] == [each.relation_type for each in read.relations]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nope", "not JSON: Expecting value"),
        ("[1]", "a JSON list, not an object"),
        ('{"type":"thing"}', "type 'thing'; want 'entity' or 'relation'"),
        ('{"name":"x"}', "type 'None'"),
        (MARKER, "type '_aim'"),
        ('{"type":"entity","name":5,"entityType":"x","observations":[]}', "name: Input should be"),
        ('{"type":"entity","name":"x","observations":[]}', "entityType: Field required"),
        ('{"type":"entity","name":"","entityType":"x","observations":[]}', "name ''"),
        (
            json.dumps(
                {"type": "entity", "name": "x" * 201, "entityType": "x", "observations": []}
            ),
            "1 to 200 characters are allowed",
        ),
        (
            json.dumps(
                {"type": "entity", "name": "x", "entityType": "x", "observations": ["y"] * 201}
            ),
            "201 observations; 200 are allowed",
        ),
        (
            json.dumps(
                {"type": "entity", "name": "x", "entityType": "x", "observations": ["y" * 2001]}
            ),
            "an observation",
        ),
        ('{"type":"relation","from":"a","to":"b"}', "relationType: Field required"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_wrong_line_is_named_with_what_is_wrong(memory: Path, line: str, why: str) -> None:
    memory.write_text(f"{ALICE}\n{line}\n{LEADS}")

    with pytest.raises(InvalidRequest) as told:
        read_memory(memory)

    assert told.value.message.startswith(f"{memory}:2: ")
    assert why in told.value.message
    assert len(told.value.message) < 400 + len(str(memory))


def test_bytes_that_are_no_text_and_a_huge_file_are_refused(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRequest, match="not UTF-8 at byte 0"):
        read_memory(memory)
    monkeypatch.setattr("scoord_agent.cli.graph_import.MOST_FILE", 1)
    with pytest.raises(InvalidRequest, match="split it"):
        read_memory(memory)


def test_a_file_with_one_wrong_line_adds_nothing(memory: Path, api: ScriptedApi) -> None:
    memory.write_text(f"{ALICE}\nnope")

    assert 2 == run(["graph", "import", str(memory)])

    assert [] == api.asked


def test_a_file_is_added_in_parts_that_one_command_may_carry(
    memory: Path, api: ScriptedApi
) -> None:
    rows = [
        {"type": "entity", "name": f"n{n}", "entityType": "x", "observations": []}
        for n in range(250)
    ]
    memory.write_text("\n".join(map(json.dumps, rows)))
    answer: dict[str, list[object]] = {"entities": [{}], "observations": [], "relations": []}
    api.will("/v1/graph/add", answer)

    done = CliRunner().invoke(graph, ["import", str(memory), "--json"])

    assert {"entities": 3, "relations": 0, "left_out": 0} == json.loads(done.output)
    assert [100, 100, 50] == [len(body["entities"]) for _, body in api.asked]
    assert {"name": "n0", "entityType": "x", "observations": []} == api.asked[0][1]["entities"][0]


def test_an_import_that_is_cut_off_says_how_far_it_came(
    memory: Path, api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    memory.write_text(f"{ALICE}\n{LEADS}")
    failure = {"error": {"code": "COORDINATOR_UNREACHABLE", "message": "nobody there"}}
    api.will("/v1/graph/add", {"entities": [{}], "observations": [], "relations": []})
    api.will("/v1/graph/add", failure, status=503)

    assert 3 == run(["graph", "import", str(memory)])

    told = capsys.readouterr().err
    assert "1 were added, then: nobody there; import it again to add the rest" in told


def test_a_graph_is_written_to_a_file_whole(api: ScriptedApi, tmp_path: Path) -> None:
    entity = {"name": "Alice", "entityType": "person", "observations": ["a\x1b[31mb"]}
    seen = {"context": "c", "location": "project", "project": "p", "entities": [entity]}
    api.will("/v1/graph", {**seen, "relations": [], "left_out": 0})

    for form in ("table", "json", "jsonl", "mermaid", "dot"):
        file = tmp_path / form
        done = CliRunner().invoke(graph, ["--format", form, "--output", str(file)])
        assert (0, "") == (done.exit_code, done.output)
        assert "Alice" in file.read_text()
        assert "\x1b" not in file.read_text()
    assert not (tmp_path / "jsonl").read_text().endswith("\n")


def test_an_agent_that_does_not_serve_the_graph_yet_says_so(
    api: ScriptedApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.will("/v1/graph", b"404: Not Found", status=404)

    assert 2 == run(["graph"])

    assert "the agent that runs does not serve this" in capsys.readouterr().err
