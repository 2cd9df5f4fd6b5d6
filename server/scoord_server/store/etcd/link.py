"""Connections to the members of one etcd cluster.

There is one channel for each endpoint. gRPC's own balancing over a list takes
addresses only, and checks one TLS name for all; a channel each also takes names,
checks each member's certificate against its own name, and lets an error say
which member it came from.

Calls go round the members that are connected. A member that let a deadline pass
is left out for a while if there are others: a frozen one looks connected until
the pings of its channel fail. No call is repeated here, with one exception: a
token that etcd refuses is renewed and the call made again, since etcd checks the
token before it does anything.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
from grpc.aio import AioRpcError

from scoord.errors import InvalidConfig, InvalidRequest, StoreUnavailable
from scoord_server.store.etcd.failures import TokenRefused, explain
from scoord_server.store.etcd.options import EtcdOptions
from scoord_server.store.etcd.stubs import Message, rpc

_AVOID_S = 5.0

_CHANNEL = (
    # Below 5 s etcd answers "too many pings" and hangs up, too.
    ("grpc.keepalive_time_ms", 6_000),
    # etcd takes pings on a connection without calls for abuse, however rare, and hangs up.
    ("grpc.keepalive_permit_without_calls", 0),
    # What ends a call to a frozen member: keepalive_timeout_ms alone does not.
    ("grpc.http2.ping_timeout_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", -1),
    # A member that comes back is used again within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A store is never behind the proxy that http_proxy names for the web.
    ("grpc.enable_http_proxy", 0),
)

_OTHERS_S = 0.5
"""How long a start waits for the members that are not the first to be connected."""


class Member:
    """One endpoint: its channel and etcd's services on it."""

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self.address = address
        self.channel = channel
        self.avoid_until = 0.0
        self.kv = rpc.KVStub(channel)
        self.lease = rpc.LeaseStub(channel)
        self.watch = rpc.WatchStub(channel)
        self.auth = rpc.AuthStub(channel)
        self.cluster = rpc.ClusterStub(channel)
        self.maintenance = rpc.MaintenanceStub(channel)

    def is_connected(self) -> bool:
        """Whether calls can go out at once; begins to connect if not."""
        state = self.channel.get_state(try_to_connect=True)
        return state is grpc.ChannelConnectivity.READY

    def avoid(self) -> None:
        """Let others have its turns for a while."""
        self.avoid_until = _now() + _AVOID_S

    def is_failing(self) -> bool:
        """Whether the last try to connect failed."""
        return self.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE


Method = Callable[[Member], Callable[..., Awaitable[Message]]]


class Link:
    """All members, the token, and calls that end in time."""

    def __init__(self, options: EtcdOptions) -> None:
        self.options = options
        self._members = [_member(address, options) for address in options.addresses]
        self._next = 0
        self._token = ""
        self._authenticating = asyncio.Lock()

    async def call(self, method: Method, request: Message, within_s: float = 0.0) -> Message:
        """Make one call. Raises what ``failures.explain`` makes of its error.

        ``within_s`` is for one that may take longer than others.
        """
        ends_at = _now() + max(within_s, self.options.deadline_s)
        try:
            return await self._attempt(method, request, await self.token(ends_at), ends_at)
        except TokenRefused:
            return await self._attempt(method, request, await self.token(ends_at), ends_at)

    async def wait_until_connected(self) -> None:
        """Wait until some member is connected, or until the deadline; then a moment for others."""
        ready = [asyncio.ensure_future(m.channel.channel_ready()) for m in self._members]
        await asyncio.wait(
            ready, timeout=self.options.deadline_s, return_when=asyncio.FIRST_COMPLETED
        )
        await asyncio.wait(ready, timeout=_OTHERS_S)
        for waiting in ready:
            waiting.cancel()
        await asyncio.gather(*ready, return_exceptions=True)

    def unconnected(self) -> tuple[str, ...]:
        """The endpoints that no call can go to now."""
        return tuple(m.address for m in self._members if not m.is_connected())

    def pick(self) -> Member:
        """Choose the next member: connected if possible, and not one to avoid."""
        turn = self._members[self._next :] + self._members[: self._next]
        self._next = (self._next + 1) % len(self._members)
        now = _now()
        return min(turn, key=lambda m: (not m.is_connected(), m.avoid_until > now, m.is_failing()))

    async def token(self, ends_at: float) -> str:
        """The token of our user, empty without one. Loop time bounds the wait."""
        if not self.options.user:
            return ""
        async with self._authenticating:
            if not self._token:
                # Others wait for it, too, who have no more time than any call.
                soon = min(ends_at, _now() + self.options.deadline_s)
                self._token = await self._authenticate(soon)
        return self._token

    def forget(self, token: str) -> None:
        """Drop a token that was refused, unless it was replaced meanwhile."""
        if self._token == token:
            self._token = ""

    def explain(
        self, error: AioRpcError, member: Member, token: str, within_s: float | None = None
    ) -> Exception:
        """Say what a failed call means; avoid a slow member, and forget a dead token."""
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            member.avoid()
        explained = explain(error, member.address, within_s or self.options.deadline_s)
        if isinstance(explained, TokenRefused):
            self.forget(token)
        return explained

    async def close(self) -> None:
        """Close all channels; calls under way end with an error."""
        await asyncio.gather(*(member.channel.close(grace=None) for member in self._members))

    async def _attempt(
        self, method: Method, request: Message, token: str, ends_at: float
    ) -> Message:
        member, left_s = self.pick(), max(0.0, ends_at - _now())
        try:
            answer = await method(member)(request, timeout=left_s, metadata=metadata(token))
        except AioRpcError as error:
            raise self.explain(error, member, token, round(left_s, 1)) from error
        # While there is no leader all are slow; who answers again is not one to avoid.
        member.avoid_until = 0.0
        return answer

    async def _authenticate(self, ends_at: float) -> str:
        """Ask for a token, without the old one: etcd refuses even this with a dead token."""
        request = rpc.AuthenticateRequest(name=self.options.user, password=self.options.password)
        try:
            answer = await self._attempt(_AUTHENTICATE, request, "", ends_at)
        except InvalidRequest as error:
            raise StoreUnavailable(f"{error}; check user {self.options.user!r}") from error
        return str(answer.token)


def metadata(token: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """What goes along with a call. A plain ``token`` works without TLS too."""
    return (("token", token), *more) if token else more


def method(service: str, name: str) -> Method:
    """Name a call of etcd, to be made on whichever member's turn it is."""

    def of(member: Member) -> Callable[..., Awaitable[Any]]:
        call: Callable[..., Awaitable[Any]] = getattr(getattr(member, service), name)
        return call

    return of


RANGE = method("kv", "Range")
_AUTHENTICATE = method("auth", "Authenticate")


def _member(address: str, options: EtcdOptions) -> Member:
    if not options.uses_tls:
        return Member(address, grpc.aio.insecure_channel(address, options=_CHANNEL))
    credentials = grpc.ssl_channel_credentials(
        _read(options.ca), _read(options.key), _read(options.cert)
    )
    return Member(address, grpc.aio.secure_channel(address, credentials, options=_CHANNEL))


def _read(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise InvalidConfig(f"etcd: {path} cannot be read: {error.strerror}") from error


def _now() -> float:
    return asyncio.get_running_loop().time()
