"""Locks that were lost with their lease, and how a grant ended."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from scoord.claimant import Claimant
from scoord.errors import SessionEnded
from scoord.happenings import Kind
from scoord.ids import AgentId, FencingToken, LeaseId, RequestId, SessionId
from scoord.v1.locks_pb2 import LockMode, LockScope
from scoord.v1.records_pb2 import TraceRecord
from scoord.v1.sessions_pb2 import Session
from scoord_server.model.answers import Granted, Held, Lost, Reclaimed, Registered
from scoord_server.model.commands import Grant, Reclaim, Report, Terms
from scoord_server.model.endings import Found
from scoord_server.model.facts import LockName
from scoord_server.rpc import messages
from scoord_server.store import keys
from scoord_server.store.port import Delete, Txn, TxnResult
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


async def reported(b: Bench, session: str) -> None:
    """An edit without a lock is reported, which leaves a trace."""
    await b.coordinator.reporting.report(Report(b.asker(session), AUTH, Kind.UNASKED, 0))
    await b.settle()


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
    await reported(b, "bob")  # a trace that does not count: the reclaim looks, and plans again
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
    await reported(b, "bob")  # a trace that does not count: the reclaim looks, and plans again
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


async def test_an_edit_without_a_lock_does_not_keep_a_lost_lock_from_coming_back(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")
    await reported(b, "bob")

    assert isinstance(await reclaim(b, "alice", lost), Reclaimed)


async def trace(b: Bench, session: str, path: str, token: FencingToken) -> Found:
    """What ``session`` is told of the end of a grant."""
    grant = Grant(PROJECT, LockName.of(path), token, is_pattern="*" in path)
    return await b.coordinator.reporting.read_trace(b.asker(session), grant)


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("auth.py", LockMode.LOCK_MODE_EXCLUSIVE),
        ("auth.py", LockMode.LOCK_MODE_SHARED),
        ("src/**", LockMode.LOCK_MODE_EXCLUSIVE),
        ("src/**", LockMode.LOCK_MODE_SHARED),
    ],
)
async def test_a_holder_learns_who_ended_its_grant_and_why(
    b: Bench, path: str, mode: "LockMode.ValueType"
) -> None:
    take = b.reserve if "*" in path else b.acquire
    outcome = await take("alice", path, mode=mode)
    assert isinstance(outcome, Granted)
    (token,) = outcome.tokens
    stands = await trace(b, "alice", path, token)
    assert stands.grant(token)
    assert stands.end_of(token) is None

    await b.breaks(path, token, by="bob")
    found = await trace(b, "alice", path, token)

    assert found.grant(token) is None
    end = found.end_of(token)
    assert end is not None
    assert ("broken", "bob", "needed") == (end.how, end.by, end.reason)


async def test_of_what_went_with_its_lease_no_trace_tells(b: Bench) -> None:
    share = await b.token("alice", "auth.py", mode=LockMode.LOCK_MODE_SHARED)
    before = b.leases["alice"]
    await b.dies("alice")
    with pytest.raises(SessionEnded):
        await trace(b, "alice", "auth.py", share)

    await b.session("alice")
    assert Found((), ()) == await trace(b, "alice", "auth.py", share)
    b.leases["alice"] = before
    with pytest.raises(SessionEnded):
        await trace(b, "alice", "auth.py", share)


async def test_a_reclaim_of_what_was_broken_says_by_whom_and_why(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await b.breaks("auth.py", lost, by="bob")

    outcome = await reclaim(b, "alice", lost)

    assert isinstance(outcome, Lost)
    told = messages.lost(outcome.last, b.clock)
    assert ("broken", "bob", "needed") == (told.how, told.by, told.reason)


async def test_who_was_ended_as_unused_is_told_why_for_that_lease_only(b: Bench) -> None:
    await b.session("carol", timeout_ms=60_000)
    first = b.leases["carol"]
    (fact,) = [s.fact for s in b.view.snapshot().sessions if s.fact.lease == first]
    assert await b.coordinator.end_idle(fact)
    await b.settle()

    assert "session_timeout" in (await anew(b, first)).unused
    assert "" == (await anew(b, LeaseId(first + 1))).unused


async def test_what_stands_on_the_lease_before_ends_as_its_session_is_registered_anew(
    b: Bench,
) -> None:
    lost, before = await b.token("alice", "auth.py"), b.leases["alice"]
    # Who ended it as unused came no further than to its name.
    await b.store.txn(Txn((), (Delete(keys.session(PROJECT, "alice")),)))

    b.leases["alice"] = (await anew(b, before, "alice")).lease
    outcome = await reclaim(b, "alice", lost)
    await b.coordinator.ground.revoke(before)

    (stands,) = (await b.store.range(keys.lock(PROJECT, AUTH.key))).kvs
    assert isinstance(outcome, Reclaimed)
    assert lost < outcome.token == stands.create_revision


async def anew(b: Bench, lapsed: LeaseId, name: str = "carol") -> Registered:
    """A session is registered after another of its name."""
    session = Session(session_id=name, project=PROJECT, machine_id="m1")
    return await b.coordinator.register(
        RequestId(f"after-{lapsed}"), session, 30, LeaseId(0), 0, lapsed=lapsed
    )


async def test_a_trace_is_covered_by_another_grant_on_its_branch_and_not_by_its_own_end(
    b: Bench,
) -> None:
    token = await b.token("alice", "auth.py", **ON_MAIN)
    assert not (await trace(b, "alice", "auth.py", token)).is_covered(token)

    await b.breaks("auth.py", token)
    assert not (await trace(b, "alice", "auth.py", token)).is_covered(token)

    await b.token("bob", "auth.py", **ON_MAIN)
    assert (await trace(b, "alice", "auth.py", token)).is_covered(token)


async def became(b: Bench, share: FencingToken, agent: str = "", **terms: Any) -> str | None:
    """What Alice's share became: how that stands, or ended."""
    terms = {"mode": LockMode.LOCK_MODE_SHARED, "branch": "", **terms}
    who = Claimant(SessionId("alice"), AgentId(agent)).on(
        terms["branch"], terms["mode"], LockScope.LOCK_SCOPE_BRANCH
    )
    record = (await trace(b, "alice", "auth.py", share)).became(who, share)
    return record.how if record else None


