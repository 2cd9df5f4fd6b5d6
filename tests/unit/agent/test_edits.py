"""When an edit asks the coordinator, and what it must not wait for."""

import asyncio
import os
import shutil
from dataclasses import replace

import pytest
from google.protobuf.duration_pb2 import Duration

from scoord.errors import SessionEnded
from scoord.ids import AgentId, FencingToken
from scoord.paths import RECHECK_S
from scoord.v1.events_pb2 import LockGone, WatchResponse
from scoord.v1.locks_pb2 import Holder, Lock, LockScope
from scoord_agent.held import QUIET_S
from scoord_agent.held_lock import HeldLock
from scoord_hooks.neutral import Verdict
from support.house import BELIEF_S, DECIDE_S, SHOP, A, House, settle, until
from support.repositories import git, repository
from support.scripted_coordinator import Fate


async def test_what_is_held_needs_no_round_trip(house: House) -> None:
    for _ in range(3):
        await house.edit()

    assert len(house.coordinator.acquires) == 1


async def test_a_break_that_the_stream_does_not_bring_is_noticed(house: House) -> None:
    await house.edit()
    house.coordinator.locks.clear()
    house.coordinator.hold("a.py", "Session_far")
    house.clock.advance(BELIEF_S + QUIET_S)
    house.held.renewed(A, house.clock.now())

    assert (await house.edit()).verdict is Verdict.DENY


async def test_while_the_stream_is_heard_renewals_are_enough(house: House) -> None:
    await house.edit()
    house.clock.advance(BELIEF_S + QUIET_S)
    house.held.renewed(A, house.clock.now())
    house.stream.live()
    await house.edit()

    assert len(house.coordinator.acquires) == 1


@pytest.mark.parametrize("is_over", [False, True])
async def test_a_grant_whose_answer_lay_unread_while_the_machine_slept_is_asked_for_again(
    house: House, *, is_over: bool
) -> None:
    coordinator = house.coordinator
    coordinator.gate = asyncio.Event()
    coordinator.fates.append(Fate.LATE_ANSWER)
    editing = asyncio.create_task(house.edit())
    await until(lambda: coordinator.locks)
    house.clock.advance(BELIEF_S)
    if is_over:
        coordinator.expire(house.session.lease)
        coordinator.hold("a.py", "Session_far")
    else:
        house.held.renewed(A, house.clock.now())
    coordinator.gate.set()

    assert (await editing).verdict is (Verdict.DENY if is_over else Verdict.ALLOW)
    assert len(coordinator.acquires) == 2
    assert is_over or house.agrees()


async def test_who_may_have_lost_its_lease_renews_it_before_it_asks(house: House) -> None:
    await house.edit("b.py")
    house.clock.advance(BELIEF_S)

    assert (await house.edit()).verdict is Verdict.ALLOW
    assert house.held.believes(A, house.clock.now())


@pytest.mark.parametrize("is_over", [False, True])
async def test_a_grant_on_a_lease_that_may_have_run_out_since_is_asked_for_again(
    house: House, *, is_over: bool
) -> None:
    """It was asked for just before the lease had to be renewed, and answered after that."""
    coordinator = house.coordinator
    await house.edit("b.py")
    house.clock.advance(BELIEF_S - 1)
    coordinator.gate = asyncio.Event()
    coordinator.fates.append(Fate.LATE_ANSWER)
    editing = asyncio.create_task(house.edit())
    await until(lambda: len(coordinator.locks) == 2)
    house.clock.advance(2)
    if is_over:
        coordinator.expire(house.session.lease)
        coordinator.hold("a.py", "Session_far")
    coordinator.gate.set()

    assert (await editing).verdict is (Verdict.DENY if is_over else Verdict.ALLOW)


async def test_what_is_known_of_a_lock_stays_known_when_its_lease_is_renewed(house: House) -> None:
    """The coordinator knows neither its worktree, nor of a use that is not published yet."""
    await house.edit("b.py")
    (before,) = house.held
    house.clock.advance(BELIEF_S)
    await house.edit()

    assert before in tuple(house.held)


async def test_what_was_granted_to_nobody_is_given_back_though_the_lease_is_renewed(
    house: House,
) -> None:
    house.block()
    await house.edit("b.py")
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    assert (await house.edit()).verdict is Verdict.DENY
    house.clock.advance(BELIEF_S)
    await house.edit("c.py")
    house.coordinator.connection.answered(house.clock.now())

    await until(lambda: house.coordinator.releases)
    assert {"b.py", "c.py"} == {lock.path for lock in house.coordinator.locks.values()}


