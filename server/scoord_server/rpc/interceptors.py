"""What happens around every RPC: who calls and for how long, and failures become statuses.

Nobody else aborts an RPC, so nobody has to guess where an error came from.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError

from scoord.errors import InternalError, ScoordError
from scoord.status import MACHINE_KEY, PERSON_KEY, status_of, trailing_metadata
from scoord.text import one_line
from scoord_server.rpc.caller import Caller, current
from scoord_server.timely import time_left

_log = logging.getLogger(__name__)

_UNFORESEEN = "see the coordinator's log"
_UNREADABLE = (
    "what a program of a newer version wrote is in the way, and this coordinator cannot read it; "
    "update it, or see its log"
)

# grpc's handlers are generic over messages that this module never looks into.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]


class Boundary(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # not at run time
    """Wraps each method once, and remembers the wrapped one."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # a handler, or None for an unknown method, which the stubs do not know of
        """Answer with the wrapped handler of the method that is called."""
        method = handler_call_details.method
        if method not in self._wrapped:
            handler: Handler | None = await continuation(handler_call_details)
            if handler is None or not method.startswith("/scoord."):
                return handler
            self._wrapped[method] = _wrap(handler)
        return self._wrapped[method]


def _wrap(handler: Any) -> Handler:  # grpc's own stubs leave its fields untyped
    if handler.unary_stream:
        return grpc.unary_stream_rpc_method_handler(
            _stream(handler.unary_stream), handler.request_deserializer, handler.response_serializer
        )
    return grpc.unary_unary_rpc_method_handler(
        _unary(handler.unary_unary), handler.request_deserializer, handler.response_serializer
    )


def _unary(method: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Any]:
    async def call(request: Any, context: Context) -> Any:
        current.set(_caller(context))
        time_left.set(context.time_remaining)
        try:
            return await method(request, context)
        except Exception as error:  # noqa: BLE001 (the boundary: whatever it is becomes a status)
            await _abort(context, error)

    return call


def _stream(method: Callable[[Any, Context], AsyncIterator[Any]]) -> Callable[[Any, Context], Any]:
    async def call(request: Any, context: Context) -> AsyncIterator[Any]:
        current.set(_caller(context))
        try:
            async for response in method(request, context):
                yield response
        except Exception as error:  # noqa: BLE001 (as above)
            await _abort(context, error)

    return call


async def _abort(context: Context, error: Exception) -> None:
    failure = error if isinstance(error, ScoordError) else _logged(error)
    await context.abort(status_of(failure), failure.message, trailing_metadata(failure))


def _logged(error: Exception) -> InternalError:
    """What a caller is told of what is in no catalogue; the log has the rest."""
    is_newer = isinstance(error, DecodeError)
    how = "on what this version cannot read" if is_newer else "in a way nobody foresaw"
    machine = one_line(current.get().machine) or "a machine without a name"
    _log.error("an RPC of %s failed %s", machine, how, exc_info=error)
    return InternalError(_UNREADABLE if is_newer else _UNFORESEEN)


def _caller(context: Context) -> Caller:
    said = dict(context.invocation_metadata() or ())
    return _called_by(str(said.get(MACHINE_KEY, "")), str(said.get(PERSON_KEY, "")))


@lru_cache(1024)
def _called_by(machine: str, person: str) -> Caller:
    return Caller(machine, unquote(person))
