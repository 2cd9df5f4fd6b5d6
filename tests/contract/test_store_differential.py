"""The same random steps on the embedded store and on etcd: every answer is equal.

etcd is asked even what our own limits would refuse, so that they are compared too.
The steps are the same in every run; ``--hypothesis-profile`` can explore others.
"""

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from scoord.ids import LeaseId
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.etcd import EtcdStore
from scoord_server.store.port import Compare, Delete, Get, Put, Relation, Target, Txn, prefix_end
from support.clock import FakeClock
from support.differential import CompactNow, Do, Grant, Number, Read, Renew, Revoke, Side, Step
from support.etcd import Etcd

pytestmark = pytest.mark.etcd

_namespaces = itertools.count()

PassTime = Callable[[float], Awaitable[None]]

# Few keys, so that steps meet; with the ends that prefixes and bytes can get wrong.
KEYS = st.sampled_from([b"a", b"a/", b"a/b", b"a/\xff", b"a0", b"b", b"\x00", b"\xff\xff"])
ENDS = st.sampled_from([b"", b"\0", b"a0", b"b", prefix_end(b"a/\xff"), prefix_end(b"\xff")])
SLOTS = st.integers(1, 3)
SINCE = st.sampled_from([0, 0, 1, 4, 9])

compares = st.builds(
    Compare, KEYS, st.sampled_from(Target), st.sampled_from(Relation), st.integers(-1, 12), ENDS
)
puts = st.builds(Put, KEYS, st.binary(max_size=3), st.sampled_from([0, 1, 1, 2, 3]).map(LeaseId))
operations = st.lists(
    st.one_of(puts, puts, st.builds(Delete, KEYS, ENDS), st.builds(Get, KEYS, ENDS, SINCE)),
    max_size=4,
).map(tuple)
txns = st.builds(Txn, st.lists(compares, max_size=2).map(tuple), operations, operations)

# Leases with several keys come about too seldom by chance.
many_bound = SLOTS.map(
    lambda slot: Do(Txn((), tuple(Put(key, b"", LeaseId(slot)) for key in (b"b", b"a0", b"a"))))
)
long_grants = st.builds(Grant, SLOTS, st.integers(20, 60))
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Do, txns),
    st.builds(Do, txns),
    many_bound,
    long_grants,
    st.builds(Renew, st.lists(SLOTS, max_size=4).map(tuple)),
    st.builds(Revoke, SLOTS),
    st.builds(Read, KEYS, ENDS, st.integers(0, 3), st.booleans()),
    st.builds(Number, KEYS, ENDS),
    st.builds(CompactNow),
)


@pytest.fixture(scope="module", autouse=True)
def only_etcd_itself_refuses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scoord_server.store.etcd.store.check_txn", lambda txn: None)
        yield


@contextlib.asynccontextmanager
async def both(etcd: Etcd, *, alone: bool) -> AsyncIterator[tuple[Side, Side, PassTime]]:
    """The two sides, begun, and how to let time pass for both."""
    clock = FakeClock()
    store = EmbeddedStore.open(None, clock)
    namespace = f"/d{next(_namespaces)}/".encode()
    options = etcd.options(namespace=namespace, deadline_s=5.0)
    embedded = Side(store, lease_base=0, tells_revisions=alone)
    real = Side(await EtcdStore.connect(options), secrets.randbits(61), tells_revisions=alone)

    async def pass_time(seconds: float) -> None:
        await asyncio.sleep(seconds)
        clock.advance(seconds)
        store.expire()

    try:
        await asyncio.gather(embedded.begin(), real.begin())
        yield embedded, real, pass_time
    finally:
        await asyncio.gather(embedded.close(), real.close())


@settings(max_examples=40, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(taken=st.lists(steps, min_size=5, max_size=25))
def test_every_answer_and_every_event_is_equal(etcd: Etcd, taken: list[Step]) -> None:
    asyncio.run(compare(etcd, taken))


async def compare(etcd: Etcd, taken: Sequence[Step]) -> None:
    async with both(etcd, alone=True) as (embedded, real, _):
        for step in (Grant(1, 30), Grant(2, 30), *taken):
            assert await real.take(step) == await embedded.take(step), step
        assert await real.end() == await embedded.end()


# -- expiry ----------------------------------------------------------------------

bound_puts = st.builds(Put, KEYS, st.binary(max_size=3), st.integers(0, 3).map(LeaseId))
changes: st.SearchStrategy[Step] = st.one_of(
    *[st.builds(Do, st.builds(Txn, st.just(()), st.tuples(bound_puts)))] * 4,
    st.builds(Revoke, SLOTS),
)
scenarios = st.lists(changes, min_size=4, max_size=12)


@settings(max_examples=2, deadline=None, derandomize=True, database=None)
@given(several=st.lists(scenarios, min_size=10, max_size=10))
def test_leases_expire_alike(etcd: Etcd, several: list[list[Step]]) -> None:
    asyncio.run(compare_expiry_of_all(etcd, several))


async def compare_expiry_of_all(etcd: Etcd, several: Sequence[Sequence[Step]]) -> None:
    """Compare all at once, since each has to wait for real time to pass."""
    await asyncio.gather(*(compare_expiry(etcd, scenario) for scenario in several))


async def compare_expiry(etcd: Etcd, scenario: Sequence[Step]) -> None:
    """One lease dies first, one is renewed and dies later, one lives."""
    begin = (Grant(1, 1), Grant(2, 3), Grant(3, 60))
    async with both(etcd, alone=False) as (embedded, real, pass_time):
        for step in (*begin, *scenario):
            assert await real.take(step) == await embedded.take(step)
        for renewed, seconds in (((2, 3), 1.0), ((2, 3), 2.4), ((1, 2, 3), 4.4), ((1, 2, 3), 0)):
            assert await real.take(Renew(renewed)) == await embedded.take(Renew(renewed))
            await pass_time(seconds)
        assert await real.end() == await embedded.end()
