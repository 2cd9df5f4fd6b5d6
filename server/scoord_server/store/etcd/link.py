"""Connections to the members of one etcd cluster.

There is one channel for each endpoint. gRPC's own balancing over a list takes
addresses only, and checks one TLS name for all; a channel each also takes names,
checks each member's certificate against its own name, and lets an error say
which member it came from.

Calls go round the members that are connected. A member that let a deadline pass, or
a caller wait until it gave up, is left out for a while if there are others: a frozen
one looks connected until the pings of its channel fail. No call is repeated here, but
for what etcd looks at before it does anything. A token that it refuses is renewed and
the call made again; and a member that has no leader, or is a learner, says so, and
the next one is asked.

Endpoints of two clusters, used as one, would grant a file once in each. So answers are
asked which cluster they are of, and a member of another one is left out.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
from grpc.aio import AioRpcError

from scoord.errors import DeadlineExceeded, InvalidConfig, InvalidRequest, StoreUnavailable
from scoord_server.store.etcd.failures import NotHere, TokenRefused, explain
from scoord_server.store.etcd.options import EtcdOptions
from scoord_server.store.etcd.stubs import Message, rpc

_log = logging.getLogger(__name__)

SLOW_S = 0.3
"""Whoever gives up a call before this had another reason than the store."""

HAS_LEADER = ("hasleader", "true")
"""Has a member refuse what it could not do for want of a leader, and end a stream when it
has lost it (etcd's ``WithRequireLeader``). Without, it would be silent."""

_AVOID_S = 5.0
_AVOID_LONGEST_S = 60.0
"""Of a member that lets each call wait that it is tried with. Pings end its connection only
while a call lasts, and that does not last long enough."""

_PAUSE_S = 0.1
"""After all members have refused. Where most of them run, they soon have a leader."""

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
        self._avoid_s = _AVOID_S
        self.stood_by = 0
        """The id of our cluster when it last answered as one of it, 0 if it never did."""
        self.is_stranger = False
        """Whether it was of another cluster when it last answered."""
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
        """Let others have its turns for a while; each time longer, until it answers."""
        now = _now()
        if 0 < self.avoid_until <= now:
            self._avoid_s = min(2 * self._avoid_s, _AVOID_LONGEST_S)
        self.avoid_until = now + self._avoid_s

    def answered(self) -> None:
        """Give it its turns again."""
        self.avoid_until, self._avoid_s = 0.0, _AVOID_S

    def rank(self) -> tuple[bool, ...]:
        """The lower, the better to ask."""
        state = self.channel.get_state()
        has_failed = state is grpc.ChannelConnectivity.TRANSIENT_FAILURE
        is_avoided = self.avoid_until > _now()
        return not self.is_connected(), self.is_stranger, is_avoided, has_failed


class _OtherCluster(StoreUnavailable):
    """A member is of another cluster than those before it."""


class _OneCluster:
    """Which cluster is ours: that of the first answer, and what takes its place."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._id = 0

    def check(self, member: Member, cluster: int) -> None:
        """Look at an answer of ``member``. Raises _OtherCluster."""
        if not cluster:
            return  # etcd's own proxies leave it out of some
        if cluster != self._id:
            if self._id and not self._is_gone_with(member):
                member.is_stranger = True
                raise _OtherCluster(self._line(member, cluster))
            self._id = cluster
            for one in self._members:
                one.is_stranger = False
        member.stood_by, member.is_stranger = cluster, False

    def _is_gone_with(self, member: Member) -> bool:
        """Whether all of etcd was replaced, as from a backup, and not this one member alone."""
        others = (one for one in self._stands_by() if one is not member and one.is_connected())
        return member.stood_by == self._id and not any(others)

    def _stands_by(self) -> list[Member]:
        return [m for m in self._members if m.stood_by == self._id and not m.is_stranger]

    def _line(self, member: Member, cluster: int) -> str:
        ours = ", ".join(one.address for one in self._stands_by() if one is not member)
        return (
            f"etcd at {member.address} is of another cluster ({cluster:x}) than"
            f" {ours or 'the one before it'} ({self._id:x}): name endpoints of one cluster only"
        )


Method = Callable[[Member], Callable[..., Awaitable[Message]]]


class Link:
    """All members, the token, and calls that end in time."""

    def __init__(self, options: EtcdOptions) -> None:
        self.options = options
        self._members = [_member(address, options) for address in options.addresses]
        self._cluster = _OneCluster(self._members)
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

    async def check_members(self) -> None:
        """Ask all which cluster they are of. Raises InvalidConfig when not of one."""
        ends_at = _now() + self.options.deadline_s
        token, request = await self.token(ends_at), rpc.StatusRequest()
        asked = [self._ask(m, STATUS, request, token, ends_at) for m in self._members]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for member, answer in zip(self._members, answers, strict=True):
            if not isinstance(answer, BaseException):
                try:
                    self._cluster.check(member, answer.header.cluster_id)
                except _OtherCluster as error:
                    raise InvalidConfig(error.message) from error

    def check_cluster(self, member: Member, answer: Message) -> None:
        """See that an answer may be believed. Raises StoreUnavailable."""
        was_stranger = member.is_stranger
        try:
            self._cluster.check(member, answer.header.cluster_id)
        except _OtherCluster as error:
            if not was_stranger:
                _log.error("%s; it is left out", error)
            raise

    def unconnected(self) -> tuple[str, ...]:
        """The endpoints that no call can go to now."""
        return tuple(m.address for m in self._members if not m.is_connected())

    def pick(self) -> Member:
        """Choose the next member: connected if possible, one of ours, and not one to avoid."""
        turn = self._members[self._next :] + self._members[: self._next]
        self._next = (self._next + 1) % len(self._members)
        return min(turn, key=Member.rank)

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
        """Say what a failed call means; avoid a useless member, and forget a dead token."""
        explained = explain(error, member.address, within_s or self.options.deadline_s)
        if isinstance(explained, DeadlineExceeded | NotHere):
            member.avoid()
        if isinstance(explained, TokenRefused):
            self.forget(token)
        return explained

    async def close(self) -> None:
        """Close all channels; calls under way end with an error."""
        await asyncio.gather(*(member.channel.close(grace=None) for member in self._members))

    async def _attempt(
        self, method: Method, request: Message, token: str, ends_at: float
    ) -> Message:
        """Ask one member after the other, until one does not refuse to look at it."""
        asked = 0
        while True:
            member = self.pick()
            try:
                answer = await self._ask(member, method, request, token, ends_at)
            except NotHere:
                if _now() + _PAUSE_S > ends_at:
                    raise
            else:
                self.check_cluster(member, answer)
                return answer
            asked += 1
            if asked % len(self._members) == 0:
                await asyncio.sleep(_PAUSE_S)

    async def _ask(
        self, member: Member, method: Method, request: Message, token: str, ends_at: float
    ) -> Message:
        begun = _now()
        left_s = max(0.0, ends_at - begun)
        sent = metadata(token, HAS_LEADER)
        try:
            answer = await method(member)(request, timeout=left_s, metadata=sent)
        except AioRpcError as error:
            raise self.explain(error, member, token, round(left_s, 1)) from error
        except asyncio.CancelledError:
            # Nearly all who wait give a call less time than the deadline that goes along with it.
            if _now() - begun > SLOW_S:
                member.avoid()
            raise
        # While there is no leader all are slow; who answers again is not one to avoid.
        member.answered()
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
STATUS = method("maintenance", "Status")
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
