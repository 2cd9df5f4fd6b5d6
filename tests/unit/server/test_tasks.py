"""The team's backlog, and who is offered what of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from scoord.errors import LimitReached, SessionEnded, TaskNotFound
from scoord.ids import RequestId, SessionId
from scoord.v1.locks_pb2 import Holder
from scoord_server import farewells
from scoord_server.model import tasks as task_rules
from scoord_server.model.tasks import (
    MOST_OFFERS,
    MOST_OPEN,
    AddTasks,
    FinishTask,
    NewTask,
    Offer,
    TaskFact,
    Work,
)
from scoord_server.rpc.tasks import MAX_CANDIDATES
from scoord_server.seen import OfferGone, SeenOffer
from scoord_server.store import keys
from scoord_server.store.port import Txn, TxnResult, prefix_end
from scoord_server.view import Step
from support.coordination import PROJECT, Bench, bench, kinds

AREA, FILE, TASK = Work("area", "api"), Work("file", "a.py"), Work("task", "1")


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        for name in ("alice", "bob"):
            await made.session(name)
        yield made


async def add(b: Bench, *titles: str, request: str = "") -> tuple[TaskFact, ...]:
    name = RequestId(request) if request else b.request()
    tasks = tuple(NewTask(title, "api") for title in titles)
    return await b.coordinator.tasks.add(
        AddTasks(name, PROJECT, tasks, "alice", Holder(person="alice"))
    )


async def finish(b: Bench, task: str, by: str = "alice") -> TaskFact:
    return await b.coordinator.tasks.finish(FinishTask(b.request(), PROJECT, task, by))


async def remove(b: Bench, task: str, by: str = "alice") -> TaskFact:
    command = FinishTask(b.request(), PROJECT, task, by, removed=True)
    return await b.coordinator.tasks.finish(command)


async def listed(b: Bench) -> list[tuple[str, str, bool]]:
    tasks, _ = await b.coordinator.tasks.list(PROJECT)
    return [(fact.task_id, fact.record.title, fact.record.done) for fact in tasks]


async def offer(
    b: Bench,
    session: str,
    *works: Work,
    count: int = 1,
    request: str = "",
    lasts_s: int = 60,
    keeps_rest: bool = False,
) -> tuple[Work, ...]:
    name = RequestId(request) if request else b.request()
    command = Offer(name, PROJECT, SessionId(session), works, lasts_s, count, keeps_rest)
    return await b.coordinator.tasks.offer(command)


async def test_tasks_are_listed_oldest_first(b: Bench) -> None:
    await add(b, "write docs", "fix login")
    await add(b, "speed up")

    assert [
        ("1", "write docs", False),
        ("2", "fix login", False),
        ("3", "speed up", False),
    ] == await listed(b)


async def test_a_title_is_open_once(b: Bench) -> None:
    (first,) = await add(b, "fix login")

    again = await add(b, "Fix Login", "fix login", "other")

    assert [first.task_id, first.task_id, "2"] == [fact.task_id for fact in again]
    assert 2 == len(await listed(b))


async def test_a_title_may_come_back_when_it_is_done(b: Bench) -> None:
    await add(b, "fix login")
    await finish(b, "1")

    (task,) = await add(b, "fix login")

    assert "2" == task.task_id


async def test_a_task_that_was_removed_is_on_no_list_and_its_number_stays_taken(b: Bench) -> None:
    await add(b, "fix login", "write docs")
    await remove(b, "2")
    await remove(b, "2")

    assert [("1", "fix login", False)] == await listed(b)
    with pytest.raises(TaskNotFound):
        await finish(b, "2")
    assert ["3"] == [fact.task_id for fact in await add(b, "write docs")]


async def test_a_task_that_is_done_can_be_removed(b: Bench) -> None:
    await add(b, "fix login")
    await finish(b, "1")
    await remove(b, "1", by="bob")

    assert [] == await listed(b)


async def test_a_repeated_add_has_its_first_answer(b: Bench) -> None:
    (first,) = await add(b, "fix login", request="r")
    await finish(b, first.task_id)

    (again,) = await add(b, "fix login", request="r")

    assert first.task_id == again.task_id
    assert 1 == len(await listed(b))


async def test_the_same_title_added_at_once_is_one_task(b: Bench) -> None:
    added = await asyncio.gather(*(add(b, "fix login", f"only {n}") for n in range(8)))

    assert {"fix login"} == {facts[0].record.title for facts in added}
    assert 1 == len({facts[0].task_id for facts in added})
    assert 9 == len({fact.task_id for facts in added for fact in facts})


async def test_a_backlog_has_an_end(b: Bench) -> None:
    for start in range(0, MOST_OPEN, 100):
        await add(b, *(f"task {n}" for n in range(start, start + 100)))

    with pytest.raises(LimitReached, match="1000 open tasks"):
        await add(b, "one more")

    (known,) = await add(b, "task 7")
    assert "8" == known.task_id
    await finish(b, "1")
    await add(b, "one more")


async def test_a_finished_task_lives_as_long_as_history(b: Bench) -> None:
    await add(b, "fix login")
    done = await finish(b, "1", by="bob")

    assert (True, "bob") == (done.record.done, done.record.done_by)
    b.clock.advance(9 * 24 * 3600)
    b.store.expire()
    assert [] == await listed(b)


async def test_a_number_is_given_once_also_where_its_task_is_forgotten(b: Bench) -> None:
    await add(b, "fix login", "write docs")
    await finish(b, "2", by="bob")
    b.clock.advance(9 * 24 * 3600)
    b.store.expire()

    assert ["3", "4"] == [fact.task_id for fact in await add(b, "drop the database", "speed up")]


async def test_of_many_finished_tasks_those_that_were_finished_last_stay(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoord_server.trimming.MOST_DONE", 3)
    await add(b, *(f"task {n}" for n in range(1, 9)))
    for task in ("8", "3", "1", "5", "2", "4"):
        await finish(b, task)

    assert 3 == await b.coordinator.trimming.trim()
    assert 0 == await b.coordinator.trimming.trim()

    assert ["2", "4", "5", "6", "7"] == [task for task, *_ in await listed(b)]
    (new,) = await add(b, "one more")
    assert "9" == new.task_id, "no number is given twice"


async def test_an_open_task_stays(b: Bench) -> None:
    await add(b, "fix login")
    b.clock.advance(400 * 24 * 3600)
    b.store.expire()

    assert [("1", "fix login", False)] == await listed(b)


async def test_finished_twice_is_finished_once(b: Bench) -> None:
    await add(b, "fix login")
    await finish(b, "1", by="bob")

    assert "bob" == (await finish(b, "1", by="alice")).record.done_by
    found = [line.kind for line in await b.history()]
    assert (1, 1) == (found.count("task_added"), found.count("task_done"))


async def test_what_is_not_there_cannot_be_finished(b: Bench) -> None:
    with pytest.raises(TaskNotFound, match="no task 7"):
        await finish(b, "7")


async def test_history_says_which_task_and_who(b: Bench) -> None:
    await add(b, "fix login")
    await finish(b, "1", by="bob")

    added, done = (line for line in await b.history() if line.kind.startswith("task"))

    assert ("1 fix login", "alice", "alice") == (added.reason, added.by, added.session.person)
    assert ("1 fix login", "bob") == (done.reason, done.by)


async def test_two_are_not_offered_the_same(b: Bench) -> None:
    first, second = await asyncio.gather(
        offer(b, "alice", AREA, FILE, TASK), offer(b, "bob", AREA, FILE, TASK)
    )

    assert {(AREA,), (FILE,)} == {first, second}


async def test_many_who_ask_at_once_get_each_their_own(b: Bench) -> None:
    names = [f"s{n}" for n in range(12)]
    for name in names:
        await b.session(name)
    works = [Work("file", f"{n}.py") for n in range(12)]

    given = await asyncio.gather(*(offer(b, name, *works) for name in names))

    assert set(works) == {work for offered in given for work in offered}


async def test_when_all_is_offered_to_others_there_is_nothing(b: Bench) -> None:
    await offer(b, "alice", AREA)

    assert () == await offer(b, "bob", AREA)


async def test_a_repeated_offer_has_its_first_answer(b: Bench) -> None:
    assert (AREA,) == await offer(b, "alice", AREA, FILE, request="r")
    await offer(b, "bob", FILE)

    assert (AREA,) == await offer(b, "alice", FILE, AREA, request="r")


async def test_who_asks_again_lets_go_what_it_does_not_choose_again(b: Bench) -> None:
    await offer(b, "alice", AREA, FILE, count=2)
    await offer(b, "alice", AREA)

    assert (FILE,) == await offer(b, "bob", AREA, FILE)


@pytest.mark.parametrize("over", [Bench.ends, Bench.dies])
async def test_what_a_session_was_offered_is_free_when_it_is_over(
    b: Bench, over: Callable[[Bench, str], Awaitable[None]]
) -> None:
    await b.session("carol")
    await offer(b, "alice", AREA, FILE, count=2)
    await offer(b, "bob", TASK)
    await over(b, "alice")
    await b.coordinator.farewells.look()

    assert (AREA, FILE) == await offer(b, "carol", AREA, TASK, FILE, count=3)


async def offers_told(b: Bench) -> list[tuple[str, str, str, list[str]]]:
    told = (line for line in await b.history() if line.kind in {"offered", "withdrawn"})
    return [(ev.kind, ev.session.session_id, ev.reason, list(ev.paths)) for ev in told]


async def test_an_offer_is_a_line_when_it_is_made_not_when_it_is_kept_for_longer(b: Bench) -> None:
    await offer(b, "alice", TASK, FILE, count=2, lasts_s=120, request="r")
    await offer(b, "alice", TASK, FILE, count=2, lasts_s=120, request="r")
    await offer(b, "alice", TASK, FILE, count=2, lasts_s=120)
    await offer(b, "alice", TASK, AREA, count=2, lasts_s=60)
    await offer(b, "bob", TASK)

    assert [
        ("offered", "alice", "task 1, file a.py: for 2 min", ["a.py"]),
        ("offered", "alice", "area api: for 1 min", []),
        ("withdrawn", "alice", "file a.py: not wanted any more", ["a.py"]),
    ] == await offers_told(b)


async def leases_of_offers(b: Bench) -> dict[str, int]:
    prefix = keys.offer_prefix(PROJECT)
    kvs = (await b.store.range(prefix, prefix_end(prefix))).kvs
    return {keys.parse(kv.key).name: kv.lease for kv in kvs}


async def test_who_has_one_kept_for_longer_keeps_the_rest_for_as_long_as_was_said(
    b: Bench,
) -> None:
    await offer(b, "alice", TASK, AREA, FILE, count=3, lasts_s=120)
    before = await leases_of_offers(b)
    assert (TASK,) == await offer(b, "alice", TASK, lasts_s=120, keeps_rest=True)
    after = await leases_of_offers(b)

    assert () == await offer(b, "bob", TASK, AREA, FILE, count=3)
    assert {"task"} == {kind for kind in before if before[kind] != after[kind]}, "a new lease"
    assert ["offered"] == [told[0] for told in await offers_told(b)]


async def test_who_only_looks_is_shown_what_others_were_not_offered_and_keeps_nothing(
    b: Bench,
) -> None:
    await offer(b, "alice", TASK)
    before = await kinds(b)

    looked = await b.coordinator.tasks.offer(
        Offer(b.request(), PROJECT, SessionId("bob"), (TASK, AREA), 1, 2, keeps_nothing=True)
    )

    assert (AREA,) == looked
    assert before == await kinds(b)
    assert (AREA,) == await offer(b, "alice", AREA), "it is free for others"


async def test_lines_of_an_offer_say_what_a_task_says(b: Bench) -> None:
    """The id of a task of a file is a hash."""
    task = Work("task", "TODO.md#3be4d0bd", "round the price")
    await offer(b, "alice", task, AREA, count=2, lasts_s=120)
    await b.ends("alice")
    await b.coordinator.farewells.look()

    named = 'task TODO.md#3be4d0bd "round the price", area api'
    first, second = [reason for _, _, reason, _ in await offers_told(b)]
    assert f"{named}: for 2 min" == first
    assert {*named.split(", ")} == {*second.removesuffix(": its session is over").split(", ")}


async def test_as_much_as_can_be_offered_at_once_goes_into_one_step_with_its_lines(
    b: Bench,
) -> None:
    """Also in place of as much: what it was offered before is let go in the same step."""
    name = "s" * 400
    await b.session(name)
    for number in range(2):
        works = [Work("file", f"{number}.{n}".ljust(2048, "ä")) for n in range(MAX_CANDIDATES)]
        assert tuple(works) == await offer(b, name, *works, count=MAX_CANDIDATES)

    assert ["offered", "offered", "withdrawn"] == [told[0] for told in await offers_told(b)]


async def test_who_has_the_rest_kept_has_the_latest_of_as_many_as_there_may_be(b: Bench) -> None:
    works = [Work("file", f"{number}.py") for number in range(MOST_OFFERS + 10)]
    for first in range(0, len(works), 10):
        some = works[first : first + 10]
        assert tuple(some) == await offer(b, "alice", *some, count=10, keeps_rest=True)

    assert (*works[:10], TASK) == await offer(b, "bob", *works, TASK, count=MOST_OFFERS)


async def test_many_offers_of_one_session_are_let_go_in_steps(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands at once may keep more than there may be."""
    works = [Work("area", str(number)) for number in range(6)]
    await offer(b, "alice", *works, count=6)
    for rules in (task_rules, farewells):
        monkeypatch.setattr(rules, "MOST_OFFERS", 2)

    await offer(b, "alice", AREA)
    assert tuple(works[:2]) == await offer(b, "bob", *works, count=6)
    await b.ends("alice")
    await b.coordinator.farewells.look()

    assert {*works, AREA} == set(await offer(b, "bob", *works, AREA, count=7))
    told = [reason for kind, who, reason, _ in await offers_told(b) if kind == "withdrawn"]
    assert 4 == len(told)


