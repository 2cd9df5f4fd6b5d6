"""Connections to the members of one etcd cluster.

There is one channel for each endpoint. gRPC's own balancing over a list takes
addresses only, and checks one TLS name for all; a channel each also takes names,
checks each member's certificate against its own name, and lets an error say
which member it came from.

Calls go round the members that are connected. A member that let a deadline pass, or
a caller wait until it gave up, is left out for a while if there are others: a frozen
one looks connected until the pings of its channel fail. No call is repeated here, but
for what etcd looks at before it does anything. A token that it refuses is renewed and
the call made again; and a member that has no leader, is a learner, or knows no users,
as one that lost its disk, says so, and the next one is asked.

A new connection may lead to a member of another cluster: see ``one_cluster``.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

import grpc
from grpc.aio import AioRpcError

from scoord.errors import DeadlineExceeded, InvalidConfig, InvalidRequest, StoreUnavailable, Unknown
from scoord_server.store.etcd.failures import NotHere, TokenRefused, explain
from scoord_server.store.etcd.how_far import HowFar
from scoord_server.store.etcd.member import Member, now
from scoord_server.store.etcd.one_cluster import OneCluster, OtherCluster
from scoord_server.store.etcd.options import EtcdOptions
from scoord_server.store.etcd.stubs import Message, rpc
from scoord_server.store.etcd.versions import Versions
from scoord_server.store.port import Denied, LeaseExists, LeaseNotFound

_log = logging.getLogger(__name__)

SLOW_S = 0.3
"""Whoever gives up a call before this had another reason than the store; and a member that
had no longer than this, since others took what there was, is not silent for that."""

HAS_LEADER = ("hasleader", "true")
"""Has a member refuse what it could not do for want of a leader, and end a stream when it
has lost it (etcd's ``WithRequireLeader``). Without, it would be silent."""

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

Method = Callable[[Member], Callable[..., Awaitable[Message]]]
Metadata = tuple[tuple[str, str], ...]


class Link:
    """All members, the token, and calls that end in time."""

    def __init__(self, options: EtcdOptions) -> None:
        self.options = options
        self.how_far = HowFar()
        self._members = [_member(address, options) for address in options.addresses]
        self._cluster = OneCluster(self._members)
        self._versions = Versions(allow_unsafe=options.allow_unsafe_version)
        self._next = 0
        self._token = ""
        self._authenticating = asyncio.Lock()

    async def call(self, method: Method, request: Message, within_s: float = 0.0) -> Message:
        """Make one call. Raises what ``failures.explain`` makes of its error.

        ``within_s`` is for one that may take longer than others.
        """
        ends_at = now() + max(within_s, self.options.deadline_s)
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

    async def meet(self) -> None:
        """Ask all members who they are.

        Raises InvalidConfig when they are of two clusters, neither of them that of most, and
        where none answers what the first that is connected says, or else the first.
        """
        ends_at = now() + self.options.deadline_s
        token = await self.token(ends_at)
        asked = [self._ask_who(member, token, ends_at) for member in self._members]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        failures = list[tuple[bool, BaseException]]()
        for member, answer in zip(self._members, answers, strict=True):
            if isinstance(answer, BaseException):
                failures.append((not member.is_connected(), answer))
            else:
                cluster, version = answer
                with suppress(OtherCluster):  # whose cluster is ours is known when all are heard
                    self._cluster.hear(member, cluster)
                self._versions.hear(version)
        if len(failures) == len(self._members):
            raise min(failures, key=itemgetter(0))[1]
        self._cluster.check_strangers()

    def check_size(self, size: int) -> None:
        """See that a cluster of ``size`` members may be ours, and trusted. Raises InvalidConfig."""
        self._cluster.check_size(size)
        self._versions.check(size)

    def check_cluster(self, member: Member, answer: Message) -> None:
        """See that an answer may be believed. Raises StoreUnavailable."""
        self._hear(member, answer.header.cluster_id)

    def unconnected(self) -> tuple[str, ...]:
        """The endpoints that no call can go to now."""
        return tuple(m.address for m in self._members if not m.is_connected())

    async def next_member(self, token: str, ends_at: float) -> Member:
        """The one whose turn it is, of our cluster by what it said on this connection.

        Raises as ``call``; nothing was done then.
        """
        member = self._pick(ends_at)
        if not self._cluster.has(member):
            await self._look(member, token, ends_at)
        return member

    async def token(self, ends_at: float) -> str:
        """The token of our user, empty without one. Loop time bounds the wait."""
        if not self.options.user:
            return ""
        async with self._authenticating:
            if not self._token:
                # Others wait for it, too, who have no more time than any call.
                soon = min(ends_at, now() + self.options.deadline_s)
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
        had_time = within_s is None or within_s > SLOW_S
        is_silent = had_time and isinstance(explained, DeadlineExceeded)
        if is_silent or isinstance(explained, NotHere):
            member.avoid()
        if isinstance(explained, TokenRefused):
            self.forget(token)
        if isinstance(explained, Unknown) and (left_out := self._cluster.left_out()):
            return type(explained)(f"{explained.message}; {left_out}")
        return explained

    async def close(self) -> None:
        """Close all channels; calls under way end with an error."""
        await asyncio.gather(*(member.channel.close(grace=None) for member in self._members))

    def _pick(self, ends_at: float) -> Member:
        turn = self._members[self._next :] + self._members[: self._next]
        self._next = (self._next + 1) % len(self._members)
        member = min(turn, key=self._rank)
        member.tried(ends_at)
        return member

    def _rank(self, member: Member) -> tuple[bool, ...]:
        """The lower, the better to ask."""
        is_connected = member.is_connected()  # first: what it said on a connection ends with it
        is_shunned = self._cluster.shuns(member)
        return is_shunned, not is_connected, member.is_avoided(), member.has_failed()

    async def _attempt(
        self, method: Method, request: Message, token: str, ends_at: float
    ) -> Message:
        """Ask one member after the other, until one does not refuse to look at it."""
        asked = 0
        while True:
            try:
                member = await self.next_member(token, ends_at)
                answer = await self._ask_ours(member, method, request, token, ends_at)
            except NotHere:
                if now() + _PAUSE_S > ends_at:
                    raise
            else:
                self.check_cluster(member, answer)
                self.how_far.hear(answer.header.revision)
                return answer
            asked += 1
            if asked % len(self._members) == 0:
                await asyncio.sleep(_PAUSE_S)

    async def _ask_ours(
        self, member: Member, method: Method, request: Message, token: str, ends_at: float
    ) -> Message:
        """As ``_ask``; what a member refuses, which has no header, is not another cluster's."""
        try:
            return await self._ask(member, method, request, token, ends_at)
        except (LeaseNotFound, LeaseExists, InvalidRequest):
            # As its connection broke, a call may have opened one that leads to another member.
            await self._look(member, token, ends_at)
            raise

    async def _look(self, member: Member, token: str, ends_at: float) -> None:
        """See of which cluster a member is. Raises OtherCluster, and as ``call``."""
        # Who has no token yet asks for it, which does no harm and says the cluster as well.
        if not token and self.options.user:
            return
        try:
            cluster, version = await self._ask_who(member, token, ends_at)
        except DeadlineExceeded as error:
            # What it is asked for comes after this, or was refused already.
            raise DeadlineExceeded(
                f"etcd at {member.address} did not say in time of which cluster it is;"
                " nothing was done"
            ) from error
        self._hear(member, cluster)
        self._versions.hear(version)

    async def _ask_who(self, member: Member, token: str, ends_at: float) -> tuple[int, str]:
        """Of which cluster and version a member is, which it says without a leader, too."""
        try:
            request = rpc.StatusRequest()
            status = await self._ask(member, _STATUS, request, token, ends_at, more=())
        except Denied:  # it tells its version only to the role root
            request = rpc.RangeRequest(
                key=self.options.namespace + b"\0", count_only=True, serializable=True
            )
            answer = await self._ask(member, RANGE, request, token, ends_at, more=())
            return answer.header.cluster_id, ""
        return status.header.cluster_id, status.version

    def _hear(self, member: Member, cluster: int) -> None:
        said_before = member.cluster_id
        try:
            self._cluster.hear(member, cluster)
        except OtherCluster:
            if member.cluster_id != said_before:
                self._cluster.log_left_out(member)
            raise

    async def _ask(
        self,
        member: Member,
        method: Method,
        request: Message,
        token: str,
        ends_at: float,
        *,
        more: Metadata = (HAS_LEADER,),
    ) -> Message:
        begun = now()
        left_s = max(0.0, ends_at - begun)
        sent = metadata(token, *more)
        try:
            answer = await method(member)(request, timeout=left_s, metadata=sent)
        except AioRpcError as error:
            raise self.explain(error, member, token, round(left_s, 1)) from error
        except asyncio.CancelledError:
            # Nearly all who wait give a call less time than the deadline that goes along with it.
            if now() - begun > SLOW_S:
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


def metadata(token: str, *more: tuple[str, str]) -> Metadata:
    """What goes along with a call. A plain ``token`` works without TLS too."""
    return (("token", token), *more) if token else more


def method(service: str, name: str) -> Method:
    """Name a call of etcd, to be made on whichever member's turn it is."""

    def of(member: Member) -> Callable[..., Awaitable[Any]]:
        call: Callable[..., Awaitable[Any]] = getattr(getattr(member, service), name)
        return call

    return of


RANGE = method("kv", "Range")
_STATUS = method("maintenance", "Status")
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
