"""What a release is answered, also when it is repeated, and the lines that ends leave."""

from collections.abc import AsyncIterator

import pytest

from scoord.happenings import Kind
from scoord.ids import RequestId, SessionId
from scoord_server.model.answers import Ended, GivenBack, Granted, Standing
from scoord_server.model.facts import LockName
from support.coordination import PROJECT, Bench, bench


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

    again = await b.gives_back("alice", "auth.py", token, request="once")

    assert GivenBack.UNKNOWN == again
    assert "bob" == await b.holder("auth.py")


async def test_what_was_broken_is_a_loss_whoever_was_granted_it_since(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await b.breaks("auth.py", token)
    await b.token("bob", "auth.py")

    assert GivenBack.NOT_HOLDER == await b.gives_back("alice", "auth.py", token)


async def test_what_ended_and_is_free_is_answered_by_how_it_ended(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await b.release("alice", "auth.py", token, request="once")

    assert GivenBack.RELEASED == await b.gives_back("alice", "auth.py", token, request="once")
    assert GivenBack.NOT_HOLDER == await b.gives_back("alice", "auth.py", token, request="twice")


async def test_files_that_were_taken_together_each_leave_a_line_of_their_end(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = b.clock.wall_ms()
    monkeypatch.setattr(type(b.clock), "wall_ms", lambda _: now_ms)
    granted = await b.acquire("alice", "a.py", "b.py")
    assert isinstance(granted, Granted)
    names = zip(map(LockName.of, ("a.py", "b.py")), granted.tokens, (False, False), strict=True)

    await b.coordinator.locks.release(RequestId("both"), PROJECT, SessionId("alice"), tuple(names))

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
