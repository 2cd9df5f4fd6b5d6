"""The local API's part about the past: JSON, and lines of JSON for who follows."""

import asyncio
import contextlib
import json

from aiohttp import web

from scoord.errors import InvalidRequest, ScoordError
from scoord.happenings import KINDS
from scoord.text import one_line
from scoord_agent.history_desk import Answer, HistoryDesk, Question
from scoord_agent.local_api import Reply, Routes
from scoord_agent.local_body import Body, body_of, number, seconds, text

QUIET_S = 5.0
"""Who follows gets an empty line that often, and so knows that the agent is there."""

MOST_LINES = 10_000

_BACKLOG = 1_000


class HistoryRoutes:
    """Reads what is asked, and writes what the desk answers."""

    def __init__(self, desk: HistoryDesk) -> None:
        self._desk = desk

    def routes(self) -> Routes:
        """By method and path."""
        return {
            ("POST", "/v1/history"): self._read,
            ("POST", "/v1/history/sessions"): self._logs,
            ("POST", "/v1/history/follow"): self._follow,
            ("POST", "/v1/refresh"): self._refresh,
        }

    async def _read(self, request: web.Request) -> Answer:
        return await self._desk.read(_question(await body_of(request)))

    async def _logs(self, request: web.Request) -> Answer:
        return await self._desk.logs(_question(await body_of(request)))

    async def _refresh(self, request: web.Request) -> Answer:
        body = await body_of(request)
        return await self._desk.refresh(text(body, "cwd"), everything=body.get("all") is True)

    async def _follow(self, request: web.Request) -> Reply:
        """Lines of JSON until the other side goes; a failure is the last of them."""
        question = _question(await body_of(request))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        lines = asyncio.Queue[Answer](_BACKLOG)
        pump = asyncio.create_task(self._pump(question, lines))
        try:
            await self._write(response, lines, pump)
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        return response

    async def _pump(self, question: Question, lines: "asyncio.Queue[Answer]") -> None:
        try:
            async with contextlib.aclosing(self._desk.follow(question)) as events:
                async for event in events:
                    await lines.put({"event": event})
        except ScoordError as error:
            await lines.put({"error": {"code": error.code, "message": error.message}})

    async def _write(
        self,
        response: web.StreamResponse,
        lines: "asyncio.Queue[Answer]",
        pump: "asyncio.Task[None]",
    ) -> None:
        while not (pump.done() and lines.empty()):
            try:
                async with asyncio.timeout(QUIET_S):
                    line = json.dumps(await lines.get())
            except TimeoutError:
                line = ""
            await response.write(f"{line}\n".encode())
            if line.startswith('{"error"'):
                return


def _question(body: Body) -> Question:
    kinds = body.get("kinds", [])
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        raise InvalidRequest("kinds is not a list of texts")
    if wrong := [kind for kind in kinds if kind not in KINDS]:
        raise InvalidRequest(f"kinds: {one_line(wrong[0], 40)!r} is none of {', '.join(KINDS)}")
    limit = number(body, "limit")
    if not 1 <= limit <= MOST_LINES:
        raise InvalidRequest(f"limit is {limit}; 1 to {MOST_LINES} are allowed")
    return Question(
        cwd=text(body, "cwd"),
        session=text(body, "session"),
        file=text(body, "file"),
        person=text(body, "person"),
        kinds=tuple(kinds),
        details_too=body.get("all") is True,
        since_s=seconds(body, "since_s"),
        limit=limit,
    )
