"""Group commit: transactions that arrive while others are under way travel together.

An idle store sends a transaction at once, by itself. While enough calls are under
way, those that arrive wait for the next one to end, and then go as one nested
transaction: one round trip and one flush to disk for all. The store answers each
for itself, though all of a group share one revision.

Only transactions that do not touch each other's keys are grouped, so a group
means the same as its members one after another. When etcd refuses a whole group
for one member's sake, each is sent by itself: nothing of the group was done, but
where it filled etcd up, which then says that it refuses what it has done.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from scoord.clock import Clock, SystemClock
from scoord.errors import DeadlineExceeded, InvalidRequest, StoreFull, StoreUnavailable
from scoord_server.store.etcd.footprint import Footprint
from scoord_server.store.limits import MAX_BYTES, MAX_OPERATIONS
from scoord_server.store.port import LeaseNotFound, Put, Txn, TxnResult

Send = Callable[[Sequence[Txn]], Awaitable[list[TxnResult]]]

MOST_PER_GROUP = 64
_CALLS_UNDER_WAY = 2
"""More would make groups smaller, one would let a single slow call hold up all."""

_LOOK_AHEAD = 256
"""How many waiting transactions are looked at to fill one group."""

_CLOSED = "the connection to etcd is closed"
_REFUSED_FOR_ONE = (LeaseNotFound, InvalidRequest, StoreFull)
"""A full store refuses a group for one put in it (etcd since 3.5.33 and 3.6.14). The one that
fills it up is done all the same: sent again, each finds that, as where its caller repeats it."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A transaction whose answer is awaited."""

    txn: Txn
    answer: asyncio.Future[TxnResult]
    ends_at: float
    """When nobody waits for it any more, also by a clock that counts suspend."""
    alone: bool = False
    """Whether it was sent in a group that was refused, and now goes by itself."""


class Groups:
    """Runs transactions through ``send``, in groups when there are many."""

    def __init__(
        self, send: Send, deadline_s: float, where: str, clock: Clock | None = None
    ) -> None:
        self._send = send
        self._clock = clock or SystemClock()
        self._deadline_s = deadline_s
        self._where = where
        self._queue: deque[_Waiting] = deque()
        self._under_way: set[asyncio.Future[list[TxnResult]]] = set()
        self._alone = 0
        """Calls under way that callers made themselves."""
        self._closed = False

    async def run(self, txn: Txn) -> TxnResult:
        """Run one transaction. Raises DeadlineExceeded, and whatever ``send`` raises."""
        if self._closed:
            raise StoreUnavailable(_CLOSED)
        try:
            async with asyncio.timeout(self._deadline_s):
                is_idle = not self._queue and self._has_room()
                return await (self._send_alone(txn) if is_idle else self._send_later(txn))
        except TimeoutError:
            raise self._too_late(sent=True) from None

    async def _send_alone(self, txn: Txn) -> TxnResult:
        """Send at once, in the caller's own task: each hand-over costs a turn of the loop."""
        self._alone += 1
        try:
            return (await self._send([txn]))[0]
        except asyncio.CancelledError:
            if self._closed and not _is_cancelled():  # with its channel, not by its caller
                raise StoreUnavailable(_CLOSED) from None
            raise
        finally:
            self._alone -= 1
            self._send_more()

    async def _send_later(self, txn: Txn) -> TxnResult:
        """Send with whatever else waits, as soon as there is room."""
        answer: asyncio.Future[TxnResult] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(txn, answer, self._clock.now() + self._deadline_s))
        self._send_more()
        return await answer

    def _has_room(self) -> bool:
        return self._alone + len(self._under_way) < _CALLS_UNDER_WAY

    async def close(self) -> None:
        """Give up what is under way or waits."""
        self._closed = True
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        _fail(self._queue, StoreUnavailable(_CLOSED))

    def _send_more(self) -> None:
        while not self._closed and self._has_room() and (group := self._next_group()):
            task = asyncio.ensure_future(self._send([waiting.txn for waiting in group]))
            self._under_way.add(task)
            task.add_done_callback(partial(self._settle, group))

    def _settle(self, group: list[_Waiting], done: asyncio.Future[list[TxnResult]]) -> None:
        self._under_way.discard(done)
        error = StoreUnavailable(_CLOSED) if done.cancelled() else done.exception()
        if error is None:
            _answer(group, done.result())
        elif isinstance(error, _REFUSED_FOR_ONE) and len(group) > 1:
            self._queue.extendleft(replace(w, alone=True) for w in reversed(group))
        else:
            _fail(group, error)
        self._send_more()

    def _next_group(self) -> list[_Waiting]:
        """Take what may go together from the queue; the rest keeps its order."""
        group: list[_Waiting] = []
        left: list[_Waiting] = []
        room = _Room()
        for waiting in islice(self._still_waiting(), _LOOK_AHEAD):
            if waiting.alone and not group:
                group.append(waiting)
                break
            (group if not waiting.alone and room.take(waiting.txn) else left).append(waiting)
            if len(group) == MOST_PER_GROUP:
                break
        self._queue.extendleft(reversed(left))
        return group

    def _still_waiting(self) -> Iterator[_Waiting]:
        """Take one after the other from the queue, but for those whose time is over.

        However many these are: a look that met nobody else would send nothing, and nothing
        would be under way whose end leads to the next look.
        """
        while self._queue:
            waiting = self._queue.popleft()
            if waiting.ends_at <= self._clock.now():
                # The clock of the loop, which ends its wait, may have stood still meanwhile.
                _fail([waiting], self._too_late(sent=waiting.alone))
            if not waiting.answer.done():
                yield waiting

    def _too_late(self, *, sent: bool) -> DeadlineExceeded:
        how = "did not answer a transaction" if sent else "was not asked"
        done = "it may still have been done" if sent else "nothing was done"
        return DeadlineExceeded(f"etcd at {self._where} {how} within {self._deadline_s} s; {done}")


class _Room:
    """What still fits into a group."""

    def __init__(self) -> None:
        self._members = 0
        self._largest = 0
        self._bytes = 0
        self._touched = Footprint()

    def take(self, txn: Txn) -> bool:
        """Add ``txn`` if it fits: in number, in size, and beside the others' keys."""
        largest = max(self._largest, len(txn.compares), len(txn.then), len(txn.otherwise))
        weight = self._bytes + _weight(txn)
        footprint = Footprint.of(txn)
        # etcd counts each level against what the level above has left.
        fits = self._members + 1 + largest <= MAX_OPERATIONS and weight <= MAX_BYTES
        if self._members and (not fits or self._touched.conflicts(footprint)):
            return False
        self._members += 1
        self._largest, self._bytes = largest, weight
        self._touched.merge(footprint)
        return True


def _is_cancelled() -> bool:
    """Whether somebody wants the running task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _weight(txn: Txn) -> int:
    puts = (op for op in (*txn.then, *txn.otherwise) if isinstance(op, Put))
    return sum(len(put.key) + len(put.value) for put in puts)


def _answer(group: list[_Waiting], results: list[TxnResult]) -> None:
    for waiting, result in zip(group, results, strict=True):
        if not waiting.answer.done():
            waiting.answer.set_result(result)


def _fail(group: Sequence[_Waiting] | deque[_Waiting], error: BaseException) -> None:
    for waiting in group:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
