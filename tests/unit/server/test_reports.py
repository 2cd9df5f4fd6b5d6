"""Edits that were made without a lock, and whom they met."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from scoord.errors import StoreUnavailable
from scoord.happenings import Kind
from scoord.v1.locks_pb2 import LockMode, LockScope
from scoord_server.model.answers import Granted
from scoord_server.model.commands import Grant, Report, Terms
from scoord_server.model.endings import plan_find
from scoord_server.model.facts import LockName
from scoord_server.model.reports import MOST_MET, plan_look
from scoord_server.model.traces import edit_key
from scoord_server.pages import Read, newest_first
from scoord_server.store import keys
from scoord_server.store.port import Delete, Put, Store, Txn, TxnResult, prefix_end
from support.coordination import PROJECT, Bench, bench, last

AUTH = LockName.of("auth.py")
BRANCH = LockScope.LOCK_SCOPE_BRANCH


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        for name in ("alice", "bob"):
            await made.session(name)
        yield made


async def report(b: Bench, session: str, heard: int, kind: Kind = Kind.UNASKED) -> list[str]:
    command = Report(b.asker(session), AUTH, kind, heard)
    met = await b.coordinator.reporting.report(command)
    await b.settle()
    return [trace.holder.session_id for trace in met]


async def test_an_edit_without_a_lock_that_met_nobody_is_recorded(b: Bench) -> None:
    heard = b.view.snapshot().revision

    assert [] == await report(b, "alice", heard)
    assert ("unasked", "alice") == [(x.kind, x.session.session_id) for x in await b.history()][-1]


async def test_an_edit_of_what_another_holds_is_told_to_both(b: Bench) -> None:
    heard = b.view.snapshot().revision
    await b.token("bob", "auth.py")

    assert ["bob"] == await report(b, "alice", heard)
    (notice,) = b.view.snapshot().notices
    assert ("bob", "unasked", "auth.py") == (
        notice.session,
        notice.record.kind,
        notice.record.path,
    )
    assert "alice" == notice.record.sender.session_id
    assert ["bob"] == [other.session_id for other in (await b.history())[-1].others]


async def test_who_is_told_of_an_edit_reads_on_which_branch_it_was_made_and_why(b: Bench) -> None:
    """Where locks hold on every branch, that says nothing of whom it met, or who meets it."""
    heard = b.view.snapshot().revision
    await b.token("bob", "auth.py")
    terms = Terms(branch="topic", reason="beta")

    await b.coordinator.reporting.report(Report(b.asker("alice"), AUTH, Kind.OVERLAP, heard, terms))
    await b.settle()

    (notice,) = b.view.snapshot().notices
    assert ("topic", "beta") == (notice.record.sender.branch, notice.record.text)
    assert "topic" == (await last(b)).session.branch
    on_main = Terms(scope=BRANCH, branch="main")
    met = await b.coordinator.reporting.report(
        Report(b.asker("bob"), AUTH, Kind.UNASKED, heard, on_main)
    )
    assert ["alice"] == [trace.holder.session_id for trace in met]


async def test_an_edit_of_what_another_held_since_is_told_to_both(b: Bench) -> None:
    heard = b.view.snapshot().revision
    token = await b.token("bob", "auth.py")
    await b.release("bob", "auth.py", token)

    assert ["bob"] == await report(b, "alice", heard)
    assert 1 == len(b.view.snapshot().notices)


async def test_what_another_held_before_it_was_heard_of_is_no_overlap(b: Bench) -> None:
    token = await b.token("bob", "auth.py")
    await b.release("bob", "auth.py", token)

    assert [] == await report(b, "alice", b.view.snapshot().revision)


async def test_an_edit_below_a_pattern_of_another_is_told_to_both(b: Bench) -> None:
    assert isinstance(await b.reserve("bob", "*.py"), Granted)

    assert ["bob"] == await report(b, "alice", b.view.snapshot().revision)
    assert ["bob"] == [notice.session for notice in b.view.snapshot().notices]


@pytest.mark.parametrize("mode", [LockMode.LOCK_MODE_EXCLUSIVE, LockMode.LOCK_MODE_SHARED])
async def test_an_edit_below_a_pattern_that_another_gave_back_since_is_told_to_both(
    b: Bench, mode: LockMode
) -> None:
    heard = b.view.snapshot().revision
    granted = await b.reserve("bob", "*.py", mode=mode)
    assert isinstance(granted, Granted)
    await b.release("bob", "*.py", granted.tokens[0])
    await b.token("alice", "auth.py")

    assert ["bob"] == await report(b, "alice", heard)
    assert ["bob"] == [notice.session for notice in b.view.snapshot().notices]


async def test_patterns_that_were_given_back_before_or_cover_others_are_not_met(b: Bench) -> None:
    for pattern in ("*.py", "*.md"):
        heard = b.view.snapshot().revision
        granted = await b.reserve("bob", pattern)
        assert isinstance(granted, Granted)
        await b.release("bob", pattern, granted.tokens[0])

    assert [] == await report(b, "alice", heard)


async def test_a_report_that_is_repeated_is_answered_as_it_was_first(b: Bench) -> None:
    """Its first answer was lost; meanwhile the editor's own grant hides whose the file was."""
    command = Report(b.asker("alice"), AUTH, Kind.UNASKED, b.view.snapshot().revision)
    token = await b.token("bob", "auth.py")
    (met,) = await b.coordinator.reporting.report(command)
    await b.release("bob", "auth.py", token)
    await b.token("alice", "auth.py")
    lines = await b.history()

    assert (met,) == await b.coordinator.reporting.report(command)
    assert lines == await b.history()


