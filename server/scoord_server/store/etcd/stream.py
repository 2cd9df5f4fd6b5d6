"""One two-way stream to one member."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from grpc.aio import AioRpcError

from scoord.errors import StoreUnavailable
from scoord_server.store.etcd.link import HAS_LEADER, Link, metadata
from scoord_server.store.etcd.member import Member
from scoord_server.store.etcd.stubs import Message

Start = Callable[[Member], Callable[..., Any]]


class Stream:
    """Sending never waits; receiving waits with a bound, and may be cancelled safely."""

    def __init__(self, link: Link, member: Member, start: Start, token: str) -> None:
        self.token = token
        self._link = link
        self._member = member
        self._start = start
        self._outbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._call = start(member)(self._requests(), metadata=metadata(token, HAS_LEADER))
        self._reading: asyncio.Task[Message] | None = None

    @classmethod
    async def open(cls, link: Link, start: Start) -> "Stream":
        """Begin a stream on the member whose turn it is. Raises as ``Link.call``."""
        ends_at = asyncio.get_running_loop().time() + link.options.deadline_s
        token = await link.token(ends_at)
        return cls(link, await link.next_member(token, ends_at), start, token)

    def another(self) -> "Stream":
        """Begin one more like it, on the same member."""
        return Stream(self._link, self._member, self._start, self.token)

    @property
    def address(self) -> str:
        """The member at the other end."""
        return self._member.address

    def avoid_member(self) -> None:
        """Leave its member out for a while: it does not answer."""
        self._member.avoid()

    def send(self, request: Message) -> None:
        """Send ``request`` after those before it."""
        self._outbox.put_nowait(request)

    async def receive(self, within_s: float | None = None) -> Message | None:
        """Wait for the next message; None when none came in time. Raises as ``Link.call``."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
        # Not wait_for: cancelling a read of gRPC ends the whole stream.
        done, _ = await asyncio.wait({self._reading}, timeout=within_s)
        if not done:
            return None
        reading, self._reading = self._reading, None
        return self._checked(reading)

    async def close(self) -> None:
        """End the stream."""
        self._outbox.put_nowait(None)
        self._call.cancel()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    def _checked(self, reading: asyncio.Task[Message]) -> Message:
        try:
            message = reading.result()
        except AioRpcError as error:
            raise self._link.explain(error, self._member, self.token) from error
        if not message:  # grpc.aio.EOF, which its type stubs leave out
            raise StoreUnavailable(f"etcd at {self.address} ended a stream")
        self._link.check_cluster(self._member, message)
        return message

    async def _requests(self) -> AsyncIterator[Message]:
        while (request := await self._outbox.get()) is not None:
            yield request
