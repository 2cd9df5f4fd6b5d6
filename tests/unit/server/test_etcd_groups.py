"""What becomes of a group of transactions that etcd refuses for one of them."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from scoord.errors import StoreFull
from scoord_server.store.etcd.groups import Groups
from scoord_server.store.port import Delete, Get, Operation, Put, Txn, TxnResult

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
