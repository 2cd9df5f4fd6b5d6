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

from scoord.errors import (
    BadRequest,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    NotAllowed,
    ScoordError,
)
from scoord.text import one_line
from scoord_agent import wording
from scoord_agent.delivery import Delivery
from scoord_agent.lifecycle import Origin
from scoord_agent.relay import Relay
from scoord_hooks.adapters import Adapter, adapter

_log = logging.getLogger(__name__)

MAX_BODY_BYTES = 32 * 1024 * 1024
"""A Write carries the whole new file."""

READ_WITHIN_S = 1.2
"""On loopback 32 MiB take a tenth of it."""

ANSWER_WITHIN_S = 1.7
"""A coding CLI and the shim wait 2 s; a busy machine needs some of that."""

DECIDE_WITHIN_S = 1.5
"""The same for what others are asked about an edit; the rest is for saying that they did not."""


class Listener:
    """HTTP on 127.0.0.1, for hooks only."""

    def __init__(self, relay: Relay, token: str, port: int) -> None:
        self._relay = relay
        self._bearer = f"Bearer {token}".encode()
        self._host = f"127.0.0.1:{port}"
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to listen. Raises OSError when the port is taken."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/v1/hooks/{client}/{event}", self._hook)
        app.router.add_get("/v1/health", self._health)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=2.0
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

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
        delivery = Delivery()
        answer = await self._answer(cli, name, request, delivery)
        return await _delivered(_json(answer), request, delivery)

    async def _answer(
        self, cli: Adapter, name: str, request: web.Request, delivery: Delivery
    ) -> dict[str, Any]:
        """The answer to an event that begins to come in now."""
        now, origin, event = asyncio.get_running_loop().time(), _origin(request), None
        try:
            async with asyncio.timeout_at(now + ANSWER_WITHIN_S):
                event = cli.parse(name, _object(await _body(request)))
                until = now + DECIDE_WITHIN_S
                decision = await self._relay.decide(event, origin, until, delivery)
                return cli.render(name, decision)
        except Exception as failure:  # noqa: BLE001 (a hook always gets an answer)
            error = _known(failure)
            delivery.failed()
        _log.info("event %s: %s", name, error)
        if event is None or isinstance(error, BadRequest):
            return cli.refusal(name, wording.undecided(error))
        return cli.render(name, await self._relay.undecided(event, origin, error))

    def _denied(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Host") != self._host:
            return _problem(403, NotAllowed("wrong Host"))
        # As it came: headers need not be UTF-8, and are decoded so that nothing is lost.
        said = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(said, self._bearer):
            return _problem(401, NotAllowed("wrong or missing token; run `scoord hooks install`"))
        return None


async def _delivered(
    response: web.Response, request: web.Request, delivery: Delivery
) -> web.Response:
    """Write an answer here, where it is seen whether its hook is there to read it."""
    written = False
    try:
        if delivery.carries:
            await _see_who_has_gone()
        await response.prepare(request)
        await response.write_eof()
        written = request.transport is not None and not request.transport.is_closing()
    except ConnectionError:
        _log.info("a hook went away before its answer")
    finally:
        if not written:
            delivery.failed()
    return response


async def _see_who_has_gone() -> None:
    """Let the loop read its sockets: a hook may have given up while the agent stood still."""
    # Its next round finds the end of a connection, and acts on it behind us: so two.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _known(error: Exception) -> ScoordError:
    match error:
        case ScoordError():
            return error
        case web.HTTPRequestEntityTooLarge():
            return InvalidRequest(f"the event is over {MAX_BODY_BYTES // (1024 * 1024)} MiB")
        case TimeoutError():
            return DeadlineExceeded("there was no decision in time")
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