@pytest.mark.parametrize("over", [Bench.ends, Bench.dies])
async def test_what_is_offered_to_one_that_is_over_is_withdrawn_by_a_line_once(
    b: Bench, over: Callable[[Bench, str], Awaitable[None]]
) -> None:
    await offer(b, "alice", AREA, lasts_s=60)
    await over(b, "alice")
    for _ in range(2):
        await b.coordinator.farewells.look()

    assert ("withdrawn", "alice", "area api: its session is over", []) == (await offers_told(b))[-1]
    assert 2 == len(await offers_told(b))


@pytest.mark.parametrize("cut_at", [0, 1])
async def test_what_it_was_offered_is_let_go_though_who_ends_it_is_cut_short(
    b: Bench, monkeypatch: pytest.MonkeyPatch, cut_at: int
) -> None:
    async def stuck(plan: Txn) -> TxnResult:
        done.append(plan)
        if len(done) > cut_at:
            await asyncio.sleep(60)
        return await run(plan)

    await offer(b, "alice", AREA, FILE, count=2)
    await b.dies("alice")
    run, done = b.store.txn, list[Txn]()
    with monkeypatch.context() as slow:
        slow.setattr(b.store, "txn", stuck)
        assert [] == await b.coordinator.farewells.look(PROJECT, 0.1)
    await b.coordinator.farewells.look(PROJECT)

    assert {} == await leases_of_offers(b)
    assert ["offered", "withdrawn"] == [told[0] for told in await offers_told(b)]


