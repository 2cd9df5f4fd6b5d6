"""Whatever is posted to the agent: one clear line, no lock by mistake, and it stays up."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.machines import Answer, CodingSession, Machine, refusal
from support.pair import Pair, clones, pair

GATE = "/v1/hooks/claude-code/PreToolUse"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair")) as running:
        yield running


@pytest.fixture(scope="module")
def home(both: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clones(tmp_path_factory.mktemp("shop"), {"auth.py": "", "free.py": ""}).alices


@pytest.fixture
def a(both: Pair, home: Path) -> Iterator[CodingSession]:
    """Alice's session. Afterwards nothing is locked, and her agent is the one it was."""
    session = both.alice.session(home)
    session.start()
    yield session
    status = both.alice.status(home)
    assert [] == status["locks"]
    assert both.alice.agent is not None
    assert both.alice.agent.pid == status["agent"]["pid"]
    session.end()


def post(session: CodingSession, body: bytes, path: str = GATE) -> tuple[int, Answer]:
    return session.machine.post(path, body, {"X-Scoord-Pid": str(session.pid)})


def denied(session: CodingSession, body: bytes) -> str:
    """Why ``body`` is denied, which is said in one line."""
    status, answer = post(session, body)
    assert 200 == status
    told = refusal(answer)
    assert told.startswith("Session Coordinator: ")
    assert 1 == len(told.splitlines())
    assert len(told) < 600
    assert told.isprintable()
    assert told == answer["systemMessage"]
    return told


def edit(session: CodingSession, **changes: Any) -> bytes:
    """A sound edit of auth.py, but for ``changes``; a field that is None is left out."""
    body = session.body(
        "PreToolUse", tool_name="Edit", tool_input={"file_path": "auth.py"}, tool_use_id="t"
    )
    fields = {name: value for name, value in (body | changes).items() if value is not None}
    return json.dumps(fields).encode()


# -- what is not an event ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"not json", "not JSON"),
        (b'{"tool_name": "Edit"', "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not JSON"),
        (b"9" * 10_000, "not JSON"),
        (b"[1, 2]", "a JSON list, not an object"),
        (b'"Edit"', "a JSON str, not an object"),
        (b"null", "not an object"),
        (b"{}", "is missing or empty"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_an_edit_that_is_not_an_event_is_denied(a: CodingSession, body: bytes, said: str) -> None:
    assert said in denied(a, body)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tool_name": None}, "tool_name is missing or empty"),
        ({"tool_name": 3}, "tool_name must be a string, not int"),
        ({"tool_input": None}, "tool_input must be an object"),
        ({"tool_input": "auth.py"}, "tool_input must be an object"),
        ({"tool_input": {}}, "tool_input.file_path is missing or empty"),
        ({"tool_input": {"file_path": ""}}, "tool_input.file_path is missing or empty"),
        ({"tool_input": {"file_path": ["auth.py"]}}, "tool_input.file_path must be a string"),
        ({"session_id": None}, "session_id is missing or empty"),
        ({"session_id": {"x": 1}}, "session_id must be a string"),
        ({"cwd": None}, "cwd is missing or empty"),
        ({"cwd": "relative"}, "cwd must be an absolute path"),
        ({"agent_id": 7}, "agent_id must be a string"),
        ({"hook_event_name": "PostToolUse"}, "wired wrongly"),
    ],
    ids=repr,
)
def test_a_field_that_is_missing_or_wrong_is_named(
    a: CodingSession, changes: dict[str, Any], said: str
) -> None:
    assert said in denied(a, edit(a, **changes))


def test_what_gates_nothing_goes_on_and_its_person_is_told(a: CodingSession) -> None:
    status, answer = post(a, b"not json", "/v1/hooks/claude-code/UserPromptSubmit")

    assert 200 == status
    assert ["systemMessage"] == list(answer)
    assert "not JSON" in answer["systemMessage"]


def test_an_event_that_is_not_known_passes(a: CodingSession) -> None:
    body = json.dumps(a.body("Sunrise")).encode()

    assert (200, {}) == post(a, body, "/v1/hooks/claude-code/Sunrise")


def test_a_client_that_is_not_known_is_told_the_known_ones(a: CodingSession) -> None:
    status, answer = post(a, edit(a), "/v1/hooks/emacs%0Avim/PreToolUse")

    assert 404 == status
    assert "INVALID_REQUEST" == answer["error"]["code"]
    assert "known are: claude-code" in answer["error"]["message"]
    assert "\n" not in answer["error"]["message"]


# -- sizes --------------------------------------------------------------------------------


def test_a_write_of_ten_megabytes_is_an_edit_like_any_other(both: Pair, home: Path) -> None:
    session = both.alice.session(home)
    content = "x" * 10_000_000

    answer = session.post(
        "PreToolUse", tool_name="Write", tool_input={"file_path": "big.py", "content": content}
    )

    assert "" == refusal(answer)
    assert ["big.py"] == [lock["path"] for lock in both.alice.status(home)["locks"]]
    session.end()


def test_an_event_over_the_limit_is_denied(a: CodingSession) -> None:
    huge = edit(a, tool_input={"file_path": "auth.py", "content": "x" * 33 * 1024 * 1024})

    assert "the event is over 32 MiB" in denied(a, huge)


def test_a_body_that_does_not_come_is_denied_in_time(a: CodingSession) -> None:
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", a.machine.port), timeout=5) as raw:
        raw.sendall(_head(a.machine, "Content-Length: 1000") + b'{"half')
        answer = raw.recv(65536)

    assert time.monotonic() - begun < 2.5
    assert b"the event did not come whole" in answer
    assert b'"deny"' in answer


