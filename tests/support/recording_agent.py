"""An agent's listener that records what the hooks send and answers what a test says."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    raw: bytes
    at: float
    """When, by the monotonic clock."""

    @property
    def event(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def body(self) -> Mapping[str, object]:
        """The event's own JSON."""
        body = json.loads(self.raw)
        assert isinstance(body, dict)
        return body


@dataclass(slots=True)
class RecordingAgent:
    """The listener, with what came in and what it answers (``{}`` unless told otherwise)."""

    port: int = 0
    calls: list[Call] = field(default_factory=list)
    answers: dict[str, Mapping[str, object]] = field(default_factory=dict)
    status: int = 200
    silent: bool = False
    """Take every request and never answer."""

    @property
    def events(self) -> list[str]:
        """The names of the events that arrived, in their order."""
        return [call.event for call in self.calls]

    def the(self, event: str) -> Call:
        """Return the one call of that event."""
        (call,) = [call for call in self.calls if call.event == event]
        return call

    async def _answer(self, request: web.Request) -> web.Response:
        call = Call(request.path, dict(request.headers), await request.read(), time.monotonic())
        self.calls.append(call)
        if self.silent:
            await asyncio.Event().wait()
        return web.json_response(self.answers.get(call.event, {}), status=self.status)


@asynccontextmanager
async def recording_agent(port: int = 0) -> AsyncIterator[RecordingAgent]:
    """Run a recording agent on a loopback port."""
    agent = RecordingAgent()
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", agent._answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        agent.port = runner.addresses[0][1]
        yield agent
    finally:
        await runner.cleanup()
