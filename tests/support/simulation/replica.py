"""One coordinator: the real servicers behind the real boundary, without a socket."""

import asyncio
import contextlib
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import grpc

from scoord_server.coordinator import Coordinator
from scoord_server.reaper import Reaper
from scoord_server.rpc.interceptors import Boundary
from scoord_server.rpc.server import add_services
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.view import View
from support.simulation.loop import HostClock, Process, VirtualLoop
from support.simulation.storage import StoreLink

Metadatum = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Aborted:
    """A call that was answered with a status."""

    code: grpc.StatusCode
    details: str
    metadata: tuple[Metadatum, ...] = ()


class AbortError(Exception):
    """Leaves a servicer after it aborted."""


Reply = Callable[["bytes | Aborted"], None]


class Context:
    """What a servicer is told about its call."""

    def __init__(
        self, metadata: tuple[Metadatum, ...], clock: HostClock, within_s: float = math.inf
    ) -> None:
        self._metadata = metadata
        self._clock = clock
        self._until = clock.running() + within_s
        self.aborted: Aborted | None = None

    def invocation_metadata(self) -> tuple[Metadatum, ...]:
        """What the client said beside its request."""
        return self._metadata

    def time_remaining(self) -> float | None:
        """For how long its client waits, as gRPC reckons from when it read the call."""
        return max(0.0, self._until - self._clock.running())

    def auth_context(self) -> dict[str, Any]:
        """As on a plaintext port."""
        return {}

    def peer(self) -> str:
        """As on loopback."""
        return "ipv4:127.0.0.1:1"

    async def abort(
        self, code: grpc.StatusCode, details: str, trailing_metadata: tuple[Metadatum, ...] = ()
    ) -> None:
        """End the call with a status."""
        self.aborted = Aborted(code, details, trailing_metadata)
        raise AbortError


class _Registry:
    """What services are added to, in place of a gRPC server."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """The same methods again, in another form."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Remember each under its full name."""
        self.handlers |= {f"/{service}/{name}": handler for name, handler in handlers.items()}


@dataclass
class Replica:
    """A coordinator's place: a process is there, or has been killed."""

    index: int
    loop: VirtualLoop
    clock: HostClock
    store: EmbeddedStore
    rng: random.Random
    process: Process | None = None
    link: StoreLink = field(init=False)
    _handlers: dict[str, Any] = field(default_factory=dict)
    _boundary: Boundary = field(default_factory=Boundary)

    @property
    def runs(self) -> bool:
        """Whether a process is there, and does not stand still."""
        return self.process is not None and not self.process.frozen

    def start(self) -> None:
        """Start a process."""
        self.process = Process(self.loop, f"replica {self.index}", self.clock)
        self.link = StoreLink(self.store, self.rng, self.loop)
        view = View(self.link, self.clock)
        coordinator = Coordinator(self.link, view, self.clock)
        registry = _Registry()
        add_services(registry, coordinator, view, self.clock)  # type: ignore[arg-type]  # as a server
        self._handlers, self._boundary = registry.handlers, Boundary()
        self.process.start(view.run())
        self.process.start(Reaper(coordinator).run())

    def kill(self) -> None:
        """End its process at once."""
        if self.process:
            self.process.kill()
            self.process = None

    def serve(
        self,
        method: str,
        data: bytes,
        metadata: tuple[Metadatum, ...],
        timeout_s: float,
        reply: Reply,
    ) -> None:
        """Carry one unary call out, within the client's deadline as gRPC does."""
        assert self.process is not None
        context = Context(metadata, self.clock, timeout_s)
        self.process.start(self._unary(method, data, context, timeout_s, reply))

    def stream(
        self, method: str, data: bytes, metadata: tuple[Metadatum, ...], send: Reply
    ) -> "asyncio.Task[None]":
        """Carry one streaming call out until it is cancelled."""
        assert self.process is not None
        context = Context(metadata, self.clock)
        return self.process.start(self._streaming(method, data, context, send))

    async def _handler(self, method: str) -> Any:  # grpc's own stubs leave its fields untyped
        async def find(details: Any) -> Any:
            return self._handlers.get(details.method)

        details: Any = SimpleNamespace(method=method)
        return await self._boundary.intercept_service(find, details)

    async def _unary(
        self, method: str, data: bytes, context: Context, timeout_s: float, reply: Reply
    ) -> None:
        handler = await self._handler(method)
        request = handler.request_deserializer(data)
        task = asyncio.current_task()
        assert task is not None
        late = self.loop.call_later(timeout_s, task.cancel)
        try:
            response = await _settled(handler.unary_unary(request, context), context)
        finally:
            late.cancel()
        aborted = isinstance(response, Aborted)
        reply(response if aborted else handler.response_serializer(response))

    async def _streaming(self, method: str, data: bytes, context: Context, send: Reply) -> None:
        handler = await self._handler(method)
        responses = handler.unary_stream(handler.request_deserializer(data), context)
        try:
            async with contextlib.aclosing(responses):
                async for response in responses:
                    send(handler.response_serializer(response))
        except AbortError:
            assert context.aborted is not None
            send(context.aborted)


async def _settled(work: Awaitable[Any], context: Context) -> Any:
    try:
        return await work
    except AbortError:
        assert context.aborted is not None
        return context.aborted
