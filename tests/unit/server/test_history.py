"""What is written down, kept, read and followed; and how each session's end is noted once."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest

from scoord.errors import Lagging
from scoord.happenings import DETAILS
from scoord.ids import ProjectId, RequestId, SessionId
from scoord.v1.records_pb2 import EventRecord
from scoord.v1.sessions_pb2 import UpdateRequest
from scoord_agent.missed import KINDS
from scoord_server.coordinator import Coordinator
from scoord_server.model.answers import Granted, Lost
from scoord_server.model.commands import Keep, Reclaim, Said
from scoord_server.model.facts import LockName
from scoord_server.model.recall import Line, Wanted
from scoord_server.reaper import Reaper
from scoord_server.store import keys
from scoord_server.store.port import Put, Txn
from support.coordination import CLAIM_MS, PROJECT, Bench, bench, granted, kinds, last

OTHER = ProjectId("example.org/team/other")
HOUR_S = 3600
DAY_S = 24 * HOUR_S
ARCHIVE = Keep(archive=True)


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


async def write(
    b: Bench, number: int, *, at_ms: int = 0, kept_ms: int = 0, kind: str = "granted"
) -> None:
    """One line, as a coordinator would have written it then."""
    now_ms = at_ms or b.clock.wall_ms()
    record = EventRecord(kind=kind, at_unix_ms=now_ms, kept_ms=kept_ms, paths=[f"{number}.py"])
    key = keys.event(PROJECT, now_ms, f"r{number:06d}-{kind}")
    await b.store.txn(Txn((), (Put(key, record.SerializeToString()),)))


class TestWriting:
    """Every change of state is a line: who, what, with which token, why."""

    async def test_a_session_tells_its_intent_as_it_registers_and_when_that_changes(
        self, b: Bench
    ) -> None:
        await b.session("a")
        for intent in ("mend login", "mend login", "mend logout"):
            await b.coordinator.update(
                UpdateRequest(request_id=intent, project=PROJECT, session_id="a", intent=intent)
            )

        assert ["registered", "intent", "intent"] == await kinds(b)
        assert "mend logout" == (await last(b)).reason

    async def test_a_message_is_logged_without_its_words(
        self, b: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        await b.session("a")
        with caplog.at_level("INFO", "scoord_server.coordinator"):
            words = Said("bob", "the password")
            await b.coordinator.tell(RequestId("r"), PROJECT, SessionId("a"), words)

        assert ["laid a message into the inbox of a"] == caplog.messages

    async def test_a_message_says_who_told_whom_what(self, b: Bench) -> None:
        await b.session("a")
        words = Said("bob", "look here")
        for _ in range(2):
            await b.coordinator.tell(RequestId("r"), PROJECT, SessionId("a"), words)

        said = await last(b)

        assert ["registered", "told"] == await kinds(b)
        assert ("a", "bob", "look here") == (said.session.session_id, said.by, said.reason)

    async def test_whoever_gives_up_waiting_has_left(self, b: Bench) -> None:
        for name in "ab":
            await b.session(name)
        await b.token("a", "x.py")
        await b.acquire("b", "x.py", enqueue=True)

        await b.leaves("b", "x.py", "never-waited-for.py")
        await b.leaves("b", "x.py")

        assert ["waiting", "left"] == await kinds(b, session="b", path="x.py")
        assert ["x.py"] == list((await last(b)).paths)

    async def test_a_turn_that_was_not_used_is_a_line(self, b: Bench) -> None:
        for name in "ab":
            await b.session(name)
        token = await b.token("a", "x.py")
        await b.acquire("b", "x.py", enqueue=True)
        await b.release("a", "x.py", token)
        b.clock.advance(CLAIM_MS / 1000 + 1)

        await Reaper(b.coordinator).sweep()

        unused = await last(b)
        assert ("unused", "b") == (unused.kind, unused.session.session_id)
        assert "20 s" in unused.reason

    async def test_a_refusal_without_a_place_is_a_line_once_for_each_grant_in_the_way(
        self, b: Bench
    ) -> None:
        await b.session("a")
        await b.session("b")
        first = await b.acquire("a", "a.py")
        assert isinstance(first, Granted)
        for _ in range(3):
            await b.acquire("b", "A.py", "b.py", yields=True)
            await b.reserve("b", "*.py")

        page = await b.coordinator.recalling.read(PROJECT, Wanted(), 2)
        pattern, files = [line.record for line in page.lines]
        assert ["refused", "refused"] == [files.kind, pattern.kind]
        assert (["A.py"], ["*.py"]) == (list(files.paths), list(pattern.paths))
        assert ["a", "a"] == [each.others[0].session_id for each in (files, pattern)]

        await b.release("a", "a.py", first.tokens[0])
        await b.acquire("a", "a.py")
        await b.acquire("b", "a.py", yields=True)
        assert 3 == (await kinds(b)).count("refused"), "it is another grant"
        await b.acquire("b", "a.py")
        assert 3 == (await kinds(b)).count("refused"), "it goes on without the lock"

    async def test_whoever_has_several_files_in_the_way_is_named_once(self, b: Bench) -> None:
        for session in ("a", "b", "c"):
            await b.session(session)
        await b.acquire("a", "1.py", "2.py")
        await b.acquire("b", "3.py")
        await b.acquire("a", "4.py", agent="helper")

        await b.reserve("c", "*.py")

        named = [(other.session_id, other.agent_id) for other in (await last(b)).others]
        assert [("a", ""), ("a", "helper"), ("b", "")] == sorted(named)

    @pytest.mark.parametrize("end", [Bench.ends, Bench.dies])
    async def test_each_line_about_a_pattern_concerns_what_it_matches(
        self, b: Bench, end: Callable[[Bench, str], Awaitable[None]]
    ) -> None:
        for name in "ab":
            await b.session(name)
        for _ in range(2):
            first = granted(await b.reserve("a", "src/*", lasts_ms=9_000_000))
        await b.reserve("b", "s*/")
        await b.token("a", "[s]rc.py")
        await b.release("a", "src/*", first.tokens[0])
        await b.reserve("a", "src/*")
        await end(b, "a")
        await b.coordinator.farewells.look()

        *told, over = await kinds(b, path="src/a.py")
        assert ["reserved", "timed", "refused", "released", "reserved"] == told
        assert over in ("ended", "expired")
        assert [] == await kinds(b, path="src.py"), "a file is called so"

    async def test_an_idle_lock_says_for_how_long_it_may_be(self, b: Bench) -> None:
        await b.session("a")
        token = await b.token("a", "x.py", lock_timeout_ms=60_000)
        b.clock.advance(61)

        await Reaper(b.coordinator).sweep()

        idle = await last(b)
        assert ("idle", [token]) == (idle.kind, list(idle.tokens))
        assert "longer than 1 min (lock_timeout plus one heartbeat_interval)" in idle.reason

    async def test_locks_that_are_given_back_together_have_a_line_each(self, b: Bench) -> None:
        await b.session("a")
        refs = [(LockName.of(p), await b.token("a", p), False) for p in ("x.py", "y.py", "z.py")]

        await b.coordinator.locks.release(b.asker("a"), refs)

        assert 3 == (await kinds(b)).count("released")

    async def test_a_lock_that_another_had_since_is_lost(self, b: Bench) -> None:
        await b.session("a")
        token = await b.token("a", "x.py")
        await b.dies("a")
        await b.session("b")
        await b.token("b", "x.py")
        await b.session("a")

        command = Reclaim(b.asker("a"), LockName.of("x.py"), token)
        assert isinstance(await b.coordinator.reporting.reclaim(command), Lost)

        lost = await last(b)
        assert ("lost", [token]) == (lost.kind, list(lost.tokens))
        assert ["b"] == [holder.session_id for holder in lost.others]


class TestReading:
    """Newest first, page by page."""

    async def test_pages_are_the_whole_without_repeats(self, b: Bench) -> None:
        for number in range(600):
            await write(b, number)
            if number % 100 == 0:
                b.clock.advance(3 * HOUR_S)
        seen, before = list[str](), ""
        while True:
            page = await b.coordinator.recalling.read(PROJECT, Wanted(), 70, before)
            seen += [line.record.paths[0] for line in page.lines]
            before = page.before
            if not before:
                break

        assert [f"{number}.py" for number in reversed(range(600))] == seen

    async def test_what_is_months_old_is_found(self, b: Bench) -> None:
        await write(b, 1)
        b.clock.advance(100 * DAY_S)
        await write(b, 2)

        page = await b.coordinator.recalling.read(PROJECT, Wanted(), 10)

        assert [["2.py"], ["1.py"]] == [list(line.record.paths) for line in page.lines]

    async def test_a_filter_that_lets_little_through_costs_no_endless_page(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scoord_server.recalling.MOST_READ", 10)
        for number in range(25):
            await write(b, number)
        wanted = Wanted(path="3.py")

        first = await b.coordinator.recalling.read(PROJECT, wanted, 10)
        second = await b.coordinator.recalling.read(PROJECT, wanted, 10, first.before)
        third = await b.coordinator.recalling.read(PROJECT, wanted, 10, second.before)

        assert [0, 0, 1] == [len(page.lines) for page in (first, second, third)]
        assert "" == third.before

    async def test_lines_of_states_hide_no_line_of_another_kind(self, b: Bench) -> None:
        """A session that starts is told of the latest grants and ends since it was there."""
        await write(b, 1)
        for number in range(2, 2_000):
            await write(b, number, kind=("status", "progress")[number % 2])

        page = await b.coordinator.recalling.read(PROJECT, Wanted(kinds=frozenset(KINDS)), 300)

        assert [["1.py"]] == [list(line.record.paths) for line in page.lines]
        assert "" == page.before

    async def test_kinds_that_are_not_wanted_are_left_out(self, b: Bench) -> None:
        for number, kind in enumerate(("granted", "status", "of a newer program")):
            await write(b, number, kind=kind)

        wanted = Wanted(without=frozenset(DETAILS))
        page = await b.coordinator.recalling.read(PROJECT, wanted, 10)

        assert ["of a newer program", "granted"] == [line.record.kind for line in page.lines]

    async def test_a_big_page_ends_before_it_is_too_big_to_send(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scoord_server.recalling.MOST_BYTES", 200)
        for number in range(25):
            await write(b, number)

        page = await b.coordinator.recalling.read(PROJECT, Wanted(), 25)

        assert 0 < len(page.lines) < 25
        assert page.before

    async def test_a_line_of_a_replica_whose_clock_is_ahead_is_read(self, b: Bench) -> None:
        await write(b, 1, at_ms=b.clock.wall_ms() + HOUR_S * 1000)

        assert 1 == len((await b.coordinator.recalling.read(PROJECT, Wanted(), 10)).lines)

    async def test_holds_that_are_over_are_listed_newest_first(self, b: Bench) -> None:
        await b.session("a")
        for path, seconds in (("x.py", 60), ("y.py", 120)):
            token = await b.token("a", path)
            b.clock.advance(seconds)
            await b.release("a", path, token)

        holds = await b.coordinator.recalling.hold_times(PROJECT)

        assert [("y.py", 120_000), ("x.py", 60_000)] == [(h.path, h.held_ms) for h in holds]

    async def test_of_lines_that_tell_of_no_hold_none_is_kept_while_holds_are_read(
        self, b: Bench
    ) -> None:
        """Most lines are of refusals: to have them all at once took megabytes, each minute."""
        for number in range(3_000):
            await write(b, number, kind="waiting")
        tracemalloc.start()
        try:
            await b.coordinator.recalling.hold_times(PROJECT)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert peak < 100_000

    async def test_lines_of_states_do_not_hide_the_holds_before_them(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Estimates rest on these holds; with the lines of a busy day before them, on none."""
        monkeypatch.setattr("scoord_server.recalling.HOLD_LINES", 4)
        await b.session("a")
        for path in ("1.py", "2.py", "3.py"):
            await b.release("a", path, await b.token("a", path))
            b.clock.advance(1)
        for number in range(500):
            await write(b, number, kind="status")

        holds = await b.coordinator.recalling.hold_times(PROJECT)

        assert ["3.py", "2.py", "1.py"] == [hold.path for hold in holds]

    async def test_how_many_lines_are_read_for_holds_is_bounded(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scoord_server.recalling.MOST_READ_FOR_HOLDS", 500)
        await b.session("a")
        await b.release("a", "x.py", await b.token("a", "x.py"))
        b.clock.advance(1)
        for number in range(500):
            await write(b, number, kind="status")

        assert () == await b.coordinator.recalling.hold_times(PROJECT)

    async def test_holds_are_read_again_after_a_while_only(self, b: Bench) -> None:
        await b.session("a")
        assert () == await b.coordinator.recalling.hold_times(PROJECT)
        await b.release("a", "x.py", await b.token("a", "x.py"))

        assert () == await b.coordinator.recalling.hold_times(PROJECT)
        b.clock.advance(31)
        assert 1 == len(await b.coordinator.recalling.hold_times(PROJECT))


class TestFollowing:
    """Every line from some revision on, each once."""

    async def test_what_comes_is_told_in_order(self, b: Bench) -> None:
        async with aclosing(b.coordinator.recalling.follow(PROJECT, Wanted())) as lines:
            coming = asyncio.ensure_future(_take(lines, 3))
            await asyncio.sleep(0.05)
            for number in range(3):
                await write(b, number)

            assert ["0.py", "1.py", "2.py"] == await coming

    async def test_it_goes_on_after_the_last_one_heard(self, b: Bench) -> None:
        for number in range(4):
            await write(b, number)
        page = await b.coordinator.recalling.read(PROJECT, Wanted(path="1.py"), 1)

        lines = b.coordinator.recalling.follow(PROJECT, Wanted(), page.lines[0].revision)
        async with aclosing(lines):
            assert ["2.py", "3.py"] == await _take(lines, 2)

    async def test_what_the_store_has_compacted_is_read_instead(self, b: Bench) -> None:
        for number in range(300):
            await write(b, number)
        page = await b.coordinator.recalling.read(PROJECT, Wanted(path="1.py"), 1)
        await b.store.compact((await b.store.range(b"x")).revision)

        lines = b.coordinator.recalling.follow(PROJECT, Wanted(), page.lines[0].revision)
        async with aclosing(lines):
            told = await _take(lines, 298)
            coming = asyncio.ensure_future(_take(lines, 1))
            await asyncio.sleep(0.05)
            await write(b, 300)
            told += await coming

        assert [f"{number}.py" for number in range(2, 301)] == told

    async def test_a_line_that_is_not_wanted_is_not_told(self, b: Bench) -> None:
        start = (await b.store.range(b"x")).revision
        for number in range(3):
            await write(b, number)

        lines = b.coordinator.recalling.follow(PROJECT, Wanted(path="2.py"), start)
        async with aclosing(lines):
            assert ["2.py"] == await _take(lines, 1)

    async def test_a_draining_replica_is_left(self, b: Bench) -> None:
        async with aclosing(b.coordinator.recalling.follow(PROJECT, Wanted())) as lines:
            coming = asyncio.ensure_future(_take(lines, 1))
            await asyncio.sleep(0.05)
            b.coordinator.recalling.hang_up()

            with pytest.raises(Lagging):
                await asyncio.wait_for(coming, 5)


class TestKeeping:
    """As long as promised, and not much longer."""

    async def test_a_line_lives_as_long_as_its_project_asks(self, b: Bench) -> None:
        await b.session("a", keep=Keep(retention_ms=10 * DAY_S * 1000))
        await b.session("b", keep=Keep(retention_ms=2 * DAY_S * 1000))
        b.clock.advance(6)
        await b.token("a", "x.py")

        b.clock.advance(10 * DAY_S - 1)
        b.store.expire()
        assert await _has_line(b, "x.py")
        b.clock.advance(10 * DAY_S / 8 + 2)
        b.store.expire()
        assert not await _has_line(b, "x.py")

    async def test_after_the_last_session_it_is_as_before(self, b: Bench) -> None:
        await b.session("a", keep=Keep(retention_ms=30 * DAY_S * 1000))
        b.clock.advance(6)
        await b.token("a", "x.py")
        await b.ends("a")
        b.clock.advance(60)

        journal = await b.coordinator.ground.journal(PROJECT)

        assert 30 * DAY_S * 1000 == journal.kept_ms

    async def test_the_first_line_of_a_projects_first_session_is_kept_as_it_asks(
        self, b: Bench
    ) -> None:
        await b.coordinator.ground.journal(PROJECT)

        await b.session("a", keep=Keep(retention_ms=30 * DAY_S * 1000))
        await b.token("a", "x.py")

        assert [30 * DAY_S * 1000] * 2 == [line.kept_ms for line in await b.history()]

    async def test_where_all_died_with_the_coordinator_their_ends_are_kept_as_they_asked(
        self, b: Bench
    ) -> None:
        await b.session("a", keep=Keep(2 * DAY_S * 1000, archive=True))
        await b.session("b", keep=Keep(30 * DAY_S * 1000, archive=True))
        await b.dies("a")
        await b.dies("b")

        restarted = Coordinator(b.store, b.view, b.clock)
        await restarted.farewells.look()

        logs = (await restarted.recalling.logs(PROJECT, Wanted(), 10)).records
        assert [30 * DAY_S * 1000] * 2 == [log.kept_ms for log in logs]
        ends = [line for line in await b.history() if line.kind == "expired"]
        assert [30 * DAY_S * 1000] * 2 == [line.kept_ms for line in ends]

    async def test_one_who_saw_a_session_only_as_others_do_keeps_its_end_as_it_asked(
        self, b: Bench
    ) -> None:
        other = Coordinator(b.store, b.view, b.clock)
        await other.ground.journal(PROJECT)
        await b.session("a", keep=Keep(30 * DAY_S * 1000, archive=True))
        await b.dies("a")

        await other.farewells.look()

        assert 30 * DAY_S * 1000 == (await last(b)).kept_ms

    async def test_without_a_word_it_is_seven_days(self, b: Bench) -> None:
        assert 7 * DAY_S * 1000 == (await b.coordinator.ground.journal(PROJECT)).kept_ms

    async def test_what_was_written_within_a_while_shares_a_lease(self, b: Bench) -> None:
        first = await b.coordinator.ground.journal(PROJECT)
        second = await b.coordinator.ground.journal(OTHER)

        assert first.lease == second.lease

    async def test_the_oldest_lines_go_when_there_are_too_many(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scoord_server.trimming.STEP", 4)
        for number in range(30):
            await write(b, number)
        coordinator = _with_most_lines(b, 13)

        assert 17 == await coordinator.trimming.trim()

        page = await coordinator.recalling.read(PROJECT, Wanted(), 100)
        assert ["29.py", "17.py"] == [page.lines[i].record.paths[0] for i in (0, -1)]
        assert 0 == await coordinator.trimming.trim()

    async def test_what_a_restarted_store_would_keep_goes_by_its_own_time(self, b: Bench) -> None:
        await write(b, 1, kept_ms=8 * DAY_S * 1000)
        b.clock.advance(2 * DAY_S)
        await write(b, 2, kept_ms=8 * DAY_S * 1000)
        b.clock.advance(6 * DAY_S - 1)
        assert 0 == await b.coordinator.trimming.trim()

        b.clock.advance(2)

        assert 1 == await b.coordinator.trimming.trim()

    async def test_every_project_is_trimmed(self, b: Bench) -> None:
        for project in (PROJECT, OTHER):
            for name in "abc":
                await b.session(f"{name}{project[-3:]}", project=project)
        coordinator = _with_most_lines(b, 1)

        assert 4 == await coordinator.trimming.trim()


async def _take(lines: AsyncIterator[Line], number: int) -> list[str]:
    async with asyncio.timeout(5):
        return [(await anext(lines)).record.paths[0] for _ in range(number)]


async def _has_line(b: Bench, path: str) -> bool:
    return any(path in record.paths for record in await b.history())


def _with_most_lines(b: Bench, most: int) -> Coordinator:
    return Coordinator(b.store, b.view, b.clock, most_lines=most)
