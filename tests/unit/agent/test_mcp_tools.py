"""The MCP server's tools, in this process, over an agent's API that says what it is told to."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp_types import CallToolResult

from scoord_agent import wording_mcp
from scoord_agent.cli.app import run
from scoord_agent.mcp import asking
from scoord_agent.mcp.asking import Caller
from scoord_agent.mcp.server import Desk
from scoord_agent.mcp.tool import bounded
from support.local_api import ScriptedApi, scripted_api

STATUS: dict[str, Any] = {
    "project": {"id": "p"},
    "coordinator": {"state": "connected"},
    **dict.fromkeys(("sessions", "locks", "waiters"), ()),
}
LOCK: dict[str, Any] = {
    "path": "a.py",
    "alias": "Session_1",
    "person": "alice",
    "host": "mbp",
    "held_s": 60.0,
}
GRAPH = {"project": "p", "context": "shop", "location": "project", "relations": []}


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as made:
        made.will("/v1/health", {"ok": True})
        yield made


class Tools:
    """One server, and for every call a client of the official SDK."""

    def __init__(self) -> None:
        self._desk = Desk(Caller("/work/shop", os.getpid()))

    async def call_tool(self, name: str, arguments: dict[str, Any] | None = None) -> CallToolResult:
        async with Client(self._desk.server()) as client:
            try:
                return await client.call_tool(name, arguments)
            except MCPError as error:
                failure = error  # within the client it would come out as a group
        raise failure


@pytest.fixture
def tools(api: ScriptedApi) -> Tools:
    return Tools()


def lock(*tokens: int) -> dict[str, Any]:
    facts = [f"token: {token}" for token in tokens]
    return {
        "name": "lock_auth.py",
        "entityType": "file_lock",
        "observations": facts,
        "derived": True,
        "tokens": list(tokens),
    }


def bodies(api: ScriptedApi, path: str) -> list[Any]:
    return [body for asked, body in api.asked if asked == path]


async def text(tools: Tools, name: str, **arguments: Any) -> str:
    result = await tools.call_tool(name, arguments)
    return "\n".join(block.text for block in result.content if block.type == "text")


async def test_a_lock_that_was_shown_is_deleted_under_the_grant_that_was_shown(
    api: ScriptedApi, tools: Tools
) -> None:
    api.will("/v1/graph", {**GRAPH, "entities": [lock(7)]})
    api.will("/v1/graph", {**GRAPH, "entities": [lock(9)]})
    api.will("/v1/graph/remove", {})

    await text(tools, "aim_search_nodes", query="lock_")
    await text(tools, "aim_delete_entities", entityNames=["lock_auth.py", "Other"])
    await text(tools, "aim_delete_entities", entityNames=["lock_auth.py"])

    first, second = bodies(api, "/v1/graph/remove")
    assert ({"lock_auth.py": [7]}, ["lock_auth.py", "Other"]) == (first["seen"], first["entities"])
    assert {"lock_auth.py": [9]} == second["seen"], "whom it is now was told with the refusal"


@pytest.mark.parametrize(
    ("name", "path", "answer"),
    [
        ("status", "/v1/status", STATUS),
        ("claim", "/v1/acquire", {"granted": [LOCK]}),
        ("release", "/v1/release", {"released": ["a.py"]}),
    ],
)
async def test_who_has_no_hooks_is_told_first_what_it_was_not_told_yet(
    api: ScriptedApi, tools: Tools, name: str, path: str, answer: dict[str, Any]
) -> None:
    lost = "Your lock on a.py is lost."
    api.will(path, answer)
    api.will("/v1/news", {"news": [lost]})
    api.will("/v1/news", {"error": {"code": "NOT_FOUND"}}, 404)

    arguments = {} if name == "status" else {"paths": ["a.py"]}
    first = await text(tools, name, **arguments)
    second = await tools.call_tool(name, arguments)

    assert first.startswith(f"{lost}\n")
    assert [] == (second.structured_content or {})["news"], "an agent of before has none"


async def test_a_lock_that_was_not_shown_is_deleted_as_it_is(
    api: ScriptedApi, tools: Tools
) -> None:
    api.will("/v1/graph", {**GRAPH, "entities": [lock(7)]})
    api.will("/v1/graph/remove", {})

    assert "Entities deleted successfully" == await text(
        tools, "aim_memory_forget", entityNames=["lock_auth.py"]
    )

    (body,) = bodies(api, "/v1/graph/remove")
    assert {} == body["seen"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"known": False}, "The repository is still being read: ask again in a moment"),
        ({"known": False, "in_repository": False}, "No repository is here"),
        ({"known": True, "kept_for_others": True}, "is kept for others at the moment"),
        ({"known": True}, "Nothing is free to suggest now."),
    ],
)
async def test_why_there_is_nothing_to_suggest_is_said(
    api: ScriptedApi,
    tools: Tools,
    capsys: pytest.CaptureFixture[str],
    answer: dict[str, Any],
    said: str,
) -> None:
    api.will("/v1/suggest", {"suggestions": [], **answer})

    assert said in await text(tools, "suggest")
    assert 0 == run(["suggest"])
    assert said in capsys.readouterr().out


async def test_what_is_not_known_is_said_beside_what_is_suggested(
    api: ScriptedApi, tools: Tools
) -> None:
    one = {"kind": "task", "name": "t1", "title": "Rate limit", "why": ["free"]}
    out = {"kind": "area", "name": "auth", "why": "Session_2 works in its area"}
    answer = {"suggestions": [one], "known": False, "left_out": [out]}
    api.will("/v1/suggest", answer)

    first, second, third = (await text(tools, "suggest")).splitlines()

    assert '1. task t1, "Rate limit": free' == first
    assert second.startswith("The repository is still being read")
    assert "left out: area auth (Session_2 works in its area)" == third


@pytest.mark.parametrize(
    ("tool", "arguments", "path"),
    [
        ("suggest", {}, "/v1/suggest"),
        ("tell", {"session": "Session_2", "text": "hello"}, "/v1/tell"),
        ("progress", {"percent": 60, "step": "tests"}, "/v1/progress"),
        ("history", {}, "/v1/history"),
    ],
)
async def test_what_the_agent_does_not_serve_is_said_clearly(
    api: ScriptedApi, tools: Tools, tool: str, arguments: dict[str, Any], path: str
) -> None:
    api.will(path, b"404: Not Found", status=404)

    result = await tools.call_tool(tool, arguments)

    assert result.is_error
    assert "the agent that runs does not serve this" in str(result.content[0])
    (body,) = bodies(api, path)
    assert ("/work/shop", os.getpid()) == (body["cwd"], body["pid"])


async def test_what_the_agent_answers_is_worded_and_given_as_data(
    api: ScriptedApi, tools: Tools
) -> None:
    one = {"kind": "task", "name": "t1", "title": "Rate\nlimit", "why": ["free", "fits"]}
    api.will("/v1/suggest", {"suggestions": [one]})
    api.will("/v1/tell", {"alias": "Session_2", "text": "hello", "reads": True})
    api.will("/v1/progress", {"alias": "Session_1", "percent": 60, "step": "write tests"})
    api.will("/v1/progress", {"alias": "Session_1", "percent": 70, "owed": True})
    event = {"kind": "granted", "paths": ["a.py"], "ago_s": 60.0, "session_id": "s", "alias": "A"}
    api.will("/v1/history", {"events": [event]})

    suggested = await tools.call_tool("suggest", {"count": 2})

    assert suggested.structured_content is not None
    assert "Rate limit" == suggested.structured_content["suggestions"][0]["title"]
    assert '1. task t1, "Rate limit": free; fits' == await text(tools, "suggest")
    assert "Session_2 reads it at its next step." == await text(
        tools, "tell", session="Session_2", text="hello"
    )
    assert 'Published: 60 %, at "write tests".' == await text(tools, "progress", percent=60)
    later = await text(tools, "progress", percent=70)
    assert "Published as soon as the coordinator can be asked: 70 %." == later
    assert "1 min ago granted a.py A" == await text(tools, "history", path="a.py")
    assert 2 == bodies(api, "/v1/suggest")[0]["count"]
    assert "Session_2" == bodies(api, "/v1/tell")[0]["to"]
    keys = ("file", "limit", "all")
    assert ("a.py", 20, False) == tuple(bodies(api, "/v1/history")[0][key] for key in keys)
    await text(tools, "history", details=True)
    assert bodies(api, "/v1/history")[1]["all"]


@pytest.mark.parametrize(
    ("tool", "arguments", "why"),
    [
        ("claim", {}, "paths: Field required"),
        ("claim", {"paths": []}, "paths: List should have at least 1 item"),
        ("claim", {"paths": ["a"] * 31}, "paths: List should have at most 30 items"),
        ("claim", {"paths": ["a"], "wait_s": 1e9}, "wait_s: Input should be less than"),
        ("claim", {"paths": ["a"], "force": True}, "force: Extra inputs are not permitted"),
        ("progress", {"percent": 101}, "percent: Input should be less than"),
        ("progress", {"percent": True}, "percent: Input should be a valid integer"),
        ("tell", {"session": "", "text": "x"}, "session: String should have at least 1"),
        ("history", {"limit": 10**6}, "limit: Input should be less than"),
        ("history", {"since_s": 3.2e7}, "since_s: Input should be less than"),
    ],
)
async def test_what_is_asked_wrongly_is_refused_before_the_agent_is_asked(
    api: ScriptedApi, tools: Tools, tool: str, arguments: dict[str, Any], why: str
) -> None:
    result = await tools.call_tool(tool, arguments)

    assert result.is_error
    assert why in str(result.content[0])
    assert [] == api.asked


async def test_a_failure_of_the_agent_is_told_in_its_own_words(
    api: ScriptedApi, tools: Tools
) -> None:
    failure = {"error": {"code": "STORE_UNAVAILABLE", "message": "etcd is\naway"}}
    api.will("/v1/acquire", failure, status=503)
    api.will("/v1/graph", failure, status=503)

    result = await tools.call_tool("claim", {"paths": ["a.py"]})
    with pytest.raises(MCPError, match="etcd is away") as told:
        await tools.call_tool("aim_read_graph", {})

    assert result.is_error
    assert "etcd is away" in str(result.content[0])
    assert -32603 == told.value.code


async def test_arguments_that_are_missing_altogether_are_said_as_the_original_says_it(
    api: ScriptedApi, tools: Tools
) -> None:
    api.will("/v1/graph", {**GRAPH, "entities": []})

    with pytest.raises(MCPError, match="No arguments provided for tool: aim_search_nodes"):
        await tools.call_tool("aim_search_nodes")

    assert '"shop"' in await text(tools, "aim_list_databases")


async def test_a_claim_whose_time_is_over_says_that_it_keeps_its_place(
    api: ScriptedApi, tools: Tools
) -> None:
    rows = [
        {"path": "a.py", "place": 2, "lock": {}, "message": "a.py is locked"},
        {"path": "src/**", "place": 0, "lock": {}, "message": "src/b.py is locked"},
    ]
    api.will("/v1/wait", {"held": rows})

    told = await text(tools, "claim", paths=["a.py", "src/**"], wait_s=0.05)

    assert told.splitlines() == [
        "Nothing was taken.",
        "a.py is locked",
        "src/b.py is locked",
        "You are second in the queue for a.py and will be told when it is free.",
    ]
    assert [] == bodies(api, "/v1/leave")


async def test_a_claim_of_one_that_nobody_can_tell_anything_says_to_call_again(
    api: ScriptedApi, tools: Tools
) -> None:
    row = {"path": "a.py", "place": 1, "lock": {}, "message": "a.py is locked"}
    api.will("/v1/wait", {"held": [row], "reads": False})

    told = await text(tools, "claim", paths=["a.py"], wait_s=0.05)

    assert told.splitlines()[2:] == [
        "You are first in the queue for a.py and keep your place.",
        "Nobody can tell you here: call `claim` again with `wait_s`.",
    ]


async def test_a_claim_that_is_given_up_leaves_the_queue(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scoord_agent.mcp import coordination

    monkeypatch.setattr(coordination, "_SLICE_S", 0.05)
    row = {"path": "a.py", "place": 1, "lock": {}, "message": "held"}
    api.will("/v1/wait", {"held": [row]})
    api.will("/v1/leave", {})

    claim = asyncio.create_task(
        coordination._claim(Caller("/w", 1), {"paths": ["a.py"], "wait_s": 30})
    )
    while not bodies(api, "/v1/wait"):  # noqa: ASYNC110 (another thread's list)
        await asyncio.sleep(0.01)
    claim.cancel()
    await asyncio.gather(claim, return_exceptions=True)

    assert claim.cancelled()
    (left,) = bodies(api, "/v1/leave")
    assert ["a.py"] == left["paths"]


@pytest.mark.parametrize(("wait_s", "path"), [(30, "/v1/wait"), (0, "/v1/acquire")])
async def test_what_a_claim_is_granted_that_is_given_up_meanwhile_is_given_back(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch, wait_s: float, path: str
) -> None:
    from scoord_agent.mcp import coordination

    rows = [{"project": "shop", "path": name, "new": name == "a.py"} for name in ("a.py", "b.py")]
    api.will(path, {"granted": rows})
    api.will("/v1/leave", {})
    scope, ask = anyio.CancelScope(), asking.ask

    async def late(method: str, asked: str, *more: Any) -> Any:
        answer = await ask(method, asked, *more)
        scope.cancel()
        return answer

    monkeypatch.setattr(coordination, "ask", late)
    with scope:
        await coordination._claim(Caller("/w", 1), {"paths": ["a.py", "b.py"], "wait_s": wait_s})

    assert scope.cancelled_caught
    (left,) = bodies(api, "/v1/leave")
    assert [["shop", "a.py"]] == left["new"], "what was had before stays"


async def test_a_claim_that_asks_again_says_what_it_was_refused(
    api: ScriptedApi, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scoord_agent.mcp import coordination

    monkeypatch.setattr(coordination, "_SLICE_S", 0.05)
    row = {"project": "shop", "asked": "src/**", "path": "src/a.py", "place": 0, "message": "held"}
    api.will("/v1/wait", {"held": [row]})
    api.will("/v1/wait", {"granted": []})

    await text(tools, "claim", paths=["lib/**", "src/**"], wait_s=30)

    assert [[], [["shop", "src/**"]]] == [body["refused"] for body in bodies(api, "/v1/wait")]


async def test_data_says_how_much_of_it_is_left_out(api: ScriptedApi, tools: Tools) -> None:
    api.will("/v1/status", STATUS | {"locks": [LOCK] * 1000})

    data = (await tools.call_tool("status")).structured_content

    assert data is not None
    assert (200, {"locks": 800}) == (len(data["locks"]), data["rows_left_out"])
    assert "rows_left_out" not in bounded({"locks": [LOCK] * 200})


ODD = ("a  b.py", "x" * 240 + "/" + "y" * 100)


async def test_paths_in_data_are_those_that_other_calls_take(
    api: ScriptedApi, tools: Tools
) -> None:
    own = [*ODD, "<b>.py"]
    api.will("/v1/acquire", {"granted": [{"path": path} for path in own]})
    api.will("/v1/release", {"released": own})
    api.will("/v1/status", STATUS | {"locks": [LOCK | {"path": path} for path in own]})

    claimed, released, status = [
        (await tools.call_tool(name, arguments)).structured_content or {}
        for name, arguments in (
            ("claim", {"paths": own}),
            ("release", {"paths": own}),
            ("status", {}),
        )
    ]

    assert own == [row["path"] for row in claimed["locks"]]
    assert own == released["released"]
    assert [*ODD, "\u2039b\u203a.py"] == [row["path"] for row in status["locks"]], "no tags"


async def test_claims_that_wait_hold_nothing_else_up(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over, held = threading.Event(), {"path": "a.py", "place": 0, "lock": {}, "message": "held"}

    def answer(_method: str, path: str, *_: object) -> dict[str, Any]:
        if path != "/v1/wait":
            return STATUS
        is_over.wait(20)
        return {"held": [held]}

    monkeypatch.setattr(asking, "_ask", answer)
    async with anyio.create_task_group() as tasks:
        for _ in range(60):
            tasks.start_soon(tools.call_tool, "claim", {"paths": ["a.py"], "wait_s": 0.01})
        while asking.WAITS.borrowed_tokens < 60:  # noqa: ASYNC110 (other tasks')
            await asyncio.sleep(0.01)
        try:
            with anyio.fail_after(5):
                await tools.call_tool("status")
        finally:
            is_over.set()


def test_an_agent_that_cannot_start_is_said_with_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Failed:
        def has_failed(self) -> bool:
            return True

        def last_words(self) -> str:
            return "port 7790 is taken"

    monkeypatch.setattr("scoord_agent.spawn.start_agent", Failed)

    with pytest.raises(Exception, match="the agent ended at once: port 7790 is taken"):
        asking._ask("GET", "/v1/status", None, 1.0)


async def test_a_caller_in_a_folder_whose_name_is_not_utf8_is_told_so(api: ScriptedApi) -> None:
    desk = Desk(Caller("/work/caf\udce9", os.getpid()))

    async with Client(desk.server()) as client:
        result = await client.call_tool("status", {})

    assert result.is_error
    assert "is not UTF-8; rename it" in str(result.content[0])
    assert [] == api.asked


def test_a_server_in_a_folder_that_is_gone_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.delenv("CLAUDE_PROJECT_DIR", raising=False)
    gone.rmdir()

    assert 2 == run(["mcp"])
    assert "this directory is gone" in capsys.readouterr().err


def test_the_other_commands_do_not_load_the_sdk() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from scoord_agent.cli.app import run; run(['--help']);"
        " sys.exit(any(name == 'mcp' or name.startswith('mcp.') for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )

    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({}, "for 1 min, estimated completion not known"),
        (
            {"estimate_s": 240.0, "estimate_basis": "60 % done"},
            "for 1 min, estimated completion about 4 min (60 % done)",
        ),
        (
            {"estimate_basis": "2 of 4 steps done"},
            "for 1 min, estimated completion not known (2 of 4 steps done)",
        ),
        ({"ends_in_s": 240.0}, "for 1 min, ends in 4 min"),
    ],
)
def test_status_says_when_a_lock_is_free_as_far_as_that_is_known(
    times: dict[str, float | str], said: str
) -> None:
    told = wording_mcp.status(STATUS | {"locks": [LOCK | times]}, "Session_2")

    assert f"- a.py by Session_1 (alice@mbp), {said}" in told.splitlines()


async def test_status_says_that_nobody_knows_who_waits(api: ScriptedApi, tools: Tools) -> None:
    api.will("/v1/status", STATUS | {"locks": [LOCK | {"waiters": None}], "waiters": None})

    result = await tools.call_tool("status")

    assert "waiting: not known" in str(result.content[0])
    assert result.structured_content is not None
    assert result.structured_content["waiters"] is None


@pytest.mark.parametrize(
    ("age_s", "said"),
    [
        (1.0, "The coordinator is connected."),
        (3.0, "The coordinator is connected; this picture is 3 s old."),
        (
            46.0,
            "The coordinator is connected; it cannot read its store: this picture is 46 s old.",
        ),
    ],
)
def test_status_says_that_what_it_shows_is_old(age_s: float, said: str) -> None:
    assert wording_mcp.status(STATUS | {"view_age_s": age_s}, "").splitlines()[0].endswith(said)


def test_status_says_when_a_session_is_done_as_far_as_that_is_known() -> None:
    at_work = {"alias": "Session_1", "status": "working"}
    known = at_work | {"alias": "Session_3", "estimate": {"left_s": 540.0}}
    told = wording_mcp.status(STATUS | {"sessions": [at_work, known]}, "Session_2")

    assert "- Session_1, working, estimated completion not known" in told.splitlines()
    assert "- Session_3, working, estimated completion about 9 min" in told.splitlines()
    done = {"alias": "Session_1", "status": "idle", "progress": {"percent": 100}}
    told = wording_mcp.status(STATUS | {"sessions": [done]}, "Session_2")
    any_moment = "estimated completion any moment (it says that all is done)"
    assert f"- Session_1, idle, 100 % done, {any_moment}" in told.splitlines()


def test_status_leaves_out_terminals_that_hold_and_wait_for_nothing() -> None:
    terminals = [
        {"alias": f"Session_{n}", "session_id": f"s{n}", "status": "terminal"} for n in range(3, 7)
    ]
    terminals[3]["intent"] = "tidy up"
    rows = {
        "sessions": terminals,
        "locks": [LOCK | {"alias": "Session_4", "session_id": "s4"}],
        "waiters": [{"alias": "Session_5", "session_id": "s5", "path": "a.py", "place": 1}],
    }

    told = wording_mcp.status(STATUS | rows, "Session_2").splitlines()

    at = told.index("other sessions (3):")
    assert ["- Session_4, terminal", "- Session_5, terminal"] == told[at + 1 : at + 3]
    assert told[at + 3].startswith("- Session_6, terminal, estimated completion not known")


def test_what_a_session_has_alone_and_wanted_to_share_is_said() -> None:
    rows = [{"path": "a.py", "mode": "exclusive"}, {"path": "b.py", "mode": "shared"}]

    assert "This session's alone already, and not shared: a.py;" in wording_mcp.granted(
        rows, shared=True
    )
    assert "alone" not in wording_mcp.granted(rows)
    shares = [{"path": "b.py", "mode": "shared"}]
    assert "Locked for this session, shared: b.py." in wording_mcp.granted(shares, shared=True)
    assert "Locked for this session: ' '." in wording_mcp.granted([{"path": " "}])
    assert "alone" not in wording_mcp.granted([{"path": "a.py"}], shared=True)
