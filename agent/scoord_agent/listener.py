"""The loopback HTTP listener that hooks post to.

It answers only to its exact ``Host``, asks for the user's token, sends no CORS
headers, and always answers: with a decision in the CLI's own words, or with one
line that says what is wrong. An event that gates an edit and cannot be read is
refused, never let through in silence.
"""

import asyncio
import hmac
import json
import logging
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from scoord.errors import BadRequest, InternalError, InvalidRequest, NotAllowed, ScoordError
from scoord.text import one_line
from scoord_agent.lifecycle import Origin
from scoord_agent.relay import Relay
from scoord_hooks.adapters import Adapter, adapter
from scoord_hooks.neutral import Decision

_log = logging.getLogger(__name__)

MAX_BODY_BYTES = 32 * 1024 * 1024
"""A Write carries the whole new file."""

READ_WITHIN_S = 1.2
"""On loopback 32 MiB take a tenth of it."""

ANSWER_WITHIN_S = 1.9
"""A hook never takes longer than 2.5 s, and the command transport waits 2 s."""


class Listener:
    """HTTP on 127.0.0.1, for hooks only."""

    def __init__(self, relay: Relay, token: str, port: int, when_unknown: str) -> None:
        self._relay = relay
        self._when_unknown = when_unknown
        self._bearer = f"Bearer {token}".encode()
        self._host = f"127.0.0.1:{port}"
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to listen. Raises OSError when the port is taken."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/v1/hooks/{client}/{event}", self._hook)
        app.router.add_get("/v1/health", self._health)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, shutdown_timeout=2.0).start()

    async def close(self) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        if denied := self._denied(request):
            return denied
        return web.json_response({"ok": True})

    async def _hook(self, request: web.Request) -> web.Response:
        if denied := self._denied(request):
            return denied
        client, name = request.match_info["client"], request.match_info["event"]
        try:
            cli = adapter(client)
        except InvalidRequest as error:
            return _problem(404, error)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return _json(await self._answer(cli, name, request))
        except Exception as error:  # noqa: BLE001 (a hook always gets an answer)
            return self._undecided(cli, name, _known(error))

    async def _answer(self, cli: Adapter, name: str, request: web.Request) -> dict[str, Any]:
        event = cli.parse(name, _object(await _body(request)))
        decision = await self._relay.decide(event, _origin(request))
        return cli.render(name, decision)

    def _undecided(self, cli: Adapter, name: str, error: ScoordError) -> web.Response:
        """What cannot be read is refused; where we failed, ``unreachable_action`` decides."""
        _log.info("event %s: %s", name, error)
        told = "Session Coordinator: " + "\n".join(error.lines)
        if isinstance(error, BadRequest) or self._when_unknown == "block":
            return _json(cli.refusal(name, told))
        return _json(cli.render(name, Decision(context=told, notice=told)))

    def _denied(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Host") != self._host:
            return _problem(403, NotAllowed("wrong Host"))
        # As it came: headers need not be UTF-8, and are decoded so that nothing is lost.
        said = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(said, self._bearer):
            return _problem(401, NotAllowed("wrong or missing token; run `scoord hooks install`"))
        return None


def _known(error: Exception) -> ScoordError:
    match error:
        case ScoordError():
            return error
        case web.HTTPRequestEntityTooLarge():
            return InvalidRequest(f"the event is over {MAX_BODY_BYTES // (1024 * 1024)} MiB")
        case TimeoutError():
            return InternalError("no decision in time")
    _log.error("an event failed in a way nobody foresaw", exc_info=error)
    return InternalError("see `scoord logs`")


async def _body(request: web.Request) -> bytes:
    if request.content.is_eof():
        return await request.read()
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            return await request.read()
    except TimeoutError as error:
        raise InvalidRequest(f"the event did not come whole in {READ_WITHIN_S:g} s") from error


def _object(body: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the event is not JSON: {one_line(str(error))}") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"the event is a JSON {type(value).__name__}, not an object")
    return value


def _origin(request: web.Request) -> Origin:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    said = request.headers.get("X-Scoord-Pid", "")
    return Origin(
        pid=int(said) if said.isascii() and said.isdigit() and len(said) < 10 else None,
        port=peer[1] if peer else None,
        intent=request.headers.get("X-Scoord-Intent", ""),
    )


def _json(value: Mapping[str, Any]) -> web.Response:
    body = json.dumps(value).encode() if value else b"{}"
    return web.Response(body=body, content_type="application/json")


def _problem(status: int, error: ScoordError) -> web.Response:
    body = {"error": {"code": error.code, "message": error.message}}
    return web.json_response(body, status=status)
