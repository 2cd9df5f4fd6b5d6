"""Renews all leases of this process over a few streams to one member.

A member renews what comes over one stream one by one, and a follower asks the leader for each.
So leases are spread over streams.
Requests go out one behind the other, and answers are matched by lease id, in order for each
id, which has one stream. A renewal is never shared by two callers: each counts its lease
from when it asked, and an earlier renewal would be older than that.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from scoord.errors import DeadlineExceeded, ScoordError, StoreUnavailable
from scoord.ids import LeaseId
from scoord_server.store.etcd.link import SLOW_S, Link
from scoord_server.store.etcd.member import Member
from scoord_server.store.etcd.stream import Stream
from scoord_server.store.etcd.stubs import Message, rpc

_Answer = asyncio.Future[int]

_STREAMS = 16
"""Of members 1 ms apart, one renews the 2,000 leases of a heartbeat in 0.9 s; over one, in 6 s."""


class Keepalive:
    """The streams, when there are any, and who waits for what."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._deadline_s = link.options.deadline_s
        self._renewals: _Renewals | None = None
        self._opening = asyncio.Lock()

    async def renew(self, leases: Sequence[LeaseId]) -> dict[LeaseId, int]:
        """Renew all; the seconds each has left, 0 for those that are gone.

        Raises StoreUnavailable, DeadlineExceeded.
        """
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._renew_again_if_broken(dict.fromkeys(leases))
        except asyncio.CancelledError:
            # Agents with several coordinators give each less time than we give etcd.
            if asyncio.get_running_loop().time() - begun > SLOW_S:
                await self._leave_slow()
            raise
        except TimeoutError:
            where = self._address()
            await self._leave_slow()
            raise DeadlineExceeded(
                f"etcd at {where} did not renew {len(leases)} leases within {self._deadline_s} s"
            ) from None

    async def close(self) -> None:
        """End the streams; who still waits is told."""
        await self._hang_up()

    async def _renew_again_if_broken(self, leases: Iterable[LeaseId]) -> dict[LeaseId, int]:
        """Renewing is harmless to repeat, and a stream may have broken unnoticed."""
        try:
            return await (await self._opened()).renew(leases)
        except StoreUnavailable:
            return await (await self._opened()).renew(leases)

    async def _opened(self) -> "_Renewals":
        async with self._opening:
            if self._renewals is None or self._renewals.is_broken:
                await self._hang_up()
                first = await Stream.open(self._link, _keep_alive)
                self._renewals = _Renewals((first, *(first.another() for _ in range(_STREAMS - 1))))
            return self._renewals

    def _address(self) -> str:
        """The member that was asked last; all of them while none is."""
        if self._renewals is not None:
            return self._renewals.address
        return ", ".join(self._link.options.addresses)

    async def _leave_slow(self) -> None:
        """Go elsewhere: what holds this stream up would hold up the next renewals too."""
        if self._renewals is not None:
            self._renewals.avoid_member()
        await self._hang_up()

    async def _hang_up(self) -> None:
        renewals, self._renewals = self._renewals, None
        if renewals is not None:
            await renewals.close()


class _Renewals:
    """Streams to one member, and who waits for which answer on them."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self.is_broken = False
        self._streams = streams
        self._waiting: defaultdict[int, deque[_Answer]] = defaultdict(deque)
        self._readers = [asyncio.ensure_future(self._read(stream)) for stream in streams]

    @property
    def address(self) -> str:
        """The member at the other end."""
        return self._streams[0].address

    async def renew(self, leases: Iterable[LeaseId]) -> dict[LeaseId, int]:
        """Ask for each lease, then await the answers."""
        answers = {lease: self._ask(lease) for lease in leases}
        return dict(zip(answers, await asyncio.gather(*answers.values()), strict=True))

    def avoid_member(self) -> None:
        """Choose another member for what comes next, if there is one."""
        self._streams[0].avoid_member()

    async def close(self) -> None:
        """End the streams."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.wait(self._readers)
        await asyncio.gather(*(stream.close() for stream in self._streams))
        self._fail(StoreUnavailable("the stream of renewals to etcd was closed"))

    def _ask(self, lease: LeaseId) -> _Answer:
        answer: _Answer = asyncio.get_running_loop().create_future()
        self._waiting[lease].append(answer)
        self._streams[lease % len(self._streams)].send(rpc.LeaseKeepAliveRequest(ID=lease))
        return answer

    async def _read(self, stream: Stream) -> None:
        try:
            while True:
                self._settle(await stream.receive())
        except ScoordError as error:
            self._fail(error)

    def _settle(self, message: Message) -> None:
        queue = self._waiting.get(message.ID)
        if queue is None:
            return  # who waited was told when another of the streams broke
        answer = queue.popleft()
        if not queue:
            del self._waiting[message.ID]
        if not answer.done():
            answer.set_result(message.TTL)

    def _fail(self, error: ScoordError) -> None:
        self.is_broken = True
        for queue in self._waiting.values():
            for answer in queue:
                if not answer.done():
                    answer.set_exception(error)
        self._waiting.clear()


def _keep_alive(member: Member) -> Callable[..., Any]:
    start: Callable[..., Any] = member.lease.LeaseKeepAlive
    return start
