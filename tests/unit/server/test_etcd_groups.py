"""What becomes of transactions that wait for others, and of a group that etcd refuses."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from scoord.errors import DeadlineExceeded, StoreFull
from scoord_server.store.etcd.groups import Groups
from scoord_server.store.port import Delete, Get, Operation, Put, Txn, TxnResult
from support.clock import FakeClock

MANY = 30


class FullStore:
    """An etcd without space, of a version that counts the puts of a group: 3.5.33, 3.6.14."""

    def __init__(self) -> None:
        self.puts_asked = 0

    async def send(self, txns: Sequence[Txn]) -> list[TxnResult]:
        await asyncio.sleep(0)
        puts = [op for txn in txns for op in txn.then if isinstance(op, Put)]
        self.puts_asked += len(puts)
        if puts:
            raise StoreFull("database space exceeded")
        return [TxnResult(True, 1, ()) for _ in txns]


async def test_in_a_full_store_what_takes_no_space_is_done_beside_what_does() -> None:
    store = FullStore()
    groups = Groups(store.send, 5.0, "here")
    ways: list[Operation] = []
    for number in range(MANY):
        ways += [Put(b"new/%d" % number, b""), Delete(b"old/%d" % number), Get(b"%d" % number)]

    answers = await asyncio.gather(
        *(groups.run(Txn((), (way,))) for way in ways), return_exceptions=True
    )

    assert Counter((type(w), type(a)) for w, a in zip(ways, answers, strict=True)) == {
        (Put, StoreFull): MANY,
        (Delete, TxnResult): MANY,
        (Get, TxnResult): MANY,
    }
    assert store.puts_asked <= 2 * MANY


async def test_what_waited_while_the_machine_slept_is_not_sent_any_more() -> None:
    """Its caller has long given up, and another may have what it gives back.

    Where the caller's time does not count the sleep, it is told at once.
    """
    sent: list[Txn] = []
    is_over = asyncio.Event()

    async def send(txns: Sequence[Txn]) -> list[TxnResult]:
        sent.extend(txns)
        await is_over.wait()
        return [TxnResult(True, 1, ()) for _ in txns]

    clock = FakeClock()
    groups = Groups(send, 30.0, "here", clock)
    txns = [Txn((), (Delete(b"%d" % number),)) for number in range(4)]
    before = [asyncio.create_task(groups.run(txn)) for txn in txns[:3]]
    await asyncio.sleep(0)
    clock.advance(60)  # which the clock of the loop, that is to end them, does not count
    after = asyncio.create_task(groups.run(txns[3]))
    await asyncio.sleep(0)
    is_over.set()

    assert (await after).succeeded
    with pytest.raises(DeadlineExceeded, match="nothing was done"):
        await asyncio.wait_for(before[2], 5.0)
    assert sent == [txns[0], txns[1], txns[3]]


async def test_however_many_have_given_up_waiting_the_next_is_sent() -> None:
    is_back = asyncio.Event()

    async def send(txns: Sequence[Txn]) -> list[TxnResult]:
        await is_back.wait()
        return [TxnResult(True, 1, ()) for _ in txns]

    groups = Groups(send, 0.2, "here")
    txns = [Txn((), (Delete(b"%d" % number),)) for number in range(2_000)]
    while_away = await asyncio.gather(*map(groups.run, txns), return_exceptions=True)
    assert Counter(map(type, while_away)) == {DeadlineExceeded: len(txns)}
    is_back.set()

    assert (await groups.run(txns[0])).succeeded
