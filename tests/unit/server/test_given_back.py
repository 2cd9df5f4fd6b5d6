"""What a release is answered, also when it is repeated, and the lines that ends leave."""

from collections.abc import AsyncIterator

import pytest

from scoord.happenings import Kind
from scoord.v1.locks_pb2 import LockMode
from scoord_server.model.answers import Ended, GivenBack, Granted, Standing
from scoord_server.model.facts import LockName
from scoord_server.sweeping import Sweeping
from support.coordination import CLAIM_MS, Bench, bench


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        for name in ("alice", "bob"):
            await made.session(name)
        yield made


async def test_a_repeated_release_is_no_loss_when_somebody_else_was_granted_the_file_since(
    b: Bench,
) -> None:
    token = await b.token("alice", "auth.py")
    await b.release("alice", "auth.py", token, request="once")
    await b.token("bob", "auth.py")

    assert await b.release("alice", "auth.py", token, request="once")
    assert "bob" == await b.holder("auth.py")


async def test_nor_when_the_store_was_full(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    b.store.full = True
    await b.release("alice", "auth.py", token, request="once")

    assert await b.release("alice", "auth.py", token, request="once")


async def test_what_was_taken_away_while_the_store_was_full_is_a_loss(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    b.store.full = True
    await b.breaks("auth.py", token)

    assert not await b.release("alice", "auth.py", token)


async def test_what_was_broken_is_a_loss_whoever_was_granted_it_since(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await b.breaks("auth.py", token)
    await b.token("bob", "auth.py")

    assert not await b.release("alice", "auth.py", token)


@pytest.mark.parametrize("mode", [LockMode.LOCK_MODE_EXCLUSIVE, LockMode.LOCK_MODE_SHARED])
async def test_what_went_with_its_lease_is_a_loss_whoever_was_granted_it_since(
    b: Bench, mode: "LockMode.ValueType"
) -> None:
    token, asker = await b.token("alice", "auth.py", mode=mode), b.asker("alice")
    await b.dies("alice")
    await b.token("bob", "auth.py", mode=mode)

    refs = [(LockName.of("auth.py"), token, False)]
    assert [GivenBack.LEASE_OVER] == await b.coordinator.locks.release(asker, refs)
    await b.session("alice")
    assert [GivenBack.LEASE_OVER] == await b.coordinator.locks.release(asker, refs)


async def test_what_ended_and_is_free_is_answered_by_how_it_ended(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await b.release("alice", "auth.py", token, request="once")

    assert await b.release("alice", "auth.py", token, request="once")
    assert await b.release("alice", "auth.py", token, request="twice")
    token = await b.token("alice", "auth.py")
    await b.breaks("auth.py", token)

    assert not await b.release("alice", "auth.py", token)


async def test_files_that_were_taken_together_each_leave_a_line_of_their_end(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = b.clock.wall_ms()
    monkeypatch.setattr(type(b.clock), "wall_ms", lambda _: now_ms)
    granted = await b.acquire("alice", "a.py", "b.py")
    assert isinstance(granted, Granted)
    names = zip(map(LockName.of, ("a.py", "b.py")), granted.tokens, (False, False), strict=True)

    await b.coordinator.locks.release(b.asker("alice"), tuple(names))

    lines = [line for line in await b.history() if line.kind == Kind.RELEASED]
    assert [["a.py"], ["b.py"]] == sorted(list(line.paths) for line in lines)


async def test_a_break_of_one_of_two_files_says_nothing_of_the_other(b: Bench) -> None:
    granted = await b.acquire("alice", "a.py", "b.py")
    assert isinstance(granted, Granted)
    (token,) = set(granted.tokens)

    assert Ended() == await b.breaks("a.py", token, request="once")
    await b.release("alice", "b.py", token)

    assert Ended() == await b.breaks("a.py", token, request="once")
    assert isinstance(await b.breaks("b.py", token, request="once"), Standing)


async def test_turns_that_were_kept_together_and_not_used_each_leave_a_line(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await b.token("alice", "a.py")
    await b.token("alice", "b.py")
    await b.acquire("bob", "a.py", "b.py", enqueue=True)
    await b.ends("alice")
    b.clock.advance(CLAIM_MS / 1000 + 1)
    now_ms = b.clock.wall_ms()
    monkeypatch.setattr(type(b.clock), "wall_ms", lambda _: now_ms)
    await Sweeping(b.coordinator).sweep()

    lines = [line for line in await b.history() if line.kind == Kind.UNUSED]
    assert [["a.py"], ["b.py"]] == sorted(list(line.paths) for line in lines), token


async def test_who_holds_several_files_by_one_command_is_told_of_an_overlap_at_each(
    b: Bench,
) -> None:
    await b.acquire("alice", "a.py", "b.py")
    for path in ("a.py", "b.py"):
        await b.acquire("bob", path, overlaps=True)

    told = [(seen.record.kind, seen.record.path) for seen in b.view.snapshot().notices]
    assert [(Kind.OVERLAP, "a.py"), (Kind.OVERLAP, "b.py")] == sorted(told)
