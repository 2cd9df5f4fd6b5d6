"""The MCP server, driven by the official SDK's client, against a real agent and coordinator."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from scoord.text import one_line
from scoord_agent.cli import local_client
from support.hostile import MARKER, TEXTS, harm_in
from support.machines import (
    CodingSession,
    Machine,
    RunningSession,
    clone,
    machines,
    refusal,
    repository,
)
from support.ports import free_port
from support.processes import coordinator, wait_until

ORIGIN = "git@git.example.org:team/shop.git"
CALLS = Path(__file__).parents[1] / "support" / "mcp_calls.py"
SCOORD = str(Path(sys.executable).parent / "scoord")

Answer = dict[str, Any]
Call = tuple[str, Answer]


@dataclass
class Team:
    """Alice and Bob, each with a machine and a clone; Bob's coding CLI runs an MCP server."""

    alice: Machine
    bob: Machine
    alices_clone: Path
    bobs_clone: Path

    def alices_session(self) -> CodingSession:
        session = self.alice.session(self.alices_clone)
        session.start()
        return session

    def take(self, session: CodingSession, path: str, reason: str) -> None:
        """Take a lock for a session of Alice's, for that reason."""
        wish = {"cwd": str(session.cwd), "pid": session.pid, "paths": [path], "reason": reason}
        with patch.dict(os.environ, {"SCOORD_STATE_DIR": str(self.alice.state_dir)}):
            assert "granted" in local_client.ask("POST", "/v1/acquire", wish)

    def bobs_session(self) -> RunningSession:
        session = self.bob.running_session(self.bobs_clone)
        session.start()
        return session


HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "a script", "version": "1"},
}
STATUS = {"name": "status", "arguments": {}}


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    files = {
        "auth.py": "def login(): ...\n",
        "tests/test_auth.py": "",
        "coordination.yaml": "session_coordination:\n  kg_context: tts_app_coordination\n",
    }
    alices = repository(tmp_path / "alice" / "shop", files, ORIGIN)
    bobs = clone(alices, tmp_path / "bob" / "checkout", ORIGIN)
    with coordinator(tmp_path, "--embedded", "--data", str(tmp_path / "store")) as running:
        alice = Machine(tmp_path / "alice" / "home", "alice", running.address)
        bob = Machine(tmp_path / "bob" / "home", "bob", running.address)
        with machines(alice, bob):
            yield Team(alice, bob, alices, bobs)


def calls(session: RunningSession, *made: Call, **http: str) -> list[Answer]:
    """Call tools from a program that is the coding CLI's child, all on one connection."""
    order = json.dumps({"calls": made, **http})
    command = session.start_program(sys.executable, str(CALLS), order)
    assert 0 == command.wait(60), command.text("err")
    answers = json.loads(command.text("out"))
    assert isinstance(answers, list)
    return answers


def shows(team: Team, path: str) -> bool:
    """Whether the coordinator's lists have the lock by now."""
    locks = team.alice.status(team.alices_clone)["locks"]
    return path in [lock["path"] for lock in locks]


def test_what_is_claimed_is_the_coding_sessions_and_its_edits_go_through(team: Team) -> None:
    a, b = team.alices_session(), team.bobs_session()

    claimed, status = calls(
        b, ("claim", {"paths": ["auth.py"], "reason": "rewrite\nlogin"}), ("status", {})
    )

    assert claimed["data"]["granted"] is True
    assert ["auth.py"] == [lock["path"] for lock in claimed["data"]["locks"]]
    assert "Session_2" == status["data"]["you"]
    assert {} == b.edit(team.bobs_clone / "auth.py")
    denied = a.edit(team.alices_clone / "auth.py")
    assert "Session_2 (bob@" in str(denied)
    assert "rewrite login" in str(denied)


