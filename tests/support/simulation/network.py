"""The network between agents and coordinators, as faulty as the seed wants it.

It carries bytes below gRPC's own stubs and above nothing: the agent's client with
its retries, deadlines and failover, and the server's boundary and servicers, are
the real ones. What is modelled is what gRPC over TCP does in trouble: a call may
be lost, done without its answer arriving, late, or doubled by what stands between;
one that lies before a coordinator which stands still is not begun when its client has
given up meanwhile, or has died, since that lies there, too. A stream is never lossy, it
stalls until it breaks off.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc.aio import AioRpcError, Metadata

from scoord.status import METADATA_KEY
from support.simulation.loop import Process, VirtualLoop, running_process
from support.simulation.replica import Aborted, Replica

BROKEN_AFTER_S = 13.0
"""gRPC's keepalive: a ping after 10 s of silence, 3 s for its answer."""

_FAST_S = 0.004
_APART_S = 1e-6
_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE

Metadatum = tuple[str, str]


@dataclass(slots=True)
class Weather:
    """How bad the network is now: each is a chance for one message."""

    loss: float = 0.0
    doubling: float = 0.0
    lateness: float = 0.0
    """That it comes seconds late, so that others overtake it."""
    latest_s: float = 3.0
    breaking: float = 0.0
    """That a stream breaks off, for each of its messages."""


@dataclass(slots=True)
class Link:
    """One agent and one replica: what does not get through now."""

    requests_cut: int = 0
    answers_cut: int = 0
    slow_s: float = 0.0
    """How much longer every answer takes."""
    swallowed: int = 0
    """How much did not get through so far."""
    unattended: int = 0
    """How often nobody was there at the replica's end, or nobody that runs."""

    @property
    def cut(self) -> bool:
        """Whether no conversation is possible."""
        return bool(self.requests_cut or self.answers_cut)

    def swallows_request(self) -> bool:
        """Whether a request does not get through."""
        self.swallowed += bool(self.requests_cut)
        return bool(self.requests_cut)

    def swallows_answer(self) -> bool:
        """Whether an answer does not get through."""
        self.swallowed += bool(self.answers_cut)
        return bool(self.answers_cut)


@dataclass(slots=True)
class Exchange:
    """One try of one call, as the client saw it."""

    process: Process
    method: str
    request: Any
    sent_at: float
    """By the client's clock."""
    sent_true_s: float
    response: Any = None
    error: grpc.StatusCode | None = None
    code: str = ""
    """The failure's name in the catalogue."""


@dataclass
class Network:
    """All links, and who listens to what passes."""

    loop: VirtualLoop
    rng: random.Random
    replicas: list[Replica]
    weather: Weather = field(default_factory=Weather)
    counts: "Counter[str]" = field(default_factory=Counter)
    sent: list[Callable[[Exchange], None]] = field(default_factory=list)
    """Told when a try leaves the client."""
    answered: list[Callable[[Exchange], None]] = field(default_factory=list)
    """Told when its answer or failure has reached the client."""
    streamed: list[Callable[[Process, str, Any], None]] = field(default_factory=list)
    """Told when a message of a project's stream has reached the client."""
    _links: dict[tuple[str, int], Link] = field(default_factory=dict)

    def link(self, machine: str, replica: int) -> Link:
        """The link between a machine and a replica."""
        return self._links.setdefault((machine, replica), Link())

    def delay_s(self) -> float:
        """How long one message takes."""
        if self.weather.lateness and self.rng.random() < self.weather.lateness:
            self.counts["late"] += 1
            return self.rng.random() * self.weather.latest_s
        return self.rng.random() * _FAST_S

    def loses(self) -> bool:
        """Whether this message is lost."""
        return self._happens("lost", self.weather.loss)

    def doubles(self) -> bool:
        """Whether this message comes twice."""
        return self._happens("doubled", self.weather.doubling)

    def breaks(self) -> bool:
        """Whether this stream breaks off here."""
        return self._happens("broken off", self.weather.breaking)

    def _happens(self, what: str, chance: float) -> bool:
        if not chance or self.rng.random() >= chance:
            return False
        self.counts[what] += 1
        return True