@pytest.mark.parametrize("carried_out", range(5))
async def test_a_report_whose_coordinator_breaks_off_is_taken_in_whole_or_not_at_all(
    b: Bench, monkeypatch: pytest.MonkeyPatch, carried_out: int
) -> None:
    command = Report(b.asker("alice"), AUTH, Kind.UNASKED, b.view.snapshot().revision)
    token = await b.token("bob", "auth.py")
    with monkeypatch.context() as cut, suppress(StoreUnavailable):
        cut.setattr(b.store, "txn", breaks_off(b.store.txn, carried_out))
        await b.coordinator.reporting.report(command)
    await b.settle()
    recorded = [line.others[0].session_id for line in await b.history() if line.kind == "unasked"]
    told = [notice.session for notice in b.view.snapshot().notices]
    left = (await b.store.range(edit_key(command.asker, AUTH.key, command.kind))).kvs
    assert recorded == told
    assert len(recorded) == len(left)

    await b.release("bob", "auth.py", token)
    await b.token("alice", "auth.py")
    met = await b.coordinator.reporting.report(command)
    assert recorded == [trace.holder.session_id for trace in met]


def breaks_off(txn: Callable[[Txn], Awaitable[TxnResult]], carried_out: int) -> Any:
    """The store, until so many transactions are done; none is answered after that."""
    left = iter(range(carried_out))

    async def cut(plan: Txn) -> TxnResult:
        if next(left, None) is None:
            raise StoreUnavailable("cut off")
        return await txn(plan)

    return cut


@pytest.mark.parametrize("mode", [LockMode.LOCK_MODE_EXCLUSIVE, LockMode.LOCK_MODE_SHARED])
async def test_who_comes_while_a_report_is_taken_in_is_met(
    b: Bench, monkeypatch: pytest.MonkeyPatch, mode: LockMode
) -> None:
    command = Report(b.asker("alice"), AUTH, Kind.UNASKED, b.view.snapshot().revision)

    async def comes() -> None:
        await b.token("bob", "auth.py", mode=mode)

    monkeypatch.setattr(b.store, "txn", with_another_between(b.store.txn, comes))
    (met,) = await b.coordinator.reporting.report(command)
    await b.settle()

    assert "bob" == met.holder.session_id
    assert ["bob"] == [notice.session for notice in b.view.snapshot().notices]