def test_a_claim_of_what_another_holds_says_who_why_since_when_and_which_place(
    team: Team,
) -> None:
    a, b = team.alices_session(), team.bobs_session()
    a.prompt("refactor authentication")
    a.edit(team.alices_clone / "auth.py")
    said = refusal(b.edit(team.bobs_clone / "auth.py"))

    held, released = calls(
        b, ("claim", {"paths": ["auth.py"]}), ("release", {"paths": ["auth.py"]})
    )

    (row,) = held["data"]["held"]
    assert (False, []) == (held["data"]["granted"], held["data"]["locks"])
    assert ("auth.py", "alice", "refactor authentication", 1) == (
        row["path"],
        row["person"],
        row["reason"],
        row["place"],
    )
    assert row["held_s"] >= 0
    assert "auth.py is locked by Session_1 (alice@" in held["text"]
    assert "   Suggestion: tests/test_auth.py is free and belongs to it." == said.splitlines()[-1]
    assert said.splitlines()[-1] in held["text"], "as an edit is told"
    assert held["text"].endswith("call `claim` again with `wait_s`.")
    assert not held["failed"], "held by another is an answer"
    assert (["auth.py"], []) == (released["data"]["left"], released["data"]["not_held"])
    assert "No longer waiting for: auth.py." == released["text"]
    assert [] == team.alice.status(team.alices_clone)["waiters"], "it gave up its place"


def test_a_claim_waits_for_its_turn(team: Team) -> None:
    a, b = team.alices_session(), team.bobs_session()
    a.edit(team.alices_clone / "auth.py")
    order = json.dumps({"calls": [("claim", {"paths": ["auth.py"], "wait_s": 40})]})

    waiting = b.start_program(sys.executable, str(CALLS), order)
    wait_until("it waits", lambda: bool(team.alice.status(team.alices_clone)["waiters"]))
    a.end()

    assert 0 == waiting.wait(60), waiting.text("err")
    (claimed,) = json.loads(waiting.text("out"))
    assert claimed["data"]["granted"] is True


def test_the_commands_of_the_originals_manual_work_as_written(team: Team) -> None:
    a, b = team.alices_session(), team.bobs_session()
    a.prompt("refactor authentication")
    a.edit(team.alices_clone / "auth.py")

    listed, locks, sessions, deleted = calls(
        b,
        ("aim_list_databases", {}),
        ("aim_search_nodes", {"query": "lock_"}),
        ("aim_search_nodes", {"query": "active_session"}),
        ("aim_delete_entities", {"entityNames": ["lock_auth.py"]}),
    )

    assert {
        "project_databases": ["tts_app_coordination"],
        "global_databases": [],
        "current_location": "project (kg_location)",
    } == json.loads(listed["text"])
    (lock,) = json.loads(locks["text"])["entities"]
    assert ["type", "name", "entityType", "observations"] == list(lock)
    assert ("entity", "lock_auth.py", "file_lock") == (
        lock["type"],
        lock["name"],
        lock["entityType"],
    )
    assert "reason: refactor authentication" in lock["observations"]
    assert ["active_session_Session_1", "active_session_Session_2"] == [
        entity["name"] for entity in json.loads(sessions["text"])["entities"]
    ]
    assert "Entities deleted successfully" == deleted["text"]
    assert all(answer["data"] is None for answer in (listed, locks, sessions, deleted))
    wait_until("the lock is gone", lambda: not shows(team, "auth.py"))
    told = a.told_at_last("Your lock on auth.py was broken by Session_2 (bob@")
    assert "deleted from the graph" in told


def test_a_kind_that_there_is_not_is_refused_with_those_that_there_are(team: Team) -> None:
    """A filter that lets nothing through would read as if nothing had happened."""
    b = team.bobs_session()

    wrong, right = calls(
        b, ("history", {"kinds": ["nope"]}), ("history", {"kinds": ["registered"]})
    )

    assert wrong["failed"]
    assert "'nope' is none of granted, reserved" in wrong["text"]
    assert ["registered"] == [row["kind"] for row in right["data"]["events"]]