async def test_what_was_lost_is_asked_for_before_an_edit_is_decided_by_a_new_lease(
    house: House,
) -> None:
    """That its lease is over is found out where it is renewed, between two questions."""
    coordinator = house.coordinator
    await house.edit()
    house.clock.advance(BELIEF_S + QUIET_S)
    house.held.renewed(A, house.clock.now() - BELIEF_S + 1)
    coordinator.gate = asyncio.Event()
    coordinator.fates.append(Fate.LATE_ANSWER)
    editing = asyncio.create_task(house.edit())
    await until(lambda: len(coordinator.acquires) == 2)
    house.clock.advance(2)
    coordinator.expire(house.session.lease)
    coordinator.gate.set()

    await editing
    assert ["a.py"] == [request.lost.path for request in coordinator.reclaims]


async def test_a_lease_that_is_known_to_be_over_by_then_is_not_renewed(house: House) -> None:
    await house.edit("b.py")
    house.registration.lapse(house.session)

    with pytest.raises(SessionEnded):
        await house.registration.renew(house.session, SHOP)
    assert [] == house.coordinator.beats


async def test_what_stands_of_several_files_is_given_back_where_the_rest_was_lost_and_is_refused(
    house: House,
) -> None:
    """One of two was broken before the answer came; asked again, another has it.

    That is answered at once: giving back the other one takes a while.
    """
    coordinator = house.coordinator
    coordinator.gate = late = asyncio.Event()
    coordinator.fates.append(Fate.LATE_ANSWER)
    editing = asyncio.create_task(house.edit("a.py", "b.py"))
    await until(lambda: len(coordinator.locks) == 2)
    lost = coordinator.locks.pop("a.py")
    house.hear(WatchResponse(revision=200, lock_gone=LockGone(lock=lost, how="broken")))
    coordinator.hold("a.py", "Session_far")
    coordinator.gate = asyncio.Event()
    late.set()

    decision = await editing
    assert decision.verdict is Verdict.DENY
    assert "a.py is locked by" in decision.reason
    assert {"a.py", "b.py"} == coordinator.locks.keys()

    coordinator.gate.set()
    await until(lambda: ["a.py"] == [lock.path for lock in coordinator.locks.values()])