async def test_of_two_reports_at_once_one_meets_the_other(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = b.view.snapshot().revision

    async def comes() -> None:
        assert [] == await report(b, "bob", heard)

    monkeypatch.setattr(b.store, "txn", with_another_between(b.store.txn, comes))

    assert ["bob"] == await report(b, "alice", heard)


@pytest.mark.parametrize("returns", [False, True])
async def test_one_whose_lease_ends_while_a_report_is_taken_in_is_told_on_its_next(
    b: Bench, monkeypatch: pytest.MonkeyPatch, returns: bool
) -> None:
    heard = b.view.snapshot().revision
    await b.token("bob", "auth.py")

    async def comes() -> None:
        await b.dies("bob")
        if returns:
            await b.session("bob")

    monkeypatch.setattr(b.store, "txn", with_another_between(b.store.txn, comes))

    assert ["bob"] == await report(b, "alice", heard)
    told = [notice.session for notice in b.view.snapshot().notices]
    assert (["bob"] if returns else []) == told


def with_another_between(
    txn: Callable[[Txn], Awaitable[TxnResult]], comes: Callable[[], Awaitable[None]]
) -> Any:
    """The store; once, before the first transaction that writes an edit down, another comes."""
    tries = count()

    async def after_another(plan: Txn) -> TxnResult:
        is_first = any(isinstance(op, Put) for op in plan.then) and next(tries) == 0
        if is_first:
            await comes()
        return await txn(plan)

    return after_another


async def test_of_very_many_that_an_edit_met_the_latest_are_told(b: Bench) -> None:
    heard = b.view.snapshot().revision
    for number in range(MOST_MET + 2):
        await b.session(f"s{number}")
        await b.token(f"s{number}", "auth.py", mode=LockMode.LOCK_MODE_SHARED)

    met = await report(b, "alice", heard)
    assert MOST_MET == len(met) == len(b.view.snapshot().notices)


async def test_a_report_is_answered_as_it_was_although_one_of_another_kind_came_since(
    b: Bench,
) -> None:
    """Edits beside a holder are reported at once, whatever is still to be repeated."""
    command = Report(b.asker("alice"), AUTH, Kind.UNASKED, b.view.snapshot().revision)
    token = await b.token("bob", "auth.py")
    (met,) = await b.coordinator.reporting.report(command)
    await report(b, "alice", b.view.snapshot().revision, kind=Kind.OVERLAP)
    await b.release("bob", "auth.py", token)
    await b.token("alice", "auth.py")

    assert (met,) == await b.coordinator.reporting.report(command)


async def test_a_repeated_report_of_an_edit_that_met_nobody_meets_nobody(b: Bench) -> None:
    command = Report(b.asker("alice"), AUTH, Kind.UNASKED, b.view.snapshot().revision)
    assert () == await b.coordinator.reporting.report(command)
    await b.token("bob", "auth.py")

    assert () == await b.coordinator.reporting.report(command)


async def test_what_an_editor_met_is_not_passed_on_to_whom_it_meets(b: Bench) -> None:
    await b.token("bob", "auth.py")
    await report(b, "alice", 0)
    command = Report(b.asker("bob"), AUTH, Kind.UNPROTECTED, 0)

    (met,) = await b.coordinator.reporting.report(command)
    assert "alice" == met.holder.session_id
    assert (met.holder,) == tuple(
        other.holder for other in await b.coordinator.reporting.report(command)
    )


async def test_an_edit_is_recorded_although_its_session_has_ended(b: Bench) -> None:
    heard = b.view.snapshot().revision
    lost = await b.token("alice", "auth.py")
    await b.dies("alice")
    await b.token("bob", "auth.py")

    assert ["bob"] == await report(b, "alice", lost)
    last = (await b.history())[-1]
    assert ("unasked", "alice") == (last.kind, last.session.session_id)
    assert ["bob"] == [notice.session for notice in b.view.snapshot().notices]
    assert ["bob"] == await report(b, "alice", heard, kind=Kind.UNPROTECTED)


@pytest.mark.parametrize("noted", [False, True], ids=["before its end is noted", "after"])
async def test_who_edited_and_is_over_is_named_also_where_another_had_the_file_since(
    b: Bench, *, noted: bool
) -> None:
    """It stood still until its lease ran out: nothing at the path tells of it any more."""
    await b.token("alice", "auth.py")
    await b.dies("alice")
    if noted:
        await b.coordinator.farewells.look()
    await b.token("bob", "auth.py")

    await report(b, "alice", 0)

    (notice,) = b.view.snapshot().notices
    sender, told = notice.record.sender, await last(b)
    assert ("alice", "Session_1", "host") == (sender.session_id, sender.alias, sender.host)
    assert ("alice", "Session_1") == (told.session.session_id, told.session.alias)


async def test_the_name_of_one_that_is_over_is_looked_for_once_although_others_come_between(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await b.dies("alice")
    looks = list[bytes]()

    def noted(store: Store, prefix: bytes, now_ms: int) -> AsyncGenerator[Read, None]:
        looks.append(prefix)
        return newest_first(store, prefix, now_ms)

    async def comes() -> None:
        await b.token("bob", "auth.py")

    monkeypatch.setattr(b.store, "txn", with_another_between(b.store.txn, comes))
    monkeypatch.setattr("scoord_server.reporting.newest_first", noted)

    assert ["bob"] == await report(b, "alice", 0)
    assert [keys.event_prefix(PROJECT)] == looks


async def test_of_one_that_history_does_not_know_the_caller_tells_the_person(b: Bench) -> None:
    await b.token("bob", "auth.py")
    await b.dies("alice")
    lines = keys.event_prefix(PROJECT)
    await b.store.txn(Txn((), (Delete(lines, prefix_end(lines)),)))
    command = Report(b.asker("alice"), AUTH, Kind.UNASKED, 0, person="alice w.")

    await b.coordinator.reporting.report(command)
    await b.settle()

    (notice,) = b.view.snapshot().notices
    assert ("alice", "alice w.") == (notice.record.sender.session_id, notice.record.sender.person)


async def test_another_thread_of_the_same_session_is_met_and_not_told(b: Bench) -> None:
    await b.token("alice", "auth.py", agent="agent-1")

    assert ["alice"] == await report(b, "alice", 0)
    assert () == b.view.snapshot().notices


@pytest.mark.parametrize(("branch", "met"), [("main", ["bob"]), ("topic", []), ("", ["bob"])])
async def test_what_another_held_on_its_branch_is_met_on_that_branch(
    b: Bench, branch: str, met: list[str]
) -> None:
    terms = {"scope": LockScope.LOCK_SCOPE_BRANCH, "branch": "main"}
    token = await b.token("bob", "auth.py", **terms)
    await b.release("bob", "auth.py", token)

    mine = Terms(scope=LockScope.LOCK_SCOPE_BRANCH, branch=branch)
    command = Report(b.asker("alice"), AUTH, Kind.UNASKED, 0, mine)
    found = await b.coordinator.reporting.report(command)
    assert met == [trace.holder.session_id for trace in found]


async def test_two_that_edited_in_one_outage_have_met(b: Bench) -> None:
    heard = b.view.snapshot().revision

    assert [] == await report(b, "alice", heard)
    assert ["alice"] == await report(b, "bob", heard)
    (notice,) = b.view.snapshot().notices
    assert ("alice", "bob") == (notice.session, notice.record.sender.session_id)


async def test_an_edit_before_the_outage_has_not_met_one_in_it(b: Bench) -> None:
    assert [] == await report(b, "alice", b.view.snapshot().revision)

    assert [] == await report(b, "bob", b.view.snapshot().revision)


async def test_what_others_left_at_a_file_long_ago_is_read_by_nobody(b: Bench) -> None:
    """It lies there for hours, one trace for each session that edited without a lock."""
    for name in ("carol", "dave", "erin"):
        await b.session(name)
        await report(b, name, 0)
    heard = b.view.snapshot().revision
    token = await b.token("alice", "auth.py")

    command = Report(b.asker("bob"), AUTH, Kind.UNPROTECTED, heard)
    asked = (
        plan_find(Grant(PROJECT, AUTH, token)),
        plan_look(command),
    )
    assert [1, 1] == [len((await b.store.txn(plan)).results[0].kvs) for plan in asked]


async def test_an_edit_without_a_lock_says_when_it_was_made(b: Bench) -> None:
    heard = b.view.revision
    command = Report(b.asker("alice"), AUTH, Kind.UNASKED, 0, ago_ms=60_000)
    await b.coordinator.reporting.report(command)
    b.clock.advance(5)

    command = Report(b.asker("bob"), AUTH, Kind.UNASKED, heard)
    (met,) = await b.coordinator.reporting.report(command)
    assert ("unasked", 65_000) == (met.how, b.clock.wall_ms() - met.granted_unix_ms)


async def test_a_notice_is_gone_when_it_is_acknowledged(b: Bench) -> None:
    await b.token("bob", "auth.py")
    await report(b, "alice", 0)
    (notice,) = b.view.snapshot().notices

    await b.coordinator.reporting.acknowledge(notice.project, notice.session, (notice.notice_id,))
    await b.settle()

    assert () == b.view.snapshot().notices


async def test_notices_end_with_the_session_they_are_for(b: Bench) -> None:
    await b.token("bob", "auth.py")
    await report(b, "alice", 0)
    await b.dies("bob")

    assert () == b.view.snapshot().notices


async def test_who_broke_a_lock_is_told_of_an_edit_after_that(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await b.breaks("auth.py", token, through="bob")

    assert ["bob"] == await report(b, "alice", token, Kind.UNPROTECTED)
    (notice,) = b.view.snapshot().notices
    assert ("bob", "broke") == (notice.session, notice.record.kind)


async def test_who_broke_a_lock_and_has_the_file_is_met_as_its_holder(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await b.breaks("auth.py", token, through="bob")
    await b.token("bob", "auth.py")

    assert ["bob"] == await report(b, "alice", token, Kind.UNPROTECTED)
    (notice,) = b.view.snapshot().notices
    assert ("bob", "unprotected") == (notice.session, notice.record.kind)


async def passes(b: Bench) -> None:
    """Time goes by, in which the store is heard."""
    for number in range(4):
        b.clock.advance(1)
        await b.session(f"other{number}")


async def test_whose_agent_had_heard_nothing_met_nobody_of_before_the_edit(b: Bench) -> None:
    """An agent that starts in an outage has heard of no revision: its edit tells when it was."""
    token = await b.token("bob", "auth.py")
    await b.release("bob", "auth.py", token)
    await passes(b)
    unasked = Report(b.asker("alice"), AUTH, Kind.UNASKED, 0, ago_ms=2_000)

    assert () == await b.coordinator.reporting.report(unasked)


async def test_who_had_it_when_it_was_edited_is_met_all_the_same(b: Bench) -> None:
    token = await b.token("bob", "auth.py")
    await passes(b)
    await b.release("bob", "auth.py", token)
    unasked = Report(b.asker("alice"), AUTH, Kind.UNASKED, 0, ago_ms=2_000)

    met = await b.coordinator.reporting.report(unasked)
    assert ["bob"] == [trace.holder.session_id for trace in met]
