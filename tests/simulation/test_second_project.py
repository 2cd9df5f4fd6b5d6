"""What the judge makes of two projects: each by itself, and one lease for a session in both."""

from typing import Any, cast

import pytest

from scoord.claimant import Claimant
from scoord.ids import AgentId, LeaseId, MachineId, SessionId
from scoord.v1.events_pb2 import Snapshot, WatchResponse
from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import LockRecord, SessionRecord
from scoord.v1.sessions_pb2 import EndRequest
from scoord_hooks.neutral import EventKind, HookEvent
from scoord_server.store import keys
from scoord_server.store.keyspace import Change
from scoord_server.store.port import Event, KeyValue
from support.simulation import campaign
from support.simulation.edges import NamedFiles
from support.simulation.history import History, simulate
from support.simulation.loop import Process
from support.simulation.machine import Agent, Hook
from support.simulation.minds import Known, Mind
from support.simulation.network import Exchange
from support.simulation.projects import PROJECT, SECOND, chance_of_second
from support.simulation.streams import Heard
from support.simulation.wishes import is_outrun

ANN = SessionId("Session_ann")
WHO = Claimant(ANN, AgentId(""))
HERE, THERE = "src/file0.py", "lib/other0.py"

WITH = next(seed for seed in range(100) if chance_of_second(seed))
WITHOUT = next(seed for seed in range(100) if not chance_of_second(seed))


def event(key: bytes, value: bytes, revision: int, *, deleted: bool = False) -> Event:
    return Event(KeyValue(key, value, revision, revision, 1, LeaseId(1)), deleted)


def session(project: str, revision: int, *, deleted: bool = False) -> Event:
    value = SessionRecord(session_timeout_ms=10_000).SerializeToString()
    return event(keys.session(project, ANN), value, revision, deleted=deleted)


def lock(project: str, path: str, revision: int) -> Event:
    value = LockRecord(path=path, holder=Holder(session_id=ANN)).SerializeToString()
    return event(keys.lock(project, path), value, revision)


def checks(history: History) -> list[str]:
    return [violation.check for violation in history.record.violations]


def in_both() -> History:
    """ANN lives in both projects since the beginning."""
    history = History(WITH)
    for revision, project in enumerate((PROJECT, SECOND), 2):
        history.truth.observe(Change(revision, (session(project, revision),)))
    return history


def test_only_some_histories_have_it() -> None:
    counts = simulate(WITH).record.counts
    assert min(counts[what] for what in campaign.FLOORS if what.startswith("second project"))
    assert not History(WITHOUT).second_files
    assert 200 < sum(chance_of_second(seed) is not None for seed in range(1000)) < 450


def test_a_file_is_of_its_project_wherever_it_is_named() -> None:
    checkouts = History(WITH).machines[0].checkouts
    locator = NamedFiles(MachineId("ann"), checkouts)
    roots = {checkout.project: checkout.root for checkout in reversed(checkouts)}

    cwd_there = str(roots[SECOND])
    for checkout in checkouts:
        named = locator.locate(THERE, str(checkout.root))
        assert (SECOND, locator.worktree_of(cwd_there)) == (named.project, named.worktree)
    assert locator.worktree_of(str(roots[PROJECT])) == locator.locate(HERE, cwd_there).worktree


def test_one_that_is_gone_from_the_one_project_has_what_it_has_in_the_other() -> None:
    history = in_both()
    history.truth.observe(Change(4, (session(PROJECT, 2, deleted=True),)))
    history.truth.observe(Change(5, (lock(SECOND, THERE, 5),)))
    assert not checks(history)

    history.truth.observe(Change(6, (lock(PROJECT, HERE, 6),)))
    assert ["C6"] == checks(history)


def test_what_is_put_into_another_project_than_its_own_is_found() -> None:
    history = in_both()
    history.truth.observe(Change(4, (lock(PROJECT, THERE, 4),)))

    assert "C3" in checks(history)


