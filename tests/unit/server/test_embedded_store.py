"""What the embedded store adds to the port: a file, and a clock of its own."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from scoord.errors import ScoordError, StoreDamaged, StoreUnavailable
from scoord.ids import LeaseId
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.port import Compacted, Delete, Put, Txn, TxnResult
from support.clock import FakeClock

LEASE = LeaseId(7)

Open = Callable[[], contextlib.AbstractAsyncContextManager[EmbeddedStore]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def opened(path: Path, clock: FakeClock) -> Open:
    @contextlib.asynccontextmanager
    async def open_() -> AsyncIterator[EmbeddedStore]:
        store = EmbeddedStore.open(path, clock)
        try:
            yield store
        finally:
            await store.close()

    return open_


async def put(store: EmbeddedStore, key: bytes, value: bytes = b"", lease: int = 0) -> TxnResult:
    return await store.txn(Txn((), (Put(key, value, LeaseId(lease)),)))


async def keys(store: EmbeddedStore) -> list[bytes]:
    return [kv.key for kv in (await store.range(b"\0", b"\0")).kvs]


# -- what outlives a restart -----------------------------------------------------


async def test_all_keys_and_the_revision_outlive_a_restart(opened: Open) -> None:
    async with opened() as store:
        await store.grant(LEASE, 30)
        for value in (b"1", b"2"):
            await put(store, b"a\xff\0", value, LEASE)
        await put(store, b"gone")
        await store.txn(Txn((), (Delete(b"gone"),)))
        before = await store.range(b"\0", b"\0")

    async with opened() as store:
        assert before == await store.range(b"\0", b"\0")
        assert before.revision + 1 == (await put(store, b"next")).revision


async def test_a_restart_gives_every_lease_its_full_ttl_again(
    opened: Open, clock: FakeClock
) -> None:
    async with opened() as store:
        await store.grant(LEASE, 10)
        await put(store, b"k", lease=LEASE)
    clock.advance(9)

    async with opened() as store:
        clock.advance(9)
        store.expire()
        assert await keys(store) == [b"k"]
        clock.advance(1)
        store.expire()
        assert await keys(store) == []

    async with opened() as store:
        assert await keys(store) == []
        assert await store.keep_alive([LEASE]) == {LEASE: 0}


async def test_history_does_not_outlive_a_restart(opened: Open) -> None:
    async with opened() as store:
        revision = (await put(store, b"k")).revision

    async with opened() as store:
        with pytest.raises(Compacted):
            await anext(store.watch(b"k", revision))
        watch = store.watch(b"k", revision + 1)
        await put(store, b"k", b"after")
        assert [event.kv.value for event in (await anext(watch)).events] == [b"after"]
        await watch.aclose()


WRITE_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from scoord.clock import SystemClock
from scoord_server.store.embedded import EmbeddedStore
from scoord_server.store.port import Put, Txn

async def main():
    store = EmbeddedStore.open(Path(sys.argv[1]), SystemClock())
    while True:
        result = await store.txn(Txn((), (Put(b"last", b""), Put(b"also", b""))))
        print(result.revision, flush=True)

asyncio.run(main())
"""


def write_in_another_process(path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, str(path)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_what_was_answered_outlives_kill_9(opened: Open, path: Path) -> None:
    with write_in_another_process(path) as writer:
        assert writer.stdout is not None
        answers = [writer.stdout.readline() for _ in range(50)]
        writer.send_signal(signal.SIGKILL)
        answers += [line for line in writer.stdout if line.endswith("\n")]
        answered = int(answers[-1])

    async with opened() as store:
        found = await store.range(b"\0", b"\0")
        assert found.revision in (answered, answered + 1)
        assert [found.revision] * 2 == [kv.mod_revision for kv in found.kvs]


async def test_the_file_does_not_grow_with_time(opened: Open, path: Path) -> None:
    async with opened() as store:
        for _ in range(3):
            for _ in range(300):
                await put(store, b"k", b"x" * 10_000)
        assert sum(sizes(path.parent).values()) < 10_000_000

    ((name, size),) = sizes(path.parent).items()
    assert name == path.name
    assert size < 100_000


def sizes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in folder.iterdir()}


