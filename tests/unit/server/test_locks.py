"""The rules of locks, carried out by a coordinator on the embedded store."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from scoord.errors import InvalidRequest, NotAllowed, SessionEnded
from scoord.ids import FencingToken, LeaseId, SessionId
from scoord.v1.locks_pb2 import LockMode, LockScope
from scoord_server.model.answers import Ended, Granted, Held, Standing
from scoord_server.model.commands import Acquire, Beat, Moved, Reserve, Terms
from scoord_server.model.facts import LockFact, LockName
from scoord_server.model.locks import holder_of, plan_touch
from scoord_server.store import keys
from scoord_server.store.port import Delete, Txn, TxnResult
from support.coordination import PROJECT, Bench, bench


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


async def test_a_free_file_is_granted_with_a_token(b: Bench) -> None:
    await b.session("alice")

    assert await b.token("alice", "auth.py") > 0


async def test_a_file_held_by_another_is_an_answer_that_names_the_holder(b: Bench) -> None:
    await b.session("alice")
    await b.session("bob")
    token = await b.token("alice", "auth.py")

    outcome = await b.acquire("bob", "auth.py")

    assert isinstance(outcome, Held)
    (conflict,) = outcome.conflicts
    assert isinstance(conflict.by, LockFact)
    assert conflict.by.record.holder.session_id == "alice"
    assert conflict.by.record.reason == "alice works"
    assert conflict.by.token == token


async def test_what_i_hold_is_granted_again_with_the_same_token(b: Bench) -> None:
    await b.session("alice")

    assert await b.token("alice", "auth.py") == await b.token("alice", "auth.py")


async def test_other_case_is_the_same_lock(b: Bench) -> None:
    await b.session("alice")
    await b.session("bob")
    await b.token("alice", "src/Auth.py")

    assert isinstance(await b.acquire("bob", "SRC/auth.PY"), Held)


async def test_a_repeated_request_returns_the_same_token(b: Bench) -> None:
    await b.session("alice")

    first = await b.token("alice", "auth.py", request="again")
    second = await b.token("alice", "auth.py", request="again")

    assert first == second


async def test_several_files_are_taken_all_or_none(b: Bench) -> None:
    await b.session("alice")
    await b.session("bob")
    await b.token("alice", "b.py")

    outcome = await b.acquire("bob", "a.py", "b.py", "c.py")

    assert isinstance(outcome, Held)
    assert ["b.py"] == [conflict.name.shown for conflict in outcome.conflicts]
    assert "" == await b.holder("a.py")
    assert "" == await b.holder("c.py")


async def test_several_files_of_which_some_are_mine_are_granted(b: Bench) -> None:
    await b.session("alice")
    mine = await b.token("alice", "b.py")

    outcome = await b.acquire("alice", "a.py", "b.py")

    assert isinstance(outcome, Granted)
    assert outcome.tokens[1] == mine
    assert outcome.tokens[0] > mine


async def test_one_file_named_twice_has_one_token(b: Bench) -> None:
    await b.session("alice")

    outcome = await b.acquire("alice", "a.py", "b.py", "A.py")

    assert isinstance(outcome, Granted)
    assert outcome.tokens[0] == outcome.tokens[2]


async def test_an_acquire_of_nothing_is_refused(b: Bench) -> None:
    await b.session("alice")

    with pytest.raises(InvalidRequest):
        await b.acquire("alice")


async def test_tokens_rise_with_every_grant(b: Bench) -> None:
    await b.session("alice")
    await b.session("bob")
    tokens = []
    for name in ("alice", "bob", "alice"):
        token = await b.token(name, "auth.py")
        tokens.append(token)
        assert await b.release(name, "auth.py", token)

    assert sorted(set(tokens)) == tokens


async def test_sixteen_sessions_race_and_one_wins(b: Bench) -> None:
    names = [f"s{i}" for i in range(16)]
    for name in names:
        await b.session(name)

    outcomes = await asyncio.gather(*(b.acquire(name, "auth.py", enqueue=True) for name in names))

    assert 1 == sum(isinstance(outcome, Granted) for outcome in outcomes)
    places = sorted(o.conflicts[0].place for o in outcomes if isinstance(o, Held))
    assert list(range(1, 16)) == places


async def test_a_later_call_keeps_the_place_in_the_queue(b: Bench) -> None:
    for name in ("alice", "bob", "carol"):
        await b.session(name)
    await b.token("alice", "auth.py")
    await b.acquire("bob", "auth.py", enqueue=True)
    await b.acquire("carol", "auth.py", enqueue=True)

    outcome = await b.acquire("bob", "auth.py", enqueue=True)

    assert isinstance(outcome, Held)
    assert 1 == outcome.conflicts[0].place


async def test_a_granted_waiter_leaves_the_queue(b: Bench) -> None:
    for name in ("alice", "bob", "carol"):
        await b.session(name)
    token = await b.token("alice", "auth.py")
    await b.acquire("bob", "auth.py", enqueue=True)
    await b.acquire("carol", "auth.py", enqueue=True)
    await b.release("alice", "auth.py", token)
    await b.token("bob", "auth.py")

    outcome = await b.acquire("carol", "auth.py", enqueue=True)

    assert isinstance(outcome, Held)
    assert 1 == outcome.conflicts[0].place


async def test_a_late_holder_cannot_free_anothers_lock(b: Bench) -> None:
    await b.session("alice")
    await b.session("bob")
    old = await b.token("alice", "auth.py")
    await b.release("alice", "auth.py", old)
    await b.token("bob", "auth.py")

    await b.release("alice", "auth.py", old)
    assert "bob" == await b.holder("auth.py")


async def test_nor_can_it_by_a_view_that_still_shows_its_own(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await b.session("alice")
    await b.session("bob")
    old = await b.token("alice", "auth.py")
    seen = b.view.grant(PROJECT, "auth.py", old)
    assert seen is not None
    await b.release("alice", "auth.py", old)
    await b.token("bob", "auth.py")
    monkeypatch.setattr(b.view, "grant", lambda *_: seen)

    await b.release("alice", "auth.py", old)
    assert isinstance(await b.breaks("auth.py", old), Standing)
    assert "bob" == await b.holder("auth.py")


async def test_a_repeated_release_returns_its_first_answer(b: Bench) -> None:
    await b.session("alice")
    await b.session("bob")
    token = await b.token("alice", "auth.py")
    await b.release("alice", "auth.py", token, request="once")

    assert await b.release("alice", "auth.py", token, request="once")
    await b.token("bob", "auth.py")
    await b.release("alice", "auth.py", token, request="twice")
    assert "bob" == await b.holder("auth.py")


async def test_nobody_releases_anothers_lock(b: Bench) -> None:
    await b.session("alice")
    await b.session("bob")
    token = await b.token("alice", "auth.py")

    with pytest.raises(NotAllowed):
        await b.release("bob", "auth.py", token)

    assert "alice" == await b.holder("auth.py")


async def test_a_lock_is_broken_only_while_the_grant_that_was_seen_stands(b: Bench) -> None:
    await b.session("alice")
    await b.session("bob")
    seen = await b.token("alice", "auth.py")

    assert Ended() == await b.breaks("auth.py", seen)
    await b.token("bob", "auth.py")
    outcome = await b.breaks("auth.py", seen, by="dave")

    assert isinstance(outcome, Standing)
    assert outcome.current is not None
    assert "bob" == outcome.current.record.holder.session_id
    assert "bob" == await b.holder("auth.py")


async def test_a_repeated_break_gets_its_first_answer_whoever_was_granted_the_file_since(
    b: Bench,
) -> None:
    await b.session("alice")
    await b.session("bob")
    seen = await b.token("alice", "auth.py")

    assert Ended() == await b.breaks("auth.py", seen, request="once")
    await b.token("bob", "auth.py")

    assert Ended() == await b.breaks("auth.py", seen, request="once")
    assert "bob" == await b.holder("auth.py"), "nothing else is broken by it"


async def test_breaking_a_free_file_breaks_nothing(b: Bench) -> None:
    assert Standing(None) == await b.breaks("auth.py", FencingToken(0))


async def test_two_subagents_of_one_session_do_not_share_a_lock(b: Bench) -> None:
    await b.session("alice")
    await b.token("alice", "auth.py", agent="first")

    assert isinstance(await b.acquire("alice", "auth.py", agent="second"), Held)
    assert isinstance(await b.acquire("alice", "auth.py"), Held)


async def test_a_subagent_takes_over_what_its_main_thread_holds(b: Bench) -> None:
    await b.session("alice")
    token = await b.token("alice", "auth.py")

    assert token == await b.token("alice", "auth.py", agent="first")
    assert isinstance(await b.acquire("alice", "auth.py", agent="second"), Held)


async def test_a_subagent_takes_over_a_lock_of_every_branch_as_it_is(b: Bench) -> None:
    """It was taken while no branch was checked out; another beside it would make two holders."""
    await b.session("alice")
    await b.session("bob")
    branches: dict[str, Any] = {"scope": LockScope.LOCK_SCOPE_BRANCH}
    token = await b.token("alice", "auth.py", branch="", **branches)

    outcome = await b.acquire("alice", "auth.py", agent="a1", branch="main", **branches)

    assert isinstance(outcome, Granted)
    assert [token] == [seen.fact.token for seen in b.view.snapshot().locks]
    assert isinstance(await b.acquire("bob", "auth.py", branch="feature", **branches), Held)


async def test_a_subagent_on_every_branch_ends_what_its_main_thread_has_on_some(b: Bench) -> None:
    """Its worktree has no branch checked out: both would write the file on those."""
    await b.session("alice")
    branches: dict[str, Any] = {"scope": LockScope.LOCK_SCOPE_BRANCH}
    for name in "ab":
        await b.token("alice", "auth.py", branch=name, **branches)
    shared = await b.token(
        "alice", "util.py", branch="a", mode=LockMode.LOCK_MODE_SHARED, **branches
    )

    token = await b.token("alice", "auth.py", agent="a1", branch="", **branches)
    beside = await b.token("alice", "util.py", agent="a1", branch="", **branches)

    tokens = [seen.fact.token for seen in b.view.snapshot().locks]
    assert sorted([token, shared, beside]) == sorted(tokens)
    assert isinstance(await b.acquire("alice", "auth.py", branch="a", **branches), Held)


async def test_what_a_session_has_on_another_branch_stands(b: Bench) -> None:
    """A command of before a switch may come late: its session believes in the later grant."""
    await b.session("alice")
    branches: dict[str, Any] = {"scope": LockScope.LOCK_SCOPE_BRANCH}
    tokens = [await b.token("alice", "auth.py", branch=name, **branches) for name in "ab"]
    assert tokens == [seen.fact.token for seen in b.view.snapshot().locks]

    on_all = await b.token("alice", "auth.py", branch="", **branches)

    assert [on_all] == [seen.fact.token for seen in b.view.snapshot().locks]


async def test_two_subagents_race_for_what_their_main_thread_holds(b: Bench) -> None:
    await b.session("alice")
    await b.token("alice", "auth.py")

    outcomes = await asyncio.gather(
        *(b.acquire("alice", "auth.py", agent=f"a{i}") for i in range(8))
    )

    assert 1 == sum(isinstance(outcome, Granted) for outcome in outcomes)


async def test_what_its_main_thread_gives_back_meanwhile_goes_to_who_waited(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_main: dict[str, Any] = {"scope": LockScope.LOCK_SCOPE_BRANCH, "branch": "main"}
    await b.session("alice")
    await b.session("bob")
    token = await b.token("alice", "auth.py", **on_main)
    await b.acquire("bob", "auth.py", enqueue=True, **on_main)
    txn, tries = b.store.txn, count()

    async def txn_after_release(plan: Txn) -> TxnResult:
        if next(tries) == 1:  # the first finds out that its main thread has it
            assert await b.release("alice", "auth.py", token)
        return await txn(plan)

    monkeypatch.setattr(b.store, "txn", txn_after_release)

    assert isinstance(await b.acquire("alice", "auth.py", agent="first", **on_main), Held)


async def test_what_a_subagent_took_over_meanwhile_is_not_granted_to_its_main_thread(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The take-over keeps the token: only the mod revision tells of it."""
    await b.session("alice")
    await b.token("alice", "auth.py")
    txn, tries = b.store.txn, count()

    async def txn_after_take_over(plan: Txn) -> TxnResult:
        if next(tries) == 1:  # the first finds out that the main thread has it
            await b.token("alice", "auth.py", agent="helper")
        return await txn(plan)

    monkeypatch.setattr(b.store, "txn", txn_after_take_over)

    assert isinstance(await b.acquire("alice", "auth.py"), Held)


