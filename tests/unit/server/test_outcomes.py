"""What became of an acquire whose answer was not heard: asking takes nothing."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from scoord.errors import SessionEnded
from scoord.v1.locks_pb2 import LockMode
from scoord_server.model.answers import Granted, Held
from scoord_server.model.facts import WaiterFact
from support.coordination import Bench, bench, granted

SHARED = LockMode.LOCK_MODE_SHARED


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        for name in ("alice", "bob", "carol"):
            await made.session(name)
        yield made


async def asks(b: Bench, session: str, *paths: str, **options: Any) -> Granted | Held:
    """Find out about an acquire."""
    return await b.acquire(session, *paths, enqueue=True, takes_nothing=True, **options)


async def test_what_was_never_carried_out_takes_nothing(b: Bench) -> None:
    assert Held(()) == await asks(b, "alice", "a.py")

    assert "" == await b.holder("a.py")
    assert [] == [line for line in await b.history() if "a.py" in line.paths]


async def test_what_was_granted_is_told_under_its_token(b: Bench) -> None:
    token = await b.token("alice", "a.py")

    assert (token, token) == granted(await asks(b, "alice", "a.py", "A.py")).tokens


async def test_of_several_files_all_or_none_is_told_as_granted(b: Bench) -> None:
    await b.token("alice", "a.py")

    assert Held(()) == await asks(b, "alice", "a.py", "b.py")
    assert "" == await b.holder("b.py")


async def test_a_share_is_not_what_was_asked_for_alone(b: Bench) -> None:
    token = await b.token("alice", "a.py", mode=SHARED)

    assert Held(()) == await asks(b, "alice", "a.py")
    assert (token,) == granted(await asks(b, "alice", "a.py", mode=SHARED)).tokens


async def test_what_its_main_thread_has_does_not_pass_to_a_subagent(b: Bench) -> None:
    token = await b.token("alice", "a.py")

    assert Held(()) == await asks(b, "alice", "a.py", agent="agent-1")
    assert (token,) == granted(await asks(b, "alice", "a.py")).tokens


async def test_who_was_not_in_the_queue_gets_no_place(b: Bench) -> None:
    token = await b.token("alice", "a.py")

    assert Held(()) == await asks(b, "bob", "a.py")

    await b.release("alice", "a.py", token)
    assert [] == list(b.view.snapshot().waiters)


async def test_who_waits_is_told_its_place_as_it_is(b: Bench) -> None:
    await b.token("alice", "a.py")
    await b.acquire("bob", "a.py", enqueue=True)
    queued = await b.acquire("carol", "a.py", enqueue=True)

    assert queued == await asks(b, "carol", "a.py")


async def test_who_has_its_turn_keeps_it(b: Bench) -> None:
    token = await b.token("alice", "a.py")
    await b.acquire("bob", "a.py", enqueue=True)
    await b.acquire("carol", "a.py", enqueue=True)
    await b.release("alice", "a.py", token)

    outcome = await asks(b, "bob", "a.py")

    assert isinstance(outcome, Held)
    (own,) = outcome.conflicts
    assert isinstance(own.by, WaiterFact)
    assert ("bob", 1) == (own.by.record.waiter.session_id, own.place)
    assert isinstance(await b.acquire("carol", "a.py", enqueue=True), Held)
    assert isinstance(await b.acquire("bob", "a.py"), Granted)


async def test_of_a_pattern_it_is_the_same(b: Bench) -> None:
    assert Held(()) == await b.reserve("alice", "src/**", takes_nothing=True)
    assert isinstance(await b.acquire("bob", "src/b.py"), Granted)

    granted = await b.reserve("alice", "lib/**")
    assert isinstance(granted, Granted)
    assert granted == await b.reserve("alice", "lib/**", takes_nothing=True)

    shared = await b.reserve("alice", "doc/**", mode=SHARED)
    assert Held(()) == await b.reserve("alice", "doc/**", takes_nothing=True)
    assert shared == await b.reserve("alice", "doc/**", takes_nothing=True, mode=SHARED)


async def test_a_session_that_is_over_hears_so(b: Bench) -> None:
    await b.dies("alice")

    with pytest.raises(SessionEnded):
        await asks(b, "alice", "a.py")
    with pytest.raises(SessionEnded):
        await b.reserve("alice", "src/**", takes_nothing=True)