def _head(machine: Machine, *more: str) -> bytes:
    lines = (
        f"POST {GATE} HTTP/1.1",
        f"Host: 127.0.0.1:{machine.port}",
        f"Authorization: Bearer {machine.token}",
        *more,
    )
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


# -- paths and names ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a\0b.py", "control character U+0000"),
        ("a\nb.py", "control character U+000A"),
        ("a\x1b[31m.py", "control character U+001B"),
        ("a\x85b.py", "control character U+0085"),
        ("\udc80.py", "lone surrogate"),
        ("x/" * 3000 + "a.py", "at most 4096 are allowed"),
        ("n" * 300, "File name too long"),
        ("loop/a.py", "symbolic links"),
        ("auth.py/inner.py", "is a file, not a folder"),
        ("", "is missing or empty"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_a_path_that_can_name_no_file_is_denied(
    a: CodingSession, home: Path, path: str, said: str
) -> None:
    loop = home / "loop"
    if not loop.is_symlink():
        loop.symlink_to("loop")

    assert said in denied(a, edit(a, tool_input={"file_path": path}))


@pytest.mark.parametrize("cwd", ["/no\0where", "/no\nwhere", "/\ud800"], ids=repr)
def test_a_folder_that_can_be_none_is_denied(a: CodingSession, cwd: str) -> None:
    assert "U+" in denied(a, edit(a, cwd=cwd))


@pytest.mark.parametrize("field", ["agent_id", "session_id"])
@pytest.mark.parametrize("value", ["\ud800", "x" * 201, "a\0b", "a\nb"], ids=repr)
def test_a_name_that_can_be_none_is_denied(a: CodingSession, field: str, value: str) -> None:
    assert f"{field} must be at most 200 printable characters" in denied(
        a, edit(a, **{field: value})
    )


def test_a_path_outside_the_project_is_a_file_of_the_machine(
    both: Pair, home: Path, tmp_path: Path
) -> None:
    session = both.alice.session(home)
    session.start()

    assert "" == refusal(session.edit("../../../outside.py"))
    assert [] == both.alice.status(home)["locks"]
    (lock,) = both.alice.status(tmp_path)["locks"]
    assert lock["project"].startswith("machine:")
    assert lock["path"].endswith("/outside.py")
    session.end()


def test_a_folder_whose_name_is_not_utf8_is_worked_in_as_any_other(
    both: Pair, tmp_path: Path
) -> None:
    root = clones(tmp_path, {"auth.py": ""}).alices
    odd = Path(str(tmp_path / "caf\udce9"))
    root.rename(odd)
    (tmp_path / "link").symlink_to(odd)
    (odd / ".git/HEAD").write_bytes(b"ref: refs/heads/caf\xe9\n")
    session = both.alice.session(tmp_path / "link")

    assert "this session is Session_1" in session.start()
    assert "" == refusal(session.edit("auth.py"))
    beside = both.alice.session(tmp_path / "link")
    assert "auth.py is locked by Session_1" in refusal(beside.edit("auth.py"))
    assert both.alice.agent is not None
    assert both.alice.agent.is_running()


# -- who may ask --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"Authorization": "Bearer wrong"}, 401, "wrong or missing token"),
        ({"Authorization": ""}, 401, "wrong or missing token"),
        ({"Authorization": "Bearer \xff\xfe"}, 401, "wrong or missing token"),
        ({"Authorization": "Basic YTpi"}, 401, "wrong or missing token"),
        ({"Host": "evil.com"}, 403, "wrong Host"),
        ({"Host": "localhost:{port}"}, 403, "wrong Host"),
        ({"Host": "127.0.0.1"}, 403, "wrong Host"),
        ({"Host": "127.0.0.1:{port}.evil.com"}, 403, "wrong Host"),
        ({"Host": "127.0.0.1:{port}@evil.com"}, 403, "wrong Host"),
    ],
    ids=repr,
)
def test_who_has_no_business_here_is_turned_away(
    a: CodingSession, headers: dict[str, str], status: int, said: str
) -> None:
    port = str(a.machine.port)
    sent = {name: value.replace("{port}", port) for name, value in headers.items()}

    got, answer = a.machine.post(GATE, edit(a), sent)

    assert status == got
    assert said in answer["error"]["message"]
    assert "NOT_ALLOWED" == answer["error"]["code"]


def test_no_origin_is_ever_allowed(a: CodingSession) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", a.machine.port, timeout=5)
    asked = {"Origin": "https://evil.com", "Access-Control-Request-Method": "POST"}
    connection.request("OPTIONS", GATE, headers=asked)
    response = connection.getresponse()
    response.read()
    connection.close()

    assert response.status >= 400
    assert [] == [name for name in response.headers if name.lower().startswith("access-control")]


def test_a_hook_is_posted_not_got(a: CodingSession) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", a.machine.port, timeout=5)
    connection.request("GET", GATE, headers={"Authorization": f"Bearer {a.machine.token}"})
    response = connection.getresponse()
    response.read()
    connection.close()

    assert 405 == response.status


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"A" * 70_000,
        b"",
    ],
    ids=["tls", "no-http", "version", "long", "nothing"],
)
def test_noise_on_the_port_does_not_bring_the_agent_down(a: CodingSession, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", a.machine.port), timeout=5) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def test_a_process_that_is_not_there_is_no_obstacle(both: Pair, home: Path) -> None:
    session = both.alice.session(home)
    for said in ("999999999", "0", "-1", "1e9", "", "x" * 5000):
        body = session.body("PreToolUse", tool_name="Edit", tool_input={"file_path": "free.py"})
        _, answer = both.alice.post(GATE, json.dumps(body).encode(), {"X-Scoord-Pid": said})
        assert "" == refusal(answer)
    session.end()