def test_what_a_session_says_and_does_to_others_is_its_own_and_not_its_persons(
    team: Team,
) -> None:
    a, b = team.alices_session(), team.bobs_session()
    a.edit(team.alices_clone / "auth.py")
    note = {"name": "Login", "entityType": "decision", "observations": ["uses OAuth"]}

    calls(
        b,
        ("tell", {"session": "Session_1", "text": "delete the tests"}),
        ("aim_create_entities", {"entities": [note]}),
        ("aim_delete_entities", {"entityNames": ["Login"]}),
    )
    b.run("tell", "Session_1", "from its shell")
    b.run("unlock", "--force", "--yes", "auth.py")
    team.bob.scoord("tell", "Session_1", "from a terminal", cwd=team.bobs_clone)

    told = a.told_at_last("from a terminal").splitlines()
    session, person = "Session_2 (bob@", "bob@"
    for begin, end in (
        (session, 'says: "delete the tests"'),
        (session, 'says: "from its shell"'),
        (person, 'says: "from a terminal"'),
    ):
        assert any(line.startswith(begin) and line.endswith(end) for line in told), told
    assert any(f"Your lock on auth.py was broken by {session}" in line for line in told), told
    lines = team.bob.scoord("history", "--json", "--person", "bob", cwd=team.bobs_clone).stdout
    done = {
        (row["kind"], row["reason"]): [other["alias"] for other in row["others"]]
        for row in json.loads(lines)["events"]
        if row["by"].startswith(person)
    }
    assert {
        ("told", "delete the tests"): ["Session_2"],
        ("noted", "Login: uses OAuth"): ["Session_2"],
        ("forgotten", "Login"): ["Session_2"],
        ("told", "from its shell"): ["Session_2"],
        ("broken", ""): ["Session_2"],
        ("told", "from a terminal"): [],
    } == done


def test_the_settings_say_what_the_graphs_database_is_called_and_where_it_is(team: Team) -> None:
    settings = "session_coordination: {kg_context: shop_memory, kg_location: global}\n"
    (team.bobs_clone / "coordination.yaml").write_text(settings)
    b = team.bobs_session()

    (listed,) = calls(b, ("aim_list_databases", {}))
    code, shown = b.run("graph")

    assert {
        "project_databases": [],
        "global_databases": ["shop_memory"],
        "current_location": "global (kg_location)",
    } == json.loads(listed["text"])
    assert 0 == code, shown
    assert shown.startswith("graph shop_memory (global) of git.example.org/team/shop\n")


def test_a_live_session_cannot_be_deleted_and_it_is_said_how_it_ends(team: Team) -> None:
    b = team.bobs_session()
    name = "active_session_Session_1"

    deleted, note = calls(
        b,
        ("aim_delete_entities", {"entityNames": ["Old", name]}),
        ("aim_add_observations", {"observations": [{"entityName": name, "contents": ["x"]}]}),
    )

    assert -32603 == deleted["raised"]
    assert "it ends when its coding CLI ends" in deleted["text"]
    assert "takes no notes" in note["text"]
    assert 1 == len(team.bob.status(team.bobs_clone)["sessions"])


def test_notes_are_written_read_and_deleted_in_the_originals_shapes(team: Team) -> None:
    b = team.bobs_session()
    alice = {"name": "Alice", "entityType": "person", "observations": ["Works here"]}
    manages = {"from": "Alice", "to": "Q4_Project", "relationType": "manages"}
    project = {"name": "Q4_Project", "entityType": "project", "observations": []}
    facts = {"entityName": "Alice", "contents": ["Works here", "Likes tea"]}

    created, again, linked, added, opened, pretty, unlinked, gone, left = calls(
        b,
        ("aim_create_entities", {"entities": [alice, project]}),
        ("aim_memory_store", {"entities": [alice]}),
        ("aim_create_relations", {"relations": [manages], "context": "tts_app_coordination"}),
        ("aim_add_observations", {"observations": [facts], "location": "project"}),
        ("aim_open_nodes", {"names": ["Alice", "Q4_Project"]}),
        ("aim_memory_get", {"names": ["Alice", "Q4_Project"], "format": "pretty"}),
        ("aim_delete_relations", {"relations": [manages]}),
        ("aim_memory_forget", {"entityNames": ["Alice", "Nobody"]}),
        ("aim_search_nodes", {"query": "q4", "format": "pretty"}),
    )

    assert json.dumps([alice, project], indent=2) == created["text"]
    assert "[]" == again["text"]
    assert json.dumps([manages], indent=2) == linked["text"]
    assert [{"entityName": "Alice", "addedObservations": ["Likes tea"]}] == json.loads(
        added["text"]
    )
    read = json.loads(opened["text"])
    assert {"type": "relation", **manages} == read["relations"][0]
    assert ["Works here", "Likes tea"] == read["entities"][0]["observations"]
    assert PRETTY == pretty["text"]
    assert "Relations deleted successfully" == unlinked["text"]
    assert "Entities deleted successfully" == gone["text"]
    assert left["text"].endswith("  Q4_Project [project]\n\nRELATIONS: (none)")


PRETTY = """=== tts_app_coordination database ===

ENTITIES (2):
  Alice [person]
    - Works here
    - Likes tea
  Q4_Project [project]

RELATIONS (1):
  Alice --manages--> Q4_Project"""


