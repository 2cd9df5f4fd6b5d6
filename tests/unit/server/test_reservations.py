"""Patterns against files, files against patterns, patterns against each other."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from scoord.errors import SessionEnded
from scoord.v1.locks_pb2 import LockMode, LockScope
from scoord_server.model.answers import Granted, Held
from scoord_server.model.commands import Reserve, Terms
from scoord_server.store.port import Txn, TxnResult
from support.coordination import PROJECT, Bench, bench, frozen, granted


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        for name in ("alice", "bob"):
            await made.session(name)
        yield made


async def test_a_pattern_excludes_others_from_what_it_matches(b: Bench) -> None:
    assert isinstance(await b.reserve("alice", "src/api/**"), Granted)

    outcome = await b.acquire("bob", "src/API/users.py", enqueue=True)

    assert isinstance(outcome, Held)
    (conflict,) = outcome.conflicts
    assert conflict.by.record.path == "src/api/**"
    assert 1 == conflict.place
    assert isinstance(await b.acquire("bob", "src/web/users.py"), Granted)
    assert isinstance(await b.acquire("alice", "src/api/users.py"), Granted), "its own"


async def test_a_held_file_excludes_a_pattern_that_matches_it(b: Bench) -> None:
    await b.token("bob", "src/api/users.py")

    outcome = await b.reserve("alice", "src/api/**")

    assert isinstance(outcome, Held)
    assert ["src/api/users.py"] == [c.name.shown for c in outcome.conflicts]
    assert isinstance(await b.reserve("alice", "src/web/**"), Granted)


async def test_patterns_that_can_meet_exclude_each_other(b: Bench) -> None:
    assert isinstance(await b.reserve("alice", "src/**/test_*.py"), Granted)

    assert isinstance(await b.reserve("bob", "src/api/**"), Held)
    assert isinstance(await b.reserve("bob", "*.md"), Granted)


async def test_shared_patterns_do_not_exclude_each_other(b: Bench) -> None:
    shared = LockMode.LOCK_MODE_SHARED
    assert isinstance(await b.reserve("alice", "src/**", mode=shared), Granted)

    assert isinstance(await b.reserve("bob", "src/**", mode=shared), Granted)
    assert isinstance(await b.acquire("bob", "src/a.py"), Held)


async def test_the_same_pattern_again_is_the_same_grant(b: Bench) -> None:
    first = await b.reserve("alice", "src/api/**")

    assert first == await b.reserve("alice", "SRC/api/**")


@pytest.mark.parametrize("mode", [LockMode.LOCK_MODE_EXCLUSIVE, LockMode.LOCK_MODE_SHARED])
async def test_a_pattern_is_its_holders_also_while_a_subagent_has_a_file_in_it(
    b: Bench, mode: "LockMode.ValueType"
) -> None:
    first = await b.reserve("alice", "src/**", mode=mode)
    await b.token("alice", "src/a.py", agent="helper")

    assert first == await b.reserve("alice", "src/**", mode=mode)
    assert first == await b.reserve("alice", "src/**", mode=mode, lasts_ms=60_000)

    (pattern,) = b.view.reservations(PROJECT)[1]
    assert 60_000 == pattern.record.lasts_ms
    assert isinstance(await b.reserve("alice", "src/*"), Held), "another one is not"


async def test_a_pattern_that_is_given_back_at_the_same_moment_is_its_holders_no_more(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = granted(await b.reserve("alice", "src/**"))
    await b.token("alice", "src/a.py", agent="helper")
    run, tries = b.store.txn, count()

    async def run_after_a_release(txn: Txn) -> TxnResult:
        if next(tries) == 0:
            await b.release("alice", "src/**", own.tokens[0])
        return await run(txn)

    monkeypatch.setattr(b.store, "txn", run_after_a_release)

    assert isinstance(await b.reserve("alice", "src/**"), Held)


async def test_who_asks_to_share_its_own_pattern_keeps_it_as_it_is(b: Bench) -> None:
    first = await b.reserve("alice", "src/**", reason="docs")
    lines = await b.history()

    assert first == await b.reserve("alice", "src/**", mode=LockMode.LOCK_MODE_SHARED)

    (seen,) = b.view.snapshot().locks
    assert not seen.fact.claimant.shared
    assert "docs" == seen.fact.record.reason
    assert isinstance(await b.reserve("bob", "src/**", mode=LockMode.LOCK_MODE_SHARED), Held)
    assert [*lines, "refused"] == [*(await b.history())[:-1], (await b.history())[-1].kind]


async def test_who_shares_a_pattern_and_asks_for_it_alone_has_it_alone(b: Bench) -> None:
    first = granted(await b.reserve("alice", "src/**", mode=LockMode.LOCK_MODE_SHARED))
    assert [True] == [who.shared for who in first.claimants]

    now = granted(await b.reserve("alice", "src/**", reason="docs"))

    assert first.tokens == now.tokens
    assert [False] == [who.shared for who in now.claimants]

    (seen,) = b.view.snapshot().locks
    assert not seen.fact.claimant.shared
    assert "docs" == seen.fact.record.reason


async def test_a_pattern_that_is_asked_for_again_counts_as_used(b: Bench) -> None:
    await b.reserve("alice", "src/**", lock_timeout_ms=60_000)
    b.clock.advance(50)
    await b.reserve("alice", "src/**", lock_timeout_ms=60_000)
    b.clock.advance(50)

    assert isinstance(await b.reserve("bob", "src/**"), Held)


async def test_a_pattern_is_released_by_its_token_and_those_who_wait_have_their_turn(
    b: Bench,
) -> None:
    outcome = await b.reserve("alice", "src/api/**")
    assert isinstance(outcome, Granted)
    await b.acquire("bob", "src/api/users.py", enqueue=True)

    assert await b.release("alice", "src/api/**", outcome.tokens[0])

    (waiter,) = b.view.snapshot().waiters
    assert waiter.turn_at is not None
    assert isinstance(await b.acquire("bob", "src/api/users.py"), Granted)


@pytest.mark.parametrize("how", [{}, {"overlaps": True}, {"yields": True}, {"enqueue": True}])
async def test_a_pattern_that_is_over_is_in_nobodys_way_though_the_view_has_it(
    b: Bench, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    own = granted(await b.reserve("alice", "src/**"))
    read, before = b.view.reservations, [b.view.reservations(PROJECT)]
    await b.release("alice", "src/**", own.tokens[0])
    monkeypatch.setattr(b.view, "reservations", lambda at: before.pop() if before else read(at))

    assert isinstance(await b.acquire("bob", "src/a.py", **how), Granted)

    assert "refused" not in {line.kind for line in await b.history()}


async def test_a_file_that_is_free_again_is_in_no_patterns_way_though_the_view_has_it(
    b: Bench,
) -> None:
    token = await b.token("alice", "src/a.py")
    behind = await frozen(b)
    await b.release("alice", "src/a.py", token)

    wanted = Reserve(b.asker("bob"), "src/**", Terms())
    assert isinstance(await behind.locks.reserve(wanted), Granted)

    assert "refused" not in {line.kind for line in await b.history()}


async def test_a_pattern_lives_with_its_session(b: Bench) -> None:
    await b.reserve("alice", "src/api/**")
    await b.dies("alice")

    assert isinstance(await b.acquire("bob", "src/api/users.py"), Granted)
    with pytest.raises(SessionEnded):
        await b.reserve("alice", "src/web/**")


async def test_a_pattern_ends_after_its_time(b: Bench) -> None:
    await b.reserve("alice", "src/api/**", lasts_ms=60_000)
    b.clock.advance(61)

    assert isinstance(await b.acquire("bob", "src/api/users.py"), Granted)


@pytest.mark.parametrize("rounds", range(20))
async def test_a_pattern_and_a_file_race_and_one_wins(b: Bench, rounds: int) -> None:
    """The view knows of neither: only the transaction can tell."""
    order = [b.reserve("alice", "src/api/**"), b.acquire("bob", "src/api/users.py")]
    if rounds % 2:
        order.reverse()

    outcomes = await asyncio.gather(*order)

    assert 1 == sum(isinstance(outcome, Granted) for outcome in outcomes)


async def test_a_shared_pattern_that_becomes_exclusive_races_with_a_share(b: Bench) -> None:
    """It keeps its key and its token: nothing is new."""
    shared = LockMode.LOCK_MODE_SHARED
    await b.reserve("alice", "src/**", mode=shared)
    await b.settle()

    outcomes = await asyncio.gather(
        b.reserve("alice", "src/**"), b.acquire("bob", "src/a.py", mode=shared)
    )

    assert 1 == sum(isinstance(outcome, Granted) for outcome in outcomes)


async def test_what_a_subagent_took_over_meanwhile_keeps_its_main_thread_from_the_pattern(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await b.token("alice", "src/a.py")
    txn, tries = b.store.txn, count()

    async def txn_after_take_over(plan: Txn) -> TxnResult:
        if next(tries) == 0:
            await b.token("alice", "src/a.py", agent="helper")
        return await txn(plan)

    monkeypatch.setattr(b.store, "txn", txn_after_take_over)

    assert isinstance(await b.reserve("alice", "src/**"), Held)


async def test_one_lock_that_is_over_does_not_make_way_for_the_others(b: Bench) -> None:
    await b.acquire("bob", "src/a.py", lasts_ms=60_000)
    await b.token("bob", "src/b.py")
    await b.settle()
    b.clock.advance(61)

    outcome = await b.reserve("alice", "src/**")

    assert isinstance(outcome, Held)
    assert ["src/b.py"] == [c.name.shown for c in outcome.conflicts]


async def test_what_lets_a_pattern_pass_those_who_wait_may_be_given_back_at_the_same_moment(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_x: dict[str, Any] = {"scope": LockScope.LOCK_SCOPE_BRANCH, "branch": "x"}
    own = granted(await b.reserve("alice", "src/**", **on_x))
    await b.acquire("bob", "src/a.py", enqueue=True, **on_x)
    run, tries = b.store.txn, count()

    async def run_after_a_release(txn: Txn) -> TxnResult:
        if next(tries) == 0:
            await b.release("alice", "src/**", own.tokens[0])
        return await run(txn)

    monkeypatch.setattr(b.store, "txn", run_after_a_release)
    outcome = await b.reserve("alice", "src/**")

    assert isinstance(outcome, Held), "Bob came first"
