"""The API for this user's own programs, over a Unix socket: JSON over HTTP.

The socket lies in a directory that only its user may enter, so it asks for no
token. Ages are seconds. Failures carry the catalogue's code.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from scoord.errors import BadRequest, InternalError, Refused, ScoordError, Unknown
from scoord.names import path_key
from scoord_agent.break_desk import BreakDesk
from scoord_agent.desk import Desk
from scoord_agent.local_body import MOST_BYTES, Body, body_of, number, pairs, seconds, text, texts
from scoord_agent.status_desk import StatusDesk
from scoord_agent.wishes import Breaking, Wish

_log = logging.getLogger(__name__)

LOOK_S = 2.0
"""How often is looked whether the socket is there."""

Answer = dict[str, Any]
Reply = Answer | web.StreamResponse
"""What becomes JSON, or what was written already."""
Handle = Callable[[web.Request], Awaitable[Answer]] | Callable[[web.Request], Awaitable[Reply]]
Routes = Mapping[tuple[str, str], Handle]
"""By method and path."""


class LocalApi:
    """Serves these desks on the agent's socket."""

    def __init__(
        self,
        desk: Desk,
        status_desk: StatusDesk,
        break_desk: BreakDesk,
        socket: Path,
        *more: Routes,
    ) -> None:
        """``more`` is what other desks answer, each with routes of its own."""
        self._desk = desk
        self._status_desk = status_desk
        self._break_desk = break_desk
        self._socket = socket
        self._routes = (self._own_routes(), *more)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to listen; a socket file that a killed agent left is replaced."""
        app = web.Application(client_max_size=MOST_BYTES)
        for routes in self._routes:
            for (method, path), handle in routes.items():
                app.router.add_route(method, path, _answering(handle))
        # A command that was interrupted must not be granted what it waited for.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=2.0,
        )
        await self._runner.setup()
        await self._listen(self._runner)

    async def keep_open(self) -> None:
        """Listen anew where the socket was removed, as what tidies up /tmp does after days."""
        while True:
            await asyncio.sleep(LOOK_S)
            # It cannot be looked at, its directory is gone as well, or its disk is full.
            with suppress(OSError):
                if self._runner and not self._socket.exists():
                    await self._listen(self._runner)
                    _log.warning("%s was removed; it is there again", self._socket)

    async def _listen(self, runner: web.AppRunner) -> None:
        self._socket.unlink(missing_ok=True)
        site = web.UnixSite(runner, str(self._socket))
        try:
            await site.start()
        except OSError:
            await site.stop()
            raise
        self._socket.chmod(0o600)

    async def close(self) -> None:
        """Stop listening."""
        self._desk.close()
        if self._runner:
            await self._runner.cleanup()

    def _own_routes(self) -> Routes:
        return {
            ("GET", "/v1/health"): self._health,
            ("GET", "/v1/status"): self._status,
            ("POST", "/v1/rehearse"): self._rehearse,
            ("POST", "/v1/news"): self._news,
            ("POST", "/v1/acquire"): self._acquire,
            ("POST", "/v1/wait"): self._wait,
            ("POST", "/v1/leave"): self._leave,
            ("POST", "/v1/release"): self._release,
            ("POST", "/v1/break"): self._break,
        }

    async def _health(self, request: web.Request) -> Answer:  # noqa: ARG002 (same for all)
        return {"ok": True}

    async def _status(self, request: web.Request) -> Answer:
        everything = request.query.get("all") == "1"
        return await self._status_desk.status(request.query.get("cwd", "/"), everything=everything)

    async def _rehearse(self, request: web.Request) -> Answer:  # noqa: ARG002 (same for all)
        return await self._status_desk.rehearse()

    async def _news(self, request: web.Request) -> Answer:
        return self._status_desk.news(number(await body_of(request), "pid"))

    async def _acquire(self, request: web.Request) -> Answer:
        wish = _wish(await body_of(request))
        # Before: a command that is killed after its grant would leave that to nobody.
        problems = await self._status_desk.problems(wish.cwd)
        return await self._desk.acquire(wish) | problems

    async def _wait(self, request: web.Request) -> Answer:
        body = await body_of(request)
        wish = _wish(body)
        problems = await self._status_desk.problems(wish.cwd)  # before, as above
        return await self._desk.wait(wish, seconds(body, "within_s")) | problems

    async def _leave(self, request: web.Request) -> Answer:
        return await self._desk.leave(_wish(await body_of(request)))

    async def _release(self, request: web.Request) -> Answer:
        body = await body_of(request)
        cwd = text(body, "cwd")
        answer = await self._desk.release(cwd, texts(body, "paths"), number(body, "pid"))
        return answer | await self._status_desk.problems(cwd)

    async def _break(self, request: web.Request) -> Answer:
        body = await body_of(request)
        wanted = Breaking(
            cwd=text(body, "cwd"),
            pid=number(body, "pid"),
            path=text(body, "path"),
            token=number(body, "token"),
            by=text(body, "by"),
            reason=text(body, "reason"),
        )
        answer = await self._break_desk.break_lock(wanted)
        return answer | await self._status_desk.problems(wanted.cwd)


def _answering(handle: Handle) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            reply = await handle(request)
            return reply if isinstance(reply, web.StreamResponse) else web.json_response(reply)
        except ScoordError as error:
            return _problem(error)
        except Exception:  # noqa: BLE001 (a command always gets an answer)
            _log.exception("%s failed in a way nobody foresaw", request.path)
            return _problem(InternalError("the agent failed; see `scoord logs`"))

    return answer


def _problem(error: ScoordError) -> web.Response:
    families = ((BadRequest, 400), (Refused, 409), (Unknown, 503))
    status = next((status for family, status in families if isinstance(error, family)), 500)
    body = {"error": {"code": error.code, "message": error.message}}
    return web.json_response(body, status=status)


def _wish(body: Body) -> Wish:
    return Wish(
        cwd=text(body, "cwd"),
        paths=tuple(texts(body, "paths")),
        pid=number(body, "pid"),
        reason=text(body, "reason"),
        shared=body.get("shared") is True,
        lasts_s=seconds(body, "lasts_s"),
        lasting=body.get("lasting") is True,
        refused=_names(body, "refused"),
        new=_names(body, "new"),
    )


def _names(body: Body, name: str) -> tuple[tuple[str, str], ...]:
    """Projects, and paths or patterns as they are compared."""
    return tuple((project, path_key(path)) for project, path in pairs(body, name))
