"""What a newer program wrote, and this one cannot read: that is left out, the rest goes on."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf.message import DecodeError

from scoord.ids import FencingToken
from scoord.v1.records_pb2 import EventRecord, LockRecord, TaskRecord, TraceRecord
from scoord_server.coordinator import Coordinator
from scoord_server.model.answers import Lost
from scoord_server.model.commands import Keep, Reclaim
from scoord_server.model.facts import LockName
from scoord_server.model.recall import Wanted
from scoord_server.model.tasks import AddTasks, NewTask
from scoord_server.reaper import Reaper
from scoord_server.seen import SeenWaiter
from scoord_server.store import keys
from scoord_server.store.port import Delete, Put, Txn, prefix_end
from support.coordination import CLAIM_MS, PROJECT, Bench, bench, granted, kinds

STRANGE = b"\xff\xff\xff"
UNMATCHED = LockRecord(path="\\", is_pattern=True).SerializeToString()
"""What is a pattern to a newer program only."""
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


async def writes(b: Bench, *written: tuple[bytes, bytes], on: str = "") -> None:
    """Put values that another program wrote; on the lease of the session ``on``."""
    for key, value in written:
        await b.store.txn(Txn((), (Put(key, value, *([b.leases[on]] if on else [])),)))
    await b.settle()


async def lines_of(b: Bench, project: str) -> list[bytes]:
    prefix = keys.event_prefix(project)
    return [kv.key for kv in (await b.store.range(prefix, prefix_end(prefix))).kvs]


def line(at_ms: int, kept_ms: int) -> bytes:
    return EventRecord(kind="granted", at_unix_ms=at_ms, kept_ms=kept_ms).SerializeToString()


async def test_a_lock_keeps_nothing_from_ending_that_is_idle(
    b: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await b.session("idle", timeout_ms=1000)
    await b.session("busy")
    await b.token("idle", "a.py")
    await b.token("busy", "b.py", lock_timeout_ms=1000)
    await writes(b, (keys.lock(PROJECT, "strange-lock"), STRANGE), on="busy")
    b.clock.advance(2)

    for _ in range(3):
        await Reaper(b.coordinator).sweep()
        await b.settle()

    assert ["busy"] == [s.fact.session_id for s in b.view.snapshot().sessions]
    assert "" == await b.holder("b.py")
    assert 1 == caplog.text.count("strange-lock")


async def test_an_end_to_come_keeps_no_other_from_being_written_down(
    b: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await b.session("a")
    strange = keys.begun(PROJECT, "a-strange-end", "r")
    await writes(b, (strange, STRANGE))
    await b.dies("a")

    for _ in range(3):
        await b.coordinator.farewells.look()

    assert ["registered", "expired"] == await kinds(b)
    assert 1 == caplog.text.count("a-strange-end")
    assert (await b.store.range(strange)).kvs, "it is the newer program's to end it"


async def test_a_session_whose_end_to_come_is_strange_does_not_stop_who_follows(b: Bench) -> None:
    await b.session("a")
    (seen,) = b.view.snapshot().sessions
    register = seen.fact.record.request_id
    await writes(b, (keys.begun(PROJECT, "a", register), STRANGE))
    await b.dies("a")

    assert not await b.coordinator.farewells.finish(seen.fact.record)


async def test_a_line_of_history_keeps_nothing_from_being_trimmed(
    b: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    now_ms = b.clock.wall_ms()
    old, young = now_ms - 2 * DAY_MS, now_ms - 1000
    strange = [keys.event("one", at, f"strange-{at}") for at in (old, young)]
    kept = keys.event("one", young - 1, "kept")
    await writes(
        b,
        (strange[0], STRANGE),
        (keys.event("one", old + 1, "over"), line(old, DAY_MS)),
        (kept, line(young, DAY_MS)),
        (strange[1], STRANGE),
        (keys.event("two", old, "over"), line(old, DAY_MS)),
    )

    assert 3 == await b.coordinator.trimming.trim()

    assert [kept, strange[1]] == await lines_of(b, "one"), "how old it is, only its key says"
    assert [] == await lines_of(b, "two")
    assert "strange" in caplog.text


async def test_so_is_what_is_too_much_of_it(b: Bench) -> None:
    trimming = Coordinator(b.store, b.view, b.clock, most_lines=1).trimming
    now_ms = b.clock.wall_ms()
    kept = keys.event("one", now_ms, "kept")
    await writes(
        b, (keys.event("one", now_ms - 1, "strange"), STRANGE), (kept, line(now_ms, DAY_MS))
    )

    assert 1 == await trimming.trim()
    assert [kept] == await lines_of(b, "one")


async def test_a_task_keeps_none_from_being_trimmed(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoord_server.trimming.MOST_DONE", 1)
    done = TaskRecord(title="a", done=True).SerializeToString()
    tasks = [(keys.task("one", str(number)), done) for number in range(1, 4)]
    await writes(
        b,
        *tasks,
        (keys.task("one", "0"), STRANGE),
        (keys.event("one", b.clock.wall_ms(), "done"), line(1, 0)),
    )

    assert 2 == await b.coordinator.trimming.trim()


async def test_no_task_is_added_under_a_number_that_may_be_taken(b: Bench) -> None:
    await writes(b, (keys.task(PROJECT, "1"), STRANGE))

    with pytest.raises(DecodeError):
        await b.coordinator.tasks.add(AddTasks(b.request(), PROJECT, (NewTask("a"),)))

    tasks, _ = await b.coordinator.tasks.list(PROJECT)
    assert () == tasks


async def test_a_trace_does_not_end_the_view(b: Bench, caplog: pytest.LogCaptureFixture) -> None:
    await b.session("a")
    await writes(b, (keys.trace(PROJECT, "strange-trace", ""), STRANGE))

    await b.token("a", "a.py")

    assert ["a.py"] == [seen.key for seen in b.view.snapshot().locks]
    assert 1 == caplog.text.count("strange-trace")


async def test_a_line_is_left_out_of_what_is_read_of_history(b: Bench) -> None:
    await b.session("a", keep=Keep(archive=True))
    await writes(
        b,
        (keys.event(PROJECT, b.clock.wall_ms(), "strange-a"), STRANGE + b"a"),
        (keys.archive(PROJECT, b.clock.wall_ms(), "strange"), STRANGE),
    )
    await b.ends("a")
    await b.coordinator.farewells.look()

    assert ["registered", "ended"] == await kinds(b)
    assert () == await b.coordinator.recalling.hold_times(PROJECT)
    found = await b.coordinator.recalling.logs(PROJECT, Wanted(), 10)
    assert ["a"] == [log.session.session_id for log in found.records]


async def test_who_follows_history_goes_on_after_a_line_that_cannot_be_read(b: Bench) -> None:
    following = b.coordinator.recalling.follow(PROJECT, Wanted(), b.view.revision)
    first = asyncio.ensure_future(anext(following))
    await writes(b, (keys.event(PROJECT, b.clock.wall_ms(), "strange-b"), STRANGE))
    await b.session("a")

    assert "registered" == (await asyncio.wait_for(first, 5)).record.kind
    await following.aclose()


@pytest.mark.parametrize("value", [STRANGE, UNMATCHED], ids=["bytes", "a pattern"])
async def test_beside_a_pattern_that_cannot_be_read_nothing_is_granted(
    b: Bench, value: bytes
) -> None:
    await b.session("a")
    await b.session("b")
    pattern = keys.reservation(PROJECT, "strange", "newer", "")
    await writes(b, (pattern, value), on="b")
    await b.session("what the view has seen later")

    with pytest.raises(DecodeError):
        await b.acquire("a", "a.py")
    with pytest.raises(DecodeError):
        await b.reserve("a", "src/**")

    await b.store.txn(Txn((), (Delete(pattern),)))
    await b.settle()
    await b.token("a", "a.py")
    granted(await b.reserve("a", "src/**"))


async def test_what_a_pattern_that_cannot_be_matched_has_left_may_be_of_any_file(b: Bench) -> None:
    await b.session("a")
    token = await b.token("a", "a.py")
    await b.dies("a")
    left = TraceRecord(how="granted").SerializeToString()
    await writes(b, (keys.pattern_trace(PROJECT, "\\", "", "newer", ""), left))
    await b.session("a")

    command = Reclaim(b.asker("a"), LockName.of("a.py"), FencingToken(token))

    assert isinstance(await b.coordinator.reporting.reclaim(command), Lost)


@pytest.mark.parametrize(
    ("strange", "value"),
    [
        (keys.reservation(PROJECT, "strange", "newer", ""), STRANGE),
        (keys.reservation(PROJECT, "strange", "newer", ""), UNMATCHED),
        (keys.lock(PROJECT, "a.py"), STRANGE),
    ],
    ids=["a pattern's bytes", "a pattern", "a lock"],
)
async def test_nobodys_turn_runs_out_beside_a_grant_that_cannot_be_read(
    b: Bench, strange: bytes, value: bytes
) -> None:
    for name in ("a", "b"):
        await b.session(name)
    token = await b.token("a", "a.py")
    await b.acquire("b", "a.py", enqueue=True)
    await b.release("a", "a.py", token)
    assert 1 == len(turns(b))

    await writes(b, (strange, value))
    assert [] == turns(b)
    b.clock.advance(CLAIM_MS / 1000 + 1)
    await Reaper(b.coordinator).sweep()
    await b.settle()
    assert 1 == len(b.view.snapshot().waiters)

    await b.store.txn(Txn((), (Delete(strange),)))
    await b.settle()
    assert 1 == len(turns(b))
    await b.token("b", "a.py")


def turns(b: Bench) -> list[SeenWaiter]:
    return [waiter for waiter in b.view.snapshot().waiters if waiter.turn_at is not None]


async def test_a_lock_that_cannot_be_read_and_is_waited_for_by_nobody_ends_nothing(
    b: Bench,
) -> None:
    strange = keys.lock(PROJECT, "a.py")
    await writes(b, (strange, STRANGE))
    await b.store.txn(Txn((), (Delete(strange),)))
    await b.session("a")

    await b.token("a", "a.py")