SHARED = {"mode": LockMode.LOCK_MODE_SHARED}


@pytest.mark.parametrize("how", ["granted", "released", "broken"])
async def test_a_share_is_known_to_have_become_what_its_holder_was_granted_to_write(
    b: Bench, how: str
) -> None:
    share = await b.token("alice", "auth.py", **SHARED)
    assert await became(b, share) is None

    token = await b.token("alice", "auth.py")
    if how == "released":
        await b.release("alice", "auth.py", token)
    elif how == "broken":
        await b.breaks("auth.py", token)

    assert how == await became(b, share)
    assert await became(b, token, mode=LockMode.LOCK_MODE_EXCLUSIVE) is None


async def test_so_is_a_lock_of_one_branch_that_gave_way_to_one_of_every_branch(b: Bench) -> None:
    exclusive: dict[str, Any] = {"mode": LockMode.LOCK_MODE_EXCLUSIVE, "branch": "main"}
    on_main = await b.token("alice", "auth.py", **ON_MAIN)
    assert await became(b, on_main, **exclusive) is None

    await b.token("alice", "auth.py")
    assert "granted" == await became(b, on_main, **exclusive)


@pytest.mark.parametrize("before", [LockMode.LOCK_MODE_EXCLUSIVE, LockMode.LOCK_MODE_SHARED])
async def test_so_is_what_gave_way_to_a_share_of_every_branch(
    b: Bench, before: "LockMode.ValueType"
) -> None:
    on_main = await b.token("alice", "auth.py", mode=before, **ON_MAIN)
    share = await b.token("alice", "auth.py", **SHARED)
    assert "granted" == await became(b, on_main, mode=before, branch="main")

    await b.release("alice", "auth.py", share)
    assert "released" == await became(b, on_main, mode=before, branch="main")
    assert await became(b, share) is None


