"""Locks that are taken for a time: when they end, and what is told of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any

import pytest

from scoord.v1.locks_pb2 import LockMode, LockScope
from scoord_server.coordinator import Coordinator
from scoord_server.model.answers import Granted, Held, Reclaimed
from scoord_server.model.commands import Reclaim, Terms
from scoord_server.model.facts import LockName
from scoord_server.model.locks import plan_touch
from scoord_server.rpc import messages
from scoord_server.store.port import Txn, TxnResult
from scoord_server.sweeping import Sweeping
from scoord_server.view import View
from support.clock import FakeClock
from support.coordination import PROJECT, Bench, bench, granted, kinds, last

LASTS_S = 1_800.0
LASTS_MS = 1_800_000


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        await made.session("alice")
        await made.session("bob")
        yield made


async def restarted(b: Bench, wall_ahead_s: float = 0.0) -> Coordinator:
    """Another replica, which finds all that is there; its clock counts from elsewhere."""
    clock = FakeClock(5.0, b.clock.wall_ms() + round(wall_ahead_s * 1000))
    view = View(b.store, clock)
    await view._load()
    return Coordinator(b.store, view, clock)


def told_s(coordinator: Coordinator) -> float:
    """How long the only lock lasts yet, by the list."""
    ground = coordinator.ground
    (lock,) = messages.locks(ground.view.snapshot(), PROJECT, ground.clock)
    return lock.ends_in.ToMilliseconds() / 1000


async def swept_after(coordinator: Coordinator, seconds: float) -> list[str]:
    """What a sweep takes away then."""
    clock = coordinator.ground.clock
    assert isinstance(clock, FakeClock)
    clock.advance(seconds)
    return [one.how for one in (await Sweeping(coordinator).sweep()).locks]


@pytest.mark.parametrize("name", ["a.py", "src/**"])
async def test_a_lock_ends_at_its_time_whoever_restarts_meanwhile(b: Bench, name: str) -> None:
    take = b.reserve if "*" in name else b.acquire
    await take("alice", name, lasts_ms=LASTS_MS)
    b.clock.advance(LASTS_S - 300)

    other = await restarted(b)

    assert 300 == told_s(other)
    assert [] == await swept_after(other, 299)
    assert 1 == told_s(other)
    assert ["lasted"] == await swept_after(other, 2)


@pytest.mark.parametrize(("ahead_s", "left_s"), [(-7_200.0, LASTS_S), (-60.0, 360), (7_200.0, 0)])
async def test_a_wall_clock_that_is_wrong_moves_the_end_by_the_whole_time_at_most(
    b: Bench, ahead_s: float, left_s: float
) -> None:
    await b.token("alice", "a.py", lasts_ms=LASTS_MS)
    b.clock.advance(LASTS_S - 300)

    other = await restarted(b, ahead_s)

    assert left_s == told_s(other)
    assert [] == await swept_after(other, left_s)
    assert ["lasted"] == await swept_after(other, 1)


async def test_no_wall_clock_matters_to_who_sees_a_lock_taken(b: Bench) -> None:
    b.clock._wall_ms += 3_600_000
    await b.token("alice", "a.py", lasts_ms=LASTS_MS)
    b.clock._wall_ms -= 7_200_000
    b.clock.advance(LASTS_S - 300)

    assert 300 == told_s(b.coordinator)
    assert [] == await swept_after(b.coordinator, 299)
    assert ["lasted"] == await swept_after(b.coordinator, 2)


async def test_who_is_refused_is_told_the_end_that_will_be(b: Bench) -> None:
    await b.token("alice", "a.py", lasts_ms=LASTS_MS)
    b.clock._wall_ms -= 3_600_000
    b.clock.advance(LASTS_S - 300)

    outcome = await b.acquire("bob", "a.py")

    assert isinstance(outcome, Held)
    (fact,) = (conflict.by for conflict in outcome.conflicts)
    seen = b.view.reckoned(PROJECT, fact)  # type: ignore[arg-type]  # a lock, as nobody waits
    assert 300 == messages.lock(seen, b.clock).ends_in.ToSeconds()


async def test_a_pattern_that_is_taken_anew_lasts_from_then_on(b: Bench) -> None:
    first = await b.reserve("alice", "src/**", lasts_ms=LASTS_MS)
    b.clock.advance(LASTS_S - 300)

    assert first == await b.reserve("alice", "src/**", lasts_ms=LASTS_MS)

    assert LASTS_S == told_s(b.coordinator) == told_s(await restarted(b))
    assert [] == await swept_after(b.coordinator, 400)


Take = Callable[..., Awaitable[Granted | Held]]


@pytest.fixture(params=["a.py", "src/**", "shared"])
def take(b: Bench, request: pytest.FixtureRequest) -> Take:
    """Takes a lock for alice: of a file, of a pattern, or one that is shared."""
    shared = LockMode.LOCK_MODE_SHARED
    return {
        "a.py": partial(b.acquire, "alice", "a.py"),
        "src/**": partial(b.reserve, "alice", "src/**"),
        "shared": partial(b.acquire, "alice", "a.py", mode=shared),
    }[request.param]


@pytest.mark.parametrize("before_ms", [0, 60_000, 2 * LASTS_MS])
async def test_what_is_taken_again_for_a_time_ends_then(
    b: Bench, take: Take, before_ms: int
) -> None:
    first = await take(lasts_ms=before_ms, lock_timeout_ms=60_000)
    b.clock.advance(30)

    again = await take(lasts_ms=LASTS_MS, lock_timeout_ms=60_000)

    assert first == again
    assert LASTS_S == told_s(b.coordinator) == told_s(await restarted(b))
    assert [] == await swept_after(b.coordinator, LASTS_S - 1)
    assert ["lasted"] == await swept_after(b.coordinator, 2)


async def test_a_replica_with_an_old_view_ends_nothing_at_an_end_that_was_moved(
    b: Bench, take: Take
) -> None:
    first = await take(lasts_ms=60_000)
    other = await restarted(b)
    b.clock.advance(50)
    again = await take(lasts_ms=LASTS_MS)

    assert first == again
    assert [] == await swept_after(other, 61)
    assert LASTS_S == told_s(b.coordinator)


async def test_a_use_that_was_not_seen_yet_puts_an_end_off_by_one_sweep(b: Bench) -> None:
    await b.token("alice", "a.py", lasts_ms=60_000)
    other = await restarted(b)
    (seen,) = b.view.snapshot().locks
    await b.coordinator.ground.store.txn(plan_touch(seen.fact, 1))

    assert [] == await swept_after(other, 61)
    await other.ground.view._load()
    assert ["lasted"] == await swept_after(other, 0)


async def test_that_it_ends_at_another_time_is_a_line_of_history(b: Bench, take: Take) -> None:
    (token,) = granted(await take(lasts_ms=60_000)).tokens
    before = len(await b.history())

    await take()
    await take(lasts_ms=LASTS_MS)

    (line,) = (await b.history())[before:]
    assert ("timed", "alice") == (line.kind, line.session.session_id)
    assert [token] == list(line.tokens)
    assert "it ends 30 min from then on" == line.reason


async def test_what_is_taken_again_for_no_time_ends_as_before(b: Bench, take: Take) -> None:
    first = await take(lasts_ms=LASTS_MS)
    b.clock.advance(LASTS_S - 300)

    again = await take(lock_timeout_ms=60_000)

    assert first == again
    assert 300 == told_s(b.coordinator) == told_s(await restarted(b))
    assert [] == await swept_after(b.coordinator, 299)
    assert ["lasted"] == await swept_after(b.coordinator, 2)


async def test_a_command_that_is_repeated_begins_no_time_anew(b: Bench) -> None:
    await b.acquire("alice", "a.py")
    await b.acquire("alice", "a.py", lasts_ms=LASTS_MS, request="again")
    b.clock.advance(LASTS_S - 300)

    await b.acquire("alice", "a.py", lasts_ms=LASTS_MS, request="again")

    assert 300 == told_s(b.coordinator)
    assert ["registered", "registered", "granted", "timed"] == await kinds(b)


async def test_of_several_each_that_is_held_ends_then_too(b: Bench) -> None:
    await b.acquire("alice", "a.py")

    await b.acquire("alice", "a.py", "b.py", lasts_ms=LASTS_MS)

    assert ["lasted", "lasted"] == await swept_after(b.coordinator, LASTS_S + 1)


async def test_one_that_a_subagent_takes_over_ends_when_its_sessions_was_to(b: Bench) -> None:
    token = await b.token("alice", "a.py", lasts_ms=LASTS_MS)
    b.clock.advance(LASTS_S - 300)

    handed = await b.acquire("alice", "a.py", agent="helper", lock_timeout_ms=60_000)

    assert (token,) == granted(handed).tokens
    assert 300 == told_s(b.coordinator)
    assert [] == await swept_after(b.coordinator, 299)
    assert ["lasted"] == await swept_after(b.coordinator, 2)


SHARED = LockMode.LOCK_MODE_SHARED
ON_X: dict[str, Any] = {"scope": LockScope.LOCK_SCOPE_BRANCH, "branch": "x"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"mode": SHARED}, {}),
        (ON_X, {}),
        (ON_X, {"agent": "helper"}),
        ({"mode": SHARED} | ON_X, {"mode": SHARED}),
    ],
    ids=["a share that is edited", "of every branch", "by a subagent", "a share of every branch"],
)
async def test_what_becomes_more_ends_when_it_was_to(
    b: Bench, before: dict[str, Any], after: dict[str, Any]
) -> None:
    await b.acquire("alice", "a.py", lasts_ms=LASTS_MS, **before)
    b.clock.advance(LASTS_S - 300)

    await b.acquire("alice", "a.py", lock_timeout_ms=60_000, **after)

    assert 300 == told_s(b.coordinator) == told_s(await restarted(b))
    b.clock.advance(100)
    assert 200 == told_s(b.coordinator) == told_s(await restarted(b))
    assert [] == await swept_after(b.coordinator, 199)
    assert ["lasted"] == await swept_after(b.coordinator, 2)


async def test_no_wall_clock_matters_to_who_saw_it_taken_before_it_became_more(b: Bench) -> None:
    await b.acquire("alice", "a.py", lasts_ms=LASTS_MS, mode=SHARED)
    b.clock._wall_ms -= 7_200_000
    b.clock.advance(LASTS_S - 300)

    await b.acquire("alice", "a.py")

    assert 300 == told_s(b.coordinator) == told_s(await restarted(b))


@pytest.mark.parametrize("asked_ms", [60_000, 2 * LASTS_MS])
async def test_what_becomes_more_ends_as_is_asked_for_then(b: Bench, asked_ms: int) -> None:
    await b.acquire("alice", "a.py", lasts_ms=LASTS_MS, mode=SHARED)

    await b.acquire("alice", "a.py", lasts_ms=asked_ms)

    assert asked_ms / 1000 == told_s(b.coordinator)


async def test_what_becomes_more_when_its_time_is_over_has_an_end_all_the_same(b: Bench) -> None:
    await b.acquire("alice", "a.py", lasts_ms=LASTS_MS, mode=SHARED)
    b.clock.advance(LASTS_S + 1)

    await b.acquire("alice", "a.py")

    assert ["lasted"] == await swept_after(b.coordinator, 1)


async def test_of_several_that_become_one_the_last_end_counts(b: Bench) -> None:
    on_y = ON_X | {"branch": "y"}
    await b.acquire("alice", "a.py", lasts_ms=LASTS_MS, **ON_X)
    await b.acquire("alice", "a.py", lasts_ms=60_000, **on_y)
    await b.acquire("alice", "a.py", **(ON_X | {"branch": "z"}))

    await b.acquire("alice", "a.py")

    assert LASTS_S == told_s(b.coordinator)


async def test_an_end_that_is_moved_while_the_share_is_edited_is_not_lost(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = partial(b.acquire, "alice", "a.py", mode=SHARED)
    await share()
    run, tries = b.store.txn, count()

    async def run_after_a_time_is_set(txn: Txn) -> TxnResult:
        if next(tries) == 1:  # the first has looked
            await share(lasts_ms=LASTS_MS)
        return await run(txn)

    monkeypatch.setattr(b.store, "txn", run_after_a_time_is_set)
    await b.acquire("alice", "a.py")

    assert LASTS_S == told_s(b.coordinator)


@pytest.mark.parametrize("mode", [LockMode.LOCK_MODE_EXCLUSIVE, LockMode.LOCK_MODE_SHARED])
async def test_one_that_was_taken_for_no_time_has_no_end(
    b: Bench, mode: "LockMode.ValueType"
) -> None:
    await b.token("alice", "a.py", mode=mode)
    b.clock.advance(1e6)

    other = await restarted(b)

    (lock,) = messages.locks(other.ground.view.snapshot(), PROJECT, other.ground.clock)
    assert not lock.HasField("ends_in")
    assert [] == await swept_after(other, 1e6)


async def test_what_had_its_time_is_written_down_as_that_also_after_it_came_back(b: Bench) -> None:
    """Of one that was lost meanwhile the coordinator knows only what remained."""
    await b.acquire("alice", "a.py", lasts_ms=LASTS_MS)
    token = await b.token("alice", "a.py")
    await b.dies("alice")
    await b.session("alice")
    remains = Terms(lasts_ms=400)
    lost = Reclaim(b.asker("alice"), LockName.of("a.py"), token, remains)
    assert isinstance(await b.coordinator.reporting.reclaim(lost), Reclaimed)
    await b.settle()

    assert ["lasted"] == await swept_after(b.coordinator, 1)

    line = await last(b)
    assert ("lasted", "the time it was taken for is over") == (line.kind, line.reason)


# the reason


def reasons(b: Bench) -> list[str]:
    """Why what is held is held, by the list."""
    found = messages.locks(b.view.snapshot(), PROJECT, b.clock)
    return [lock.reason for lock in found]


async def test_a_reason_that_is_given_is_that_of_what_is_held_already(b: Bench, take: Take) -> None:
    (token,) = granted(await take(reason="first", lasts_ms=LASTS_MS)).tokens
    b.clock.advance(LASTS_S - 300)
    before = len(await b.history())

    again = await take(reason="second", is_reason_given=True)

    assert (token,) == granted(again).tokens
    assert ["second"] == reasons(b)
    assert 300 == told_s(b.coordinator), "it ends as before"
    (line,) = (await b.history())[before:]
    assert ("explained", "second", [token]) == (line.kind, line.reason, list(line.tokens))
    assert [] == await swept_after(b.coordinator, 299)
    assert ["lasted"] == await swept_after(b.coordinator, 2)


async def test_a_reason_and_a_time_are_given_at_once(b: Bench, take: Take) -> None:
    await take(reason="first")

    await take(reason="second", is_reason_given=True, lasts_ms=LASTS_MS)

    assert ["second"] == reasons(b)
    assert LASTS_S == told_s(b.coordinator)
    assert ["explained", "timed"] == sorted((await kinds(b))[-2:])


async def test_who_says_no_reason_leaves_the_one_that_was_given(b: Bench, take: Take) -> None:
    await take(reason="first", is_reason_given=True)
    before = await kinds(b)

    await take(reason="what the session is at")
    await take(reason="first", is_reason_given=True)
    await take(reason="what the session is at", lasts_ms=LASTS_MS)

    assert ["first"] == reasons(b)
    assert [*before, "timed"] == await kinds(b)


async def test_a_command_that_is_repeated_takes_no_later_reason_back(b: Bench) -> None:
    again = partial(b.acquire, "alice", "a.py", request="again", is_reason_given=True)
    await b.acquire("alice", "a.py")
    await again(reason="first")

    await again(reason="other")

    assert ["first"] == reasons(b)


async def test_a_reason_outlives_that_a_share_is_edited_and_a_subagent_goes_on(b: Bench) -> None:
    shared = LockMode.LOCK_MODE_SHARED
    await b.acquire("alice", "a.py", mode=shared, reason="given", is_reason_given=True)

    await b.acquire("alice", "a.py", reason="what the session is at")
    assert ["given"] == reasons(b)
    await b.acquire("alice", "a.py", agent="helper", reason="what the session is at")
    assert ["given"] == reasons(b)
    await b.acquire("alice", "a.py", agent="helper", reason="new", is_reason_given=True)
    assert ["new"] == reasons(b)


async def test_a_pattern_that_is_shared_no_more_keeps_its_reason(b: Bench) -> None:
    shared = LockMode.LOCK_MODE_SHARED
    await b.reserve("alice", "src/**", mode=shared, reason="given", is_reason_given=True)

    await b.reserve("alice", "src/**", reason="what the session is at")

    assert ["given"] == reasons(b)
