"""The same server over HTTP, for clients that start no programs: on loopback, with the token.

As the agent's own listener it answers to its exact ``Host`` only, and sends no CORS
headers, so that no page in a browser can speak with it.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from scoord import addresses, local
from scoord.errors import InvalidConfig
from scoord_agent import spawn
from scoord_agent.mcp.asking import own_parent
from scoord_agent.mcp.server import Desk

PATH: Final = "/mcp"
MOST_BYTES: Final = 4 * 1024 * 1024
"""Of one request."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """Lets through who names this host, and the token of this user's agent."""

    def __init__(self, app: App, address: str, token: str) -> None:
        self._app = app
        self._host = address.encode()
        self._bearer = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        said = headers.get(b"authorization", b"")
        if headers.get(b"host") != self._host:
            await _refuse(send, 403, b"wrong Host")
        elif not hmac.compare_digest(said, self._bearer):
            await _refuse(send, 401, b"wrong or missing token")
        else:
            await self._app(scope, receive, send)


def serve_http(address: str, say: Callable[[str], None]) -> None:
    """Serve on ``HOST:PORT`` until it is told to stop. Raises InvalidConfig."""
    host, port = _loopback(address)
    if spawn.is_listening(address):
        raise InvalidConfig(
            f"{address} is taken by another program; choose another port:"
            " `scoord mcp --http 127.0.0.1:PORT`"
        )
    logging.basicConfig(level=logging.WARNING)
    config = uvicorn.Config(
        app(address),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    token = local.state_dir() / "token"
    say(f"MCP at http://{address}{PATH}; clients send the token in {token} as their bearer")
    uvicorn.Server(config).run()


def app(address: str) -> Guard:
    """What is served at ``address``."""
    security = TransportSecuritySettings(allowed_hosts=[address], allowed_origins=[])
    inner = (
        Desk(own_parent())
        .server()
        .streamable_http_app(
            streamable_http_path=PATH,
            # No state of ours lives in a session of the protocol, so none has to be kept.
            stateless_http=True,
            json_response=True,
            max_request_body_size=MOST_BYTES,
            transport_security=security,
        )
    )
    return Guard(inner, address, local.token())


def _loopback(address: str) -> tuple[str, int]:
    """Raises InvalidConfig for anything but loopback: the token would be read on the way."""
    host, port = addresses.split(address)
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidConfig(f"{address!r} is not HOST:PORT")
    if not addresses.is_loopback(host):
        raise InvalidConfig(f"{address} is not loopback; only this machine's programs are served")
    return host, int(port)


async def _refuse(send: Send, status: int, why: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(why)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": why})
