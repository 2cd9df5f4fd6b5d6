"""Queues: who comes first has the first claim, for a while, and nobody else is woken."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from itertools import count
from typing import Any

import pytest

from scoord.ids import FencingToken
from scoord.v1.locks_pb2 import Holder, LockMode, LockScope
from scoord.v1.records_pb2 import WaiterRecord
from scoord_server.model.answers import Granted, Held
from scoord_server.model.commands import Acquire
from scoord_server.model.facts import LockName, WaiterFact
from scoord_server.reaper import Reaper
from scoord_server.rpc import messages
from scoord_server.seen import SeenWaiter, Turn
from scoord_server.store import keys
from scoord_server.store.port import Put, Txn, TxnResult
from scoord_server.view import Step
from support.coordination import CLAIM_MS, PROJECT, Bench, bench, frozen


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        for name in ("alice", "bob", "carol"):
            await made.session(name)
        yield made


async def queued(b: Bench) -> FencingToken:
    """Alice holds auth.py; Bob waits, then Carol."""
    token = await b.token("alice", "auth.py")
    await b.acquire("bob", "auth.py", enqueue=True)
    await b.acquire("carol", "auth.py", enqueue=True)
    return token


def turns(b: Bench) -> list[str]:
    """Whose turn it is by the view."""
    waiters = b.view.snapshot().waiters
    return [w.fact.record.waiter.session_id for w in waiters if w.turn_at is not None]


async def test_who_came_first_is_not_overtaken(b: Bench) -> None:
    token = await queued(b)
    await b.release("alice", "auth.py", token)

    outcome = await b.acquire("carol", "auth.py", enqueue=True)

    assert isinstance(outcome, Held)
    (conflict,) = outcome.conflicts
    assert isinstance(conflict.by, WaiterFact)
    assert "bob" == conflict.by.record.waiter.session_id
    assert 2 == conflict.place
    assert isinstance(await b.acquire("alice", "auth.py"), Held), "the last holder neither"
    assert isinstance(await b.acquire("bob", "auth.py"), Granted)


async def test_a_file_has_one_name_in_its_queue_however_each_spelt_it(b: Bench) -> None:
    token = await b.token("alice", "src/auth.py")
    await b.acquire("bob", "src/AUTH.py", enqueue=True)
    await b.acquire("carol", "src/auth.py", enqueue=True)
    await b.settle()
    queue = messages.waiters(b.view.snapshot(), PROJECT, b.clock)
    assert [("src/auth.py", 1), ("src/auth.py", 2)] == [(w.path, w.place) for w in queue]

    await b.release("alice", "src/auth.py", token)
    await b.settle()
    queue = messages.waiters(b.view.snapshot(), PROJECT, b.clock)
    assert ["src/AUTH.py"] * 2 == [w.path for w in queue], "as the first who waits spells it"


async def test_who_asks_again_has_waited_since_it_came(b: Bench) -> None:
    await queued(b)
    came = [w.fact.record.since_unix_ms for w in b.view.snapshot().waiters]
    b.clock.advance(10)

    await b.acquire("bob", "auth.py", enqueue=True)

    assert came == [w.fact.record.since_unix_ms for w in b.view.snapshot().waiters]


async def test_a_turn_that_is_not_used_passes_to_the_next(b: Bench) -> None:
    token = await queued(b)
    await b.release("alice", "auth.py", token)
    b.clock.advance(CLAIM_MS / 1000 - 1)
    assert isinstance(await b.acquire("carol", "auth.py", enqueue=True), Held)
    b.clock.advance(2)

    assert isinstance(await b.acquire("carol", "auth.py", enqueue=True), Granted)


async def test_the_reaper_passes_an_unused_turn_on(b: Bench) -> None:
    token = await queued(b)
    await b.release("alice", "auth.py", token)
    assert ["bob"] == turns(b)
    b.clock.advance(CLAIM_MS / 1000 + 1)

    await Reaper(b.coordinator).sweep()
    await b.settle()

    assert ["carol"] == turns(b)


async def test_a_turn_of_which_nobody_saw_whether_it_went_on_begins_anew(b: Bench) -> None:
    token = await queued(b)
    await b.release("alice", "auth.py", token)
    b.clock.advance(CLAIM_MS / 1000 - 1)
    await b.view._load()

    b.clock.advance(2)
    assert isinstance(await b.acquire("carol", "auth.py", enqueue=True), Held)
    b.clock.advance(CLAIM_MS / 1000)
    assert isinstance(await b.acquire("carol", "auth.py", enqueue=True), Granted)


@pytest.mark.parametrize("ends", [True, False], ids=["came and went", "stands"])
async def test_who_has_not_seen_a_turn_interrupted_does_not_end_it(b: Bench, ends: bool) -> None:
    """A subagent of Bob is not in the way of its main thread, which waits."""
    token = await queued(b)
    await b.leaves("carol", "auth.py")
    await b.release("alice", "auth.py", token)
    behind = await frozen(b)
    b.clock.advance(CLAIM_MS / 1000 - 1)
    outcome = await b.acquire("bob", "auth.py", agent="a1", scope=LockScope.LOCK_SCOPE_BRANCH)
    assert isinstance(outcome, Granted)
    if ends:
        await b.release("bob", "auth.py", outcome.tokens[0])
    b.clock.advance(2)

    await Reaper(behind).sweep()
    (overdue,) = behind.ground.view.overdue().waiters
    assert not await behind.locks.end_claim(overdue)

    await b.settle()
    assert ["bob"] == [w.fact.record.waiter.session_id for w in b.view.snapshot().waiters]


async def sharing(b: Bench) -> None:
    """Bob and Carol have their turn to share what Dave shares already."""
    await b.session("dave")
    token = await b.token("alice", "auth.py")
    for name in ("bob", "carol"):
        await b.acquire(name, "auth.py", enqueue=True, mode=LockMode.LOCK_MODE_SHARED)
    await b.release("alice", "auth.py", token)
    await b.token("dave", "auth.py", mode=LockMode.LOCK_MODE_SHARED)


async def test_nor_if_one_ahead_wants_to_write_by_now(b: Bench) -> None:
    await sharing(b)
    behind = await frozen(b)
    await b.acquire("bob", "auth.py", enqueue=True)
    b.clock.advance(CLAIM_MS / 1000 + 1)
    await Reaper(behind).sweep()

    await b.settle()
    assert ["bob", "carol"] == [w.fact.record.waiter.session_id for w in b.view.snapshot().waiters]


async def test_one_ahead_that_wanted_to_write_for_a_moment_interrupts_the_turn(b: Bench) -> None:
    await sharing(b)
    behind = await frozen(b)
    view = behind.ground.view
    since = view.revision + 1
    b.clock.advance(CLAIM_MS / 1000 + 1)
    await b.acquire("bob", "auth.py", enqueue=True)
    await b.leaves("bob", "auth.py")

    async with aclosing(b.store.watch(keys.root_prefix(), since)) as batches:
        batch = await anext(batches)
    view._picture.apply(batch.events)

    assert () == view.overdue().waiters


async def test_a_turn_that_was_interrupted_begins_anew_even_where_that_is_seen_at_once(
    b: Bench,
) -> None:
    """A coordinator that stood still reads in one batch what has come and gone since."""
    token = await queued(b)
    await b.leaves("carol", "auth.py")
    await b.release("alice", "auth.py", token)
    behind = await frozen(b)
    view = behind.ground.view
    since = view.revision + 1
    b.clock.advance(CLAIM_MS / 1000 - 1)
    token = await b.token("bob", "auth.py", agent="a1", scope=LockScope.LOCK_SCOPE_BRANCH)
    await b.release("bob", "auth.py", token)
    b.clock.advance(2)

    root = keys.root_prefix()
    async with aclosing(b.store.watch(root, since)) as batches:
        batch = await anext(batches)
    changes = view._picture.apply(batch.events)

    assert ["bob"] == [
        c.waiter.fact.record.waiter.session_id for c in changes if isinstance(c, Turn)
    ]
    assert () == view.overdue().waiters


async def test_a_turn_is_interrupted_where_its_session_lost_for_what_others_were_waiting(
    b: Bench,
) -> None:
    """Alice's subagent was behind Bob again, until he left; all of that is seen at once."""
    token = await b.token("carol", "auth.py")
    await b.acquire("alice", "auth.py", enqueue=True)
    await b.acquire("bob", "auth.py", enqueue=True)
    await b.acquire("alice", "auth.py", enqueue=True, agent="a1")
    await b.release("carol", "auth.py", token)
    token = await b.token("alice", "auth.py")
    view = (await frozen(b)).ground.view
    view._picture.apply([])
    assert ["alice"] == [
        w.fact.record.waiter.session_id for w in view.snapshot().waiters if w.turn_at
    ]
    b.clock.advance(CLAIM_MS / 1000 - 1)
    await b.breaks("auth.py", token)
    await b.leaves("bob", "auth.py")
    b.clock.advance(2)

    async with aclosing(b.store.watch(keys.root_prefix(), view.revision + 1)) as batches:
        batch = await anext(batches)
    view._picture.apply(batch.events)

    assert () == view.overdue().waiters


