"""The graph through a real agent: who may delete what, and what becomes of it."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from scoord.errors import NotAllowed
from scoord_agent.cli import local_client
from support.etcd import Etcd
from support.machines import CodingSession, Machine, machines, repository
from support.processes import coordinator, etcd_store, wait_until

ORIGIN = "git@git.example.org:team/shop.git"


@dataclass
class Bench:
    """Alice's machine and repository."""

    machine: Machine
    root: Path

    def session(self) -> CodingSession:
        made = self.machine.session(self.root)
        made.start()
        return made

    def ask(self, path: str, **fields: Any) -> dict[str, Any]:
        """Ask the agent's local API."""
        body = {"cwd": str(self.root), "pid": os.getpid(), **fields}
        with patch.dict(os.environ, {"SCOORD_STATE_DIR": str(self.machine.state_dir)}):
            return local_client.ask("POST", path, body)

    def graph(self) -> dict[str, Any]:
        """The graph as it is now."""
        with patch.dict(os.environ, {"SCOORD_STATE_DIR": str(self.machine.state_dir)}):
            return local_client.graph(str(self.root))

    def entity(self, name: str) -> dict[str, Any] | None:
        """One entity of it."""
        found = (row for row in self.graph()["entities"] if row["name"] == name)
        return next(found, None)

    def facts(self, alias: str) -> list[str]:
        """What is known of a session."""
        return self.facts_of(f"active_session_{alias}")

    def facts_of(self, name: str) -> list[str]:
        """What is known of an entity; nothing where there is none."""
        return list((self.entity(name) or {}).get("observations", ()))

    def of_type(self, entity_type: str) -> list[dict[str, Any]]:
        """The entities of a type."""
        return [row for row in self.graph()["entities"] if row["entityType"] == entity_type]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    root = repository(tmp_path / "shop", {"auth.py": "x\n", "cart.py": "x\n"}, ORIGIN)
    with coordinator(tmp_path, "--embedded", "--data", str(tmp_path / "store")) as running:
        machine = Machine(tmp_path / "home", "alice", running.address)
        with machines(machine):
            yield Bench(machine, root)


def test_a_lock_is_deleted_only_under_the_grant_that_was_shown(bench: Bench) -> None:
    session = bench.session()
    session.edit(bench.root / "auth.py")
    wait_until("the lock is seen", lambda: bench.entity("lock_auth.py") is not None)
    (token,) = (bench.entity("lock_auth.py") or {})["tokens"]

    with pytest.raises(NotAllowed, match="has changed hands since it was shown"):
        bench.ask("/v1/graph/remove", entities=["lock_auth.py"], seen={"lock_auth.py": [token - 1]})
    removed = bench.ask(
        "/v1/graph/remove", entities=["lock_auth.py"], seen={"lock_auth.py": [token]}, reason="mine"
    )

    assert ["lock_auth.py"] == removed["broken"]
    wait_until("the lock is gone", lambda: bench.entity("lock_auth.py") is None)
    assert '"mine"' in session.told_at_last("Your lock on auth.py was broken by alice@")


def test_nothing_is_deleted_where_one_of_several_may_not_be(bench: Bench) -> None:
    session = bench.session()
    session.edit(bench.root / "auth.py")
    note = {"name": "Note", "entityType": "note", "observations": ["x"]}
    bench.ask("/v1/graph/add", entities=[note])
    wait_until("the lock is seen", lambda: bench.entity("lock_auth.py") is not None)

    with pytest.raises(NotAllowed, match="it ends when its coding CLI ends"):
        bench.ask("/v1/graph/remove", entities=["Note", "lock_auth.py", "active_session_Session_1"])

    assert {"Note", "lock_auth.py"} <= {row["name"] for row in bench.graph()["entities"]}


def test_of_a_session_that_has_ended_it_is_said_when_it_leaves_the_graph(bench: Bench) -> None:
    session, name = bench.session(), "active_session_Session_1"
    session.end()
    facts = "status: finished"
    wait_until(
        "its end is seen",
        lambda: any(facts in one for one in (bench.entity(name) or {}).get("observations", ())),
    )

    with pytest.raises(NotAllowed, match="has ended already, and leaves the graph by itself in 4 "):
        bench.ask("/v1/graph/remove", entities=[name])


def test_a_terminal_that_gave_up_does_not_wait_any_more(bench: Bench) -> None:
    bench.session().edit(bench.root / "auth.py")
    terminal = bench.machine.running_session(bench.root)
    command = terminal.start_command("wait", "auth.py")
    wait_until("it is seen to wait", lambda: "status: waiting" in bench.facts("Session_2"))

    command.interrupt()
    assert command.wait() == 130

    wait_until("it does not", lambda: "status: waiting" not in bench.facts("Session_2"))
    assert bench.facts("Session_2"), "it is there"


def test_areas_and_tasks_of_files_are_there_without_a_session(bench: Bench) -> None:
    named = (
        "areas:\n  checkout: {patterns: [cart.py], description: what is paid}\ntasks: [TODO.md]\n"
    )
    (bench.root / "coordination.yaml").write_text(named)
    (bench.root / "TODO.md").write_text("# checkout\n- [ ] round the price\n- [x] old\n")

    area, (task,) = bench.entity("area_checkout"), bench.of_type("task")

    assert area is not None
    assert ["description: what is paid", "files: 1"] == area["observations"]
    assert ["title: round the price", "area: checkout", "from: TODO.md", "status: open"] == (
        task["observations"]
    )
    with pytest.raises(NotAllowed, match="is a part of the repository"):
        bench.ask("/v1/graph/remove", entities=["area_checkout"])


