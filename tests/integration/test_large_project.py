"""A project with so many locks that one message of gRPC's usual size does not hold them."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from scoord.clock import SystemClock
from scoord.v1.records_pb2 import LockRecord
from scoord_agent.client_options import ClientOptions
from scoord_agent.connection import Connection
from scoord_agent.coordinator import CoordinatorClient
from scoord_server.options import ServerOptions
from scoord_server.rpc.server import RpcServer
from scoord_server.store import keys
from scoord_server.store.limits import MAX_OPERATIONS
from scoord_server.store.port import Put, Txn
from support.coordination import PROJECT, Bench, bench

LOCKS = 25_000
USUAL_BYTES = 4 * 1024 * 1024
"""What gRPC takes where nobody says otherwise."""


@asynccontextmanager
async def client_of(b: Bench) -> AsyncIterator[CoordinatorClient]:
    """An agent's client of the coordinator on ``b``, by real gRPC."""
    server = RpcServer(b.coordinator, b.view, SystemClock())
    port = await server.start(
        ServerOptions("127.0.0.1:0", insecure=False, tls=None, compaction_s=0)
    )
    options = ClientOptions(addresses=(f"127.0.0.1:{port}",), rpc_timeout_s=30.0)
    client = CoordinatorClient(options, Connection(belief_s=20.0), SystemClock())
    try:
        yield client
    finally:
        await client.close()
        await server.drain(0)


async def holds_many(b: Bench) -> None:
    """Give one session ``LOCKS`` locks, as it would have taken them."""
    await b.session("a")
    await b.token("a", "first.py", reason="sort the imports of the whole repository, by script")
    (first,) = b.view.snapshot().locks
    record = LockRecord()
    record.CopyFrom(first.fact.record)
    for begin in range(1, LOCKS, MAX_OPERATIONS):
        puts = []
        for number in range(begin, min(begin + MAX_OPERATIONS, LOCKS)):
            record.path = f"packages/shop/src/components/checkout/part_{number % 97}/{number}.tsx"
            key = keys.lock(PROJECT, record.path)
            puts.append(Put(key, record.SerializeToString(), b.leases["a"]))
        await b.store.txn(Txn((), tuple(puts)))
    await b.settle()


async def test_a_project_with_very_many_locks_is_watched_and_listed() -> None:
    async with bench() as b, client_of(b) as client:
        await holds_many(b)

        async with aclosing(client.watch(PROJECT)) as steps:
            first = await anext(steps)
        listed = await client.list_locks(PROJECT)

    assert LOCKS == len(first.snapshot.locks) == len(listed.locks)
    assert first.ByteSize() > USUAL_BYTES