async def test_a_turn_goes_on_while_its_session_has_something_for_which_others_wait(
    b: Bench,
) -> None:
    """Alice's subagent is not behind Bob: he waits for her pattern, whatever else ends."""
    shared: dict[str, Any] = {"mode": LockMode.LOCK_MODE_SHARED}
    await b.reserve("alice", "src/**", **shared)
    await b.token("carol", "src/auth.py", **shared)
    await b.acquire("bob", "src/auth.py", enqueue=True)
    await b.acquire("alice", "src/auth.py", enqueue=True, agent="a1")
    await b.ends("carol")
    (began,) = (w.turn_at for w in b.view.snapshot().waiters if w.turn_at is not None)
    b.clock.advance(1)

    await b.reserve("alice", "src/**")
    await b.release("alice", "src/auth.py", await b.token("alice", "src/auth.py"))

    now = [w.turn_at for w in b.view.snapshot().waiters if w.turn_at is not None]
    assert [began] == now


async def test_a_turn_that_went_on_all_the_time_is_ended_by_who_sees_no_more(b: Bench) -> None:
    token = await queued(b)
    await b.release("alice", "auth.py", token)
    behind = await frozen(b)
    await b.token("bob", "other.py")
    b.clock.advance(CLAIM_MS / 1000 + 1)
    await Reaper(behind).sweep()

    await b.settle()
    assert ["carol"] == turns(b)


