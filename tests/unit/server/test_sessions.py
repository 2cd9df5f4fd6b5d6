"""The rules of sessions, of the view, and of what is idle."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from scoord.errors import (
    Lagging,
    LimitReached,
    NotAllowed,
    SessionEnded,
    SessionNotFound,
    StoreUnavailable,
)
from scoord.ids import LeaseId, ProjectId, RequestId, SessionId
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import LockRecord, NoticeRecord
from scoord.v1.sessions_pb2 import SESSION_STATUS_WORKING, Session, UpdateRequest
from scoord_server.model import sessions as session_rules
from scoord_server.model.commands import Beat, Said
from scoord_server.model.facts import LockFact, LockName
from scoord_server.model.sessions import MOST_TO_TELL, first_free_alias, read_holds
from scoord_server.reaper import Reaper
from scoord_server.rpc.messages import session as message
from scoord_server.seen import LockGone, SeenLock, SeenSession, SessionGone
from scoord_server.store import keys
from scoord_server.store.port import (
    Delete,
    KeyValue,
    OpResult,
    Put,
    Txn,
    TxnResult,
    prefix_end,
)
from scoord_server.view import Snapshot, Step, View
from support.coordination import PROJECT, TTL_S, Bench, bench, frozen


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


def _session(name: str, machine: str = "m1", alias: str = "") -> Session:
    return Session(session_id=name, project=PROJECT, machine_id=machine, alias=alias)


async def test_aliases_are_the_smallest_free_numbers(b: Bench) -> None:
    aliases = [(await b.session(name)).alias for name in ("a", "b", "c")]
    await b.ends("b")

    assert ["Session_1", "Session_2", "Session_3"] == aliases
    assert "Session_2" == (await b.session("d")).alias


@pytest.mark.parametrize(
    ("wish", "given"),
    [("Session_7", "Session_7"), ("Session_07", "Session_1"), ("you may edit it", "Session_1")],
)
def test_an_alias_is_wished_for_only_by_a_name_that_was_given_before(wish: str, given: str) -> None:
    assert given == first_free_alias([], wish)


async def test_sessions_that_register_at_once_have_different_aliases(b: Bench) -> None:
    outcomes = await asyncio.gather(*(b.session(f"s{i}") for i in range(12)))

    assert 12 == len({outcome.alias for outcome in outcomes})


async def test_two_projects_each_have_a_first_session(b: Bench) -> None:
    other = ProjectId("example.org/team/other")

    assert "Session_1" == (await b.session("a")).alias
    assert "Session_1" == (await b.session("b", project=other)).alias


async def test_a_repeated_register_returns_its_first_answer(b: Bench) -> None:
    request = RequestId("once")
    first = await b.coordinator.register(request, _session("a"), TTL_S, LeaseId(0), 0)
    second = await b.coordinator.register(request, _session("a"), TTL_S, LeaseId(0), 0)

    assert (first.alias, first.lease) == (second.alias, second.lease)


async def test_a_register_whose_first_try_got_only_its_lease_goes_on(b: Bench) -> None:
    request = RequestId("half")
    lost = await b.coordinator.register(request, _session("a"), TTL_S, LeaseId(0), 0)
    await b.store.txn(_without_session())

    again = await b.coordinator.register(request, _session("a"), TTL_S, LeaseId(0), 0)

    assert lost.lease == again.lease


async def test_a_session_is_taken_up_again_with_its_locks_and_tokens(b: Bench) -> None:
    first = await b.session("a")
    token = await b.token("a", "auth.py")

    again = await b.coordinator.register(b.request(), _session("a"), TTL_S, first.lease, 0)

    assert again.resumed
    assert first.alias == again.alias
    assert [token] == [lock.token for lock in again.locks]


def test_what_a_session_holds_is_found_without_reading_what_others_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, of = list[bytes](), LockFact.of

    def noted(kv: KeyValue) -> LockFact:
        read.append(kv.key)
        return of(kv)

    monkeypatch.setattr(LockFact, "of", noted)
    found = OpResult(tuple(map(_lock_of, ("a1", "a2", "b"))))

    holds = read_holds(SessionId("a1"), TxnResult(True, 9, (found,)))

    assert [keys.lock(PROJECT, "a1.py")] == read == [fact.key for fact in holds]


async def test_a_replica_that_is_behind_takes_a_session_up_with_what_it_holds_now(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await b.session("a")
    await b.session("other")
    kept, over = [await b.token("a", path) for path in ("kept.py", "over.py")]
    for number in range(20):
        await b.token("other", f"{number}.py")
    behind = await frozen(b)
    await b.release("a", "over.py", over)
    new = await b.token("a", "new.py")
    read, txn = list[KeyValue](), b.store.txn

    async def noted(plan: Txn) -> TxnResult:
        result = await txn(plan)
        read.extend(kv for found in result.results for kv in found.kvs)
        return result

    monkeypatch.setattr(b.store, "txn", noted)
    found = await behind._locks_of(PROJECT, SessionId("a"))

    assert {kept, new} == {fact.token for fact in found}
    assert 2 == len(read), "what others hold is not read again"


async def test_what_a_session_holds_is_all_read_where_the_store_is_not_the_one_that_was_seen(
    b: Bench,
) -> None:
    await b.session("a")
    behind = await frozen(b)
    token = await b.token("a", "a.py")
    behind.ground.view._revision += 1_000

    found = await behind._locks_of(PROJECT, SessionId("a"))

    assert [token] == [fact.token for fact in found]


async def test_what_a_session_holds_is_found_however_much_it_is(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_rules, "MOST_KNOWN", 2)
    await b.session("a")
    tokens = {await b.token("a", f"{number}.py") for number in range(4)}

    found = await b.coordinator._locks_of(PROJECT, SessionId("a"))

    assert tokens == {fact.token for fact in found}


def _lock_of(session: str) -> KeyValue:
    record = LockRecord(path=f"{session}.py", holder=Holder(session_id=session))
    key, value = keys.lock(PROJECT, record.path), record.SerializeToString()
    return KeyValue(key, value, 5, 5, 1, LeaseId(7))


async def test_another_machine_cannot_take_a_session_up(b: Bench) -> None:
    first = await b.session("a")

    with pytest.raises(NotAllowed):
        await b.coordinator.register(b.request(), _session("a", "m2"), TTL_S, first.lease, 0)


async def test_a_session_whose_lease_is_over_is_told_so(b: Bench) -> None:
    first = await b.session("a")
    b.clock.advance(TTL_S + 1)
    b.store.expire()

    with pytest.raises(SessionEnded):
        await b.coordinator.register(b.request(), _session("a"), TTL_S, first.lease, 0)


async def test_an_alias_that_is_free_again_is_kept_when_wished_for(b: Bench) -> None:
    outcome = await b.coordinator.register(
        b.request(), _session("a", alias="Session_7"), TTL_S, LeaseId(0), 0
    )

    assert "Session_7" == outcome.alias


async def test_a_heartbeat_keeps_a_session_and_silence_ends_it(b: Bench) -> None:
    await b.session("a")
    await b.token("a", "auth.py")
    beat = Beat(PROJECT, SessionId("a"), b.leases["a"])
    for _ in range(4):
        b.clock.advance(TTL_S - 1)
        b.store.expire()
        (pulse,) = await b.coordinator.heartbeat([beat])
        assert pulse.live

    b.clock.advance(TTL_S + 1)
    b.store.expire()
    (pulse,) = await b.coordinator.heartbeat([beat])

    assert not pulse.live
    assert "" == await b.holder("auth.py")


async def test_a_heartbeat_on_the_lease_before_does_not_say_that_the_session_lives(
    b: Bench,
) -> None:
    await b.session("a")
    before = b.leases["a"]
    await b.store.txn(Txn((), (Delete(keys.session(PROJECT, "a")),)))
    await b.session("a")

    beats = [Beat(PROJECT, SessionId("a"), lease) for lease in (before, b.leases["a"])]
    assert [False, True] == [pulse.live for pulse in await b.coordinator.heartbeat(beats)]


async def test_a_heartbeat_says_that_a_session_is_gone_though_its_lease_stands(b: Bench) -> None:
    await b.session("a")
    await b.store.txn(_without_session())

    (pulse,) = await b.coordinator.heartbeat([Beat(PROJECT, SessionId("a"), b.leases["a"])])

    assert not pulse.live


async def test_ending_a_session_frees_all_it_held_at_once(b: Bench) -> None:
    await b.session("a")
    await b.session("b")
    for path in ("x.py", "y.py"):
        await b.token("a", path)

    await b.ends("a")

    assert await b.token("b", "x.py")
    assert await b.token("b", "y.py")


async def test_ending_a_session_twice_is_no_error(b: Bench) -> None:
    await b.session("a")
    await b.ends("a")

    await b.ends("a")
    await b.settle()

    assert not b.view.snapshot().sessions


async def test_a_session_is_ended_by_its_own_lease_only(b: Bench) -> None:
    await b.session("a")

    with pytest.raises(NotAllowed):
        await b.ends("a", lease=12345)


async def test_an_update_is_seen_by_all(b: Bench) -> None:
    await b.session("a")
    change = UpdateRequest(
        project=PROJECT, session_id="a", intent="mend login", status=SESSION_STATUS_WORKING
    )

    await b.coordinator.update(change)
    await b.settle()

    (seen,) = b.view.snapshot().sessions
    assert "mend login" == seen.fact.record.session.intent
    assert SESSION_STATUS_WORKING == seen.fact.record.session.status


async def test_a_message_lies_in_the_inbox_once_however_often_it_is_sent(b: Bench) -> None:
    await b.session("a")
    said = Said("bob", "look at main")

    for _ in range(2):
        await b.coordinator.tell(RequestId("r"), PROJECT, SessionId("a"), said)

    inbox = keys.inbox_prefix(PROJECT, "a")
    listing = await b.store.range(inbox, prefix_end(inbox))
    (record,) = (NoticeRecord.FromString(kv.value) for kv in listing.kvs)
    assert ("message", "bob", "look at main") == (record.kind, record.sender.person, record.text)


async def test_a_message_beside_as_many_as_are_kept_is_refused_until_some_are_told(
    b: Bench,
) -> None:
    await b.session("a")
    session = SessionId("a")
    for number in range(MOST_TO_TELL):
        await b.coordinator.tell(RequestId(f"m{number}"), PROJECT, session, Said("bob", "hi"))
    with pytest.raises(LimitReached, match="a has 100 notices that it was not told yet"):
        await b.coordinator.tell(RequestId("more"), PROJECT, session, Said("bob", "hi"))
    await b.coordinator.tell(RequestId("m7"), PROJECT, session, Said("bob", "hi"))

    await b.coordinator.reporting.acknowledge(PROJECT, session, ("m0",))
    await b.coordinator.tell(RequestId("more"), PROJECT, session, Said("bob", "hi"))

    prefix = keys.inbox_prefix(PROJECT, session)
    assert MOST_TO_TELL == await b.store.count(prefix, prefix_end(prefix))


async def test_a_message_to_nobody_is_refused(b: Bench) -> None:
    with pytest.raises(SessionNotFound):
        await b.coordinator.tell(RequestId("r"), PROJECT, SessionId("nobody"), Said("bob", "hi"))


async def test_an_update_of_nobody_is_refused(b: Bench) -> None:
    with pytest.raises(SessionNotFound):
        await b.coordinator.update(UpdateRequest(project=PROJECT, session_id="nobody"))


class TestView:
    """What a replica has seen."""

    async def test_it_is_not_served_before_the_store_was_read(self, b: Bench) -> None:
        unread = View(b.store, b.clock)

        assert float("inf") == unread.age_s()
        with pytest.raises(StoreUnavailable):
            unread.snapshot()

    async def test_a_subscriber_gets_a_picture_then_every_change(self, b: Bench) -> None:
        await b.session("a")
        async with aclosing(b.view.subscribe()) as steps:
            first = await anext(steps)
            await b.token("a", "auth.py")
            second = await anext(steps)
            await b.ends("a")
            third = await anext(steps)

        assert isinstance(first, Snapshot)
        assert ["a"] == [s.fact.record.session.session_id for s in first.sessions]
        assert isinstance(second, Step)
        assert [SeenLock] == [type(change) for change in second.changes]
        assert isinstance(third, Step)
        assert {LockGone, SessionGone} == {type(change) for change in third.changes}

    async def test_a_release_is_told_apart_from_the_end_of_a_session(self, b: Bench) -> None:
        await b.session("a")
        token = await b.token("a", "auth.py")
        async with aclosing(b.view.subscribe()) as steps:
            await anext(steps)
            await b.breaks("auth.py", token, by="carol")
            step = await anext(steps)

        assert isinstance(step, Step)
        (gone,) = step.changes
        assert isinstance(gone, LockGone)
        assert gone.trace is not None
        assert ("broken", "carol") == (gone.trace.how, gone.trace.by)

    async def test_what_vanished_in_compacted_history_is_told(self, b: Bench) -> None:
        await b.session("a")
        await b.token("a", "auth.py")
        late = View(b.store, b.clock)
        await late._load()
        await b.ends("a")
        async with aclosing(late.subscribe()) as steps:
            await anext(steps)
            await late._load()
            step = await anext(steps)

        # A difference would not tell of what came and went in between.
        assert isinstance(step, Snapshot)
        assert not step.sessions
        assert not step.locks

    async def test_a_value_that_cannot_be_read_is_left_out(
        self, b: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        strange = keys.session(PROJECT, "strange")
        await b.store.txn(Txn((), (Put(strange, b"\xff\xff\xff"),)))
        await b.session("a")
        late = View(b.store, b.clock)
        await late._load()

        for view in (b.view, late):
            (seen,) = view.snapshot().sessions
            assert "a" == seen.fact.record.session.session_id
        assert "strange" in caplog.text

    async def test_a_subscriber_that_falls_behind_is_cut_off(
        self, b: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("scoord_server.view._SUBSCRIBER_BACKLOG", 3)
        async with aclosing(b.view.subscribe()) as steps:
            await anext(steps)
            for i in range(5):
                await b.session(f"s{i}")
            with pytest.raises(Lagging, match="too far behind"):
                async for _ in steps:
                    pass

    async def test_who_watches_a_replica_that_stops_is_told_so(self, b: Bench) -> None:
        async with aclosing(b.view.subscribe()) as steps:
            await anext(steps)
            b.view.hang_up()
            with pytest.raises(Lagging, match="the coordinator is stopping"):
                await anext(steps)


class TestReaper:
    """What is idle is ended, by conditional deletes."""

    async def test_an_idle_session_is_ended_with_its_locks(self, b: Bench) -> None:
        await b.session("a", timeout_ms=60_000)
        await b.token("a", "auth.py")
        reaper = Reaper(b.coordinator)

        b.clock.advance(59)
        await reaper.sweep()
        assert "a" == await b.holder("auth.py")
        b.clock.advance(2)
        await reaper.sweep()

        assert "" == await b.holder("auth.py")

    async def test_a_session_that_was_active_is_left_alone(self, b: Bench) -> None:
        await b.session("a", timeout_ms=60_000)
        b.clock.advance(61)
        await b.coordinator.heartbeat([Beat(PROJECT, SessionId("a"), b.leases["a"], active=True)])
        await b.settle()

        await Reaper(b.coordinator).sweep()

        assert ["a"] == [s.fact.record.session.session_id for s in b.view.snapshot().sessions]

    async def test_what_others_bring_about_in_its_record_keeps_no_session(self, b: Bench) -> None:
        await b.session("a", timeout_ms=60_000)
        for branch in ("one", "two", "three"):
            b.clock.advance(25)
            change = UpdateRequest(project=PROJECT, session_id="a", branch=branch, passive=True)
            await b.coordinator.update(change)
            await b.settle()

        (seen,) = b.view.snapshot().sessions
        assert "three" == seen.fact.record.session.branch
        assert 75 == message(seen.fact, b.clock).idle_for.seconds
        await Reaper(b.coordinator).sweep()
        await b.settle()
        assert () == b.view.snapshot().sessions

    async def test_that_it_acts_is_known_though_others_changed_its_record_meanwhile(
        self, b: Bench
    ) -> None:
        await b.session("a", timeout_ms=60_000)
        b.clock.advance(61)
        change = UpdateRequest(project=PROJECT, session_id="a", branch="one", passive=True)
        await b.coordinator.update(change)
        beat = Beat(PROJECT, SessionId("a"), b.leases["a"], active=True)
        await b.coordinator.heartbeat([beat])  # by a view that has not seen it
        await b.settle()
        await Reaper(b.coordinator).sweep()
        await b.settle()

        (seen,) = b.view.snapshot().sessions
        assert "one" == seen.fact.record.session.branch

    async def test_activity_that_the_view_has_not_seen_yet_still_counts(self, b: Bench) -> None:
        await b.session("a", timeout_ms=60_000)
        (seen,) = b.view.snapshot().sessions
        assert isinstance(seen, SeenSession)
        await b.coordinator.update(UpdateRequest(project=PROJECT, session_id="a", intent="on"))

        assert not await b.coordinator.end_idle(seen.fact)

    async def test_an_unused_lock_is_taken_away_and_a_used_one_is_not(self, b: Bench) -> None:
        await b.session("a")
        await b.acquire("a", "used.py", lock_timeout_ms=60_000)
        await b.acquire("a", "unused.py", lock_timeout_ms=60_000)
        b.clock.advance(50)
        token = await b.token("a", "used.py")
        touched = ((LockName.of("used.py"), token),)
        await b.coordinator.heartbeat(
            [Beat(PROJECT, SessionId("a"), b.leases["a"], touched=touched)]
        )
        await b.settle()
        b.clock.advance(11)

        await Reaper(b.coordinator).sweep()

        assert "a" == await b.holder("used.py")
        assert "" == await b.holder("unused.py")
        assert token == await b.token("a", "used.py")


def _without_session() -> Txn:
    return Txn(then=(Delete(keys.session(PROJECT, "a")), Delete(keys.alias(PROJECT, "Session_1"))))
