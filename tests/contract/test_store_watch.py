"""Watches and compaction: what every adapter of the store port does alike."""

import asyncio
import contextlib

import pytest

from scoord.errors import InvalidRequest
from scoord.ids import LeaseId
from scoord_server.compactor import Compactor
from scoord_server.store.port import (
    Compacted,
    Delete,
    Event,
    KeyValue,
    Put,
    Replaced,
)
from support.clock import FakeClock
from support.stores import Subject, told


async def test_a_watch_tells_the_past_in_order(subject: Subject) -> None:
    first = await subject.put(b"w/a", b"1")
    await subject.put(b"elsewhere")
    await subject.put(b"w/b", b"2")
    await subject.do(Delete(b"w/a"))

    events = await subject.events(b"w/", first, 3)

    assert [told(event) for event in events] == [
        ("put", b"w/a", b"1"),
        ("put", b"w/b", b"2"),
        ("delete", b"w/a", b""),
    ]
    assert [first, first + 2, first + 3] == [event.kv.mod_revision for event in events]


async def test_a_watch_tells_what_comes_after_it_began(subject: Subject) -> None:
    revision = await subject.revision()
    watching = asyncio.create_task(subject.events(b"w/", revision + 1, 2))
    await asyncio.sleep(0.1)
    await subject.put(b"w/1")
    await asyncio.sleep(0.05)
    await subject.put(b"w/2")

    assert [event.kv.key for event in await watching] == [b"w/1", b"w/2"]


async def test_a_watch_from_zero_begins_now(subject: Subject) -> None:
    await subject.put(b"w/past")
    watching = asyncio.create_task(subject.events(b"w/", 0, 1))
    await asyncio.sleep(0.2)
    await subject.put(b"w/now")

    assert [event.kv.key for event in await watching] == [b"w/now"]


async def test_a_watch_from_beyond_the_present_says_that_what_was_seen_is_gone(
    subject: Subject,
) -> None:
    revision = await subject.revision()

    with pytest.raises(Replaced) as gone:
        await subject.events(b"w/", revision + 3, 1)

    assert revision == gone.value.revision


async def test_an_event_holds_the_key_as_it_was(subject: Subject) -> None:
    lease = await subject.grant()
    first = await subject.put(b"k", b"1", lease)
    second = await subject.put(b"k", b"2")
    third = (await subject.do(Delete(b"k"))).revision
    made = KeyValue(b"k", b"1", first, first, 1, lease)
    changed = KeyValue(b"k", b"2", first, second, 2, LeaseId(0))
    gone = KeyValue(b"k", b"", 0, third, 0, LeaseId(0))

    assert [
        Event(made, deleted=False),
        Event(changed, deleted=False),
        Event(gone, deleted=True),
    ] == await subject.events(b"k", first, 3)


