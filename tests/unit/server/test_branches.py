"""One session that has, or waits for, a path on two branches: it may have two worktrees."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from scoord.errors import InvalidRequest
from scoord.ids import FencingToken
from scoord.limits import MOST_PATHS
from scoord.v1.locks_pb2 import LockMode, LockScope
from scoord_server.model.answers import Granted, Held, Standing
from scoord_server.rpc import messages
from scoord_server.store import keys
from scoord_server.store.port import Delete, Put, Txn
from support.coordination import PROJECT, Bench, bench

BRANCH = LockScope.LOCK_SCOPE_BRANCH
SHARED = LockMode.LOCK_MODE_SHARED


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        for name in ("alice", "bob", "carol", "dave", "erin"):
            await made.session(name)
        yield made


def on(branch: str) -> dict[str, Any]:
    return {"scope": BRANCH, "branch": branch}


async def place(b: Bench, session: str, branch: str, path: str = "a.py") -> int:
    """Ask for a file that is held; the place in its queue."""
    outcome = await b.acquire(session, path, enqueue=True, **on(branch))
    assert isinstance(outcome, Held)
    (conflict,) = outcome.conflicts
    return conflict.place


async def gets(b: Bench, session: str, branch: str, path: str = "a.py") -> bool:
    return isinstance(await b.acquire(session, path, enqueue=True, **on(branch)), Granted)


async def test_a_place_on_one_branch_is_none_on_another(b: Bench) -> None:
    on_main = await b.token("alice", "a.py", **on("main"))
    on_topic = await b.token("bob", "a.py", **on("topic"))
    assert 1 == await place(b, "carol", "main")
    assert 1 == await place(b, "dave", "topic")
    assert 2 == await place(b, "erin", "main")

    assert 2 == await place(b, "carol", "topic"), "behind dave"
    assert 1 == await place(b, "carol", "main"), "as before"

    await b.release("bob", "a.py", on_topic)
    assert not await gets(b, "carol", "topic")
    assert await gets(b, "dave", "topic")
    await b.release("alice", "a.py", on_main)
    assert not await gets(b, "erin", "main")
    assert await gets(b, "carol", "main")
    assert 2 == await place(b, "erin", "topic"), "carol still waits there"


async def test_a_place_for_every_branch_is_one_on_each(b: Bench) -> None:
    token = await b.token("alice", "a.py")
    assert isinstance(await b.acquire("carol", "a.py", enqueue=True), Held)
    await place(b, "dave", "topic")
    await b.release("alice", "a.py", token)

    assert not await gets(b, "dave", "topic")
    assert await gets(b, "carol", "topic")


async def test_a_lock_counts_whom_it_keeps_waiting_not_who_waits_on_another_branch(
    b: Bench,
) -> None:
    for branch, holder in (("main", "alice"), ("topic", "bob")):
        await b.token(holder, "a.py", **on(branch))
    await place(b, "carol", "main")
    await place(b, "dave", "main")
    await b.acquire("erin", "a.py", enqueue=True)
    await b.settle()

    listed = messages.locks(b.view.snapshot(), PROJECT, b.clock)

    assert {"main": 3, "topic": 1} == {lock.holder.branch: lock.waiters for lock in listed}


async def test_who_waits_is_listed_at_the_place_that_it_was_told(b: Bench) -> None:
    """Not one is counted that it does not wait for: on another branch, or of its own session."""
    for branch, holder in (("main", "alice"), ("topic", "bob")):
        await b.token(holder, "a.py", **on(branch))
    asked = [("carol", "main"), ("dave", "topic"), ("erin", "main"), ("carol", "topic")]
    told = {(session, branch): await place(b, session, branch) for session, branch in asked}
    outcome = await b.acquire("erin", "a.py", enqueue=True, agent="agent-1")
    assert isinstance(outcome, Held)
    told["erin", ""] = outcome.conflicts[0].place
    await b.settle()

    waiters = messages.waiters(b.view.snapshot(), PROJECT, b.clock)

    listed = {(one.holder.session_id, one.holder.branch): one.place for one in waiters}
    assert told == listed
    assert [1, 1, 2, 2, 4] == sorted(listed.values())


async def test_one_of_two_places_is_given_up(b: Bench) -> None:
    for branch, holder in (("main", "alice"), ("topic", "bob")):
        await b.token(holder, "a.py", **on(branch))
        await place(b, "carol", branch)

    await b.leaves("carol", "a.py", branch="main")

    assert 1 == await place(b, "dave", "main")
    assert 2 == await place(b, "dave", "topic")


async def test_what_is_granted_on_every_branch_ends_all_places_of_its_holder(b: Bench) -> None:
    for branch, holder in (("main", "alice"), ("topic", "bob")):
        token = await b.token(holder, "a.py", **on(branch))
        await place(b, "carol", branch)
        await b.release(holder, "a.py", token)

    await b.token("carol", "a.py")

    assert not [key for key in await _keys(b) if keys.waits(key)]


async def test_a_place_of_an_older_program_is_kept(b: Bench) -> None:
    await b.token("alice", "a.py", **on("main"))
    await place(b, "bob", "main")
    key = keys.waiter(PROJECT, "a.py", "bob", "", "main")
    ((kv,), before) = ((await b.store.range(key)).kvs, keys.waiter(PROJECT, "a.py", "bob", ""))
    await b.store.txn(Txn((), (Delete(key), Put(before, kv.value, kv.lease))))
    assert 2 == await place(b, "carol", "main")

    assert 1 == await place(b, "bob", "main")

    assert before in await _keys(b)
    assert key not in await _keys(b)


async def test_who_has_a_file_on_another_branch_overtakes_nobody(b: Bench) -> None:
    await b.token("alice", "a.py", **on("main"))
    token = await b.token("bob", "a.py", **on("topic"))
    await place(b, "carol", "topic")
    await b.release("bob", "a.py", token)

    assert not await gets(b, "alice", "topic")
    assert await gets(b, "carol", "topic")


async def test_who_waits_for_every_branch_waits_for_one_that_has_it_on_some(b: Bench) -> None:
    await b.token("alice", "a.py", **on("main"))
    assert isinstance(await b.acquire("carol", "a.py", enqueue=True), Held)

    assert await gets(b, "alice", "topic"), "she would wait for one who waits for her"


async def test_a_pattern_on_another_branch_overtakes_nobody(b: Bench) -> None:
    on_main = await b.reserve("alice", "src/**", **on("main"))
    token = await b.token("bob", "src/a.py", **on("topic"))
    await place(b, "carol", "topic", "src/a.py")
    await b.release("bob", "src/a.py", token)

    assert isinstance(await b.reserve("alice", "src/**", **on("topic")), Held)
    assert await gets(b, "carol", "topic", "src/a.py")
    assert on_main == await b.reserve("alice", "src/**", **on("main"))


async def test_a_pattern_is_held_on_each_branch_that_it_was_taken_on(b: Bench) -> None:
    on_main = await b.reserve("alice", "src/**", **on("main"))
    on_topic = await b.reserve("alice", "src/**", **on("topic"))

    assert isinstance(on_main, Granted)
    assert isinstance(on_topic, Granted)
    assert on_main != on_topic
    for branch in ("main", "topic"):
        assert not await gets(b, "bob", branch, "src/a.py")
    assert await b.release("alice", "src/**", on_main.tokens[0])
    assert await gets(b, "bob", "main", "src/a.py")
    assert not await gets(b, "bob", "topic", "src/a.py")


async def test_a_pattern_of_every_branch_is_not_narrowed(b: Bench) -> None:
    everywhere = await b.reserve("alice", "src/**")

    assert everywhere == await b.reserve("alice", "src/**", **on("topic"))
    assert not await gets(b, "bob", "main", "src/a.py")


async def test_a_pattern_of_every_branch_is_asked_for_past_who_waits_for_that_of_one(
    b: Bench,
) -> None:
    await b.reserve("alice", "src/**", **on("main"))
    await place(b, "carol", "main", "src/a.py")

    assert isinstance(await b.reserve("alice", "src/**"), Granted)


async def test_a_share_is_had_on_each_branch_that_it_was_taken_on(b: Bench) -> None:
    tokens = {
        branch: await b.token("alice", "a.py", mode=SHARED, **on(branch))
        for branch in ("main", "topic")
    }

    for branch in tokens:
        assert isinstance(await b.acquire("bob", "a.py", **on(branch)), Held)
    assert await b.release("alice", "a.py", tokens["main"])
    assert await gets(b, "bob", "main")
    assert isinstance(await b.acquire("carol", "a.py", **on("topic")), Held)


async def _keys(b: Bench) -> list[bytes]:
    kvs = (await b.store.range(keys.root_prefix(), keys.root_prefix() + b"\xff")).kvs
    return [kv.key for kv in kvs]


async def test_of_shares_on_branches_that_are_too_many_to_end_at_once_is_said_what_to_do(
    b: Bench,
) -> None:
    paths = [f"{number}.py" for number in range(MOST_PATHS)]
    for branch in ("main", "topic", "mend"):
        await b.acquire("alice", *paths, mode=SHARED, **on(branch))

    with pytest.raises(InvalidRequest, match=r"^30 files, .*; ask for fewer files at once$"):
        await b.acquire("alice", *paths)

    half = MOST_PATHS // 2
    assert isinstance(await b.acquire("alice", *paths[:half]), Granted)
    assert isinstance(await b.acquire("alice", *paths[half:]), Granted)


@pytest.mark.parametrize(("checked_out", "named"), [("a", "alice"), ("b", "bob"), ("c", "alice")])
async def test_of_two_locks_the_one_on_the_branch_of_who_asks_is_shown_to_be_broken(
    b: Bench, checked_out: str, named: str
) -> None:
    for session, branch in (("alice", "a"), ("bob", "b")):
        await b.acquire(session, "a.py", **on(branch))

    outcome = await b.breaks("a.py", FencingToken(0), on=checked_out)

    assert isinstance(outcome, Standing)
    assert outcome.current is not None
    assert named == outcome.current.record.holder.session_id