def test_areas_are_found_where_none_are_named_and_say_who_works_there(bench: Bench) -> None:
    session = bench.session()
    session.edit(bench.root / "auth.py")
    session.edited(bench.root / "auth.py")
    wait_until("it works there", lambda: len(bench.facts_of("area_top level")) > 1)

    assert "files: 2" in bench.facts_of("area_top level")


def test_a_lock_says_when_it_will_be_free_as_refusals_do(bench: Bench) -> None:
    session = bench.session()
    session.edit(bench.root / "auth.py")
    wait_until("the lock is seen", lambda: bench.entity("lock_auth.py") is not None)

    assert "estimated completion: not known" in bench.facts_of("lock_auth.py")


def test_a_session_that_has_ended_comes_after_what_lives(bench: Bench) -> None:
    bench.session().end()
    bench.session().edit(bench.root / "auth.py")
    wait_until("its end is seen", lambda: any(row["ended"] for row in bench.graph()["entities"]))
    wait_until("the lock is seen", lambda: bench.entity("lock_auth.py") is not None)

    shown = bench.machine.scoord("graph", cwd=bench.root).stdout

    assert shown.index("lock_auth.py") < shown.index("status: finished")


def test_facts_and_relations_that_follow_from_the_state_are_not_deleted(bench: Bench) -> None:
    session = bench.session()
    session.edit(bench.root / "auth.py")
    wait_until("the lock is seen", lambda: bench.entity("lock_auth.py") is not None)
    holds = {
        "from": "active_session_Session_1",
        "to": "lock_auth.py",
        "relationType": "holds_lock",
    }
    fact = {"entityName": "lock_auth.py", "observations": ["path: auth.py"]}

    assert {**holds, "derived": True} in bench.graph()["relations"]
    with pytest.raises(NotAllowed, match="cannot be deleted"):
        bench.ask("/v1/graph/remove", observations=[fact])
    with pytest.raises(NotAllowed, match="follows from what sessions do"):
        bench.ask("/v1/graph/remove", relations=[holds])


def test_a_pattern_is_a_lock_entity_too_and_is_broken_by_its_name(bench: Bench) -> None:
    locked = bench.machine.scoord("lock", "src/**", "--for", "30m", cwd=bench.root)
    assert 0 == locked.returncode, locked.stderr
    wait_until("the lock is seen", lambda: bench.entity("lock_src/**") is not None)

    removed = bench.ask("/v1/graph/remove", entities=["lock_src/**"])

    assert ["lock_src/**"] == removed["broken"]


def test_the_command_line_shows_and_imports_the_same_graph(bench: Bench, tmp_path: Path) -> None:
    bench.session().edit(bench.root / "auth.py")
    memory = tmp_path / "memory.jsonl"
    memory.write_text(
        '{"type":"_aim","source":"mcp-knowledge-graph"}\n'
        '{"type":"entity","name":"Alice","entityType":"person","observations":["Works here"]}\n'
        '{"type":"relation","from":"Alice","to":"lock_auth.py","relationType":"asked for"}\n'
    )

    imported = bench.machine.scoord("graph", "import", str(memory), cwd=bench.root)
    wait_until("the lock is seen", lambda: bench.entity("lock_auth.py") is not None)
    written = bench.machine.scoord("graph", "--format", "jsonl", cwd=bench.root)
    drawn = bench.machine.scoord("graph", "--format", "mermaid", cwd=bench.root)

    assert "added 1 entity and 1 relation" in imported.stdout
    assert written.stdout.startswith('{"type":"_aim","source":"mcp-knowledge-graph"}\n')
    assert '"from":"Alice","to":"lock_auth.py","relationType":"asked for"' in written.stdout
    assert '-->|"asked for"|' in drawn.stdout


def test_a_command_in_a_coding_cli_is_its_own_though_the_terminal_has_a_session(
    bench: Bench,
) -> None:
    terminal = bench.machine.running_session(bench.root)
    code, printed = terminal.run("lock", "auth.py")
    assert 0 == code, printed
    terminal.start()

    assert (0, "locked cart.py\n") == terminal.run("lock", "cart.py")

    locks = {row["path"]: row["alias"] for row in bench.machine.status(bench.root)["locks"]}
    assert {"auth.py", "cart.py"} == locks.keys()


@pytest.mark.etcd
def test_notes_are_kept_in_etcd_and_an_entity_goes_with_all_its_relations(
    tmp_path: Path, etcd: Etcd, namespace: bytes
) -> None:
    root = repository(tmp_path / "shop", {"auth.py": "x\n"}, ORIGIN)
    memory = tmp_path / "memory.jsonl"
    alice = {"type": "entity", "name": "Alice", "entityType": "person", "observations": ["x"]}
    links = [
        {"type": "relation", "from": f"n{n}", "to": "Alice", "relationType": "knows"}
        for n in range(250)
    ]
    memory.write_text("\n".join(json.dumps(row) for row in (alice, *links)))
    with coordinator(tmp_path, *etcd_store(etcd, namespace)) as running:
        machine = Machine(tmp_path / "home", "alice", running.address)
        with machines(machine):
            bench = Bench(machine, root)
            imported = machine.scoord("graph", "import", str(memory), "--json", cwd=root)
            assert 250 == len(bench.graph()["relations"])

            removed = bench.ask("/v1/graph/remove", entities=["Alice"])

            left = bench.graph()
    assert {"entities": 1, "relations": 250, "left_out": 0} == json.loads(imported.stdout)
    assert ["Alice"] == removed["entities"]
    assert [] == [row for row in left["entities"] if not row["derived"]]
    assert [] == left["relations"]