async def test_nothing_is_asked_for_on_a_lease_that_is_over_by_then(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The beat finds out while the edit waits for what was given back before."""
    await house.edit("b.py")
    lapses = [house.registration.lapse]

    async def settle_first(*_: object) -> None:
        while lapses:
            lapses.pop()(house.session)

    monkeypatch.setattr(house.taking._owed, "settle_first", settle_first)
    assert (await house.edit()).verdict is Verdict.ALLOW
    assert all(request.lease_id for request in house.coordinator.acquires)


async def test_files_of_several_projects_have_one_time_together(house: House) -> None:
    other = repository(house.root.parent / "library", "https://example.com/library")
    files = ("src/a.py", str(other / "src" / "a.py"))
    house.coordinator.fates.extend([Fate.LOST, Fate.LOST])
    begun = asyncio.get_running_loop().time()
    await house.edit(*files)

    assert asyncio.get_running_loop().time() - begun < 1.8 * DECIDE_S


async def test_once_an_edit_is_refused_no_other_project_is_asked(house: House) -> None:
    other = repository(house.root.parent / "library", "https://example.com/library")
    house.coordinator.hold("a.py", "Session_far")
    house.coordinator.fates.extend([Fate.ANSWERED, Fate.LOST])

    assert (await house.edit("a.py", str(other / "b.py"))).verdict is Verdict.DENY
    assert [["a.py"]] == [list(request.paths) for request in house.coordinator.acquires]


@pytest.mark.parametrize(
    ("fate", "setting", "others"),
    [
        (Fate.CONTENDED, "conflict_action: block", 0),
        (Fate.CONTENDED, "conflict_action: warn", 1),
        (Fate.UNREACHABLE, "unreachable_action: block", 0),
        (Fate.UNREACHABLE, "unreachable_action: warn", 1),
        (Fate.UNREACHABLE, "unreachable_action: proceed", 0),
    ],
)
async def test_nor_once_it_is_refused_since_nobody_can_say_whether_it_is_free(
    house: House, fate: Fate, setting: str, others: int
) -> None:
    other = repository(house.root.parent / "library", "https://example.com/library")
    house.set(setting)
    if "proceed" in setting:
        house.stream.hold("a.py", Holder(session_id="Session_far"), 77)
    house.coordinator.fates.append(fate)

    verdict = (await house.edit("a.py", str(other / "b.py"))).verdict

    assert verdict is (Verdict.ALLOW if others else Verdict.DENY)
    assert others == [list(request.paths) for request in house.coordinator.acquires].count(["b.py"])


async def test_what_is_given_back_while_another_project_is_asked_is_asked_for_again(
    house: House,
) -> None:
    other = repository(house.root.parent / "library", "https://example.com/library")
    await house.edit("a.py")
    house.coordinator.gate = asyncio.Event()
    house.coordinator.fates.append(Fate.LATE_ANSWER)
    edit = asyncio.create_task(house.edit("a.py", str(other / "b.py")))
    await asyncio.sleep(0.02)
    given = asyncio.create_task(house.taking.release(house.session, list(house.held)))
    await asyncio.sleep(0.02)

    house.coordinator.gate.set()

    assert (await edit).verdict is Verdict.ALLOW
    await given
    assert {"a.py", "b.py"} == {lock.key for lock in house.held}
    assert 2 == [list(request.paths) for request in house.coordinator.acquires].count(["a.py"])


async def test_nothing_waits_for_git(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.edit()
    slow = house.root.parent / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\nsleep 0.4\nexec {shutil.which("git")} "$@"\n')
    slow.chmod(0o700)
    git(house.root, "config", "user.name", "alice")
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    house.clock.advance(RECHECK_S)

    longest_s = 0.0
    edit = asyncio.create_task(house.edit())
    while not edit.done():
        begun = asyncio.get_running_loop().time()
        await asyncio.sleep(0.01)
        longest_s = max(longest_s, asyncio.get_running_loop().time() - begun)
    assert longest_s < 0.3
    await edit


async def test_where_there_is_no_time_to_ask_what_is_known_decides(house: House) -> None:
    await house.edit("mine.py")
    house.stream.hold("theirs.py", Holder(session_id="Session_far"), 77)

    assert (await house.edit_unasked("mine.py")).verdict is Verdict.ALLOW
    assert "theirs.py was locked by" in (await house.edit_unasked("theirs.py")).reason
    assert [] == list(house.unreported)
    assert "free.py: let through without a lock" in (await house.edit_unasked("free.py")).context
    assert ["free.py"] == [edit.path for edit in house.unreported]


async def test_a_known_conflict_names_the_file_its_pattern_and_for_how_long(house: House) -> None:
    far = Holder(session_id="Session_far", alias="Session_1", person="bob", host="mini")
    held_for = Duration(seconds=60)
    lock = Lock(path="src/", token=77, holder=far, is_pattern=True, held_for=held_for)
    house.stream.tell(WatchResponse(revision=77, lock=lock))
    house.clock.advance(180)
    await house.edit("mine.py")

    told = (await house.edit_unasked("src/x.py")).reason

    assert "src/x.py lay in src/, which Session_1 (bob@mini) held" in told
    assert "held 4 min by now, if it still is." in told


async def test_where_there_is_no_time_to_ask_a_repository_that_blocks_does(house: House) -> None:
    house.block()

    assert (await house.edit_unasked("free.py")).verdict is Verdict.DENY
    assert [] == list(house.unreported)


async def test_what_cannot_be_located_is_judged_by_its_own_repository(house: House) -> None:
    other = repository(house.root.parent / "library", "https://example.com/library")
    text = "session_coordination: {unreachable_action: block}"
    (other / "coordination.yaml").write_text(text)

    decision = await house.edit_unasked(str(other / "src" / "a.py"))
    assert "src/a.py: no lock can be taken now" in decision.reason
    assert (await house.edit_unasked(str(other / ".git" / "config"))).verdict is Verdict.ALLOW
    assert "let through without a lock" in (await house.edit_unasked("\0")).context


async def test_who_waits_in_vain_hears_why_nobody_answers(house: House) -> None:
    house.block()
    house.coordinator.connection.failed(
        "its certificate is of another authority", house.clock.now()
    )
    house.coordinator.fates.append(Fate.LOST)

    decision = await house.edit("a.py")

    assert decision.verdict is Verdict.DENY
    assert "Its certificate is of another authority." in decision.reason


async def test_who_waits_in_vain_hears_that_nobody_knows_why(house: House) -> None:
    house.block()
    house.coordinator.fates.append(Fate.LOST)

    decision = await house.edit("a.py")

    assert "The coordinator did not answer in time." in decision.reason


async def test_of_several_files_none_is_kept_where_one_changes_hands_too_fast(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.edit("had.py")
    monkeypatch.setattr(house.stream, "is_over", lambda lock: lock.key == "fast.py")

    decision = await house.edit("had.py", "fast.py", "new.py")

    assert decision.verdict is Verdict.DENY
    await until(lambda: house.coordinator.releases)
    given_back = [ref.path for release in house.coordinator.releases for ref in release.locks]
    assert ["new.py"] == given_back
    assert house.holds("had.py")
    assert not house.holds("new.py")


async def test_what_passed_with_what_changed_hands_is_not_believed_in_while_it_is_asked_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.block()
    await house.edit("had.py")
    house.coordinator.locks["had.py"].holder.agent_id = "agent-1"
    monkeypatch.setattr(house.stream, "is_over", lambda lock: lock.key == "fast.py")
    house.coordinator.fates.extend([Fate.ANSWERED, Fate.LOST])

    editing = asyncio.create_task(house.edit("had.py", "fast.py", agent="agent-1"))
    await until(lambda: len(house.coordinator.acquires) == 3)
    meanwhile = house.holds("had.py")

    assert (await editing).verdict is Verdict.DENY
    assert meanwhile is None


async def test_what_is_known_to_have_passed_is_not_believed_in_by_a_later_answer(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was granted before; its subagent's answer came first, with another file that was over."""
    house.block()
    house.coordinator.gate = asyncio.Event()
    monkeypatch.setattr(house.stream, "is_over", lambda lock: lock.key == "fast.py")
    house.coordinator.fates.extend([Fate.LATE_ANSWER, Fate.ANSWERED, Fate.LOST])
    editing = asyncio.create_task(house.edit("had.py"))
    await until(lambda: house.coordinator.locks)
    house.coordinator.locks["had.py"].holder.agent_id = "agent-1"
    again = asyncio.create_task(house.edit("had.py", "fast.py", agent="agent-1"))
    await until(lambda: len(house.coordinator.acquires) == 3)

    house.coordinator.gate.set()
    decision = await editing
    meanwhile = house.holds("had.py")
    await again

    assert decision.verdict is Verdict.DENY
    assert meanwhile is None


async def test_an_edit_of_what_changes_hands_too_fast_is_refused(house: House) -> None:
    house.coordinator.fates.append(Fate.CONTENDED)

    decision = await house.edit("a.py")

    assert decision.verdict is Verdict.DENY
    assert "a.py: others take the lock, or take it away, faster than it can be had" in (
        decision.reason
    )
    assert [] == list(house.unreported)


@pytest.mark.parametrize(
    ("action", "told"), [("warn", "compare before you go on"), ("proceed", "")]
)
async def test_with_another_action_it_is_let_through(house: House, action: str, told: str) -> None:
    house.set(f"conflict_action: {action}")
    house.coordinator.fates.append(Fate.CONTENDED)

    decision = await house.edit("a.py")

    assert decision.verdict is Verdict.ALLOW
    assert told in decision.context
    assert [("a.py", "unprotected")] == [(e.path, e.kind) for e in house.unreported], "one answered"


@pytest.mark.parametrize("shared", [False, True])
async def test_what_is_in_a_pattern_of_its_own_stays_editable_unasked(
    house: House, *, shared: bool
) -> None:
    house.block()
    await house.edit("other.py")
    pattern = HeldLock(SHOP, "*.py", "*.py", A, AgentId(""), FencingToken(9), is_pattern=True)
    house.held.put(replace(pattern, shared=shared))
    house.coordinator.fates.append(Fate.LOST)

    decision = await house.edit("a.py")

    assert decision.verdict is (Verdict.DENY if shared else Verdict.ALLOW)


async def test_what_passes_on_in_its_session_is_not_taken_for_given_back(house: House) -> None:
    await house.edit()
    passed = house.coordinator.locks["a.py"]
    passed.holder.agent_id = "a0"
    later = ((SHOP, "a.py"), AgentId("a0"), "")
    house.session.remembered.last_given_back[later] = FencingToken(passed.token + 1)

    decision = await house.edit("a.py", agent="a0")

    assert decision.verdict is Verdict.ALLOW


@pytest.mark.parametrize("action", ["warn", "proceed"])
async def test_an_edit_beside_a_holder_takes_the_locks_of_its_other_files(
    house: House, action: str
) -> None:
    house.set(f"conflict_action: {action}")
    for path in ("a.py", "c.py"):
        house.coordinator.hold(path, "Session_far")

    decision = await house.edit("a.py", "b.py", "c.py", "d.py")

    assert decision.verdict is Verdict.ALLOW
    for path, is_taken in (("a.py", False), ("b.py", True), ("c.py", False), ("d.py", True)):
        assert is_taken == (house.holds(path) is not None)
        assert is_taken == house.agrees(path)


async def test_an_edit_that_is_refused_for_one_of_its_files_takes_none(house: House) -> None:
    house.coordinator.hold("a.py", "Session_far")

    assert (await house.edit("a.py", "b.py")).verdict is Verdict.DENY
    assert house.holds("b.py") is None
    assert 1 == len(house.coordinator.acquires)


async def test_what_is_held_of_such_an_edit_needs_no_answer(house: House) -> None:
    await house.edit("b.py")
    house.set("conflict_action: warn, unreachable_action: block")
    house.coordinator.hold("a.py", "Session_far")
    house.coordinator.fates.extend([Fate.ANSWERED, Fate.LOST])

    assert (await house.edit("a.py", "b.py")).verdict is Verdict.ALLOW
    assert 2 == len(house.coordinator.acquires)
    assert [] == await house.edited("b.py")


async def test_all_that_is_said_of_several_files_is_told(house: House) -> None:
    house.set("conflict_action: warn")
    for path, session in (("a.py", "Session_far"), ("b.py", "Session_near")):
        house.coordinator.hold(path, session)

    decision = await house.edit("a.py", "b.py")

    for path in ("a.py", "b.py"):
        assert f"{path} is locked" in decision.context
        assert f"{path} is locked" in decision.notice


async def test_a_place_is_used_up_by_a_grant_that_holds_further_than_was_asked_for(
    house: House,
) -> None:
    house.set("scope: branch")
    house.coordinator.hold("a.py", "Session_far")
    await house.edit()
    (place,) = house.taking.leaving.confined(house.session)
    assert ["a.py"] == house.taking.leaving.promised([place])

    house.coordinator.locks.clear()
    house.coordinator.grants_on = LockScope.LOCK_SCOPE_REPOSITORY
    await house.edit()

    assert [] == house.taking.leaving.promised([place])
    assert [""] == [lock.branch for lock in house.held.at(SHOP, "a.py")]


async def test_an_edit_right_after_a_switch_is_of_the_branch_that_is_checked_out_now(
    house: House,
) -> None:
    house.set("scope: branch")
    await house.edit("b.py")
    git(house.root, "switch", "-q", "-c", "feature")

    await house.edit("a.py")

    assert ["main"] == [lock.branch for lock in house.held.at(SHOP, "b.py")]
    assert ["feature"] == [lock.branch for lock in house.held.at(SHOP, "a.py")]
    assert "feature" == house.coordinator.acquires[-1].branch


async def cut_off(house: House, *files: str) -> None:
    """An edit is granted all of its files, and ends before the answer comes."""
    coordinator = house.coordinator
    coordinator.fates.append(Fate.LOST_ANSWER)
    coordinator.connection.failed("gone", house.clock.now())
    decided = asyncio.create_task(house.edit(*files))
    await until(lambda: coordinator.locks)
    decided.cancel()
    await asyncio.gather(decided, return_exceptions=True)


async def found_out(house: House) -> None:
    house.coordinator.connection.answered(house.clock.now())
    await until(house.holds)
    await settle()


@pytest.mark.parametrize("files", [("a.py",), ("a.py", "b.py")])
async def test_what_is_judged_late_is_held_once_it_is_known_to_be_granted(
    house: House, files: tuple[str, ...]
) -> None:
    await cut_off(house, "a.py")

    assert "let through without a lock" in (await house.edit_unasked(*files)).context
    await found_out(house)

    assert house.agrees()
    assert [] == house.coordinator.releases


@pytest.mark.parametrize("change", ["reason", "commit", "setting"])
async def test_so_it_is_where_what_it_would_ask_for_has_changed(house: House, change: str) -> None:
    await cut_off(house, "a.py")
    if change == "reason":
        house.session.intent = "something else"
    elif change == "commit":
        git(house.root, "commit", "-q", "--allow-empty", "-m", "more")
        house.clock.advance(RECHECK_S)
    else:
        house.set("lock_timeout: 5400")
        house.locator.locate("a.py", str(house.root))
    house.coordinator.connection.failed("gone", house.clock.now())

    await house.edit_unasked("a.py")
    await found_out(house)

    assert house.agrees()
    assert [] == house.coordinator.releases


async def test_of_what_was_granted_with_it_the_rest_is_given_back(house: House) -> None:
    await cut_off(house, "a.py", "b.py")

    await house.edit_unasked("a.py")
    await found_out(house)

    assert ["a.py"] == list(house.coordinator.locks)
    assert house.agrees()
