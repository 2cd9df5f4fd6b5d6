"""Shared locks, locks of one branch, locks with an end, and history."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from scoord.ids import SessionId
from scoord.v1.locks_pb2 import LockMode, LockScope
from scoord_server.model.answers import Granted, Held
from scoord_server.model.commands import Beat
from scoord_server.model.facts import LockFact, LockName
from scoord_server.reaper import Reaper
from scoord_server.store.port import Txn, TxnResult
from support.coordination import PROJECT, Bench, bench, granted

SHARED = LockMode.LOCK_MODE_SHARED
BRANCH = LockScope.LOCK_SCOPE_BRANCH


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        for name in ("alice", "bob", "carol"):
            await made.session(name)
        yield made


async def test_many_may_share_and_none_may_write(b: Bench) -> None:
    assert isinstance(await b.acquire("alice", "auth.py", mode=SHARED), Granted)
    assert isinstance(await b.acquire("bob", "auth.py", mode=SHARED), Granted)

    outcome = await b.acquire("carol", "auth.py")

    assert isinstance(outcome, Held)


async def test_a_writer_excludes_sharers(b: Bench) -> None:
    await b.token("alice", "auth.py")

    assert isinstance(await b.acquire("bob", "auth.py", mode=SHARED), Held)
    (who,) = granted(await b.acquire("alice", "auth.py", mode=SHARED)).claimants
    assert not who.shared, "it has more"


async def test_the_only_sharer_may_write(b: Bench) -> None:
    await b.token("alice", "auth.py", mode=SHARED)
    await b.token("alice", "auth.py")

    assert "alice" == await b.holder("auth.py")
    assert 1 == len(b.view.snapshot().locks), "its share is over"
    assert isinstance(await b.acquire("bob", "auth.py", mode=SHARED), Held)


async def test_one_of_two_sharers_may_not_write(b: Bench) -> None:
    await b.token("alice", "auth.py", mode=SHARED)
    await b.token("bob", "auth.py", mode=SHARED)

    assert isinstance(await b.acquire("alice", "auth.py"), Held)


async def test_sharers_do_not_overtake_a_writer_that_waits(b: Bench) -> None:
    token = await b.token("alice", "auth.py", mode=SHARED)
    await b.acquire("bob", "auth.py", enqueue=True)

    assert isinstance(await b.acquire("carol", "auth.py", mode=SHARED), Held)
    assert isinstance(await b.acquire("alice", "auth.py", mode=SHARED), Granted), "no dead end"
    assert await b.release("alice", "auth.py", token)
    assert isinstance(await b.acquire("bob", "auth.py"), Granted)


async def test_who_shares_what_its_subagent_writes_shares_it_still(b: Bench) -> None:
    first = await b.token("alice", "auth.py", mode=SHARED)
    await b.token("alice", "auth.py", agent="helper")

    again = await b.acquire("alice", "auth.py", "b.py", mode=SHARED, enqueue=True)

    assert first == granted(again).tokens[0]
    assert not b.view.snapshot().waiters
    assert isinstance(await b.acquire("alice", "auth.py"), Held), "its helper writes it"


async def test_it_does_not_where_its_share_is_given_back_at_the_same_moment(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = await b.token("alice", "auth.py", mode=SHARED)
    await b.token("alice", "auth.py", agent="helper")
    run, tries = b.store.txn, count()

    async def run_after_a_release(txn: Txn) -> TxnResult:
        if next(tries) == 1:  # the first has looked
            await b.release("alice", "auth.py", share)
        return await run(txn)

    monkeypatch.setattr(b.store, "txn", run_after_a_release)

    assert isinstance(await b.acquire("alice", "auth.py", mode=SHARED), Held)


async def test_a_subagent_shares_beside_its_main_thread(b: Bench) -> None:
    mine = await b.token("alice", "auth.py", mode=SHARED)
    helpers = await b.token("alice", "auth.py", agent="helper", mode=SHARED)

    assert mine == await b.token("alice", "auth.py", mode=SHARED)
    assert helpers == await b.token("alice", "auth.py", agent="helper", mode=SHARED)
    shares = {(it.fact.claimant.agent, it.fact.token) for it in b.view.snapshot().locks}
    assert {("", mine), ("helper", helpers)} == shares
    assert await b.release("alice", "auth.py", mine)
    assert isinstance(await b.acquire("bob", "auth.py"), Held), "the helper shares it still"
    assert await b.release("alice", "auth.py", helpers)
    assert isinstance(await b.acquire("bob", "auth.py"), Granted)


async def test_a_share_is_released_by_its_token(b: Bench) -> None:
    first = await b.token("alice", "auth.py", mode=SHARED)
    second = await b.token("bob", "auth.py", mode=SHARED)

    assert await b.release("alice", "auth.py", first, request="once")
    assert await b.release("alice", "auth.py", first, request="once")
    assert isinstance(await b.acquire("carol", "auth.py"), Held)
    assert await b.release("bob", "auth.py", second)
    assert isinstance(await b.acquire("carol", "auth.py"), Granted)


async def test_two_branches_may_hold_one_path(b: Bench) -> None:
    await b.token("alice", "auth.py", scope=BRANCH, branch="main")

    assert isinstance(await b.acquire("bob", "auth.py", scope=BRANCH, branch="topic"), Granted)
    assert isinstance(await b.acquire("carol", "auth.py", scope=BRANCH, branch="main"), Held)
    assert isinstance(await b.acquire("carol", "auth.py"), Held), "every branch is both of them"


@pytest.mark.parametrize("path", ["queue", "branches", "shares", "paths", "locks", "traces"])
async def test_a_file_may_have_the_name_of_a_part_of_the_layout(b: Bench, path: str) -> None:
    token = await b.token("alice", path, scope=BRANCH, branch="main")

    assert token == await b.token("alice", path, scope=BRANCH, branch="main")
    held = await b.acquire("bob", path, scope=BRANCH, branch="main", enqueue=True)
    assert isinstance(held, Held)
    (conflict,) = held.conflicts
    assert isinstance(conflict.by, LockFact)
    assert 1 == conflict.place
    shared = await b.token("carol", f"other/{path}", mode=SHARED)
    assert shared == await b.token("carol", f"other/{path}", mode=SHARED)


async def test_a_lock_of_every_branch_excludes_that_of_one(b: Bench) -> None:
    await b.token("alice", "auth.py")

    assert isinstance(await b.acquire("bob", "auth.py", scope=BRANCH, branch="topic"), Held)


async def test_without_a_branch_it_is_every_branch(b: Bench) -> None:
    await b.token("alice", "auth.py", scope=BRANCH, branch="")

    assert isinstance(await b.acquire("bob", "auth.py", scope=BRANCH, branch="topic"), Held)
    assert "alice" == await b.holder("auth.py")


async def test_a_lock_ends_when_it_has_lasted_long_enough_however_it_is_used(b: Bench) -> None:
    await b.token("alice", "auth.py", lasts_ms=60_000, lock_timeout_ms=1_000_000)
    b.clock.advance(59)
    await Reaper(b.coordinator).sweep()
    assert isinstance(await b.acquire("bob", "auth.py"), Held)
    b.clock.advance(2)

    assert isinstance(await b.acquire("bob", "auth.py"), Granted)
    assert "lasted" in [line.kind for line in await b.history()]


async def test_a_lock_with_an_end_is_not_idle_before_it(b: Bench) -> None:
    terms: dict[str, Any] = {"lasts_ms": 7_200_000, "lock_timeout_ms": 3_900_000}
    await b.acquire("alice", "auth.py", **terms)
    await b.reserve("alice", "src/**", **terms)
    b.clock.advance(7_100)
    await Reaper(b.coordinator).sweep()
    assert isinstance(await b.acquire("bob", "auth.py"), Held)
    assert isinstance(await b.acquire("bob", "src/a.py"), Held)
    b.clock.advance(101)

    assert isinstance(await b.acquire("bob", "auth.py", "src/a.py"), Granted)


async def test_a_share_is_never_idle_for_nothing_shows_its_use(b: Bench) -> None:
    await b.acquire("alice", "auth.py", mode=SHARED, lock_timeout_ms=60_000)
    await b.reserve("alice", "src/**", mode=SHARED, lock_timeout_ms=60_000)
    b.clock.advance(61)
    await Reaper(b.coordinator).sweep()

    assert isinstance(await b.acquire("bob", "auth.py"), Held)
    assert isinstance(await b.acquire("bob", "src/a.py"), Held)


async def test_a_pattern_that_is_used_outlives_its_timeout_and_an_unused_one_does_not(
    b: Bench,
) -> None:
    used = await b.reserve("alice", "src/**", lock_timeout_ms=60_000)
    assert isinstance(used, Granted)
    await b.reserve("alice", "doc/**", lock_timeout_ms=60_000)
    b.clock.advance(50)
    touched = ((LockName.of("src/**"), used.tokens[0]),)
    beat = Beat(PROJECT, SessionId("alice"), b.leases["alice"], touched=touched)
    await b.coordinator.heartbeat([beat])
    await b.settle()
    b.clock.advance(11)

    assert isinstance(await b.acquire("bob", "src/a.py"), Held)
    assert isinstance(await b.acquire("bob", "doc/a.md"), Granted)


async def test_history_tells_every_change_in_order(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await b.acquire("bob", "auth.py", enqueue=True)
    await b.breaks("auth.py", token, by="dave")
    await b.token("bob", "auth.py")
    await b.ends("bob")

    lines = [(line.kind, line.session.session_id) for line in await b.history()][3:]

    assert [
        ("granted", "alice"),
        ("waiting", "bob"),
        ("broken", "alice"),
        ("granted", "bob"),
        ("ended", "bob"),
    ] == lines


async def test_a_store_that_lost_our_own_leases_costs_no_command(b: Bench) -> None:
    """As one that was restored from a backup."""
    token = await b.token("alice", "auth.py")
    ground = b.coordinator.ground
    await b.store.revoke(ground._traces._lease)
    assert await b.release("alice", "auth.py", token)
    (history,) = ground._retention._leases.values()
    await b.store.revoke(history._lease)

    assert isinstance(await b.acquire("bob", "auth.py"), Granted)
    assert isinstance(await b.acquire("bob", "b.py"), Granted)
