"""Each session's end is written down once; and what is stale is ended, and said."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from scoord.errors import InvalidRequest, StoreUnavailable
from scoord.ids import LeaseId, ProjectId, SessionId
from scoord.v1.locks_pb2 import LockMode
from scoord.v1.records_pb2 import ArchiveRecord
from scoord.v1.sessions_pb2 import UpdateRequest, WorkProgress
from scoord_server import sweeping
from scoord_server.coordinator import Coordinator
from scoord_server.farewells import Over
from scoord_server.model import history, recall
from scoord_server.model.commands import Keep
from scoord_server.model.history import Journal
from scoord_server.model.recall import Wanted
from scoord_server.model.worklogs import Found
from scoord_server.reaper import Reaper
from scoord_server.store import keys
from scoord_server.store.limits import MAX_BYTES
from scoord_server.store.port import Delete, Put, RangeResult, Txn, TxnResult, prefix_end
from scoord_server.sweeping import Sweeping
from scoord_server.view import View
from support.coordination import PROJECT, Bench, bench, kinds, last

OTHER = ProjectId("example.org/team/other")
HOUR_S = 3600
DAY_S = 24 * HOUR_S
ARCHIVE = Keep(archive=True)


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


async def logs(b: Bench, **wanted: object) -> Sequence[ArchiveRecord]:
    found = await b.coordinator.recalling.logs(PROJECT, Wanted(**wanted), 100)  # type: ignore[arg-type]  # its own fields
    return found.records


class TestFarewells:
    """Each end is written down once, with the session's work if that is to be kept."""

    async def test_a_lease_that_ran_out_is_noted_once_by_many(self, b: Bench) -> None:
        await b.session("a", keep=ARCHIVE)
        (seen,) = b.view.snapshot().sessions
        await b.dies("a")
        replicas = [Coordinator(b.store, b.view, b.clock).farewells for _ in range(4)]

        noted = await asyncio.gather(*(r.finish(seen.fact.record) for r in replicas))

        assert [True] == [each for each in noted if each]
        assert ["registered", "expired"] == await kinds(b)
        assert ["expired"] == [log.how for log in await logs(b)]

    async def test_one_that_was_offered_nothing_ends_without_a_transaction_on_offers(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done = list[Txn]()
        run = b.store.txn

        async def noted(txn: Txn) -> TxnResult:
            done.append(txn)
            return await run(txn)

        await b.session("a")
        await b.ends("a")
        monkeypatch.setattr(b.store, "txn", noted)

        await b.coordinator.farewells.look()

        assert 1 == len(done), "the one that writes its end down"

    async def test_a_replica_that_follows_writes_it_down(self, b: Bench) -> None:
        running = asyncio.create_task(b.coordinator.farewells.run())
        try:
            await b.session("a", keep=ARCHIVE)
            await b.token("a", "x.py")
            await b.ends("a")
            await _until_logged(b)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        (log,) = await logs(b)
        assert ("ended", "done", ["x.py"]) == (log.how, log.why, [h.path for h in log.holds])
        assert ["registered", "granted", "ended"] == await kinds(b)

    async def test_a_store_that_is_read_for_the_first_time_is_no_trouble_to_tell_of(
        self, b: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", "scoord_server.farewells")
        starting = Coordinator(b.store, View(b.store, b.clock), b.clock)
        running = asyncio.create_task(starting.farewells.run())
        await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

        assert caplog.messages == []

    async def test_what_went_while_no_replica_ran_is_noted_later(self, b: Bench) -> None:
        await b.session("a", keep=ARCHIVE)
        await b.session("b")
        await b.dies("a")

        assert ["a"] == [r.session.session_id for r in await b.coordinator.farewells.look()]
        assert [] == await b.coordinator.farewells.look()

        assert ["expired"] == [log.how for log in await logs(b)]

    async def test_a_session_that_lives_is_not_noted(self, b: Bench) -> None:
        await b.session("a")
        blind = View(b.store, b.clock)
        await blind._load()
        late = Coordinator(b.store, blind, b.clock)
        await b.session("b")

        assert [] == await late.farewells.look()

    async def test_one_that_came_back_under_its_name_has_two_ends(self, b: Bench) -> None:
        await b.session("a", keep=ARCHIVE)
        await b.token("a", "x.py")
        await b.dies("a")
        await b.session("a", keep=ARCHIVE)
        await b.token("a", "y.py")

        assert 1 == len(await b.coordinator.farewells.look())
        b.clock.advance(1)
        await b.ends("a")
        assert [] == await b.coordinator.farewells.look()

        newest, oldest = await logs(b)
        assert ("ended", ["y.py"]) == (newest.how, [hold.path for hold in newest.holds])
        assert ("expired", ["x.py"]) == (oldest.how, [hold.path for hold in oldest.holds])

    async def test_without_the_setting_the_end_alone_is_kept(self, b: Bench) -> None:
        await b.session("a")
        await b.dies("a")

        await b.coordinator.farewells.look()

        assert ["registered", "expired"] == await kinds(b)
        assert [] == list(await logs(b))
        assert not (await b.store.range(keys.begun_prefix(), prefix_end(keys.begun_prefix()))).kvs

    async def test_an_idle_session_says_so_in_history_and_log(self, b: Bench) -> None:
        await b.session("a", timeout_ms=60_000, keep=ARCHIVE)
        await b.token("a", "x.py")
        b.clock.advance(61)
        await Reaper(b.coordinator).sweep()
        await b.settle()

        await b.coordinator.farewells.look()

        (log,) = await logs(b)
        assert ("idle", 61_000) == (log.how, log.holds[0].held_ms)
        assert ["registered", "granted", "idle"] == await kinds(b)

    async def test_the_end_of_a_session_says_what_it_still_held(self, b: Bench) -> None:
        """So that the history of a file has it: nothing else tells that its lock is over."""
        await b.session("a")
        given_back, token = await b.token("a", "x.py"), await b.token("a", "src/y.py")
        await b.release("a", "x.py", given_back)
        share = await b.token("a", "lib.py", mode=LockMode.LOCK_MODE_SHARED)
        await b.reserve("a", "src/api/**")

        await b.ends("a")

        end = await last(b)
        assert ["src/api/**", "lib.py", "src/y.py"] == list(end.paths)
        assert [share, token] == list(end.tokens[1:])
        assert ["granted", "ended"] == await kinds(b, path="src/y.py")
        assert ["reserved", "ended"] == await kinds(b, path="src/api/users.py")
        assert ["granted", "released"] == await kinds(b, path="x.py")

    async def test_a_lease_that_ran_out_is_in_the_history_of_what_it_held(self, b: Bench) -> None:
        await b.session("a")
        given_back, token = await b.token("a", "x.py"), await b.token("a", "y.py")
        await b.release("a", "x.py", given_back)
        await b.dies("a")

        await b.coordinator.farewells.look()

        assert (["y.py"], [token]) == (list((await last(b)).paths), list((await last(b)).tokens))
        assert ["granted", "expired"] == await kinds(b, path="y.py")

    async def test_the_end_of_an_idle_session_is_in_the_history_of_what_it_held(
        self, b: Bench
    ) -> None:
        await b.session("a", timeout_ms=60_000)
        await b.token("a", "x.py")
        b.clock.advance(61)
        await Reaper(b.coordinator).sweep()
        await b.settle()

        assert ["granted", "idle"] == await kinds(b, path="x.py")
        holds = await b.coordinator.recalling.hold_times(PROJECT)
        assert [61_000] == [hold.held_ms for hold in holds]

    async def test_the_end_of_one_that_held_very_much_has_room(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(history, "MOST_PATHS", 3)
        await b.session("a")
        await b.acquire("a", *(f"{number}.py" for number in range(5)))
        await b.ends("a")
        assert 3 == len((await last(b)).paths) == len((await last(b)).tokens)

        monkeypatch.setattr(history, "MOST_PATH_BYTES", 9)
        await b.session("b")
        await b.acquire("b", *(f"{number}.py" for number in range(5)))
        await b.ends("b")
        assert 2 == len((await last(b)).paths)

    async def test_an_end_that_is_said_again_as_its_lease_was_not_ended_is_one_line(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(_lease: LeaseId) -> None:
            raise StoreUnavailable("no leader")

        await b.session("a")
        await b.session("a", project=OTHER, lease=b.leases["a"])
        token, request = await b.token("a", "x.py"), b.request()
        said = (request, PROJECT, SessionId("a"), b.leases["a"], "done")
        with monkeypatch.context() as cut:
            cut.setattr(b.coordinator.ground, "revoke", away)
            with pytest.raises(StoreUnavailable):
                await b.coordinator.end(*said)
        assert "a" == await b.holder("x.py")
        b.clock.advance(1)

        await asyncio.gather(*(b.coordinator.end(*said) for _ in range(3)))
        await b.settle()
        await b.coordinator.farewells.look()

        assert "" == await b.holder("x.py")
        assert ["registered", "granted", "ended"] == await kinds(b)
        assert [token] == list((await last(b)).tokens)
        prefix = keys.event_prefix(OTHER)
        assert 2 == await b.store.count(prefix, prefix_end(prefix))

    async def test_one_that_is_taken_up_again_before_its_lease_was_ended_has_its_end_later(
        self, b: Bench
    ) -> None:
        await b.session("a")
        (seen,) = b.view.snapshot().sessions
        await b.coordinator._note_end(seen.fact, b.request(), "gave up")
        b.clock.advance(1)

        await b.ends("a")
        await b.coordinator.farewells.look()

        assert ["registered", "ended", "ended"] == await kinds(b)
        assert "done" == (await last(b)).reason

    async def test_what_a_session_says_last_is_in_its_log_and_in_history(self, b: Bench) -> None:
        await b.session("a", keep=ARCHIVE)
        await b.session("a", project=OTHER, lease=b.leases["a"])
        did = UpdateRequest(project=PROJECT, edits=5, progress=WorkProgress(done=2, total=2))
        said = (b.request(), PROJECT, SessionId("a"), b.leases["a"], "done")

        running = asyncio.create_task(b.coordinator.farewells.run())
        try:
            await b.settle()
            await b.coordinator.end(*said, last=[did])
            await _until_logged(b)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        (log,) = await logs(b)
        assert (5, 2) == (log.session.edits, log.session.progress.done)
        assert ["ended", "progress", "registered"] == sorted(await kinds(b))
        assert "ended" == (await last(b, OTHER)).kind, "of which it said nothing"

    async def test_one_that_ends_ends_in_every_project(self, b: Bench) -> None:
        await b.session("a")
        await b.session("a", project=OTHER, lease=b.leases["a"])
        await b.ends("a")
        await b.settle()

        await b.coordinator.farewells.look()

        assert "ended" == (await last(b, OTHER)).kind
        assert ["registered", "ended"] == await kinds(b)

    async def test_a_log_has_what_was_held_refused_and_waited_for(self, b: Bench) -> None:
        for name in "ab":
            await b.session(name, keep=ARCHIVE)
        token = await b.token("a", "x.py")
        await b.acquire("b", "x.py", enqueue=True)
        b.clock.advance(30)
        await b.release("a", "x.py", token)
        for path in ("x.py", "y.py"):
            await b.token("b", path)
        b.clock.advance(12)
        change = UpdateRequest(
            project=PROJECT, session_id="b", intent="all of it", progress=WorkProgress(percent=90)
        )
        await b.coordinator.update(change)
        await b.settle()
        record = next(
            s.fact.record
            for s in b.view.snapshot().sessions
            if s.fact.record.session.alias == "Session_2"
        )
        await b.ends("b")

        await b.coordinator.farewells.finish(record)

        (log,) = await logs(b, session="b")
        assert (1, 30_000, False) == (log.refusals, log.waited_ms, log.partial)
        assert [("x.py", 1, 12_000), ("y.py", 1, 12_000)] == [
            (hold.path, hold.grants, hold.held_ms) for hold in log.holds
        ]
        assert "all of it" == log.session.intent
        assert 42_000 == log.ended_unix_ms - log.registered_unix_ms

    async def test_a_history_that_is_too_long_makes_a_partial_log(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scoord_server.farewells.MOST_LINES", 3)
        monkeypatch.setattr("scoord_server.pages.PAGE", 2)
        await b.session("a", keep=ARCHIVE)
        for number in range(9):
            await b.token("a", f"{number}.py")
        await b.ends("a")

        await b.coordinator.farewells.look()

        (log,) = await logs(b)
        assert log.partial
        assert 0 < len(log.holds) < 9

    async def test_the_history_is_read_once_for_all_who_are_over(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in "abc":
            await b.session(name, keep=ARCHIVE)
            await b.token(name, f"{name}.py")
        for name in "abc":
            await b.dies(name)
        store = b.coordinator.ground.store
        read, of = list[bytes](), store.range

        async def noted(key: bytes, end: bytes = b"", **how: Any) -> RangeResult:
            read.extend([key] if key.startswith(keys.event_prefix(PROJECT)) else [])
            return await of(key, end, **how)

        with monkeypatch.context() as watched:
            watched.setattr(store, "range", noted)
            await b.coordinator.farewells.look()

        assert 0 < len(read) == len(set(read))
        assert [["a.py"], ["b.py"], ["c.py"]] == sorted(
            [hold.path for hold in log.holds] for log in await logs(b)
        )

    async def test_of_several_that_are_over_the_oldest_alone_has_a_partial_log(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scoord_server.farewells.MOST_LINES", 3)
        monkeypatch.setattr("scoord_server.pages.PAGE", 2)
        for name in "ab":
            await b.session(name, keep=ARCHIVE)
            for number in range(5 if name == "a" else 1):
                await b.token(name, f"{name}{number}.py")
            b.clock.advance(20 * 60)
        for name in "ab":
            await b.dies(name)

        await b.coordinator.farewells.look()

        partial = {log.session.session_id: log.partial for log in await logs(b)}
        assert {"a": True, "b": False} == partial

    async def test_one_whose_lines_cannot_be_read_keeps_no_other_from_its_end(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines_of = recall.lines_of

        def strange(name: str, *found: Any) -> Iterator[recall.Line]:
            if name == "a":
                raise ValueError("nobody foresaw it")
            return lines_of(name, *found)

        monkeypatch.setattr("scoord_server.farewells.lines_of", strange)
        for name in "ab":
            await b.session(name, keep=ARCHIVE)
        for name in "ab":
            await b.dies(name)

        assert ["b"] == [r.session.session_id for r in await b.coordinator.farewells.look()]

    async def test_a_log_of_very_long_paths_has_those_that_were_held_longest(
        self, b: Bench
    ) -> None:
        await b.session("a", keep=ARCHIVE)
        folder = "/".join(["d" * 200] * 11)
        for number in range(510):
            await b.token("a", f"{folder}/{number}.py")
            b.clock.advance(0.01)
        await b.dies("a")

        await b.coordinator.farewells.look()

        (log,) = await logs(b)
        assert len(log.holds) > 20
        assert [f"{folder}/{number}.py" for number in range(len(log.holds))] == [
            hold.path for hold in log.holds
        ]
        assert log.ByteSize() < MAX_BYTES / 8

    async def test_an_end_that_cannot_be_written_down_keeps_no_other_from_its_own(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        finish = b.coordinator.farewells._finish

        async def too_big(over: Over, found: Found) -> str | None:
            if over.last.session.session_id == "a":
                raise InvalidRequest("a transaction of 2 MB")
            return await finish(over, found)

        monkeypatch.setattr(b.coordinator.farewells, "_finish", too_big)
        for name in "ab":
            await b.session(name, keep=ARCHIVE)
            await b.dies(name)

        assert ["b"] == [r.session.session_id for r in await b.coordinator.farewells.look()]
        assert [] == await b.coordinator.farewells.look()
        for name in "ac":
            await b.session(name, keep=ARCHIVE)
        running = asyncio.create_task(b.coordinator.farewells.run())
        await asyncio.sleep(0.05)
        for name in "ac":
            await b.dies(name)
        await _until_logged(b, 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

        assert ["c", "b"] == [log.session.session_id for log in await logs(b)]
        said = [r for r in caplog.records if "the end of a is not written down" in r.message]
        assert 2 == len(said), "once for each of its lives"

    async def test_a_log_is_found_by_person_and_age(self, b: Bench) -> None:
        for name in "ab":
            await b.session(name, keep=ARCHIVE)
            await b.ends(name)
            await b.coordinator.farewells.look()
            b.clock.advance(100)

        assert ["a"] == [log.session.person for log in await logs(b, person="a")]
        assert ["b"] == [log.session.person for log in await logs(b, since_ms=150_000)]


class TestSweeping:
    """What is stale is ended now, and what there is is said by the store itself."""

    async def test_it_says_what_it_ended_and_what_is_there(self, b: Bench) -> None:
        await b.session("idle", timeout_ms=60_000)
        for name in "ab":
            await b.session(name)
        await b.token("a", "kept.py")
        await b.token("a", "unused.py", lock_timeout_ms=60_000)
        await b.acquire("b", "kept.py", enqueue=True)
        await b.session("gone")
        await b.dies("gone")
        b.clock.advance(61)

        done = await Sweeping(b.coordinator).refresh(PROJECT)

        assert ["idle"] == [f.record.session.session_id for f in done.swept.sessions]
        assert [("unused.py", "idle")] == [(s.lock.key, s.how) for s in done.swept.locks]
        # The idle one is over too, but that is no news.
        assert ["gone"] == [record.session.session_id for record in done.expired]
        assert (2, 1, 1) == (done.truth.sessions, done.truth.held, done.truth.waiting)
        assert done.truth.revision <= b.view.revision, "who lists now does not find them"
        assert "unused.py" not in [lock.key for lock in b.view.snapshot().locks]

    async def test_another_project_is_left_alone(self, b: Bench) -> None:
        await b.session("a", timeout_ms=60_000, project=OTHER)
        b.clock.advance(61)

        assert not (await Sweeping(b.coordinator).refresh(PROJECT)).swept.sessions
        assert (await Sweeping(b.coordinator).refresh()).swept.sessions

    async def test_what_happens_elsewhere_in_the_store_is_not_waited_for(self) -> None:
        async with bench(progress_interval_s=HOUR_S) as b:
            await b.session("a")
            change = b.view.revision
            await b.store.txn(Txn((), (Put(b"/another/team", b""),)))

            done = await asyncio.wait_for(Sweeping(b.coordinator).refresh(PROJECT), 5)

            assert (change, change + 1) == (done.truth.last_change, done.truth.revision)

    async def test_a_lock_whose_session_is_gone_is_taken_away(self, b: Bench) -> None:
        await b.session("a")
        token = await b.token("a", "x.py")
        await b.store.txn(Txn((), (Delete(keys.session(PROJECT, "a")),)))
        await b.settle()

        swept = await Sweeping(b.coordinator).sweep()

        assert ["orphaned"] == [one.how for one in swept.locks]
        assert "" == await b.holder("x.py")
        assert ("orphaned", [token]) == ((await last(b)).kind, list((await last(b)).tokens))

    async def test_what_was_taken_for_a_time_ends_before_all_that_is_idle(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "AT_ONCE", 1)
        await b.session("a")
        for number in range(3):
            await b.token("a", f"{number}.py", lock_timeout_ms=1_000)
            await b.session(f"idle-{number}", timeout_ms=1_000)
        await b.token("a", "timed.py", lasts_ms=1_000)
        b.clock.advance(2)

        first = await Sweeping(b.coordinator).sweep(within_s=0)
        await b.settle()
        rest = await Sweeping(b.coordinator).sweep()

        assert ["timed.py", "0.py"] == [one.lock.key for one in first.locks]
        assert ["1.py", "2.py"] == [one.lock.key for one in rest.locks]
        assert (1, 2) == (len(first.sessions), len(rest.sessions))

    async def test_what_is_idle_as_its_session_is_goes_with_that(self, b: Bench) -> None:
        await b.session("a", timeout_ms=1_000)
        await b.token("a", "x.py", lock_timeout_ms=1_000)
        b.clock.advance(2)

        swept = await Sweeping(b.coordinator).sweep()

        assert (1, 0) == (len(swept.sessions), len(swept.locks))
        assert ["registered", "granted", "idle"] == await kinds(b)

    async def test_a_session_that_is_idle_in_two_projects_ends_once_in_each(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where its lease goes on for a moment when the first end is written down."""
        ground, begun = b.coordinator.ground, list[str]()
        revoke, journal = ground.revoke, ground.journal

        async def late(lease: LeaseId) -> None:
            await asyncio.sleep(0.05)
            await revoke(lease)

        async def later_of_the_second(project: str) -> Journal:
            begun.append(project)
            await asyncio.sleep(0.02 if len(begun) == 2 else 0)
            return await journal(project)

        await b.session("a", timeout_ms=1_000)
        await b.session("a", project=OTHER, lease=b.leases["a"], timeout_ms=1_000)
        b.clock.advance(2)
        monkeypatch.setattr(ground, "revoke", late)
        monkeypatch.setattr(ground, "journal", later_of_the_second)

        await Sweeping(b.coordinator).sweep()

        for project in (PROJECT, OTHER):
            prefix = keys.event_prefix(project)
            assert 2 == await b.store.count(prefix, prefix_end(prefix))

    async def test_who_asks_for_a_sweep_does_not_wait_for_ends_that_take_long(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def for_long(_over: Sequence[Over]) -> Sequence[Found]:
            await asyncio.sleep(60)
            return ()

        monkeypatch.setattr(sweeping, "WORK_S", 0.05)
        await b.session("a", keep=ARCHIVE)
        await b.dies("a")
        with monkeypatch.context() as slow:
            slow.setattr(b.coordinator.farewells, "_found", for_long)
            done = await asyncio.wait_for(Sweeping(b.coordinator).refresh(PROJECT), 5)

        assert () == done.expired
        assert ["a"] == [r.session.session_id for r in await b.coordinator.farewells.look()]

    async def test_a_session_that_the_view_has_not_seen_keeps_its_locks(self, b: Bench) -> None:
        await b.session("a")
        await b.token("a", "x.py")
        (lock,) = b.view.snapshot().locks

        assert not await b.coordinator.locks.end_orphan(lock)


async def _until_logged(b: Bench, sessions: int = 1) -> None:
    async with asyncio.timeout(5):
        while len(await logs(b)) < sessions:  # noqa: ASYNC110 (nobody tells; the store is only read)
            await asyncio.sleep(0.01)