async def test_a_waiter_that_dies_leaves_the_queue(b: Bench) -> None:
    token = await queued(b)
    await b.dies("bob")
    await b.release("alice", "auth.py", token)

    assert ["carol"] == turns(b)
    assert isinstance(await b.acquire("carol", "auth.py"), Granted)


async def test_a_holder_that_dies_makes_way_for_the_first(b: Bench) -> None:
    await queued(b)
    await b.dies("alice")

    assert ["bob"] == turns(b)


async def test_a_waiter_may_give_up(b: Bench) -> None:
    token = await queued(b)
    names = [place.fact.record.path for place in b.view.snapshot().waiters][:1]
    await b.leaves("bob", *names)
    await b.release("alice", "auth.py", token)

    assert ["carol"] == turns(b)


async def waits(b: Bench, session: str) -> int:
    """Ask for a place, or again; at what revision that was."""
    outcome = await b.acquire(session, "auth.py", enqueue=True)
    assert isinstance(outcome, Held)
    (conflict,) = outcome.conflicts
    return conflict.place_revision


def waiting(b: Bench) -> list[str]:
    return [one.fact.record.waiter.session_id for one in b.view.snapshot().waiters]


async def test_who_gives_up_twice_and_waits_anew_in_between_keeps_the_new_place(b: Bench) -> None:
    await b.token("alice", "auth.py")
    first = await waits(b, "bob")
    await b.leaves("bob", "auth.py", revision=first)
    second = await waits(b, "bob")

    await b.leaves("bob", "auth.py", revision=first)
    assert ["bob"] == waiting(b)

    await b.leaves("bob", "auth.py", revision=second)
    assert [] == waiting(b)


async def test_a_late_giving_up_does_not_take_a_place_that_was_asked_for_again(b: Bench) -> None:
    await b.token("alice", "auth.py")
    first = await waits(b, "bob")
    await waits(b, "bob")

    await b.leaves("bob", "auth.py", revision=first)

    assert ["bob"] == waiting(b)


async def test_of_two_places_the_one_that_is_meant_is_given_up(b: Bench) -> None:
    await b.token("alice", "auth.py")
    await b.token("alice", "b.py")
    meant = await waits(b, "bob")
    await b.acquire("bob", "b.py", enqueue=True)

    await b.leaves("bob", "b.py", "auth.py", "never.py", revision=meant)

    (left,) = b.view.snapshot().waiters
    assert "b.py" == left.fact.record.path


async def test_a_place_that_the_view_has_not_seen_yet_is_given_up(b: Bench) -> None:
    await b.token("alice", "auth.py")
    asked = Acquire(b.asker("bob"), (LockName.of("auth.py"),), enqueue=True, claim_ms=CLAIM_MS)
    await b.coordinator.locks.acquire(asked)
    assert [] == waiting(b)

    await b.leaves("bob", "auth.py")

    assert [] == waiting(b)
    assert "left" == (await b.history())[-1].kind