async def test_a_revision_is_never_split_over_batches(subject: Subject) -> None:
    first = await subject.put(b"w/first")
    for number in range(20):
        await subject.do(*(Put(b"w/%d/%d" % (number, i), b"x" * 500) for i in range(100)))

    batches = await subject.batches(b"w/", first, 2001)

    last_revisions = [batch.events[-1].kv.mod_revision for batch in batches]
    assert last_revisions == [batch.revision for batch in batches]
    assert sorted(set(last_revisions)) == last_revisions
    seen = [e.kv.mod_revision for batch in batches for e in batch.events]
    assert [first, *(first + 1 + i // 100 for i in range(2000))] == seen


async def test_events_of_one_txn_come_in_the_order_of_its_operations(subject: Subject) -> None:
    await subject.do(Put(b"w/x", b""), Put(b"w/y", b""))
    revision = (
        await subject.do(Put(b"w/b", b""), Delete(b"w/x", b"w/z"), Put(b"w/a", b""))
    ).revision

    events = await subject.events(b"w/", revision, 4)

    assert [event.kv.key for event in events] == [b"w/b", b"w/x", b"w/y", b"w/a"]


async def test_a_watch_ends_at_its_prefix(subject: Subject) -> None:
    first = await subject.put(b"p")
    for key in (b"p0", b"o\xff", b"p/", b"p/\xff", b"p/\xff\xff", b"q"):
        await subject.put(key)

    events = await subject.events(b"p/", first, 3)

    assert [event.kv.key for event in events] == [b"p/", b"p/\xff", b"p/\xff\xff"]


async def test_an_empty_prefix_watches_everything(subject: Subject) -> None:
    first = await subject.put(b"\x00")
    await subject.put(b"\xff\xff")

    assert [e.kv.key for e in await subject.events(b"", first, 2)] == [b"\x00", b"\xff\xff"]


async def test_many_watches_see_the_same(subject: Subject) -> None:
    first = await subject.put(b"w/0")
    watching = [asyncio.create_task(subject.events(b"w/", first, 30)) for _ in range(5)]
    for number in range(1, 30):
        await subject.put(b"w/%d" % number)

    told_to_each = await asyncio.gather(*watching)

    assert [told_to_each[0]] * 5 == told_to_each
    assert [b"w/%d" % number for number in range(30)] == [e.kv.key for e in told_to_each[0]]


async def test_a_quiet_watch_says_that_it_lives_and_claims_only_what_it_told(
    subject: Subject,
) -> None:
    revision = await subject.put(b"w/1")
    async with (
        asyncio.timeout(5),
        contextlib.aclosing(subject.store.watch(b"w/", revision)) as batches,
    ):
        told_first = await anext(batches)
        quiet = [await anext(batches), await anext(batches)]
        await subject.put(b"w/2")
        told_next = await anext(batches)
        while not told_next.events:
            told_next = await anext(batches)

    assert [b.events[0].kv.key for b in (told_first, told_next)] == [b"w/1", b"w/2"]
    assert [((), revision)] * 2 == [(batch.events, batch.revision) for batch in quiet]


async def test_other_keys_changing_do_not_keep_a_watch_from_saying_that_it_lives(
    subject: Subject,
) -> None:
    async def change_other_keys() -> None:
        while True:
            await subject.put(b"other")
            await asyncio.sleep(0.02)

    changing = asyncio.create_task(change_other_keys())
    async with (
        asyncio.timeout(5),
        contextlib.aclosing(subject.store.watch(b"w/", await subject.revision())) as batches,
    ):
        assert (await anext(batches)).events == ()
    changing.cancel()
    await asyncio.wait({changing})


# -- compaction ------------------------------------------------------------------


async def test_a_watch_from_compacted_history_says_from_where_there_is_any(
    subject: Subject,
) -> None:
    first = await subject.put(b"k", b"1")
    await subject.put(b"k", b"2")
    third = await subject.put(b"k", b"3")
    await subject.store.compact(third)

    with pytest.raises(Compacted) as compacted:
        await subject.events(b"k", first, 1)

    assert third == compacted.value.revision
    (event,) = await subject.events(b"k", third, 1)
    assert told(event) == ("put", b"k", b"3")


async def test_compacting_twice_is_no_error(subject: Subject) -> None:
    await subject.put(b"k")
    revision = await subject.put(b"k")
    await subject.store.compact(revision)

    await subject.store.compact(revision)
    await subject.store.compact(revision - 1)


async def test_compacting_the_future_is_refused(subject: Subject) -> None:
    with pytest.raises(InvalidRequest):
        await subject.store.compact(await subject.revision() + 100)


async def test_compaction_leaves_the_present_and_running_watches_alone(subject: Subject) -> None:
    created = await subject.put(b"k", b"1")
    watching = asyncio.create_task(subject.events(b"k", created, 3))
    changed = await subject.put(b"k", b"2")
    await asyncio.sleep(0.2)
    await subject.store.compact(changed)
    await subject.put(b"k", b"3")

    assert [event.kv.value for event in await watching] == [b"1", b"2", b"3"]
    kv = await subject.get(b"k")
    assert kv is not None
    assert (created, 3) == (kv.create_revision, kv.version)


async def test_the_compactor_forgets_the_past_and_a_running_watch_goes_on(
    subject: Subject,
) -> None:
    clock = FakeClock()
    one, other = (Compactor(subject.store, clock, 60) for _ in range(2))
    oldest = await subject.put(b"k", b"1")
    watching = asyncio.create_task(subject.events(b"k", oldest, 3))
    for value in (b"2", b"3"):
        for compactor in (one, other):
            await compactor.step()
        await subject.put(b"k", value)
        await asyncio.sleep(0.2)
        clock.advance(60)

    assert [event.kv.value for event in await watching] == [b"1", b"2", b"3"]
    with pytest.raises(Compacted) as compacted:
        await subject.events(b"k", oldest, 1)
    assert [b"2", b"3"] == [
        event.kv.value for event in await subject.events(b"k", compacted.value.revision, 2)
    ]