async def test_a_session_that_ended_gets_nothing(b: Bench) -> None:
    await b.session("alice")
    await b.ends("alice")

    with pytest.raises(SessionEnded):
        await b.acquire("alice", "auth.py")


async def test_an_unregistered_session_gets_nothing(b: Bench) -> None:
    b.leases["nobody"] = LeaseId(7)

    with pytest.raises(SessionEnded):
        await b.acquire("nobody", "auth.py")

    assert "" == await b.holder("auth.py")


async def test_an_unused_lock_is_taken_away_when_another_wants_it(b: Bench) -> None:
    await b.session("alice")
    await b.session("bob")
    await b.acquire("alice", "auth.py", lock_timeout_ms=60_000)

    b.clock.advance(59)
    assert isinstance(await b.acquire("bob", "auth.py"), Held)
    await b.coordinator.heartbeat([])
    b.clock.advance(2)

    assert isinstance(await b.acquire("bob", "auth.py"), Granted)


async def test_what_another_has_by_now_is_not_taken_away_for_the_time_of_the_one_before(
    b: Bench,
) -> None:
    await b.session("alice")
    await b.session("bob")
    token = await b.token("alice", "auth.py", lasts_ms=60_000)
    b.clock.advance(61)
    (seen,) = b.view.snapshot().locks
    await b.release("alice", "auth.py", token)
    await b.token("bob", "auth.py")

    assert "lasted" == seen.overdue(b.clock.now())
    assert not await b.coordinator.locks.end_overdue(seen)
    assert "bob" == await b.holder("auth.py")