async def test_a_holder_that_is_waited_for_may_take_more_of_the_path(b: Bench) -> None:
    token = await queued(b)

    assert token == await b.token("alice", "auth.py")
    assert isinstance(await b.acquire("alice", "auth.py", agent="helper"), Granted)


async def test_a_thousand_waiters_and_one_is_woken(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    for number in range(1000):
        name = f"s{number}"
        record = WaiterRecord(waiter=Holder(session_id=name), path="auth.py")
        key = keys.waiter(PROJECT, "auth.py", name, "")
        await b.store.txn(Txn((), (Put(key, record.SerializeToString(), b.leases["bob"]),)))
    await b.settle()
    async with aclosing(b.view.subscribe()) as steps:
        await anext(steps)
        await b.release("alice", "auth.py", token)
        step = await anext(steps)

    assert isinstance(step, Step)
    (woken,) = (change for change in step.changes if isinstance(change, Turn))
    assert "s0" == woken.waiter.fact.record.waiter.session_id


async def test_waiting_is_told_once_with_whom_it_waits_for(b: Bench) -> None:
    await b.token("alice", "auth.py")
    async with aclosing(b.view.subscribe()) as steps:
        await anext(steps)
        await b.acquire("bob", "auth.py", enqueue=True)
        first = await anext(steps)
        await b.acquire("bob", "auth.py", enqueue=True)
        second = await anext(steps)

    assert isinstance(first, Step)
    assert isinstance(second, Step)
    (waiting,) = first.changes
    assert ["alice"] == [holder.session_id for holder in waiting.holders]  # type: ignore[union-attr]
    assert () == second.changes


async def test_one_who_edits_all_the_same_takes_no_place_and_the_holder_is_told(b: Bench) -> None:
    await b.token("alice", "auth.py")

    for _ in range(2):
        assert isinstance(await b.acquire("bob", "auth.py", enqueue=True, overlaps=True), Held)

    seen = b.view.snapshot()
    assert () == seen.waiters
    (notice,) = seen.notices
    assert ("alice", "overlap", "auth.py") == (
        notice.session,
        notice.record.kind,
        notice.record.path,
    )
    assert "bob" == notice.record.sender.session_id
    (line,) = [line for line in await b.history() if line.kind == "overlap"]
    assert (("bob", ["auth.py"]), ["alice"]) == (
        (line.session.session_id, list(line.paths)),
        [other.session_id for other in line.others],
    )


async def test_a_pattern_does_not_overtake_those_who_wait_for_a_file_in_it(b: Bench) -> None:
    token = await queued(b)
    await b.release("alice", "auth.py", token)

    outcome = await b.reserve("alice", "*.py")

    assert isinstance(outcome, Held)
    (conflict,) = outcome.conflicts
    assert isinstance(conflict.by, WaiterFact)
    assert ("auth.py", "bob") == (conflict.name.shown, conflict.by.record.waiter.session_id)
    assert isinstance(await b.reserve("alice", "*.md"), Granted)
    assert isinstance(await b.acquire("bob", "auth.py"), Granted)


async def test_nor_does_a_pattern_of_the_one_they_wait_for(b: Bench) -> None:
    """It would keep the file from them when its holder gives that back."""
    await queued(b)

    outcome = await b.reserve("alice", "*.py")

    assert isinstance(outcome, Held)
    assert ["auth.py"] == [conflict.name.shown for conflict in outcome.conflicts]


async def test_a_pattern_that_was_there_before_them_is_the_same_grant_again(b: Bench) -> None:
    first = await b.reserve("alice", "*.py")
    assert isinstance(await b.acquire("bob", "auth.py", enqueue=True), Held)

    assert isinstance(first, Granted)
    assert first == await b.reserve("alice", "*.py")


async def test_a_turn_that_was_not_used_is_no_longer_in_the_way_of_a_pattern(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await b.acquire("bob", "auth.py", enqueue=True)
    await b.release("alice", "auth.py", token)
    b.clock.advance(CLAIM_MS / 1000 + 1)

    assert isinstance(await b.reserve("carol", "*.py"), Granted)


async def test_a_pattern_sees_who_came_to_wait_since_it_looked(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await b.token("alice", "auth.py", mode=LockMode.LOCK_MODE_SHARED)
    txn, tries = b.store.txn, count()

    async def txn_after_another(plan: Txn) -> TxnResult:
        if next(tries) == 0:
            await b.acquire("bob", "auth.py", enqueue=True)
            await b.release("alice", "auth.py", token)
        return await txn(plan)

    monkeypatch.setattr(b.store, "txn", txn_after_another)
    outcome = await b.reserve("carol", "*.py", mode=LockMode.LOCK_MODE_SHARED)

    assert isinstance(outcome, Held)
    assert isinstance(outcome.conflicts[0].by, WaiterFact)


@pytest.mark.parametrize("held", ["a pattern", "another thread's file", "another branch's file"])
async def test_who_gave_back_what_others_wait_for_since_it_was_seen_overtakes_nobody(
    b: Bench, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    topic: dict[str, Any] = {"scope": LockScope.LOCK_SCOPE_BRANCH, "branch": "topic"}
    if held == "a pattern":
        own = await b.reserve("alice", "*.py")
    else:
        agent = "helper" if held == "another thread's file" else ""
        own = await b.acquire("alice", "auth.py", agent=agent, **{**topic, "branch": "main"})
    assert isinstance(own, Granted)
    assert isinstance(await b.acquire("bob", "auth.py", enqueue=True), Held)
    txn, tries = b.store.txn, count()

    async def txn_after_release(plan: Txn) -> TxnResult:
        if any(isinstance(op, Put) for op in plan.then) and next(tries) == 1:
            path = "*.py" if held == "a pattern" else "auth.py"
            await b.release("alice", path, own.tokens[0])
        return await txn(plan)

    monkeypatch.setattr(b.store, "txn", txn_after_release)
    outcome = await b.acquire("alice", "auth.py", **topic)

    assert isinstance(outcome, Held)
    assert isinstance(outcome.conflicts[0].by, WaiterFact)
    assert isinstance(await b.acquire("bob", "auth.py"), Granted)


async def asked_by(b: Bench, taken: Callable[[], Awaitable[object]]) -> list[SeenWaiter]:
    """Whom the view says to wait as ``taken`` is granted something."""
    async with aclosing(b.view.subscribe()) as steps:
        await anext(steps)
        await taken()
        step = await anext(steps)
    assert isinstance(step, Step)
    return [change for change in step.changes if isinstance(change, SeenWaiter)]


async def test_who_gets_the_file_by_its_turn_is_told_who_still_waits(b: Bench) -> None:
    token = await queued(b)
    await b.release("alice", "auth.py", token)

    (asked,) = await asked_by(b, lambda: b.token("bob", "auth.py"))

    assert "carol" == asked.fact.record.waiter.session_id
    assert (["bob"], 0) == ([holder.session_id for holder in asked.holders], asked.more)
    assert asked.again
    assert [] == await asked_by(b, lambda: b.token("bob", "auth.py")), "it has it already"


async def test_a_subagent_that_takes_over_is_told_who_waits(b: Bench) -> None:
    await queued(b)

    asked = await asked_by(b, lambda: b.token("alice", "auth.py", agent="helper"))

    assert ["bob", "carol"] == [waiter.fact.record.waiter.session_id for waiter in asked]
    assert {("alice", "helper")} == {(h.session_id, h.agent_id) for w in asked for h in w.holders}


async def test_who_takes_more_of_what_it_shares_is_told_who_waits_for_that(b: Bench) -> None:
    await b.token("alice", "auth.py", mode=LockMode.LOCK_MODE_SHARED)
    await b.acquire("bob", "auth.py", enqueue=True)

    (asked,) = await asked_by(b, lambda: b.token("alice", "auth.py"))

    assert "bob" == asked.fact.record.waiter.session_id


async def test_of_a_long_queue_the_first_are_told_and_how_many_there_are(b: Bench) -> None:
    await queued(b)
    for number in range(12):
        await b.session(f"s{number}")
        await b.acquire(f"s{number}", "auth.py", enqueue=True)

    asked = await asked_by(b, lambda: b.token("alice", "auth.py", agent="helper"))

    assert ("bob", 10) == (asked[0].fact.record.waiter.session_id, len(asked))
    assert [0] * 9 + [4] == [waiter.more for waiter in asked]
    said = messages.change(1, asked[-1], b.clock)
    assert (4, True) == (said.waiting.more, said.waiting.again)


async def test_who_wanted_to_share_and_wants_to_write_now_is_told_to_those_who_share(
    b: Bench,
) -> None:
    share = LockMode.LOCK_MODE_SHARED
    await b.token("alice", "auth.py", mode=share)
    await b.acquire("bob", "auth.py", enqueue=True)
    await b.acquire("carol", "auth.py", enqueue=True, mode=share)

    async def wants_to_write() -> None:
        await b.acquire("carol", "auth.py", enqueue=True)

    (asked,) = await asked_by(b, wants_to_write)

    assert "carol" == asked.fact.record.waiter.session_id
    assert ["alice"] == [holder.session_id for holder in asked.holders]
