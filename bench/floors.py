"""The floors: the least that each step of a hook's way costs on this machine, now.

Run as a program it serves one of them: ``floors.py http PORT`` or ``floors.py grpc
PORT``, built on the same libraries as ours, with a handler that does nothing.
"""

import asyncio
import sys

import grpc
from aiohttp import web

ECHO = "/bench.Echo/Echo"
MESSAGE = b"x" * 350
"""About the size of an acquire."""


async def serve_http(port: int) -> None:
    """Answer each POST with an empty object."""

    async def echo(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b"{}", content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/hooks/{client}/{event}", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


async def serve_grpc(port: int) -> None:
    """Answer each call with its own message."""

    async def echo(request: bytes, context: object) -> bytes:  # noqa: ARG001 (gRPC's signature)
        return request

    handler = grpc.unary_unary_rpc_method_handler(echo)
    service, method = ECHO.strip("/").split("/")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run({"http": serve_http, "grpc": serve_grpc}[sys.argv[1]](int(sys.argv[2])))
