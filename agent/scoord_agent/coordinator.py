"""The gRPC client: the only file of the agent with grpc and tenacity.

It holds one channel for each coordinator address and speaks to one of them at a
time. When that one is gone it goes to the next, which is safe for every command
because each carries a request id. How long it tries is the caller's to say: a
hook has two seconds, a heartbeat has its interval.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import grpc
from google.protobuf.duration_pb2 import Duration
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    wait_random_exponential,
)

from scoord.clock import Clock
from scoord.errors import (
    Contended,
    CoordinatorUnreachable,
    DeadlineExceeded,
    ScoordError,
    StoreUnavailable,
    Unknown,
)
from scoord.ids import RequestId
from scoord.message_limits import MOST_ANSWER_BYTES
from scoord.status import MACHINE_KEY, METADATA_KEY, PERSON_KEY, from_rpc_error
from scoord.v1 import events_pb2, locks_pb2, sessions_pb2
from scoord.v1.events_pb2_grpc import EventServiceStub
from scoord.v1.graph_pb2_grpc import GraphServiceStub
from scoord.v1.history_pb2_grpc import HistoryServiceStub
from scoord.v1.locks_pb2_grpc import LockServiceStub
from scoord.v1.sessions_pb2_grpc import SessionServiceStub
from scoord.v1.tasks_pb2_grpc import TaskServiceStub
from scoord_agent.client_options import ClientOptions, check_options
from scoord_agent.connection import Connection, State

_log = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")

_CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    # The documented keepalive_timeout_ms alone does not notice a frozen server.
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),  # it is how long a connection may take
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", MOST_ANSWER_BYTES),
)

DOUBTFUL_PATIENCE_S = 0.8
"""How long a command tries while the coordinator is known to be away: long enough for
a channel that has just been refused to try again."""

_AGAIN = (CoordinatorUnreachable, DeadlineExceeded, StoreUnavailable, Contended)
"""What another try, or another coordinator, may mend."""


def new_request_id() -> RequestId:
    """A name for one command."""
    return RequestId(uuid.uuid4().hex)


def seconds(value: float) -> Duration:
    """A duration on the wire."""
    duration = Duration()
    duration.FromMilliseconds(round(value * 1000))
    return duration


class Endpoint:
    """One coordinator: its address, its channel, and what can be called there."""

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self.address = address
        self.channel = channel
        self.sessions = SessionServiceStub(channel)
        self.locks = LockServiceStub(channel)
        self.events = EventServiceStub(channel)
        self.history = HistoryServiceStub(channel)
        self.tasks = TaskServiceStub(channel)
        self.graph = GraphServiceStub(channel)


class CoordinatorClient:
    """Commands to whichever coordinator answers."""

    def __init__(
        self,
        options: ClientOptions,
        connection: Connection,
        clock: Clock,
        connect: Callable[[str], grpc.aio.Channel] | None = None,
    ) -> None:
        """``connect`` makes the channel to an address, where it is not the network's own.

        Without it, raises InvalidConfig as ``check_options`` does.
        """
        if connect is None:
            check_options(options)
            connect = partial(_channel, options=options)
        self.connection = connection
        self._clock = clock
        self._timeout_s = options.rpc_timeout_s
        self._metadata = (
            (MACHINE_KEY, options.machine),
            (PERSON_KEY, quote(options.person)),
        )
        self._endpoints = [Endpoint(a, connect(a)) for a in options.addresses]
        self._current = 0

    @property
    def address(self) -> str:
        """The coordinator that is spoken to now."""
        return self._endpoints[self._current].address

    async def register(
        self, request: sessions_pb2.RegisterRequest, patience_s: float = 0.0
    ) -> sessions_pb2.RegisterResponse:
        """Make a session live, or take it up again."""
        return await self.ask(lambda e: e.sessions.Register, request, patience_s)

    async def heartbeat(
        self, request: sessions_pb2.HeartbeatRequest, patience_s: float = 0.0
    ) -> sessions_pb2.HeartbeatResponse:
        """Renew leases. Without patience tried once on each coordinator: the next beat is near."""
        return await self.ask(lambda e: e.sessions.Heartbeat, request, patience_s)

    async def update(self, request: sessions_pb2.UpdateRequest) -> None:
        """Publish what a session is doing."""
        await self.ask(lambda e: e.sessions.Update, request, 0.0)

    async def end(self, request: sessions_pb2.EndRequest, patience_s: float = 0.0) -> None:
        """End a session."""
        await self.ask(lambda e: e.sessions.End, request, patience_s)

    async def acquire(
        self, request: locks_pb2.AcquireRequest, patience_s: float = 0.0
    ) -> locks_pb2.AcquireResponse:
        """Take paths, all or none."""
        return await self.ask(lambda e: e.locks.Acquire, request, patience_s)

    async def release(
        self, request: locks_pb2.ReleaseRequest, patience_s: float = 0.0
    ) -> locks_pb2.ReleaseResponse:
        """Give locks back."""
        return await self.ask(lambda e: e.locks.Release, request, patience_s)

    async def break_lock(
        self, request: locks_pb2.BreakRequest, patience_s: float = 0.0
    ) -> locks_pb2.BreakResponse:
        """Take a lock away from its holder."""
        return await self.ask(lambda e: e.locks.Break, request, patience_s)

    async def reserve(
        self, request: locks_pb2.ReserveRequest, patience_s: float = 0.0
    ) -> locks_pb2.ReserveResponse:
        """Take a pattern."""
        return await self.ask(lambda e: e.locks.Reserve, request, patience_s)

    async def reclaim(
        self, request: locks_pb2.ReclaimRequest, patience_s: float = 0.0
    ) -> locks_pb2.ReclaimResponse:
        """Ask for a lost lock again."""
        return await self.ask(lambda e: e.locks.Reclaim, request, patience_s)

    async def read_trace(
        self, request: locks_pb2.ReadTraceRequest, patience_s: float = 0.0
    ) -> locks_pb2.ReadTraceResponse:
        """How a grant ended whose end was not heard of."""
        return await self.ask(lambda e: e.locks.ReadTrace, request, patience_s)

    async def leave(self, request: locks_pb2.LeaveRequest) -> None:
        """Give up waiting."""
        await self.ask(lambda e: e.locks.Leave, request, 0.0)

    async def report(self, request: locks_pb2.ReportRequest) -> locks_pb2.ReportResponse:
        """Report an edit that was made without a lock."""
        return await self.ask(lambda e: e.locks.Report, request, 0.0)

    async def acknowledge(self, request: events_pb2.AcknowledgeRequest) -> None:
        """Take note of notices."""
        await self.ask(lambda e: e.events.Acknowledge, request, 0.0)

    async def list_sessions(
        self, project: str, patience_s: float = 0.0
    ) -> sessions_pb2.ListSessionsResponse:
        """Live sessions of ``project``; of all when it is empty."""
        request = sessions_pb2.ListSessionsRequest(project=project)
        return await self.ask(lambda e: e.sessions.ListSessions, request, patience_s)

    async def list_locks(
        self, project: str, patience_s: float = 0.0
    ) -> locks_pb2.ListLocksResponse:
        """Locks of ``project``; of all when it is empty."""
        request = locks_pb2.ListLocksRequest(project=project)
        return await self.ask(lambda e: e.locks.ListLocks, request, patience_s)

    async def watch(self, project: str) -> AsyncGenerator[events_pb2.WatchResponse, None]:
        """A snapshot of ``project``, then its changes. Ends by raising, or when closed."""
        request = events_pb2.WatchRequest(project=project)
        async with contextlib.aclosing(self.stream(lambda e: e.events.Watch, request)) as steps:
            async for step in steps:
                yield step

    async def close(self) -> None:
        """Give the channels back."""
        for endpoint in self._endpoints:
            await endpoint.channel.close(None)

    async def stream(
        self,
        method: Callable[[Endpoint], Callable[..., AsyncIterable[Response]]],
        request: Request,
    ) -> AsyncGenerator[Response, None]:
        """What ``method`` streams from the coordinator spoken to now. As ``watch``."""
        endpoint = self._endpoints[self._current]
        call: Any = method(endpoint)(request, metadata=self._metadata)
        try:
            async for response in call:
                self.connection.answered(self._clock.now())
                yield response
        except grpc.aio.AioRpcError as error:
            raise self._failure(endpoint, error) from error
        finally:
            call.cancel()

    async def ask(
        self,
        method: Callable[[Endpoint], Callable[..., Awaitable[Response]]],
        request: Request,
        patience_s: float = 0.0,
    ) -> Response:
        """Call ``method`` until it answers, each coordinator at least once.

        While the connection is not known to be good nobody waits long: each hook
        would otherwise spend its whole time to learn the same thing.
        """
        give_up_at = self._clock.now() + self._timeout_s
        if self._is_doubtful():
            patience_s = min(patience_s, DOUBTFUL_PATIENCE_S)
        try:
            return await self._ask_once(method, request, give_up_at)
        except _AGAIN:
            if patience_s == 0.0 and len(self._endpoints) == 1:
                raise
        async for attempt in self._tries(patience_s):
            with attempt:
                return await self._ask_once(method, request, give_up_at)
        raise AssertionError("tenacity re-raises the last failure")

    def _is_doubtful(self) -> bool:
        """Whether it is away. One that was never heard may be about to come up, as we are."""
        connection = self.connection
        heard = connection.heard_at is not None
        return heard and connection.look(self._clock.now()) is not State.CONNECTED

    def _tries(self, patience_s: float) -> AsyncRetrying:
        """What comes after a first try, which most commands never get to."""
        count = len(self._endpoints) - 1
        give_up_at = self._clock.now() + patience_s
        return AsyncRetrying(
            retry=retry_if_exception_type(_AGAIN),
            stop=lambda state: state.attempt_number >= count and self._clock.now() >= give_up_at,
            wait=wait_random_exponential(multiplier=0.05, max=0.4),
            reraise=True,
        )

    async def _ask_once(
        self,
        method: Callable[[Endpoint], Callable[..., Awaitable[Response]]],
        request: Request,
        give_up_at: float,
    ) -> Response:
        endpoint = self._endpoints[self._current]
        # A coordinator that hangs must leave time to ask the next one.
        share = self._timeout_s / len(self._endpoints)
        timeout = max(0.05, min(share, give_up_at - self._clock.now()))
        try:
            response = await method(endpoint)(request, timeout=timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self._failure(endpoint, error) from error
        self.connection.answered(self._clock.now())
        return response

    def _failure(self, endpoint: Endpoint, error: grpc.aio.AioRpcError) -> ScoordError:
        """The failure, with the connection moved on: to the next coordinator if need be."""
        failure = from_rpc_error(error, endpoint.address)
        if not isinstance(failure, Unknown) or isinstance(failure, Contended):
            self.connection.answered(self._clock.now())
            return failure
        self.connection.failed(failure.message, self._clock.now())
        if self._endpoints[self._current] is endpoint:
            self._current = (self._current + 1) % len(self._endpoints)
        return failure


async def silence(options: ClientOptions, within_s: float) -> ScoordError | None:
    """What keeps every coordinator from answering, as the first has it; None if one answers.

    An answer may be a failure of its own. Raises InvalidConfig as ``check_options`` does.
    """
    check_options(options)
    heard = await asyncio.gather(*(_silence(a, options, within_s) for a in options.addresses))
    return None if None in heard else heard[0]


async def _silence(address: str, options: ClientOptions, within_s: float) -> ScoordError | None:
    request = sessions_pb2.ListSessionsRequest(project="-")
    async with _channel(address, options) as channel:
        try:
            await SessionServiceStub(channel).ListSessions(request, timeout=within_s)
        except grpc.aio.AioRpcError as error:
            pairs: Iterable[Any] = error.trailing_metadata() or ()
            is_its_own = any(key == METADATA_KEY for key, _ in pairs)
            return None if is_its_own else _unlike_ours(address, from_rpc_error(error, address))
    return None


def _unlike_ours(address: str, failure: ScoordError) -> ScoordError:
    """Why no coordinator was heard: what answers otherwise is another program."""
    if isinstance(failure, Unknown):
        return failure
    return CoordinatorUnreachable(f"what answers at {address} is no coordinator")


def _channel(address: str, options: ClientOptions) -> grpc.aio.Channel:
    if options.ca is None:
        return grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
    files: Sequence[Path | None] = (options.ca, options.key, options.cert)
    ca, key, cert = (path.read_bytes() if path else None for path in files)
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    return grpc.aio.secure_channel(address, credentials, options=_CHANNEL_OPTIONS)