@pytest.mark.parametrize(("unused_in", "is_right"), [(PROJECT, True), (SECOND, False)])
def test_one_is_idle_where_it_was_ended_and_goes_in_both(unused_in: str, is_right: bool) -> None:
    history = in_both()
    history.truth.observe(Change(4, (lock(SECOND, THERE, 4),)))
    history.record.loop.true_s = 9.5
    used = SECOND if unused_in == PROJECT else PROJECT
    history.truth.observe(Change(5, (session(used, 5),)))
    history.record.loop.true_s = 11.0
    history.truth.observe(Change(6, (session(PROJECT, 6, deleted=True),)))
    gone = (session(SECOND, 7, deleted=True), event(keys.lock(SECOND, THERE), b"", 7, deleted=True))
    history.truth.observe(Change(7, gone, ended=LeaseId(1)))

    assert is_right == ("C3" not in checks(history))


def test_what_a_stream_began_with_says_nothing_of_the_other_project() -> None:
    history = History(WITH)
    beliefs, process = history.beliefs, history.loop.world
    mind = beliefs.mind(process)
    for path in (HERE, THERE):
        mind.adopt(Known(path, 7, WHO))

    beliefs.streamed(process, SECOND, WatchResponse(revision=9, snapshot=Snapshot()))

    assert [HERE] == [known.path for known in mind.locks.values()]
    assert (9, 0) == (mind.stream(SECOND).whole_to, mind.stream(PROJECT).whole_to)


def test_the_project_that_its_last_session_left_is_not_heard_of_any_more() -> None:
    mind, other = Mind(), SessionId("Session_bob")
    for path in (HERE, THERE):
        stream = mind.stream_of(path)
        stream.heard[path, 7] = Heard(path, 7, Claimant(other, AgentId("")), False, 1.0)
        mind.enter(ANN, PROJECT)
    mind.enter(ANN, SECOND)
    mind.enter_anew(ANN, PROJECT)

    assert mind.known_conflict(HERE, [WHO], since_s=2.0)
    assert not mind.known_conflict(THERE, [WHO], since_s=2.0)
    mind.leave(ANN)
    assert not mind.known_conflict(HERE, [WHO], since_s=2.0)


def test_so_is_one_whose_last_session_an_agent_has_from_the_one_before_and_ends() -> None:
    """The agent that was started since heard no answer for it, and its end names one project."""
    history = History(WITH)
    beliefs, bob = history.beliefs, Claimant(SessionId("Session_bob"), AgentId(""))
    before, since = (Process(history.loop, "ann", history.machines[0].clock) for _ in range(2))
    mind, request = beliefs.mind(since), EndRequest(session_id=ANN, project=PROJECT)
    for path, project in ((HERE, PROJECT), (THERE, SECOND)):
        beliefs.mind(before).enter(ANN, project)
        mind.stream(project).heard[path, 7] = Heard(path, 7, bob, False, 1.0)

    beliefs.sent(Exchange(since, "End", request, 0.0, 0.0))

    assert not [path for path in (HERE, THERE) if mind.known_conflict(path, [WHO], since_s=2.0)]


def edit(*paths: str, cwd: str = "") -> Hook:
    before = HookEvent("claude-code", EventKind.BEFORE_EDIT, "", "", cwd, paths=paths)
    return Hook(before, 1, 0.0)


def test_that_nobody_could_be_asked_about_the_one_excuses_nothing_in_the_other() -> None:
    hook = edit(HERE, THERE)
    hook.failed_in.add(SECOND)

    assert (True, False) == (hook.is_unasked_in(SECOND), hook.is_unasked_in(PROJECT))


def test_what_the_one_project_grants_is_no_grant_of_the_others_files() -> None:
    """Its own lock there has ended by then, as its agent knows: there is none to edit by."""
    history = History(WITH)
    machine, process = history.people[0].machine, history.loop.world
    desks = cast("Any", None), cast("Any", None), cast("Any", None)
    machine.agent = Agent(process, cast("Any", None), *desks)
    hook = edit(THERE, cwd=str(machine.checkouts[0].root))
    hook.asked.append("granted")
    hook.granted.add(HERE)
    history.beliefs.mind(process).adopt(Known(THERE, 7, WHO))

    history.beliefs._goes_on(machine, process, ANN, hook)

    assert ["C1"] == checks(history)


def test_a_grant_of_each_is_not_one_that_was_over_and_again() -> None:
    hook = edit(HERE, THERE)
    hook.times_granted.update([HERE, THERE])
    assert not is_outrun(hook, HERE)

    hook.times_granted.update([HERE])
    assert is_outrun(hook, HERE)