# -- one owner -------------------------------------------------------------------


async def test_a_second_process_is_refused(opened: Open, path: Path) -> None:
    with write_in_another_process(path) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()

        with pytest.raises(StoreUnavailable) as refused:
            EmbeddedStore.open(path, FakeClock())
        writer.kill()

    assert f"{path} is in use by another process; stop that one first" == refused.value.message
    async with opened() as store:
        assert await keys(store) == [b"also", b"last"]


async def test_a_second_opener_in_the_same_process_is_refused_too(opened: Open, path: Path) -> None:
    async with opened() as store:
        await put(store, b"k")
        with pytest.raises(StoreUnavailable):
            EmbeddedStore.open(path, FakeClock())
        await put(store, b"l")

    async with opened() as store:
        assert await keys(store) == [b"k", b"l"]


async def test_a_file_locked_by_another_program_is_refused(opened: Open, path: Path) -> None:
    async with opened() as store:
        await put(store, b"k")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="in use"):
            EmbeddedStore.open(path, FakeClock())


# -- damage ----------------------------------------------------------------------


def sql(statement: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(statement)

    return damage


def cut_to(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


def scribble(path: Path) -> None:
    """Damage inside, past the header, as a failing disk does."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xaa" * 12_288)


def damage_and_read(path: Path, damage: Callable[[Path], None]) -> bytes:
    damage(path)
    return path.read_bytes()


def leave_alone(_: Path) -> None:
    """No damage."""


DAMAGES = {
    "emptied": cut_to(0),
    "cut inside the header": cut_to(60),
    "cut after the header": cut_to(100),
    "cut at a page": cut_to(4096),
    "cut inside a page": cut_to(10_000),
    "garbage": lambda path: path.write_bytes(b"not a database, surely" * 1000) and None,
    "scribbled": scribble,
    "schema of the future": sql("PRAGMA user_version = 2"),
    "another program's": sql("PRAGMA application_id = 1"),
    "a table missing": sql("DROP TABLE keys"),
    "revision missing": sql("DELETE FROM present"),
    "revision taken back": sql("UPDATE present SET revision = 1"),
    "lease missing": sql("DELETE FROM leases"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_a_damaged_file_is_one_clear_line_and_stays_as_it_is(
    opened: Open, path: Path, damage: Callable[[Path], None]
) -> None:
    async with opened() as store:
        await store.grant(LEASE, 30)
        for number in range(50):
            await put(store, b"k%d" % number, b"x" * 400, LEASE)
    damaged = damage_and_read(path, damage)

    with pytest.raises(StoreDamaged) as refused:
        EmbeddedStore.open(path, FakeClock())

    assert damaged == damage_and_read(path, leave_alone)
    assert_one_clear_line(refused.value, path)
    assert "move it" in refused.value.message


def test_a_log_without_its_file_is_damage(path: Path) -> None:
    path.with_name("store.db-wal").write_bytes(b"left behind")

    with pytest.raises(StoreDamaged) as refused:
        EmbeddedStore.open(path, FakeClock())

    assert_one_clear_line(refused.value, path)
    assert not path.exists()


def assert_one_clear_line(error: ScoordError, path: Path) -> None:
    assert "\n" not in error.message
    assert error.message.startswith(f"{path} ")


# -- a disk that fails -----------------------------------------------------------


def fill_disk(store: EmbeddedStore) -> None:
    """SQLite's own limit fails exactly as a full disk does (SQLITE_FULL)."""
    connection = store._ledger._connection  # type: ignore[union-attr]  # it has a file
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")


def free_disk(store: EmbeddedStore) -> None:
    store._ledger._connection.execute("PRAGMA max_page_count = 100000")  # type: ignore[union-attr]  # as above


async def test_a_full_disk_changes_nothing(opened: Open, path: Path) -> None:
    async with opened() as store:
        await store.grant(LEASE, 30)
        await put(store, b"k", b"before", LEASE)
        before = await store.range(b"\0", b"\0")
        fill_disk(store)

        with pytest.raises(StoreUnavailable) as refused:
            await store.txn(Txn((), (Put(b"k", b"after"), Put(b"big", b"x" * 100_000))))
        assert_one_clear_line(refused.value, path)
        assert "full" in refused.value.message
        assert before == await store.range(b"\0", b"\0")
        assert await store.keep_alive([LEASE]) == {LEASE: 30}

        free_disk(store)
        assert before.revision + 1 == (await put(store, b"k", b"after")).revision

    async with opened() as store:
        assert await keys(store) == [b"k"]


async def test_a_watch_does_not_see_what_a_full_disk_refused(opened: Open) -> None:
    async with opened() as store:
        await put(store, b"k", b"before")
        watch = store.watch(b"", (await store.range(b"k")).revision + 1)
        fill_disk(store)
        with pytest.raises(StoreUnavailable):
            await put(store, b"k", b"x" * 100_000)
        free_disk(store)
        await put(store, b"k", b"after")

        assert [event.kv.value for event in (await anext(watch)).events] == [b"after"]
        await watch.aclose()


async def test_leases_that_could_not_be_revoked_are_revoked_later(
    opened: Open, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as store:
        await store.grant(LEASE, 10)
        await put(store, b"k", lease=LEASE)
        clock.advance(10)
        with monkeypatch.context() as disk:
            disk.setattr(store._ledger, "record", fail)
            with pytest.raises(StoreUnavailable):
                store.expire()
        assert await keys(store) == [b"k"]

        store.expire()

        assert await keys(store) == []


def fail(change: object) -> None:
    raise StoreUnavailable("the disk is gone")


@pytest.mark.parametrize("missing", ["no/such/folder/store.db", "a-file/store.db"])
def test_a_place_that_cannot_be_is_one_clear_line(tmp_path: Path, missing: str) -> None:
    (tmp_path / "a-file").touch()
    path = tmp_path / missing

    with pytest.raises(StoreUnavailable) as refused:
        EmbeddedStore.open(path, FakeClock())

    assert_one_clear_line(refused.value, path)


def test_a_new_file_is_for_its_user_only(path: Path) -> None:
    store = EmbeddedStore.open(path, FakeClock())

    assert path.stat().st_mode & 0o777 == 0o600
    asyncio.run(store.close())


# -- time ------------------------------------------------------------------------


@pytest.fixture
async def memory(clock: FakeClock) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore.open(None, clock)
    yield store
    await store.close()


async def test_a_lease_that_is_due_stands_until_it_is_revoked(
    memory: EmbeddedStore, clock: FakeClock
) -> None:
    await memory.grant(LEASE, 10)
    await put(memory, b"k", lease=LEASE)
    clock.advance(10)

    assert await keys(memory) == [b"k"]
    memory.expire()
    assert await keys(memory) == []


async def test_renewing_a_lease_that_is_due_is_too_late(
    memory: EmbeddedStore, clock: FakeClock
) -> None:
    await memory.grant(LEASE, 10)
    await put(memory, b"k", lease=LEASE)
    clock.advance(10)

    assert await memory.keep_alive([LEASE]) == {LEASE: 0}
    assert await keys(memory) == []


async def test_renewing_counts_from_the_renewal(memory: EmbeddedStore, clock: FakeClock) -> None:
    await memory.grant(LEASE, 10)
    for _ in range(5):
        clock.advance(9)
        memory.expire()
        assert await memory.keep_alive([LEASE]) == {LEASE: 10}


async def test_leases_end_in_the_order_they_are_due(
    memory: EmbeddedStore, clock: FakeClock
) -> None:
    for lease, ttl_s in ((1, 30), (2, 10), (3, 20)):
        await memory.grant(LeaseId(lease), ttl_s)
        await put(memory, b"k%d" % lease, lease=lease)
    start = (await memory.range(b"k")).revision
    clock.advance(100)
    memory.expire()

    batch = await anext(watch := memory.watch(b"k", start + 1))

    assert [(b"k2", start + 1), (b"k3", start + 2), (b"k1", start + 3)] == [
        (event.kv.key, event.kv.mod_revision) for event in batch.events
    ]
    await watch.aclose()


async def test_the_background_task_revokes_what_is_due(
    memory: EmbeddedStore, clock: FakeClock
) -> None:
    await memory.grant(LEASE, 10)
    revision = (await put(memory, b"k", lease=LEASE)).revision
    running = asyncio.create_task(memory.run())
    clock.advance(10)

    async with asyncio.timeout(5), contextlib.aclosing(memory.watch(b"k", revision + 1)) as watch:
        assert (await anext(watch)).events[0].deleted
    running.cancel()


class CountedKey(bytes):
    """A key that counts how often one is compared with another."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedKey.compared += 1
        return bytes.__eq__(self, other)

    def __lt__(self, other: bytes) -> bool:
        CountedKey.compared += 1
        return bytes.__lt__(self, other)

    __hash__ = bytes.__hash__


async def test_the_work_of_revoking_grows_with_the_keys_not_with_their_square(
    memory: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CountedKey, "compared", 0)
    await memory.grant(LEASE, 10)
    for number in range(1000):
        await put(memory, CountedKey(b"k%d" % number), lease=LEASE)
    CountedKey.compared = 0

    await memory.revoke(LEASE)

    assert await keys(memory) == []
    assert CountedKey.compared < 100 * 1000


# -- bounds and the end ----------------------------------------------------------


async def test_history_is_bounded(clock: FakeClock) -> None:
    store = EmbeddedStore.open(None, clock, most_revisions=100)
    for _ in range(1000):
        await put(store, b"k")
    revision = (await store.range(b"k")).revision

    with pytest.raises(Compacted) as compacted:
        await anext(store.watch(b"k", revision - 200))

    assert revision - 100 <= compacted.value.revision <= revision - 50
    batch = await anext(watch := store.watch(b"k", compacted.value.revision))
    assert revision - compacted.value.revision + 1 == len(batch.events)
    await watch.aclose()
    await store.close()


async def test_a_watch_that_falls_too_far_behind_is_told(clock: FakeClock) -> None:
    store = EmbeddedStore.open(None, clock, most_revisions=100)
    revision = (await put(store, b"k")).revision
    watch = store.watch(b"k", revision)
    await anext(watch)
    for _ in range(1000):
        await put(store, b"k")

    with pytest.raises(Compacted):
        await anext(watch)
    await store.close()


async def test_a_watch_from_the_first_revision_tells_each_change_once(
    memory: EmbeddedStore,
) -> None:
    revision = (await put(memory, b"k")).revision
    watch = memory.watch(b"k", 1)
    first = await anext(watch)
    await put(memory, b"k")
    second = await anext(watch)
    await watch.aclose()

    assert [revision, revision + 1] == [first.revision, second.revision]
    assert [1, 2] == [event.kv.version for batch in (first, second) for event in batch.events]


async def test_a_watch_does_not_wait_while_there_is_more_to_read(memory: EmbeddedStore) -> None:
    start = (await put(memory, b"elsewhere")).revision
    for _ in range(2500):
        await put(memory, b"elsewhere")
    revision = (await put(memory, b"k")).revision

    batch = await anext(watch := memory.watch(b"k", start))

    assert (revision, [b"k"]) == (batch.revision, [event.kv.key for event in batch.events])
    await watch.aclose()


async def test_a_watch_can_be_cancelled_in_the_moment_of_a_change(memory: EmbeddedStore) -> None:
    async def watch_for_ever() -> None:
        async for _ in memory.watch(b"elsewhere", 1):
            pytest.fail("there is nothing to tell")

    watching = asyncio.create_task(watch_for_ever())
    await asyncio.sleep(0)
    await put(memory, b"k")
    watching.cancel()

    await asyncio.wait({watching}, timeout=1)
    assert watching.cancelled()


async def test_closing_ends_watches_and_refuses_commands(memory: EmbeddedStore) -> None:
    watching = asyncio.ensure_future(anext(memory.watch(b"k", 0)))
    await asyncio.sleep(0)
    await memory.close()

    with pytest.raises(StoreUnavailable):
        await watching
    with pytest.raises(StoreUnavailable):
        await put(memory, b"k")


async def test_a_watch_that_was_not_read_while_the_store_closed_ends_too(
    memory: EmbeddedStore,
) -> None:
    watch = memory.watch(b"k", (await put(memory, b"k")).revision)
    await anext(watch)
    await memory.close()

    with pytest.raises(StoreUnavailable):
        await anext(watch)