async def test_what_was_used_since_it_was_seen_is_not_taken_away_for_being_idle(
    b: Bench,
) -> None:
    await b.session("alice")
    token = await b.token("alice", "auth.py", lock_timeout_ms=60_000)
    b.clock.advance(61)
    (seen,) = b.view.snapshot().locks
    used = ((LockName.of("auth.py"), token),)
    await b.coordinator.heartbeat(
        [Beat(PROJECT, SessionId("alice"), b.leases["alice"], touched=used)]
    )

    assert "idle" == seen.overdue(b.clock.now())
    assert not await b.coordinator.locks.end_overdue(seen)
    assert "alice" == await b.holder("auth.py")


async def moves(b: Bench, path: str, token: FencingToken, branch: str = "topic") -> None:
    """Alice has ``branch`` checked out, and another commit."""
    moved = (Moved(LockName.of(path), token, branch, "c2"),)
    beat = Beat(PROJECT, SessionId("alice"), b.leases["alice"], moved=moved)
    await b.coordinator.heartbeat([beat])
    await b.settle()


def where(b: Bench) -> list[tuple[str, str, int]]:
    """On which branch and commit each lock is, and its token."""
    facts = [seen.fact for seen in b.view.snapshot().locks]
    return [(f.record.holder.branch, f.record.holder.commit, f.token) for f in facts]


