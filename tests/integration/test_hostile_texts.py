"""Hostile texts, by every way in, in every place where another session or person reads them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError

from scoord.text import one_line
from scoord_agent.cli.past import event_row
from scoord_agent.cli.show_past import event_line
from scoord_agent.mcp.asking import Caller
from scoord_agent.mcp.server import Desk
from support.hostile import MARKER, TEXTS, harm_in
from support.hostile_places import (
    HISTORY,
    PLACES,
    Place,
    Printed,
    command,
    graph_lines,
    read,
    texts_of,
)
from support.hostile_ways import Scene, speak, speak_raw
from support.machines import seconds_until
from support.pair import Pair, clones, pair

AT_ONCE = 11
"""Texts of one scene: a welcome has room for its sessions."""

pytestmark = pytest.mark.timeout(300)
"""What all texts are said by comes first, in the first test's time."""

EXACT = frozenset({"path", "paths", "worktree", "session_id", "agent_id"})
"""A script needs these as they are; in JSON what is harmful of them is escaped."""

FILES = {"held0.py": "", "coordination.yaml": "session_coordination: {kg_context: shop}\n"}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@pytest.fixture(scope="module")
def by_agents(two: Pair, tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    made = list(_scenes(two, tmp_path_factory, "agents"))
    for scene in made:
        speak(scene)
    for scene in made:
        seconds_until("steps are published", lambda at=scene: _steps(at), 10)
    return made


@pytest.fixture(scope="module")
def by_hand(two: Pair, tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    made = list(_scenes(two, tmp_path_factory, "hand"))
    for scene in made:
        speak_raw(scene)
    return made


@pytest.fixture(scope="module")
def scenes(by_agents: list[Scene], by_hand: list[Scene]) -> list[Scene]:
    return [*by_agents, *by_hand]


def _scenes(two: Pair, tmp_path_factory: pytest.TempPathFactory, by: str) -> Iterator[Scene]:
    for first in range(0, len(TEXTS), AT_ONCE):
        at = clones(tmp_path_factory.mktemp(f"{by}{first}-"), FILES)
        yield Scene(two, at, TEXTS[first : first + AT_ONCE], by)


def _steps(scene: Scene) -> bool:
    rows = scene.two.bob.status(scene.at.bobs)["sessions"]
    return len(scene.texts) <= len([row for row in rows if row["progress"]])


def _at_bobs(scene: Scene, *arguments: str) -> Printed:
    return command(scene.two.bob, scene.at.bobs, *arguments)


def _lines_and_shown(scene: Scene, place: Place) -> tuple[int, Printed]:
    """How many lines there may be, and what there is; again where that changed meanwhile."""
    for _ in range(5):
        before, shown, after = (
            place.lines(read(scene.two.bob, scene.at.bobs, *place.arguments, "--json")),
            _at_bobs(scene, *place.arguments),
            place.lines(read(scene.two.bob, scene.at.bobs, *place.arguments, "--json")),
        )
        if before == after:
            break
    return after, shown


def through(scene: Scene) -> int:
    """How many texts are seen as what they say, where there is room for 40 characters.

    Of a prompt the first line is shown; what looks the same counts once.
    """
    first = (text.strip().partition("\n")[0] for text in scene.texts)
    return len({line for text in first if MARKER in (line := one_line(text, 40))})


def seen_in(shown: str) -> int:
    """How many lines say what a text says."""
    return len([line for line in shown.split("\n") if MARKER in line])


# -- hooks --------------------------------------------------------------------------


def test_a_refusal_is_three_lines_and_says_the_others_reason(scenes: list[Scene]) -> None:
    for scene in scenes:
        told = scene.heard["refusal"]
        assert len(told) >= len(scene.texts)
        for each in told:
            assert "" == harm_in(each, lines=3)
        assert seen_in("\n".join(told)) >= through(scene)


def test_a_welcome_is_twenty_lines_and_says_what_the_others_do(scenes: list[Scene]) -> None:
    for scene in scenes:
        told = scene.heard["welcome"]
        for each in told:
            assert "" == harm_in(each, lines=20, longest=450)
        assert seen_in(told[-1]) >= through(scene) // 2


def test_notices_are_a_line_each(scenes: list[Scene]) -> None:
    for scene in scenes:
        told = "\n".join(scene.heard["notice"]).split("\n")
        for line in told:
            assert "" == harm_in(line)
        says = [line for line in told if " says: " in line]
        broken = [line for line in told if " was broken by " in line]
        assert seen_in("\n".join(says)) >= through(scene)
        assert seen_in("\n".join(broken)) >= through(scene)
        known = (" says: ", "⚠️", "Your lock on ", " waits for ", "Also ", "Session_")
        strange = [line for line in told if not any(start in line for start in known)]
        assert [] == strange, "a text began a line of its own"


def test_what_is_refused_quotes_it_in_one_line(by_agents: list[Scene]) -> None:
    for scene in by_agents:
        assert len(scene.heard["failure"]) >= 3 * len(scene.texts)
        for each in scene.heard["failure"]:
            assert "" == harm_in(each, longest=2100)
        assert seen_in("\n".join(scene.heard["failure"])) >= through(scene)


# -- commands -----------------------------------------------------------------------


@pytest.mark.parametrize("name", PLACES)
def test_a_command_shows_a_line_for_each(scenes: list[Scene], name: str) -> None:
    place = PLACES[name]
    for scene in scenes:
        lines, shown = _lines_and_shown(scene, place)

        assert (0, "") == (shown.code, shown.err)
        assert "" == harm_in(shown.out.rstrip("\n"), lines=lines)
        assert scene.by not in place.of or seen_in(shown.out) >= place.share * through(scene)


@pytest.mark.parametrize("name", PLACES)
def test_its_json_is_harmless_to_look_at_and_exact_to_read(scenes: list[Scene], name: str) -> None:
    place = PLACES[name]
    for scene in scenes:
        shown = _at_bobs(scene, *place.arguments, "--json").out

        assert "" == harm_in(shown, lines=30_000, longest=9000)
        assert scene.by not in place.of or seen_in(shown) >= place.share * through(scene)
        for field, text in texts_of(json.loads(shown)):
            assert field in EXACT or "" == harm_in(text, longest=500), field


def test_a_lock_that_is_refused_says_why_in_three_lines_each(by_agents: list[Scene]) -> None:
    for scene in by_agents:
        paths = [f"held{number}.py" for number in range(len(scene.texts))]
        locked = _at_bobs(scene, "lock", *paths)
        waited = _at_bobs(scene, "wait", *paths, "--timeout", "0")
        as_json = _at_bobs(scene, "lock", *paths, "--json")

        assert (1, "", 1, "") == (locked.code, locked.out, waited.code, waited.out)
        assert "" == harm_in(locked.err.rstrip("\n"), lines=3 * len(paths))
        assert "" == harm_in(waited.err.rstrip("\n"), lines=len(paths) + 1)
        assert "" == harm_in(as_json.out, lines=3000, longest=2000)
        for shown in (locked.err, waited.err, as_json.out):
            assert seen_in(shown) >= through(scene)


def test_the_graph_is_a_line_for_each_in_every_format(scenes: list[Scene]) -> None:
    for scene in scenes:
        answer = read(scene.two.bob, scene.at.bobs, "graph", "--format", "json")
        rows = len(answer["entities"]) + len(answer["relations"])
        shown = {
            form: _at_bobs(scene, "graph", "--format", form).out.rstrip("\n")
            for form in ("table", "json", "jsonl", "mermaid", "dot")
        }

        assert "" == harm_in(shown["table"], lines=graph_lines(answer))
        assert "" == harm_in(shown["jsonl"], lines=rows + 1, longest=20_000)
        assert "" == harm_in(shown["json"], lines=20_000, longest=4500)
        ends = len({row[end] for row in answer["relations"] for end in ("from", "to")})
        for form, arrow in (("mermaid", "-->"), ("dot", "->")):
            drawn = shown[form].replace(arrow, "")
            assert "" == harm_in(drawn, lines=rows + ends + 3, longest=4500)
        for form, text in shown.items():
            assert seen_in(text) >= through(scene), form


def test_history_that_is_followed_is_a_line_each(scenes: list[Scene]) -> None:
    for scene in scenes:
        events = read(scene.two.bob, scene.at.bobs, *HISTORY, "--json")["events"]
        lines = [event_line(event_row(row)) for row in events]
        for line in lines:
            assert "" == harm_in(line)
        assert seen_in("\n".join(lines)) >= through(scene)


def test_logs_hold_no_line_of_theirs(two: Pair, scenes: list[Scene]) -> None:
    for machine in (two.alice, two.bob):
        for options in ((), ("--json",)):
            shown = command(machine, machine.home, "logs", "-n", "9000", *options)
            assert 0 == shown.code
            assert len(shown.out.splitlines()) > len(TEXTS)
            for line in shown.out.rstrip("\n").split("\n"):
                assert re.match(r"\d\d-\d\d |\{\"time\": ", line)
                assert "" == harm_in(line, longest=3000)


def test_what_a_command_cannot_do_is_one_line_whatever_was_typed(two: Pair, tmp_path: Path) -> None:
    """What it quotes may have been read elsewhere."""
    at = clones(tmp_path, FILES).bobs
    for text in TEXTS:
        for typed in (
            (text,),
            ("depends", text),
            ("intent", "x", "--session", text),
            ("tell", text, "hello"),
            ("task", "done", text),
            ("lock", "a.py", "--for", text),
            ("wait", "a.py", "--timeout", text),
            ("logs", "--level", text),
            ("lock", f".git/{text}"),
            ("release", f"x/{text}"),
            ("graph", "import", text),
            ("hooks", "status", "--client", text),
        ):
            shown = command(two.bob, at, *typed)
            assert 0 != shown.code, typed[0]
            assert "" == shown.out
            assert "" == harm_in(shown.err.rstrip("\n"), longest=2100), typed[:-1]


# -- the MCP server -----------------------------------------------------------------


async def test_what_the_tools_answer_is_a_line_for_each(
    scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = scenes[0].two.bob
    monkeypatch.setenv("SCOORD_STATE_DIR", str(bob.state_dir))
    for scene in scenes:
        desk = Desk(Caller(str(scene.at.bobs), bob.session(scene.at.bobs).pid))
        held = [f"held{number}.py" for number in range(len(scene.texts))]
        answers = {
            name: await _call(desk, name, arguments)
            for name, arguments in (
                ("status", {}),
                ("claim", {"paths": held}),
                ("suggest", {"count": 20}),
                ("history", {"limit": 200, "details": True}),
                ("aim_read_graph", {}),
                ("aim_memory_search", {"query": "", "format": "pretty"}),
            )
        }
        for name, (text, data) in answers.items():
            told = text.replace("-->", "")
            assert "" == harm_in(told, lines=5000, longest=4500), name
            for _, each in texts_of(data):
                assert "" == harm_in(each, longest=300), name
        for name in ("status", "history", "aim_read_graph", "aim_memory_search"):
            assert seen_in(answers[name][0]) >= through(scene), name
        assert not [line for line in answers["status"][0].split("\n")[4:] if line[:2] not in _ROWS]


_ROWS = ("- ", "ot", "lo", "wa")
"""How the lines of a status begin."""


async def test_what_a_tool_is_asked_wrongly_is_told_in_one_line(
    scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scenes[0]
    monkeypatch.setenv("SCOORD_STATE_DIR", str(scene.two.bob.state_dir))
    desk = Desk(Caller(str(scene.at.bobs), scene.two.bob.session(scene.at.bobs).pid))
    for text in TEXTS:
        for name, arguments in (
            (text, {}),
            ("tell", {"session": text, "text": text}),
            ("status", {text: text}),
            ("aim_read_graph", {"context": text}),
            ("aim_read_graph", {"location": text}),
            ("aim_add_observations", {"observations": [{"entityName": text, "contents": ["x"]}]}),
            ("aim_create_entities", {"entities": [{"name": text, "entityType": "file_lock"}]}),
        ):
            told, _ = await _call(desk, name, arguments)
            assert "" == harm_in(told, lines=8), name


async def _call(desk: Desk, name: str, arguments: Any) -> tuple[str, object]:
    async with Client(desk.server()) as client:
        try:
            result = await client.call_tool(name, arguments)
        except MCPError as failure:
            return failure.message, None
    told = "\n".join(block.text for block in result.content if block.type == "text")
    return told, result.structured_content


# -- requests that are too much -----------------------------------------------------


def test_a_request_that_is_too_large_is_refused_in_one_line(two: Pair, tmp_path: Path) -> None:
    at = clones(tmp_path, FILES).bobs

    told = command(two.bob, at, "task", "add", "--each", *(["x" * 100_000] * 11))

    assert (2, "") == (told.code, told.out)
    assert "error: the request is over 1 MiB; ask for less\n" == told.err
    assert 0 == command(two.bob, at, "task", "add", "small").code
