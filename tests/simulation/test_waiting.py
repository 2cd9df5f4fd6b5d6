"""What the simulation judges by of who waits: what it is promised, is told of and has."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from scoord.claimant import Claimant
from scoord.ids import AgentId, LeaseId, SessionId
from scoord.v1.locks_pb2 import (
    AcquireRequest,
    AcquireResponse,
    Granted,
    Holder,
    LockRef,
    LockScope,
)
from scoord.v1.records_pb2 import LockRecord
from scoord_server.store import keys
from scoord_server.store.keyspace import Change
from scoord_server.store.port import Event, KeyValue
from support.clock import FakeClock
from support.simulation.asked import _Heard, _was_told
from support.simulation.history import History
from support.simulation.loop import Process
from support.simulation.network import Exchange
from support.simulation.people import Told
from support.simulation.projects import PROJECT
from support.simulation.promised import _Promise
from support.simulation.truth import Grant, Waiter

MAIN, SUBAGENT = AgentId(""), AgentId("a1")
ANN, BOB = SessionId("Session_ann"), SessionId("Session_bob")


def grant(history: History, token: int, who: Claimant) -> Grant:
    new = Grant(b"", "src/file.py", token, who, 1, is_pattern=False, request="", since_s=1.0)
    history.truth.grants[token] = [new]
    return new


@pytest.mark.parametrize(
    ("heard_s", "wants_s", "told_s", "is_sure"),
    [
        (1.0, 2.0, None, False),
        (2.5, 2.0, None, True),
        (2.5, 2.0, 1.0, True),
        (2.5, 2.0, 2.6, False),
        (2.5, 2.8, None, False),
    ],
)
def test_of_who_waits_is_to_be_told_whose_agent_has_heard_of_this_place(
    heard_s: float, wants_s: float, told_s: float | None, is_sure: bool
) -> None:
    history, bob = History(0), Claimant(SessionId("Session_bob"), MAIN)
    held = grant(history, 7, Claimant(ANN, MAIN))
    place = Waiter(held.path, held.path, bob, 9, 2.0, wants_s=wants_s)
    history.truth.waiters[b""] = place
    at = (place.path, bob.session, bob.agent, bob.branch)
    process = history.loop.world
    history.asked._heard[process, PROJECT] = {at: _Heard(heard_s, is_new=True)}
    history.people[0].told += [
        Told(at_s, f"Bob waits for {held.path}, which you hold.") for at_s in [told_s] if at_s
    ]
    history.loop.true_s = 3.0
    assert not list(history.asked._kept_out(process, held, begins_s=2.9)), "its thread is new"

    unsure = [
        waiter
        for waiter, since_s in history.asked._kept_out(process, held, 0.0)
        if not _was_told(history.people[0], MAIN, waiter.path, since_s)
    ]

    assert [place] * is_sure == unsure


def test_a_turn_is_had_for_as_long_as_it_was_though_it_is_over() -> None:
    history, bob = History(0), Claimant(BOB, MAIN)
    truth, place = history.truth, Waiter("src/file.py", "src/file.py", bob, 9, 0.0)
    truth.waiters[b""] = place
    truth._note_turn(place.path)
    history.loop.true_s = 5.0
    truth.standing[b"a"] = grant(history, 7, Claimant(ANN, MAIN))
    truth._note_turn(place.path)
    history.loop.true_s = 9.0

    assert 5.0 == truth.had_turn_s(place)
    del truth.standing[b"a"]
    truth._note_turn(place.path)
    history.loop.true_s = 15.0
    assert 6.0 == truth.had_turn_s(place)


def held(who: Claimant, revision: int) -> Event:
    """Its lock is put into the store, or its share."""
    mode, holder = who.mode, Holder(session_id=who.session, agent_id=who.agent)
    record = LockRecord(path="src/file.py", holder=holder, mode=mode)
    at = (PROJECT, "src/file.py")
    key = keys.share(*at, who.session, who.agent) if who.shared else keys.lock(*at)
    return Event(
        KeyValue(key, record.SerializeToString(), revision, revision, 1, LeaseId(1)), False
    )


def test_what_one_step_takes_and_gives_back_ends_no_turn() -> None:
    """Of a subagent that waits for more than its main thread shares, ahead of whom BOB waits."""
    history = History(0)
    truth, helper = history.truth, Waiter("src/file.py", "", Claimant(ANN, SUBAGENT), 9, 0.0)
    truth.sessions = {(PROJECT, ANN): 1, (PROJECT, BOB): 1}
    truth.waiters = {b"1": replace(helper, who=Claimant(BOB, MAIN), since=8), b"2": helper}
    share, alone = held(Claimant(ANN, MAIN, shared=True), 2), held(Claimant(ANN, MAIN), 3)
    truth.observe(Change(2, (share,)))
    history.loop.true_s = 5.0
    truth.observe(Change(3, (replace(share, deleted=True), alone)))
    history.loop.true_s = 6.0

    assert 6.0 == truth.had_turn_s(helper)


@pytest.mark.parametrize(
    ("scope", "agent", "path", "sent_s", "is_served"),
    [
        (LockScope.LOCK_SCOPE_REPOSITORY, MAIN, "src/File.py", 2.0, True),
        (LockScope.LOCK_SCOPE_BRANCH, MAIN, "src/File.py", 2.0, False),
        (LockScope.LOCK_SCOPE_REPOSITORY, SUBAGENT, "src/File.py", 2.0, False),
        (LockScope.LOCK_SCOPE_REPOSITORY, MAIN, "src/other.py", 2.0, False),
        (LockScope.LOCK_SCOPE_REPOSITORY, MAIN, "src/File.py", 0.5, False),
    ],
)
def test_who_is_granted_on_every_branch_what_it_waited_for_on_one_need_not_hear_of_its_place(
    scope: LockScope.ValueType, agent: AgentId, path: str, sent_s: float, *, is_served: bool
) -> None:
    history = History(0)
    process = cast("Process", SimpleNamespace(clock=FakeClock()))
    request = AcquireRequest(session_id=ANN, agent_id=agent, branch="main", scope=scope)
    granted = Granted(locks=[LockRef(path=path, token=7, scope=scope)])
    answer = AcquireResponse(granted=granted)

    history.promised.answered(Exchange(process, "Acquire", request, sent_s, sent_s, answer))

    place, promise = (ANN, MAIN, "src/file.py", "topic"), _Promise(1.0, process)
    assert is_served == history.promised._is_heard(history.people[0], place, promise)