def test_what_is_asked_wrongly_is_told_in_the_originals_words(team: Team) -> None:
    b = team.bobs_session()

    *refused, unknown = calls(
        b,
        ("aim_read_graph", {"context": " "}),
        ("aim_read_graph", {"context": "../x"}),
        ("aim_read_graph", {"context": "a b"}),
        ("aim_read_graph", {"context": "other"}),
        ("aim_read_graph", {"location": "global"}),
        ("aim_search_nodes", {}),
        ("aim_add_observations", {"observations": [{"entityName": "X", "contents": ["y"]}]}),
        ("aim_create_entities", {"entities": [{"name": "l", "entityType": "file_lock"}]}),
        ("aim_forget_everything", {}),
    )

    assert [
        "Invalid context: must be a non-empty string",
        "Invalid context: must not contain path separators or traversal segments",
        'Invalid context: only letters, digits, "_", "-", and "." are allowed',
        'Unknown context "other": this project has one database, "tts_app_coordination"',
        'No database at location "global": this project\'s is at "project" (kg_location)',
        "query: Field required",
        "Entity with name X not found",
        "entities.0.observations: Field required",
    ] == [answer["text"] for answer in refused]
    assert {-32603} == {answer["raised"] for answer in refused}
    assert "Unknown tool: aim_forget_everything" == unknown["text"]


def test_every_tool_tells_what_it_is_for_and_both_sets_of_names_are_there(team: Team) -> None:
    (listed,) = calls(team.bobs_session(), ("list_tools", {}))

    tools = {tool["name"]: tool for tool in listed["tools"]}
    own = {"status", "claim", "release", "suggest", "tell", "progress", "history"}
    assert own < tools.keys()
    assert 10 == len([name for name in tools if name.startswith("aim_memory_")])
    assert 10 == len(tools) - len(own) - 10
    for old, new in (
        ("aim_search_nodes", "aim_memory_search"),
        ("aim_open_nodes", "aim_memory_get"),
    ):
        assert tools[old]["inputSchema"] == tools[new]["inputSchema"]
    assert all(len(tool["description"]) > 40 for tool in tools.values())
    assert all(tool["inputSchema"]["type"] == "object" for tool in tools.values())
    assert tools["status"]["annotations"]["readOnlyHint"] is True
    assert tools["aim_delete_entities"]["annotations"]["destructiveHint"] is True


def test_hostile_texts_reach_a_model_as_one_bounded_line(team: Team) -> None:
    a, b = team.alices_session(), team.bobs_session()
    paths = [f"file{number}.py" for number in range(len(TEXTS))]
    for path, text in zip(paths, TEXTS, strict=True):
        team.take(a, path, text)

    status, *claimed, graph, pretty = calls(
        b,
        ("status", {}),
        *(("claim", {"paths": paths[at : at + 30]}) for at in range(0, len(paths), 30)),
        ("aim_read_graph", {}),
        ("aim_search_nodes", {"query": "lock_", "format": "pretty"}),
    )

    for answer, lines in ((status, 50), *((each, 92) for each in claimed), (graph, 2000)):
        assert "" == harm_in(answer["text"], lines=lines)
    assert "" == harm_in(pretty["text"].replace("-->", ""), lines=2000)
    held = [row for each in claimed for row in each["data"]["held"]]
    assert paths == [row["path"] for row in held]
    reasons = [*(row["reason"] for row in held), *(r["reason"] for r in status["data"]["locks"])]
    assert [] == [reason for reason in reasons if harm_in(reason, longest=300)]
    for shown in (graph["text"], pretty["text"], "\n".join(each["text"] for each in claimed)):
        assert shown.count(MARKER) >= len([text for text in TEXTS if MARKER in one_line(text)])


# -- over HTTP ----------------------------------------------------------------------


