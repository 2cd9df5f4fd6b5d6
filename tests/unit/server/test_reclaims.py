"""Locks that were lost with their lease, and edits that were made without one."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from scoord.ids import FencingToken, LeaseId
from scoord.v1.locks_pb2 import Holder, LockMode, LockScope
from scoord.v1.records_pb2 import TraceRecord
from scoord_server.model.endings import plan_find
from scoord_server.model.history import Journal
from scoord_server.model.reclaims import plan_report
from scoord_server.model.values import (
    Grant,
    Granted,
    Held,
    LockName,
    Lost,
    Reclaim,
    Reclaimed,
    Report,
    Terms,
)
from scoord_server.store.port import Txn, TxnResult
from support.coordination import PROJECT, Bench, bench

AUTH = LockName.of("auth.py")
BRANCH = LockScope.LOCK_SCOPE_BRANCH
ON_MAIN: dict[str, Any] = {"scope": BRANCH, "branch": "main"}
ON_TOPIC: dict[str, Any] = {"scope": BRANCH, "branch": "topic"}


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with bench() as made:
        for name in ("alice", "bob"):
            await made.session(name)
        yield made


async def reclaim(
    b: Bench, session: str, lost: FencingToken, request: str = "", **terms: Any
) -> Reclaimed | Lost:
    asker = b.asker(session, request=request)
    outcome = await b.coordinator.reporting.reclaim(Reclaim(asker, AUTH, lost, Terms(**terms)))
    await b.settle()
    return outcome


async def back(b: Bench, session: str) -> None:
    """The session's lease ran out, and it is registered anew."""
    await b.dies(session)
    await b.session(session)


