"""Whom the listener answers."""

from typing import Any, cast

import aiohttp
import pytest

from scoord_agent.listener import Listener
from scoord_agent.relay import Relay
from scoord_hooks.neutral import ALLOW, Decision
from support.ports import free_port

EVENT = {"session_id": "s", "cwd": "/", "hook_event_name": "UserPromptSubmit", "prompt": "x"}


class _Asked:
    """A relay that says who asked it."""

    def __init__(self) -> None:
        self.events = 0

    async def decide(self, *_: Any) -> Decision:
        self.events += 1
        return ALLOW


@pytest.mark.parametrize(
    ("said", "status"), [("Bearer token", 200), ("Bearer tokem", 401), ("Bearer ", 401), ("", 401)]
)
async def test_only_a_hook_with_the_token_is_answered(said: str, status: int) -> None:
    relay, port = _Asked(), free_port()
    listener = Listener(cast("Relay", relay), "token", port)
    url = f"http://127.0.0.1:{port}/v1/hooks/claude-code/UserPromptSubmit"
    await listener.start()
    try:
        async with (
            aiohttp.ClientSession(headers={"Authorization": said}) as client,
            client.post(url, json=EVENT) as response,
        ):
            assert status == response.status
    finally:
        await listener.close()

    assert relay.events == (status == 200)
