"""A watch that outlives its streams.

When a stream breaks, the next one begins after the last revision that was handed
out, at any member, so that no event is lost and none comes twice. etcd never
splits a revision over two answers unless asked to, which is not asked here. Nor does
it say that it has not come so far: where it was wiped or restored it would be silent
until it has, and then tell of other changes. So that is looked at on each stream.
Nor does a member say that it does not get the changes of the others any more, so each
message is held against what calls were answered: see ``how_far``.

An empty batch claims no more than what was handed out before it: etcd before
3.4.25 and 3.5.8 lets an answer to a progress request overtake events (etcd issue
15220), so its revision proves nothing. What it does prove is that the stream lives.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

from scoord.errors import StoreUnavailable, Unknown
from scoord_server.store.etcd.failures import is_token_trouble
from scoord_server.store.etcd.how_far import LATE_S
from scoord_server.store.etcd.link import RANGE, Link
from scoord_server.store.etcd.member import Member
from scoord_server.store.etcd.stream import Stream
from scoord_server.store.etcd.stubs import Message, rpc
from scoord_server.store.etcd.wire import Wire
from scoord_server.store.port import Compacted, Replaced, WatchBatch

_log = logging.getLogger(__name__)

_SILENCE_S = 5.0
"""How long a stream may take to answer whether it lives."""

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_PERMISSION = "permission denied"
_BELIEVED_AFTER = 3
"""How many new tokens in a row are to be denied before that is taken for an answer."""


class WatchRefused(StoreUnavailable):
    """etcd will not have this watch; trying again changes nothing."""


class Watch:
    """Follows one prefix from ``revision`` on."""

    def __init__(self, link: Link, wire: Wire, prefix: bytes, revision: int) -> None:
        self._link = link
        self._wire = wire
        self._prefix = prefix
        self._next = revision
        self._breaks = _Breaks(link.options.watch_patience_s)
        self._denied = 0
        """How often in a row; each time with a new token."""
        self._cluster = 0

    async def batches(self) -> AsyncGenerator[WatchBatch, None]:
        """Yield all batches, over as many streams as it takes.

        Raises Compacted, Replaced, and StoreUnavailable when no stream held for too long.
        """
        while True:
            try:
                async with contextlib.aclosing(self._one_stream()) as batches:
                    async for batch in batches:
                        self._next = batch.revision + 1
                        yield batch
            except WatchRefused:
                raise
            except Unknown as error:
                await self._breaks.pause(error)

    async def _one_stream(self) -> AsyncGenerator[WatchBatch, None]:
        stream = await Stream.open(self._link, _watch)
        try:
            stream.send(self._wire.watch(self._prefix, self._next))
            while True:
                message = await self._receive(stream)
                if message.created and not message.canceled:
                    await self._check_store(message.header)
                if not message.canceled:
                    await self._check_member(message, stream)
                self._check(message, stream)
                if not message.created:
                    yield self._batch(message)
        finally:
            await stream.close()

    async def _receive(self, stream: Stream) -> Message:
        """Wait for the next answer; ask for one when it has been quiet for a while."""
        message = await stream.receive(self._link.options.progress_interval_s)
        if message is None:
            stream.send(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))
            message = await stream.receive(_SILENCE_S)
        if message is None:
            stream.avoid_member()
            raise StoreUnavailable(f"etcd at {stream.address} does not answer on a watch")
        return message

    async def _check_store(self, begun: Message) -> None:
        """See whether this store is the one that was seen. Raises Replaced, Unknown.

        Only now that the stream stands: a store that takes this one's place later breaks it.
        The stream's member alone may lag behind; then it is asked how far all have come.
        """
        if self._cluster not in (0, begun.cluster_id):
            raise Replaced(begun.revision)
        self._cluster = begun.cluster_id
        if begun.revision < self._next - 1:
            revision = await self._ask()
            if revision < self._next - 1:
                raise Replaced(revision)

    async def _check_member(self, message: Message, stream: Stream) -> None:
        """See that a message is not of the past. Raises StoreUnavailable, Unknown.

        The cluster is asked only where it answered no call lately, or this member is late: by
        what was answered before a backup took the place of the store, all members are.
        What has lain unread here, as this process is busy, is of the past as well: so only a
        member that begins a watch with it is left.
        """
        how_far, said = self._link.how_far, message.header
        is_of_proxy = not said.cluster_id  # which says of a second watch where that was to begin
        if is_of_proxy or (how_far.is_known() and not how_far.is_late(said.revision)):
            return
        if how_far.is_late(await self._ask()):
            how_far.forget()
        elif how_far.is_late(said.revision):
            if message.created:
                stream.avoid_member()
            raise StoreUnavailable(
                f"what etcd at {stream.address} tells is over {LATE_S:.0f} s old: it does not get"
                " what the others have, or this coordinator is too busy to listen"
            )

    async def _ask(self) -> int:
        """To which revision the cluster has come. Raises Unknown."""
        answer = await self._link.call(RANGE, self._wire.count(b"\0", b""))
        return int(answer.header.revision)

    def _check(self, message: Message, stream: Stream) -> None:
        """See whether the watch stands. Raises Compacted, StoreUnavailable."""
        if not message.canceled:
            self._breaks.mend()
            self._denied = 0
            return
        if message.compact_revision:
            raise Compacted(message.compact_revision)
        line = f"etcd at {stream.address} ended a watch: {message.cancel_reason or 'no reason'}"
        if stream.token and self._may_be_its_token(message.cancel_reason):
            self._denied += 1
            self._link.forget(stream.token)
            raise StoreUnavailable(line)
        raise WatchRefused(f"{line}; check the role of our user")

    def _may_be_its_token(self, reason: str) -> bool:
        """Whether a new token may help.

        "Permission denied" is also what etcd before 3.4.22 and 3.5.6 says of a token it has
        forgotten: believed only when it says so of new ones too, the first of which may be
        from before its restart.
        """
        is_doubtful = _PERMISSION in reason and self._denied < _BELIEVED_AFTER
        return is_doubtful or is_token_trouble(reason)

    def _batch(self, message: Message) -> WatchBatch:
        events = self._wire.events(message.events)
        return WatchBatch(events[-1].kv.mod_revision if events else self._next - 1, events)


class _Breaks:
    """How often and how long a watch was broken in a row."""

    def __init__(self, patience_s: float) -> None:
        self.number = 0
        self._patience_s = patience_s
        self._since = 0.0

    def mend(self) -> None:
        """A stream holds again."""
        self.number = 0

    async def pause(self, error: Unknown) -> None:
        """Wait before the next try, longer each time. Raises ``error`` out of patience."""
        now = asyncio.get_running_loop().time()
        if not self.number:
            self._since = now
            _log.info("a watch broke and will be resumed: %s", error)
        if now - self._since > self._patience_s:
            raise error
        await asyncio.sleep(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self.number))
        self.number += 1


def _watch(member: Member) -> Callable[..., Any]:
    start: Callable[..., Any] = member.watch.Watch
    return start