async def test_a_lock_says_what_its_holder_has_checked_out_by_now(b: Bench) -> None:
    await b.session("alice")
    await b.session("bob")
    token = await b.token("alice", "auth.py", branch="main", commit="c1")
    assert [("main", "c1", token)] == where(b)

    await moves(b, "auth.py", token)

    assert [("topic", "c2", token)] == where(b)
    outcome = await b.acquire("bob", "auth.py")
    assert isinstance(outcome, Held)
    assert "topic" == holder_of(outcome.conflicts[0].by).branch


async def test_a_pattern_says_so_too(b: Bench) -> None:
    await b.session("alice")
    outcome = await b.reserve("alice", "src/**", branch="main", commit="c1")
    assert isinstance(outcome, Granted)
    (token,) = outcome.tokens

    await moves(b, "src/**", token)

    assert [("topic", "c2", token)] == where(b)


async def test_a_lock_of_one_branch_stays_there(b: Bench) -> None:
    await b.session("alice")
    await b.session("bob")
    on_main: Any = {"scope": LockScope.LOCK_SCOPE_BRANCH, "branch": "main", "commit": "c1"}
    token = await b.token("alice", "auth.py", **on_main)

    await moves(b, "auth.py", token)

    assert [("main", "c2", token)] == where(b)
    assert isinstance(await b.acquire("bob", "auth.py", **on_main), Held)