class Channel:
    """What a stub takes for a ``grpc.aio.Channel``: one agent's way to one replica."""

    def __init__(self, network: Network, machine: str, replica: int) -> None:
        self.network = network
        self.machine = machine
        self.index = replica

    @property
    def link(self) -> Link:
        """What gets through."""
        return self.network.link(self.machine, self.index)

    @property
    def replica(self) -> Replica:
        """Who is at the other end."""
        return self.network.replicas[self.index]

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
        _registered_method: bool = False,
    ) -> Callable[..., Any]:
        """A method that answers once."""

        async def call(
            request: Any,
            timeout: float,  # noqa: ASYNC109 (gRPC's own name)
            metadata: tuple[Metadatum, ...],
        ) -> Any:
            exchange = self._exchange(method, request)
            try:
                data = await Call(self, method, request_serializer(request), metadata).answer(
                    timeout
                )
            except AioRpcError as error:
                exchange.error = error.code()
                exchange.code = _code(error)
                self._told(exchange)
                raise
            exchange.response = response_deserializer(data)
            self._told(exchange)
            return exchange.response

        return call

    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
        _registered_method: bool = False,
    ) -> Callable[..., "Stream"]:
        """A method that answers again and again."""

        def call(request: Any, metadata: tuple[Metadatum, ...]) -> Stream:
            data = request_serializer(request)
            return Stream(self, method, request.project, data, metadata, response_deserializer)

        return call

    async def close(self, grace: float | None) -> None:
        """Nothing to give back."""

    def _exchange(self, method: str, request: Any) -> Exchange:
        process, copied = running_process(), type(request)()
        copied.CopyFrom(request)
        now, true_s = process.clock.now(), self.network.loop.true_s
        exchange = Exchange(process, method.rpartition("/")[2], copied, now, true_s)
        for listener in self.network.sent:
            listener(exchange)
        return exchange

    def _told(self, exchange: Exchange) -> None:
        for listener in self.network.answered:
            listener(exchange)