async def test_a_lock_that_was_taken_away_before_its_holder_had_it_again_became_nothing(
    b: Bench,
) -> None:
    exclusive: dict[str, Any] = {"mode": LockMode.LOCK_MODE_EXCLUSIVE, "branch": "main"}
    lost = await b.token("alice", "auth.py", **ON_MAIN)
    await b.breaks("auth.py", lost)
    await b.token("alice", "auth.py", **ON_MAIN)

    assert await became(b, lost, **exclusive) is None


async def test_another_share_of_its_holder_is_not_what_it_became(b: Bench) -> None:
    share = await b.token("alice", "auth.py", **SHARED)
    await b.breaks("auth.py", share)
    again = await b.token("alice", "auth.py", **SHARED)
    assert await became(b, share) is None

    await b.release("alice", "auth.py", again)
    assert await became(b, share) is None


async def test_it_is_known_also_when_that_has_passed_on_to_a_subagent(b: Bench) -> None:
    share = await b.token("alice", "auth.py", **SHARED)
    token = await b.token("alice", "auth.py")
    assert token == await b.token("alice", "auth.py", agent="a1")
    await b.release("alice", "auth.py", token)

    assert "released" == await became(b, share)
    assert await became(b, share, agent="a2") is None


async def test_what_others_write_or_its_holder_on_another_branch_is_not(b: Bench) -> None:
    share = await b.token("alice", "auth.py", **SHARED)
    await b.breaks("auth.py", share)
    for who, terms in (("bob", {}), ("alice", ON_MAIN)):
        await b.release(who, "auth.py", await b.token(who, "auth.py", **terms))

    assert await became(b, share) is None


async def editors(b: Bench, lost: FencingToken, request: str = "", **terms: Any) -> list[str]:
    """Who edited the file unasked since Alice lost it, as its return tells."""
    outcome = await reclaim(b, "alice", lost, request, **terms)
    assert isinstance(outcome, Reclaimed)
    return [trace.holder.session_id for trace in outcome.edits]


async def test_who_edited_it_unasked_is_told_with_its_return(b: Bench) -> None:
    """The notice of it went with the lease, or there was no lease to lay it on."""
    await reported(b, "bob")
    lost = await b.token("alice", "auth.py")
    await reported(b, "bob")
    await back(b, "alice")
    await b.session("carol")
    await reported(b, "carol")
    await reported(b, "alice")

    assert ["bob", "carol"] == await editors(b, lost, "again")
    assert ["bob", "carol"] == await editors(b, lost, "again")


async def test_who_edited_it_before_it_was_granted_is_not_told(b: Bench) -> None:
    await reported(b, "bob")
    lost = await b.token("alice", "auth.py")
    await back(b, "alice")

    assert [] == await editors(b, lost)


async def test_who_edited_it_on_another_branch_is_not_told(b: Bench) -> None:
    lost = await b.token("alice", "auth.py", **ON_MAIN)
    command = Report(b.asker("bob"), AUTH, Kind.UNASKED, 0, Terms(**ON_TOPIC))
    await b.coordinator.reporting.report(command)
    await back(b, "alice")

    assert [] == await editors(b, lost, **ON_MAIN)


async def test_the_return_names_the_notice_of_an_edit(b: Bench) -> None:
    lost = await b.token("alice", "auth.py")
    await reported(b, "bob")
    (notice,) = b.view.snapshot().notices
    await back(b, "alice")
    outcome = await reclaim(b, "alice", lost)
    assert isinstance(outcome, Reclaimed)

    (edit,) = outcome.edits
    assert messages.lost(edit, b.clock).notice_id == notice.notice_id
