"""Edits that relied on a lock: whether that was over by then."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from scoord.happenings import Kind
from scoord.ids import FencingToken
from scoord_server.coordinator import Coordinator
from scoord_server.model.answers import Granted
from scoord_server.model.commands import Report
from scoord_server.model.facts import LockName
from scoord_server.past import Past
from scoord_server.reaper import Reaper
from support.coordination import Bench, bench

AUTH = LockName.of("auth.py")


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        for name in ("alice", "bob"):
            await made.session(name)
        yield made


async def passes(b: Bench, seconds: int = 2) -> None:
    """Time goes by, in which the store is heard."""
    for number in range(seconds):
        b.clock.advance(1)
        await b.session(f"other{number}-{b.clock.now()}")


async def relied(
    b: Bench, token: FencingToken, ago_s: float, session: str = "alice"
) -> list[str] | None:
    """Whom an edit met that relied on a grant; None where nothing was recorded."""
    before = len(await b.history())
    command = Report(
        b.asker(session), AUTH, Kind.UNPROTECTED, token, ago_ms=round(1000 * ago_s), relied=True
    )
    met = await b.coordinator.reporting.report(command)
    await b.settle()
    recorded = [line.kind for line in (await b.history())[before:]]
    assert recorded in ([], ["unprotected"])
    return [trace.holder.session_id for trace in met] if recorded else None


async def test_an_edit_after_its_lock_was_broken_is_told_to_both(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await b.breaks("auth.py", token)
    await b.token("bob", "auth.py")
    await passes(b)

    assert ["bob"] == await relied(b, token, 1)
    assert ["bob"] == [notice.session for notice in b.view.snapshot().notices]


async def test_an_edit_before_its_lock_was_broken_is_no_overlap(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await passes(b)
    await b.breaks("auth.py", token)
    await b.token("bob", "auth.py")

    assert await relied(b, token, 1) is None
    assert () == b.view.snapshot().notices


async def test_an_edit_under_a_lock_that_stands_is_no_overlap(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await passes(b)

    assert await relied(b, token, 1) is None


async def test_who_gave_it_back_had_it_until_then_even_in_doubt(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await b.release("alice", "auth.py", token)

    assert await relied(b, token, 3_600) is None


async def test_it_is_known_although_the_next_grant_covers_the_break(b: Bench) -> None:
    """Who broke it asks only after the edit; by then nothing at the file tells of the break."""
    token = await b.token("alice", "auth.py")
    await b.breaks("auth.py", token)
    await passes(b)
    await b.token("bob", "auth.py")

    assert ["bob"] == await relied(b, token, 1)


@pytest.mark.parametrize("paths", [("auth.py",), ("auth.py", "b.py")])
async def test_when_it_was_taken_as_idle_is_known_although_others_had_it_since(
    b: Bench, paths: tuple[str, ...]
) -> None:
    """Files of one command have one token, and each an end of its own."""
    outcome = await b.acquire("alice", *paths, lock_timeout_ms=2_000)
    assert isinstance(outcome, Granted)
    token = outcome.tokens[0]
    await passes(b)
    b.clock.advance(10)
    await Reaper(b.coordinator).sweep()
    await passes(b)
    for name in ("bob", "carol"):
        await b.session(name)
        await b.release(name, "auth.py", await b.token(name, "auth.py"))
    await passes(b)

    assert await relied(b, token, 13) is None, "idle since then"
    assert await relied(b, token, 3) is not None


async def test_the_break_of_another_file_of_the_same_command_is_not_its_own(b: Bench) -> None:
    outcome = await b.acquire("alice", "auth.py", "b.py")
    assert isinstance(outcome, Granted)
    token = outcome.tokens[0]
    await b.breaks("b.py", token)
    await passes(b)
    await b.breaks("auth.py", token)

    assert await relied(b, token, 1) is None


async def test_what_this_replica_did_not_follow_is_told_in_doubt(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await passes(b)
    await b.breaks("auth.py", token)
    await b.token("bob", "auth.py")
    later = Coordinator(b.store, b.view, b.clock)
    later.ground.view.past = Past()

    assert ["bob"] == await relied(replace(b, coordinator=later), token, 1)


async def test_a_watch_that_is_late_makes_no_end_later_than_an_edit(b: Bench) -> None:
    """What it brings only now had happened before."""
    token = await b.token("alice", "auth.py")
    revision = b.view.revision
    await b.breaks("auth.py", token)
    await b.token("bob", "auth.py")
    await passes(b)
    b.view.past.seen(b.clock.now() - 0.5, revision)

    assert ["bob"] == await relied(b, token, 1)