class Call:
    """One try of a unary call on its way there and back."""

    def __init__(
        self, channel: Channel, method: str, data: bytes, metadata: tuple[Metadatum, ...]
    ) -> None:
        self._channel = channel
        self._network = channel.network
        self._method = method
        self._data = data
        self._metadata = metadata
        self._client = running_process()
        self._future: asyncio.Future[bytes] = channel.network.loop.create_future()
        self._timeout_s = 0.0
        self._given_up_s = math.inf

    async def answer(self, timeout_s: float) -> bytes:
        """Send, and wait for the answer. Raises AioRpcError."""
        self._timeout_s = timeout_s
        self._send()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._future
        except TimeoutError as error:
            raise failure(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded") from error
        finally:
            self._given_up_s = self._network.loop.true_s

    def _send(self) -> None:
        channel, network = self._channel, self._network
        if channel.link.swallows_request():
            return
        channel.link.unattended += not channel.replica.runs
        if channel.replica.process is None:
            self._client.post(network.delay_s(), self._fail, "connection refused")
            return
        if network.loses():
            self._break_off()
            return
        for _ in range(2 if network.doubles() else 1):
            delay_s = network.delay_s()
            channel.replica.process.post(delay_s, self._arrive, network.loop.true_s + delay_s)

    def _arrive(self, reached_s: float) -> None:
        """It is read, perhaps long after it has reached the machine."""
        if self._is_given_up(reached_s):
            return
        replica = self._channel.replica
        replica.serve(self._method, self._data, self._metadata, self._timeout_s, self._answered)

    def _is_given_up(self, reached_s: float) -> bool:
        """Whether its client's end came behind it, and has got through, before it is read.

        What is late is late by what stands between, which knows of no end.
        """
        ends = (self._given_up_s, self._client.died_s)
        is_over = any(reached_s < end_s < self._network.loop.true_s for end_s in ends)
        return is_over and not self._channel.link.requests_cut

    def _answered(self, outcome: "bytes | Aborted") -> None:
        network = self._network
        if self._channel.link.swallows_answer():
            return
        if network.loses():
            self._break_off()
            return
        delay_s = network.delay_s() + self._channel.link.slow_s
        self._client.post(delay_s, self._settle, outcome)

    def _break_off(self) -> None:
        """Half of what is lost is lost with its connection, which the client notices."""
        if self._network.rng.random() < 0.5:
            self._client.post(self._network.delay_s(), self._fail, "connection reset")

    def _fail(self, details: str) -> None:
        if not self._future.done():
            self._future.set_exception(failure(_UNAVAILABLE, details))

    def _settle(self, outcome: "bytes | Aborted") -> None:
        if self._future.done():
            return
        if isinstance(outcome, Aborted):
            self._future.set_exception(failure(outcome.code, outcome.details, outcome.metadata))
        else:
            self._future.set_result(outcome)


class Stream:
    """One server-streaming call: in order and without gaps, until it breaks off."""

    def __init__(
        self,
        channel: Channel,
        method: str,
        project: str,
        data: bytes,
        metadata: tuple[Metadatum, ...],
        deserialize: Callable[[bytes], Any],
    ) -> None:
        self._channel = channel
        self._project = project
        self._network = channel.network
        self._deserialize = deserialize
        self._client = running_process()
        self._arrived: asyncio.Queue[bytes | AioRpcError] = asyncio.Queue()
        self._stalled: list[bytes | AioRpcError] = []
        self._free_at_s = 0.0
        self._served: asyncio.Task[None] | None = None
        self._server: Process | None = None
        self._over = False
        self._silent_s = 0.0
        self._client.every(lambda: 1.0, self._mind)
        if not channel.link.swallows_request() and channel.replica.process:
            self._server = channel.replica.process
            self._server.post(self._network.delay_s(), self._arrive, method, data, metadata)

    def cancel(self) -> None:
        """The client has no more use for it."""
        self._over = True
        self._stop_serving()

    async def __aiter__(self) -> AsyncIterator[Any]:
        while True:
            arrived = await self._arrived.get()
            if isinstance(arrived, AioRpcError):
                raise arrived
            response = self._deserialize(arrived)
            for listener in self._network.streamed:
                listener(self._client, self._project, response)
            yield response

    def _arrive(self, method: str, data: bytes, metadata: tuple[Metadatum, ...]) -> None:
        if self._over:
            return
        self._served = self._channel.replica.stream(method, data, metadata, self._send)

    def _send(self, message: "bytes | Aborted") -> None:
        """The server has said something."""
        if self._over:
            return
        if isinstance(message, Aborted):
            self._pass_on(failure(message.code, message.details, message.metadata))
        elif self._network.breaks():
            self._pass_on(failure(_UNAVAILABLE, "connection reset"))
            self._stop_serving()
        else:
            self._pass_on(message)

    def _pass_on(self, message: "bytes | AioRpcError") -> None:
        if self._channel.link.swallows_answer() or self._stalled:
            self._stalled.append(message)
            return
        network = self._network
        # What takes longer breaks the connection.
        delay_s = min(network.delay_s(), BROKEN_AFTER_S)
        # One after the other: sums of floats would let some that come together change places.
        at_s = max(self._free_at_s + _APART_S, network.loop.true_s + delay_s)
        self._free_at_s = at_s
        self._client.post(at_s - network.loop.true_s, self._arrived.put_nowait, message)

    def _mind(self) -> bool:
        """What keepalive and the kernel do: notice a dead peer, send again what was stalled."""
        if self._over:
            return False
        if self._channel.link.cut or self._stands_still():
            self._silent_s += 1.0
        elif self._is_deserted():
            self._channel.link.unattended += 1
            self._break("connection reset")
        else:
            self._silent_s = 0.0
            self._send_stalled()
        if self._silent_s >= BROKEN_AFTER_S:
            self._break("ping timeout")
        return not self._over

    def _stands_still(self) -> bool:
        """Whether the process at the other end is there, and answers no pings."""
        replica = self._channel.replica
        stands = self._server is replica.process is not None and not replica.runs
        self._channel.link.unattended += stands
        return stands

    def _is_deserted(self) -> bool:
        """Whether the process that served it, or was to serve it, is gone."""
        return self._served is None or self._server is not self._channel.replica.process

    def _send_stalled(self) -> None:
        stalled, self._stalled = self._stalled, []
        for message in stalled:
            self._pass_on(message)

    def _break(self, details: str) -> None:
        self._over = True
        self._stop_serving()
        self._arrived.put_nowait(failure(_UNAVAILABLE, details))

    def _stop_serving(self) -> None:
        """The server hears that nobody listens any more, sooner or later."""
        if self._served and self._server and not self._server.dead:
            self._server.post(self._network.delay_s(), self._served.cancel)


def failure(
    code: grpc.StatusCode, details: str, metadata: tuple[Metadatum, ...] = ()
) -> AioRpcError:
    """What a call raises that did not go well."""
    return AioRpcError(code, Metadata(), Metadata(*metadata), details, None)


def _code(error: AioRpcError) -> str:
    # The stubs do not know that a metadatum is a pair.
    pairs: Iterable[Any] = error.trailing_metadata() or ()
    return next((str(value) for key, value in pairs if key == METADATA_KEY), "")