async def test_what_nobody_else_was_granted_is_given_back_with_a_new_token(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")

    outcome = await reclaim(b, "alice", lost)

    assert isinstance(outcome, Reclaimed)
    assert outcome.token > lost
    assert "alice" == await b.holder("auth.py")
    assert isinstance(await b.acquire("bob", "auth.py"), Held)


async def test_a_repeated_reclaim_has_the_same_answer(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")

    first = await reclaim(b, "alice", lost, "r")

    assert isinstance(first, Reclaimed)
    assert first == await reclaim(b, "alice", lost, "r")


async def test_another_grant_of_its_holder_is_not_the_lost_one(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await b.breaks("auth.py", lost, by="bob")
    between = await b.token("bob", "auth.py")
    await b.breaks("auth.py", between, by="carol")
    await b.token("alice", "auth.py")

    outcome = await reclaim(b, "alice", lost)

    assert isinstance(outcome, Lost)
    assert ("alice", "granted") == (outcome.last.holder.session_id, outcome.last.how)


async def test_what_another_holds_is_lost_to_it(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")
    await b.token("bob", "auth.py")

    outcome = await reclaim(b, "alice", lost)

    assert isinstance(outcome, Lost)
    assert ("bob", "granted") == (outcome.last.holder.session_id, outcome.last.how)


async def test_what_another_held_meanwhile_is_lost_although_it_is_free(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")
    token = await b.token("bob", "auth.py")
    await b.release("bob", "auth.py", token)

    outcome = await reclaim(b, "alice", lost)

    assert isinstance(outcome, Lost)
    assert ("bob", "released") == (outcome.last.holder.session_id, outcome.last.how)
    assert "" == await b.holder("auth.py")


async def test_what_another_held_and_died_with_is_lost_too(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")
    await b.token("bob", "auth.py")
    await b.dies("bob")

    outcome = await reclaim(b, "alice", lost)

    assert isinstance(outcome, Lost)
    assert "bob" == outcome.last.holder.session_id


async def test_what_was_broken_is_not_given_back(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await b.breaks("auth.py", lost, by="carol")
    await back(b, "alice")

    outcome = await reclaim(b, "alice", lost)

    assert isinstance(outcome, Lost)
    assert ("broken", "carol") == (outcome.last.how, outcome.last.by)


async def test_what_nobody_knows_of_any_more_is_not_given_back(b: Bench) -> None:
    await back(b, "alice")

    assert isinstance(await reclaim(b, "alice", FencingToken(3)), Lost)


async def test_what_was_lost_for_longer_than_traces_are_kept_is_not_given_back(b: Bench) -> None:
    """Another's trace may be gone before its own is: they were written by two replicas."""
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")
    asker, two_hours = b.asker("alice"), 7_200_000

    late = Reclaim(asker, AUTH, lost, away_ms=two_hours + 1)
    assert Lost(TraceRecord()) == await b.coordinator.reporting.reclaim(late)
    assert "lost" == (await b.history())[-1].kind
    early = Reclaim(asker, AUTH, lost, away_ms=two_hours)
    assert isinstance(await b.coordinator.reporting.reclaim(early), Reclaimed)


async def test_a_pattern_that_covers_it_keeps_it_from_being_given_back(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")
    assert isinstance(await b.reserve("bob", "*.py"), Granted)

    outcome = await reclaim(b, "alice", lost)

    assert isinstance(outcome, Lost)
    assert "bob" == outcome.last.holder.session_id


@pytest.mark.parametrize(
    ("mine", "theirs", "is_lost"),
    [
        (ON_MAIN, {}, True),
        ({}, ON_MAIN, True),
        ({"scope": BRANCH}, ON_MAIN, True),
        (ON_MAIN, ON_TOPIC, False),
        (ON_MAIN, {"mode": LockMode.LOCK_MODE_SHARED}, False),
    ],
)
async def test_what_another_held_meanwhile_on_any_branch_that_is_mine_too_is_lost(
    b: Bench, mine: dict[str, Any], theirs: dict[str, Any], *, is_lost: bool
) -> None:
    lost = await b.token("alice", "auth.py", **mine)
    await back(b, "alice")
    token = await b.token("bob", "auth.py", **theirs)
    await b.release("bob", "auth.py", token)

    outcome = await reclaim(b, "alice", lost, **mine)

    assert is_lost == isinstance(outcome, Lost)
    if isinstance(outcome, Lost):
        assert ("bob", "released") == (outcome.last.holder.session_id, outcome.last.how)


async def test_a_branch_may_be_called_as_traces_are(b: Bench) -> None:
    theirs = ON_MAIN | {"branch": "edits/auth"}
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")
    await b.release("bob", "auth.py", await b.token("bob", "auth.py", **theirs))

    assert isinstance(await reclaim(b, "alice", lost), Lost)


@pytest.mark.parametrize("ends", ["released", "granted"])
async def test_what_was_in_anothers_pattern_meanwhile_is_lost(b: Bench, ends: str) -> None:
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")
    granted = await b.reserve("bob", "*.py")
    assert isinstance(granted, Granted)
    if ends == "released":
        await b.release("bob", "*.py", granted.tokens[0])
    else:
        await b.dies("bob")

    outcome = await reclaim(b, "alice", lost)

    assert isinstance(outcome, Lost)
    assert ("bob", ends) == (outcome.last.holder.session_id, outcome.last.how)


async def test_what_was_in_no_pattern_of_another_is_given_back(b: Bench) -> None:
    """Its own session's patterns, others' elsewhere, on another branch, and shared ones."""
    lost = await b.token("alice", "auth.py", **ON_MAIN)
    await back(b, "alice")
    shared = {"mode": LockMode.LOCK_MODE_SHARED}
    for who, pattern, terms in (
        ("bob", "*.md", {}),
        ("bob", "*.py", ON_TOPIC),
        ("bob", "a*.py", shared),
        ("alice", "*.py", ON_MAIN),
    ):
        granted = await b.reserve(who, pattern, **terms)
        assert isinstance(granted, Granted)
        await b.release(who, pattern, granted.tokens[0])

    assert isinstance(await reclaim(b, "alice", lost, **ON_MAIN), Reclaimed)


async def test_what_another_was_granted_and_gave_back_since_the_look_is_lost(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")
    await report(b, "bob", 0)  # a trace that does not count: the reclaim looks, and plans again
    txn, tries = b.store.txn, count()

    async def txn_after_another(plan: Txn) -> TxnResult:
        if next(tries) == 1:
            token = await b.token("bob", "auth.py", **ON_MAIN)
            await b.release("bob", "auth.py", token)
        return await txn(plan)

    monkeypatch.setattr(b.store, "txn", txn_after_another)

    assert isinstance(await reclaim(b, "alice", lost), Lost)


async def test_what_another_waits_for_is_kept_for_it(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await b.acquire("bob", "auth.py", enqueue=True)
    await back(b, "alice")

    outcome = await reclaim(b, "alice", lost)

    assert isinstance(outcome, Lost)
    assert ("bob", "waiting") == (outcome.last.holder.session_id, outcome.last.how)
    assert isinstance(await b.acquire("bob", "auth.py"), Granted)


async def test_what_another_has_just_begun_to_wait_for_is_kept_for_it(
    b: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await b.session("carol")
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")
    await report(b, "bob", 0)  # a trace that does not count: the reclaim looks, and plans again
    txn, tries = b.store.txn, count()

    async def txn_after_another(plan: Txn) -> TxnResult:
        if next(tries) == 1:
            token = await b.token("bob", "auth.py", mode=LockMode.LOCK_MODE_SHARED)
            await b.acquire("carol", "auth.py", enqueue=True)
            await b.release("bob", "auth.py", token)
        return await txn(plan)

    monkeypatch.setattr(b.store, "txn", txn_after_another)
    outcome = await reclaim(b, "alice", lost)

    assert isinstance(outcome, Lost)
    assert ("carol", "waiting") == (outcome.last.holder.session_id, outcome.last.how)


async def report(b: Bench, session: str, heard: int, kind: str = "unasked") -> list[str]:
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


async def test_an_edit_is_recorded_although_its_session_has_ended(b: Bench) -> None:
    heard = b.view.snapshot().revision
    lost = await b.token("alice", "auth.py")
    await b.dies("alice")
    await b.token("bob", "auth.py")

    assert ["bob"] == await report(b, "alice", lost)
    last = (await b.history())[-1]
    assert ("unasked", "alice") == (last.kind, last.session.session_id)
    assert ["bob"] == [notice.session for notice in b.view.snapshot().notices]
    assert ["bob"] == await report(b, "alice", heard, kind="unprotected")


async def test_who_edited_and_has_ended_is_described_by_what_it_left(b: Bench) -> None:
    token = await b.token("alice", "auth.py")
    await b.release("alice", "auth.py", token)
    await b.dies("alice")
    await b.token("bob", "auth.py", scope=LockScope.LOCK_SCOPE_BRANCH, branch="main")

    await report(b, "alice", 0)

    (notice,) = b.view.snapshot().notices
    sender = notice.record.sender
    assert ("alice", "Session_1", "host") == (sender.session_id, sender.alias, sender.host)


async def test_of_one_who_left_nothing_the_caller_tells_the_person(b: Bench) -> None:
    await b.token("bob", "auth.py")
    await b.dies("alice")
    command = Report(b.asker("alice"), AUTH, "unasked", 0, person="alice w.")

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
    command = Report(b.asker("alice"), AUTH, "unasked", 0, mine)
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

    command = Report(b.asker("bob"), AUTH, "unprotected", heard)
    asked = (
        plan_find(Grant(PROJECT, AUTH, token)),
        plan_report(command, Holder(), Journal(LeaseId(0), LeaseId(0), 0)),
    )
    assert [1, 1] == [len((await b.store.txn(plan)).results[0].kvs) for plan in asked]


async def test_an_edit_without_a_lock_says_when_it_was_made(b: Bench) -> None:
    command = Report(b.asker("alice"), AUTH, "unasked", 0, ago_ms=60_000)
    await b.coordinator.reporting.report(command)
    b.clock.advance(5)

    (met,) = await b.coordinator.reporting.report(Report(b.asker("bob"), AUTH, "unasked", 0))
    assert ("unasked", 65_000) == (met.how, b.clock.wall_ms() - met.granted_unix_ms)


async def test_an_edit_without_a_lock_does_not_keep_a_lost_lock_from_coming_back(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")
    await report(b, "bob", 0)

    assert isinstance(await reclaim(b, "alice", lost), Reclaimed)


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
