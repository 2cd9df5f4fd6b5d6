"""A gRPC server of a test's own, in the place of somebody else's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc


@asynccontextmanager
async def serving(
    *services: "grpc.GenericRpcHandler[Any, Any]", at: str = "127.0.0.1:0"
) -> AsyncIterator[str]:
    """Where a server listens that has these services, and no other."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(services)
    port = server.add_insecure_port(at)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
