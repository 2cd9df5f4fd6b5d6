"""Another store in the place of the one that was seen: wiped, or restored from a backup."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from scoord.ids import LeaseId
from scoord_server.coordinator import Coordinator
from scoord_server.model.answers import Granted, Held
from scoord_server.own_changes import OwnChangesStore
from scoord_server.past import Past, Span
from scoord_server.store import keys
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.port import Put, Txn
from scoord_server.view import Snapshot, View
from support.clock import FakeClock
from support.coordination import PROJECT, Bench, Courteous

SOON_S = 5.0
KEY = keys.session(PROJECT, "a")


class Place:
    """Where a store is reached, whichever is there."""

    def __init__(self, store: Courteous) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        # What is around it keeps its methods, and is to reach the store that is there by then.
        return lambda *args, **options: getattr(self.store, name)(*args, **options)  # noqa: PLW0108


async def put_another(b: Bench) -> None:
    """An empty store takes the place, whose watches break off with the one before."""
    place, old = cast("Place", b.store), cast("Place", b.store).store
    place.store = Courteous.open(None, b.clock, progress_interval_s=0.02)
    await old.close()


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    """One whose store has come far."""
    clock = FakeClock()
    place = Place(Courteous.open(None, clock, progress_interval_s=0.02))
    store = cast("Courteous", place)
    view = View(store, clock)
    running = asyncio.create_task(view.run())
    made = Bench(store, clock, view, Coordinator(store, view, clock))
    await made.settle()
    await made.session("before")
    for number in range(50):
        await made.acquire("before", f"{number}.py")
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await place.store.close()


async def test_the_view_has_what_is_in_the_store_now_and_says_so(b: Bench) -> None:
    async with asyncio.timeout(SOON_S):
        steps = b.view.subscribe()
        await anext(steps)
        await put_another(b)
        async for step in steps:
            if isinstance(step, Snapshot):
                break
        await steps.aclose()

    assert isinstance(step, Snapshot)
    assert ((), ()) == (step.sessions, step.locks)
    assert step.revision == b.view.revision < 10


async def test_from_the_first_answer_on_what_excludes_each_other_is_refused(b: Bench) -> None:
    await put_another(b)
    async with asyncio.timeout(SOON_S):
        await b.session("alice")
        await b.session("bob")

        assert isinstance(await b.reserve("alice", "src/**"), Granted)
        assert isinstance(await b.acquire("bob", "src/a.py"), Held)


async def test_a_list_does_not_wait_for_what_was_done_in_the_store_before() -> None:
    clock = FakeClock()
    place = Place(Courteous.open(None, clock))
    own = OwnChangesStore(cast("EmbeddedStore", place))
    for _ in range(9):
        await own.txn(Txn((), (Put(KEY, b"1"),)))
    await place.store.close()
    place.store = Courteous.open(None, clock)

    put = await own.txn(Txn((), (Put(KEY, b"1", LeaseId(0)),)))

    assert put.revision == own.revision < 9
    await place.store.close()


def test_of_the_past_of_another_store_nothing_is_known() -> None:
    past = Past()
    past.seen(10.0, 900)
    past.bounded(10.0, 900)

    past.forget()
    past.seen(20.0, 5)

    assert Span(5, float("inf")) == past.span(30.0)
    assert 0 == past.span(15.0).low