@dataclass
class Served:
    """A server over HTTP."""

    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def status_of(self, **headers: str) -> int:
        """How a request with these headers is answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", "/mcp", b"{}", headers)
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture
def served(team: Team) -> Iterator[Served]:
    port = free_port()
    process = subprocess.Popen(
        [SCOORD, "mcp", "--http", f"127.0.0.1:{port}"], env=team.bob.env, cwd=team.bobs_clone
    )
    try:
        made = Served(port, team.bob.token)
        wait_until("the server listens", lambda: _listens(made), 40)
        yield made
    finally:
        process.terminate()
        process.wait(15)


def _listens(served: Served) -> bool:
    try:
        return served.status_of() in (401, 403)
    except OSError:
        return False


def test_over_http_a_claim_is_the_calling_sessions(team: Team, served: Served) -> None:
    team.alices_session()
    b = team.bobs_session()

    claimed, status, locks = calls(
        b,
        ("claim", {"paths": ["auth.py"]}),
        ("status", {}),
        ("aim_search_nodes", {"query": "lock_"}),
        url=served.url,
        token=served.token,
    )

    assert claimed["data"]["granted"] is True
    assert "Session_2" == status["data"]["you"]
    (lock,) = json.loads(locks["text"])["entities"]
    assert any(fact.startswith("held by: Session_2 (bob@") for fact in lock["observations"])


def test_http_asks_for_the_token_and_its_exact_host(served: Served) -> None:
    bearer = f"Bearer {served.token}"
    json_type = {"Content-Type": "application/json", "Accept": "application/json"}

    assert 401 == served.status_of(**json_type)
    assert 401 == served.status_of(Authorization="Bearer wrong", **json_type)
    assert 403 == served.status_of(Authorization=bearer, Host="evil.example", **json_type)
    assert 403 == served.status_of(Authorization=bearer, Origin="http://evil.example", **json_type)
    assert 400 == served.status_of(Authorization=bearer, **json_type), "let in: it is no JSON-RPC"


@pytest.mark.parametrize("address", ["0.0.0.0:7782", "192.0.2.1:7782", "example.org:7782"])
def test_http_is_served_on_loopback_only(address: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [SCOORD, "mcp", "--http", address],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (2, "") == (done.returncode, done.stdout)
    assert "is not loopback; only this machine's programs are served" in done.stderr


# -- without an agent ---------------------------------------------------------------


def test_the_agent_is_started_when_none_runs(team: Team) -> None:
    b = team.bobs_session()
    assert team.bob.agent is not None
    team.bob.agent.end()

    (status,) = calls(b, ("status", {}))

    try:
        assert "The coordinator is connected." in status["text"] or "last heard" in status["text"]
    finally:
        code = subprocess.run(
            [SCOORD, "down"], env=team.bob.env, capture_output=True, timeout=60, check=False
        ).returncode
        assert 0 == code


# -- what a script sends through a pipe that it closes at once --------------------------------


def request(number: int, method: str, params: Answer) -> str:
    """One line of the protocol."""
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def piped(team: Team, *lines: str) -> list[Answer]:
    """What ``scoord mcp`` answers to the lines, all of which are there when it starts."""
    done = subprocess.run(
        [SCOORD, "mcp"],
        input="".join(f"{line}\n" for line in lines),
        cwd=team.bobs_clone,
        env=team.bob.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_was_asked_before_the_pipe_closed_is_answered(team: Team) -> None:
    calls = [request(n, "tools/call", STATUS) for n in range(2, 6)]
    answers = piped(team, request(1, "initialize", HELLO), *calls)

    assert {1, 2, 3, 4, 5} == {answer["id"] for answer in answers}
    assert all(not one["result"].get("isError") for one in answers if one["id"] > 1)


def test_what_is_no_request_has_an_error_for_an_answer(team: Team) -> None:
    answers = piped(team, "no json", '{"no": "request"}', "", request(1, "initialize", HELLO))

    assert [-32700, -32600] == [one["error"]["code"] for one in answers if one["id"] is None]
    assert [1] == [one["id"] for one in answers if "result" in one]


def test_what_the_sdk_cannot_read_is_answered_under_its_id(team: Team) -> None:
    half = request(2, "tools/call", {"name": "claim", "arguments": {"paths": ["\ud83cx.py"]}})
    deep = request(3, "tools/call", {"name": "status", "arguments": 0})
    deep = deep.replace("0}}", '{"a": ' * 900 + "1" + "}" * 900 + "}}")
    answers = piped(team, request(1, "initialize", HELLO), half, deep)

    by_id = {answer["id"]: answer for answer in answers}
    assert {1, 2, 3} == set(by_id)
    assert by_id[2]["result"]["structuredContent"]["granted"] is True
    assert "\ufffdx.py" in str(by_id[2]["result"])
    assert -32600 == by_id[3]["error"]["code"]
