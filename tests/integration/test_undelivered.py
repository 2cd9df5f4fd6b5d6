"""What a hook is told that is gone before its answer: the next one is told it."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scoord_agent.listener import ANSWER_WITHIN_S
from support.machines import RunningSession
from support.pair import Clones, Pair, alices, bobs, clones, pair
from support.processes import wait_until

FILES = {"auth.py": "pass\n"}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("undelivered")) as made:
        yield made


@pytest.fixture
def shop(tmp_path: Path) -> Clones:
    return clones(tmp_path, FILES)


def _request(session: RunningSession, event: str, **fields: Any) -> bytes:
    """A hook's request, as bytes."""
    machine = session.machine
    body = json.dumps(session.body(event, **fields)).encode()
    head = (
        f"POST /v1/hooks/claude-code/{event} HTTP/1.1",
        f"Host: 127.0.0.1:{machine.port}",
        f"Authorization: Bearer {machine.token}",
        f"X-Scoord-Pid: {session.pid}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*head, "", "")).encode() + body


def _begin(session: RunningSession, event: str, **fields: Any) -> socket.socket:
    """A hook that has asked."""
    hook = socket.create_connection(("127.0.0.1", session.machine.port))
    hook.sendall(_request(session, event, **fields))
    return hook


def _lost(two: Pair, shop: Clones) -> RunningSession:
    """A session that is yet to be told of a loss."""
    alice, bob = alices(two, shop), bobs(two, shop)
    alice.edit("auth.py")
    bob.run("unlock", "auth.py", "--force", "--yes")
    written = two.alice.state_dir / "sessions.jsonl"

    def is_to_be_told() -> bool:
        lines = written.read_text(encoding="utf-8").splitlines()
        return any(alice.session_id in line and "was broken" in line for line in lines)

    wait_until("the loss is to be told", is_to_be_told)
    return alice


def _is_told_once(session: RunningSession) -> None:
    assert "auth.py was broken by Session_2" in session.told()
    assert "was broken" not in session.told()


def test_what_a_hook_would_be_told_that_gave_up_on_a_halted_agent_is_told_to_the_next(
    two: Pair, shop: Clones
) -> None:
    session, agent = _lost(two, shop), two.alice.agent
    assert agent

    agent.freeze()
    try:
        _begin(session, "UserPromptSubmit", prompt="go on").close()
    finally:
        agent.thaw()
    session.post("Stop")

    _is_told_once(session)


def test_what_a_hook_would_be_told_that_is_killed_before_its_answer_is_told_to_the_next(
    two: Pair, shop: Clones
) -> None:
    session = _lost(two, shop)

    two.coordinator.freeze()
    try:
        edit = {"file_path": str(shop.alices / "other.py")}
        hook = _begin(session, "PreToolUse", tool_name="Write", tool_input=edit)
        time.sleep(0.5)
        hook.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        hook.close()
        time.sleep(ANSWER_WITHIN_S)
    finally:
        two.coordinator.thaw()

    _is_told_once(session)