async def test_one_that_lives_again_under_its_name_keeps_what_it_is_offered(b: Bench) -> None:
    seen = b.view.session(PROJECT, SessionId("alice"))
    assert seen
    await offer(b, "alice", AREA)

    await b.coordinator.farewells._let_go(seen.fact.record)

    assert () == await offer(b, "bob", AREA)


async def test_an_offer_is_made_although_the_store_has_lost_the_lease_of_history(b: Bench) -> None:
    await b.store.revoke((await b.coordinator.ground.journal(PROJECT)).lease)

    assert (AREA,) == await offer(b, "alice", AREA)
    assert ["offered"] == [told[0] for told in await offers_told(b)]


async def test_an_offer_ends_by_itself(b: Bench) -> None:
    await offer(b, "alice", AREA, lasts_s=30)
    b.clock.advance(31)
    b.store.expire()

    assert (AREA,) == await offer(b, "bob", AREA)


async def test_only_a_live_session_is_offered_something(b: Bench) -> None:
    await b.ends("alice")

    with pytest.raises(SessionEnded):
        await offer(b, "alice", AREA)


async def test_others_are_told_of_an_offer_and_of_its_end(b: Bench) -> None:
    steps = b.view.subscribe()
    await anext(steps)
    await offer(b, "alice", AREA, lasts_s=30)
    await b.settle()
    (seen,) = b.view.snapshot().offers
    assert ("area", "api", "alice") == (seen.kind, seen.name, seen.record.session.person)
    b.clock.advance(31)
    b.store.expire()
    await b.settle()

    assert () == b.view.snapshot().offers
    changes = [change async for change in _changes(steps, 2)]
    assert [SeenOffer, OfferGone] == [type(change) for change in changes]


async def _changes(steps: AsyncIterator[object], most: int) -> AsyncIterator[object]:
    found = 0
    async for step in steps:
        assert isinstance(step, Step)
        for change in step.changes:
            if isinstance(change, SeenOffer | OfferGone):
                found += 1
                yield change
        if found >= most:
            return