async def test_a_move_that_is_known_is_not_written_again(b: Bench) -> None:
    await b.session("alice")
    token = await b.token("alice", "auth.py", branch="main", commit="c1")
    await moves(b, "auth.py", token)
    (before,) = b.view.snapshot().locks
    await moves(b, "auth.py", token)

    assert (before,) == b.view.snapshot().locks


async def test_a_move_is_no_use(b: Bench) -> None:
    await b.session("alice")
    token = await b.token("alice", "auth.py", lock_timeout_ms=60_000)
    b.clock.advance(50)
    await moves(b, "auth.py", token)
    b.clock.advance(11)
    (seen,) = b.view.snapshot().locks

    assert "idle" == seen.overdue(b.clock.now())
    assert await b.coordinator.locks.end_overdue(seen)


async def test_a_use_of_a_lock_that_another_has_by_now_is_not_published(b: Bench) -> None:
    await b.session("alice")
    await b.session("bob")
    token = await b.token("alice", "auth.py")
    (seen,) = b.view.snapshot().locks
    await b.release("alice", "auth.py", token)
    await b.token("bob", "auth.py")

    assert not (await b.store.txn(plan_touch(seen.fact, 1))).succeeded
    assert "bob" == await b.holder("auth.py")


async def test_a_session_that_is_gone_gets_nothing_although_its_lease_stands(b: Bench) -> None:
    await b.session("alice")
    await b.store.txn(Txn((), (Delete(keys.session(PROJECT, "alice")),)))

    with pytest.raises(SessionEnded):
        await b.acquire("alice", "auth.py")
    assert "" == await b.holder("auth.py")


async def test_a_break_is_logged_by_path_and_token_without_its_reason(
    b: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await b.session("a")
    token = await b.token("a", "x.py")
    with caplog.at_level("INFO", "scoord_server.locking"):
        await b.breaks("x.py", token)
        await b.breaks("x.py", token)
        await b.release("a", "y.py", await b.token("a", "y.py"))

    assert [f"broke the lock on x.py of {PROJECT} under token {token}"] == caplog.messages


@pytest.mark.parametrize("is_held", [False, True])
async def test_a_command_on_the_lease_before_takes_nothing_though_that_lease_lives_on(
    b: Bench, *, is_held: bool
) -> None:
    """It was on its way while its session was ended, and began anew."""
    await b.session("alice")
    asker = b.asker("alice")
    await b.session("bob")
    if is_held:
        await b.token("bob", "auth.py")
    await b.store.txn(Txn((), (Delete(keys.session(PROJECT, "alice")),)))
    await b.session("alice")
    assert asker.lease != b.leases["alice"]

    acquire = Acquire(asker, (LockName.of("auth.py"),), Terms(), enqueue=True)
    with pytest.raises(SessionEnded):
        await b.coordinator.locks.acquire(acquire)
    with pytest.raises(SessionEnded):
        await b.coordinator.locks.reserve(Reserve(asker, "lib/**", Terms()))
    await b.settle()
    seen = b.view.snapshot()
    assert () == seen.waiters
    assert ["bob"] * is_held == [lock.fact.record.holder.session_id for lock in seen.locks]
