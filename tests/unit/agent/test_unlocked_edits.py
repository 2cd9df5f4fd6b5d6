"""Edits that were made without a lock: what is written down, reported and told."""

import asyncio
from dataclasses import replace

import pytest

from scoord.claimant import Claimant
from scoord.config import RECHECK_S
from scoord.happenings import Kind
from scoord.ids import AgentId, FencingToken, RequestId, SessionId
from scoord.v1.events_pb2 import LockGone, Notice, Progress, Snapshot, WatchResponse
from scoord.v1.locks_pb2 import Holder, Lock, LockScope, Lost, ReportKind
from scoord_agent import wording, wording_losses
from scoord_agent.coordinator import seconds
from scoord_agent.held import QUIET_S
from scoord_agent.held_lock import HeldLock
from scoord_agent.protection import FRESH_S, LATE_S
from scoord_agent.unreported import UnlockedEdit, Unreported
from scoord_hooks.neutral import Verdict
from support.house import BELIEF_S, SHOP, A, House, settle, until
from support.repositories import git
from support.scripted_coordinator import Fate

BOB = Holder(session_id="Session_b", alias="Session_2", person="bob", host="mbp")


def cut_off(house: House) -> None:
    """Nobody can be asked from now on."""
    house.coordinator.connection.failed("gone", house.clock.now())
    house.coordinator.fates.extend([Fate.UNREACHABLE] * 100)


def back(house: House) -> None:
    """The coordinator answers again, and has renewed the lease or granted another."""
    house.coordinator.fates.clear()
    house.held.renewed(A, house.clock.now())
    house.reporting.begin()


def displaced(house: House) -> None:
    """Another session of this machine was granted what is held."""
    (held,) = house.held.at(SHOP, "a.py")
    house.held.put(replace(held, session=SessionId("b"), token=FencingToken(held.token + 7)))


async def test_an_edit_let_through_unasked_is_written_down(house: House) -> None:
    cut_off(house)
    await house.edit("a.py", "b.py", agent="agent-1")

    edits = list(house.unreported)
    assert [("unasked", A, "agent-1", SHOP)] * 2 == [
        (edit.kind, edit.session, edit.agent, edit.project) for edit in edits
    ]
    assert ["a.py", "b.py"] == [edit.path for edit in edits]
    assert {1} == {edit.heard_revision for edit in edits}


async def test_one_report_says_it_all_for_an_outage(house: House) -> None:
    cut_off(house)
    for _ in range(3):
        await house.edit()

    assert 1 == len(house.unreported)


async def test_what_was_denied_or_answered_is_not_written_down(house: House) -> None:
    await house.edit()
    house.block()
    cut_off(house)
    assert (await house.edit("b.py")).verdict is Verdict.DENY

    assert [] == list(house.unreported)


async def test_when_somebody_can_be_told_it_is_reported_once(house: House) -> None:
    cut_off(house)
    await house.edit()
    house.reporting.begin()
    await settle()
    assert [] == house.coordinator.reports

    house.clock.advance(60)
    back(house)
    back(house)
    await until(lambda: not len(house.unreported))
    await settle()

    (report,) = house.coordinator.reports
    assert (ReportKind.REPORT_KIND_UNASKED, 1) == (report.kind, report.heard_revision)
    assert (A, SHOP, "a.py", 60) == (
        report.session_id,
        report.project,
        report.path,
        report.ago.seconds,
    )
    assert LockScope.LOCK_SCOPE_REPOSITORY == report.scope
    assert [] == house.session.take_notices()


async def test_a_report_says_on_which_branch_a_lock_would_have_held(house: House) -> None:
    (house.root / "coordination.yaml").write_text("session_coordination: {scope: branch}")
    git(house.root, "checkout", "-q", "-b", "topic")
    house.clock.advance(60)
    house.stream.live()
    cut_off(house)
    await house.edit()
    back(house)
    await until(lambda: house.coordinator.reports)

    (report,) = house.coordinator.reports
    assert (LockScope.LOCK_SCOPE_BRANCH, "topic") == (report.scope, report.branch)


async def test_a_report_is_of_the_branch_that_was_switched_to_while_nobody_answered(
    house: House,
) -> None:
    (house.root / "coordination.yaml").write_text("session_coordination: {scope: branch}")
    house.clock.advance(60)
    house.stream.live()
    house.coordinator.fates.extend([Fate.LOST] * 100)
    edit = asyncio.create_task(house.edit())
    await until(lambda: house.coordinator.acquires)
    git(house.root, "checkout", "-q", "-b", "topic")
    house.clock.advance(RECHECK_S)
    assert (await edit).verdict is Verdict.ALLOW

    assert ["topic"] == [unasked.branch for unasked in house.unreported]


async def test_a_file_of_two_worktrees_is_edited_in_each_by_its_own_right(house: House) -> None:
    (house.root / "coordination.yaml").write_text("session_coordination: {scope: branch}")
    linked = house.root.parent / "linked"
    git(house.root, "worktree", "add", "-q", "-b", "topic", str(linked))
    (linked / "coordination.yaml").write_text("session_coordination: {scope: branch}")
    house.clock.advance(RECHECK_S)
    house.stream.live()
    await house.edit("a.py")
    house.coordinator.locks.clear()  # that of another branch is another grant
    await house.edit(str(linked / "a.py"))

    assert [] == await house.edited("a.py")
    assert [] == await house.edited(str(linked / "a.py"))
    assert ["main", "topic"] == [lock.branch for lock in house.held.at(SHOP, "a.py")]


async def test_a_report_that_is_not_answered_is_sent_again_under_its_id(house: House) -> None:
    cut_off(house)
    await house.edit()
    (edit,) = house.unreported
    house.reporting.begin()
    await settle()
    back(house)
    await until(lambda: house.coordinator.reports)

    assert [edit.report_id] == [report.request_id for report in house.coordinator.reports]


async def test_an_edit_after_a_report_was_sent_has_its_own(house: House) -> None:
    """The first may have been taken in and answered, and says nothing of what came later."""
    cut_off(house)
    await house.edit()
    house.reporting.begin()
    await settle()
    for _ in range(3):
        await house.edit()

    assert 2 == len(house.unreported)


async def test_while_a_lease_may_have_run_out_nobody_is_told_whose_edit_it_was(
    house: House,
) -> None:
    """The others would read the id of a session that they have never heard of."""
    cut_off(house)
    await house.edit()
    house.clock.advance(60)
    house.coordinator.fates.clear()
    house.reporting.begin()
    await settle()
    assert [] == house.coordinator.reports

    back(house)
    await until(lambda: house.coordinator.reports)


async def test_what_an_idle_session_did_that_gets_no_new_lease_is_reported(house: House) -> None:
    cut_off(house)
    await house.edit()
    house.clock.advance(60)
    house.coordinator.fates.clear()
    house.reporting.begin(of_all=True)

    await until(lambda: house.coordinator.reports)


async def test_what_a_session_did_that_is_gone_is_reported_all_the_same(house: House) -> None:
    cut_off(house)
    await house.edit()
    house.clock.advance(60)
    house.sessions.remove(house.session)
    house.coordinator.fates.clear()
    house.reporting.begin()

    await until(lambda: house.coordinator.reports)


async def test_one_that_is_refused_does_not_keep_the_others(house: House) -> None:
    cut_off(house)
    await house.edit("a.py", "b.py")
    house.coordinator.fates.clear()
    house.coordinator.fates.append(Fate.REFUSED)
    house.reporting.begin()
    await until(lambda: not len(house.unreported))

    assert ["a.py", "b.py"] == [report.path for report in house.coordinator.reports]


@pytest.mark.parametrize(
    ("met", "said"),
    [
        (
            Lost(holder=BOB, how="granted", since=seconds(180)),
            "Session_2 (bob@mbp) has held it for 3 min: compare before you go on.",
        ),
        (
            Lost(holder=BOB, how="released", since=seconds(180)),
            "Session_2 (bob@mbp) held it meanwhile, from 3 min ago on: compare before you go on.",
        ),
        (
            Lost(holder=BOB, how="unasked", since=seconds(180)),
            "Session_2 (bob@mbp) edited it too, 3 min ago: compare before you go on.",
        ),
    ],
)
async def test_whom_it_met_is_told(house: House, met: Lost, said: str) -> None:
    cut_off(house)
    await house.edit()
    house.coordinator.last["a.py"] = met
    back(house)
    await until(lambda: house.session.notices)

    (told,) = house.session.take_notices()
    assert f"⚠️ You edited a.py while nobody could be asked; {said}" == told


async def test_an_edit_whose_lock_stands_is_no_report(house: House) -> None:
    await house.edit()

    assert [] == await house.edited()


async def test_an_edit_that_nobody_asked_about_of_a_file_nobody_has_is_no_report(
    house: House,
) -> None:
    assert [] == await house.edited()


async def test_an_edit_of_what_is_not_locked_is_no_report(house: House) -> None:
    (house.root / "coordination.yaml").write_text(
        "session_coordination: {enable_file_locks: false}"
    )
    house.clock.advance(60)
    house.stream.live()
    house.stream.hold("a.py", BOB, 90)
    await house.edit()

    assert [] == await house.edited()


async def test_an_edit_whose_lock_was_lost_on_the_way_is_reported_from_its_grant_on(
    house: House,
) -> None:
    await house.edit()
    (held,) = house.held.at(SHOP, "a.py")
    house.held.drop(held)
    house.coordinator.last["a.py"] = Lost(holder=BOB, how="granted", since=seconds(3))
    await house.edited()
    await until(lambda: house.session.notices)

    (report,) = house.coordinator.reports
    assert ReportKind.REPORT_KIND_UNPROTECTED == report.kind
    assert held.token == report.heard_revision
    (told,) = house.session.take_notices()
    assert "You edited a.py without the protection of a lock; Session_2 (bob@mbp) has" in told


async def test_an_edit_under_another_grant_than_it_was_allowed_by_is_reported(
    house: House,
) -> None:
    await house.edit()
    (held,) = house.held.at(SHOP, "a.py")
    house.held.put(held.granted_anew(FencingToken(held.token + 7)))

    (edit,) = await house.edited()
    assert held.token == edit.heard_revision


async def test_an_edit_whose_lock_was_displaced_is_reported(house: House) -> None:
    await house.edit()
    displaced(house)

    assert ["unprotected"] == [edit.kind for edit in await house.edited()]


async def test_an_edit_that_outlasts_belief_is_reported(house: House) -> None:
    await house.edit()
    house.clock.advance(BELIEF_S)

    assert ["unprotected"] == [edit.kind for edit in await house.edited()]


async def test_an_edit_let_through_unasked_is_reported_as_that_alone(house: House) -> None:
    cut_off(house)
    await house.edit()

    assert ["unasked"] == [edit.kind for edit in await house.edited()]


async def test_a_lock_that_came_after_all_counts_as_used(house: House) -> None:
    house.coordinator.fates.append(Fate.LOST_ANSWER)
    await house.edit()
    await until(house.holds)
    await house.edited()

    assert ["a.py"] == [used.key for used in house.held.used(A)]


async def test_an_edit_let_through_beside_its_holder_is_known_already(house: House) -> None:
    (house.root / "coordination.yaml").write_text("session_coordination: {conflict_action: warn}")
    house.clock.advance(60)
    house.stream.live()
    house.coordinator.hold("a.py", "Session_far")
    assert (await house.edit()).verdict is not Verdict.DENY

    assert [] == await house.edited()


async def test_an_edit_that_nobody_asked_about_of_what_another_has_is_reported(
    house: House,
) -> None:
    house.stream.hold("a.py", BOB, 90)

    (edit,) = await house.edited()
    assert ("unprotected", 89) == (edit.kind, edit.heard_revision)


async def test_an_edit_that_nobody_asked_about_of_what_another_here_has_is_reported(
    house: House,
) -> None:
    await house.edit()
    await house.edited()
    displaced(house)

    edits = await house.edited()
    assert ["unprotected"] == [edit.kind for edit in edits if not edit.relied]


async def test_a_lock_that_went_is_not_in_the_way(house: House) -> None:
    house.stream.hold("a.py", BOB, 90)
    gone = LockGone(lock=Lock(path="a.py", token=90, holder=BOB), how="released")
    house.stream.tell(WatchResponse(revision=91, lock_gone=gone))

    assert [] == await house.edited()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("unasked", "⚠️ Session_2 (bob@mbp) edited a.py while nobody could be asked"),
        ("unprotected", "⚠️ Session_2 (bob@mbp) edited a.py without the protection of its lock"),
        ("overlap", "⚠️ Session_2 (bob@mbp) edits a.py too, which you hold"),
        ("of a newer coordinator", "⚠️ Session_2 (bob@mbp) edits a.py too, which you hold"),
    ],
)
def test_what_lies_in_an_inbox_is_said_by_its_kind(kind: str, said: str) -> None:
    told = wording.noticed(Notice(kind=kind, path="a.py", sender=BOB))

    assert told.startswith(said)


def test_one_of_whom_little_is_known_is_named_by_what_is() -> None:
    gone = Holder(session_id="Session_mbp_7", person="bob")

    assert "Session_mbp_7 (bob)" in wording.noticed(
        Notice(kind="unasked", path="a.py", sender=gone)
    )


@pytest.mark.parametrize("kind", ["unasked", "unprotected"])
def test_texts_of_others_stay_on_one_line(kind: str) -> None:
    evil = Holder(session_id="s\x1b[2J\nrm", person="bob\n", host="\x1b]0;x\x07")
    last = Lost(holder=evil, how="granted")

    for told in (
        wording.noticed(Notice(kind=kind, path="a\n.py", sender=evil)),
        wording.met("a\n.py", kind, [last], wording.Asker(A)),
        wording_losses.lost_to("a\n.py", last, wording.Asker(A)),
    ):
        assert "\n" not in told
        assert "\x1b" not in told


def gone(token: int, how: str = "broken") -> WatchResponse:
    lock = Lock(path="a.py", token=token, holder=Holder(session_id=A))
    return WatchResponse(revision=token + 1, lock_gone=LockGone(lock=lock, how=how, by="bob"))


def held_by(house: House) -> HeldLock:
    """What it holds of a.py."""
    held = house.holds()
    assert held is not None
    return held


async def done(house: House) -> int:
    """An edit happens under a lock; the token of that."""
    await house.edit()
    await house.edited()
    return held_by(house).token


async def test_an_edit_whose_lock_was_over_unheard_is_asked_about_once_that_is_heard(
    house: House,
) -> None:
    token = await done(house)
    assert [] == house.coordinator.reports
    house.clock.advance(2)
    house.coordinator.last["a.py"] = Lost(holder=BOB, how="granted", since=seconds(3))
    house.hear(gone(token))
    await until(lambda: house.session.notices)

    (report,) = house.coordinator.reports
    assert (True, token, 2) == (report.relied, report.heard_revision, report.ago.seconds)
    assert ReportKind.REPORT_KIND_UNPROTECTED == report.kind
    assert "You edited a.py without the protection of a lock" in house.session.take_notices()[0]
    house.hear(gone(token))
    await settle()
    assert 1 == len(house.coordinator.reports)


async def test_a_snapshot_without_its_lock_tells_the_same(house: House) -> None:
    token = await done(house)
    house.hear(WatchResponse(revision=token + 9, snapshot=Snapshot()))
    await until(lambda: house.coordinator.reports)

    assert [token] == [report.heard_revision for report in house.coordinator.reports]


async def test_of_what_stands_is_newer_or_was_given_back_nothing_is_asked(house: House) -> None:
    token = await done(house)
    lock = Lock(path="a.py", token=token, holder=Holder(session_id=A))
    house.hear(WatchResponse(revision=token - 1, snapshot=Snapshot()))
    house.hear(WatchResponse(revision=token + 9, snapshot=Snapshot(locks=[lock])))
    house.hear(gone(token, "released"))
    await settle()

    assert [] == house.coordinator.reports
    assert not house.session.remembered.relied


async def test_what_ends_long_after_an_edit_is_not_asked_about(house: House) -> None:
    token = await done(house)
    house.clock.advance(LATE_S)
    house.stream.live()
    house.hear(WatchResponse(revision=token, progress=Progress()))
    house.hear(gone(token))
    await settle()

    assert [] == house.coordinator.reports
    assert not house.session.remembered.relied


async def test_a_later_edit_by_another_grant_leaves_nothing_unasked_of_the_earlier_one(
    house: House,
) -> None:
    token = await done(house)
    house.held.put(replace(held_by(house), token=FencingToken(token + 5)))
    house.clock.advance(2)
    await house.edit()
    await house.edited()
    await until(lambda: house.coordinator.reports)

    assert [(token, 2)] == [(r.heard_revision, r.ago.seconds) for r in house.coordinator.reports]


async def test_of_two_edits_by_one_grant_the_later_one_is_remembered(house: House) -> None:
    await done(house)
    house.clock.advance(2)
    await done(house)
    await settle()

    assert [] == house.coordinator.reports
    (relied,) = house.session.remembered.relied.values()
    assert house.clock.now() == relied.at


async def test_an_edit_while_the_stream_is_silent_is_written_down_for_whoever_comes_after(
    house: House,
) -> None:
    await house.edit()
    house.clock.advance(FRESH_S + 1)
    cut_off(house)
    await house.edited()
    house.clock.advance(3)
    edits = await house.edited()
    edit, held = edits[-1], house.holds()

    assert held is not None
    assert (True, held.token, house.clock.now()) == (edit.relied, edit.heard_revision, edit.made_at)
    after = Unreported(house.root.parent / "unreported.jsonl")
    after.load()
    assert edits == list(after)


@pytest.mark.parametrize("silent_s", [None, BELIEF_S + QUIET_S])
async def test_an_edit_by_a_lock_of_which_no_end_was_heard_is_asked_about_and_not_judged_here(
    house: House, silent_s: float | None
) -> None:
    """The stream of a project that is new to an agent begins with the lock of the first edit."""
    await house.edit()
    house.stream.of(SHOP).followed_at = None if silent_s is None else house.clock.now() - silent_s
    await house.edited()
    await until(lambda: house.coordinator.reports)

    (report,) = house.coordinator.reports
    assert (True, held_by(house).token) == (report.relied, report.heard_revision)


async def test_what_an_edit_relied_on_is_written_down_once_the_stream_has_fallen_silent(
    house: House,
) -> None:
    token = await done(house)
    cut_off(house)
    house.clock.advance(FRESH_S)
    house.protection.look()
    assert [] == list(house.unreported)
    house.clock.advance(1)
    house.protection.look()

    (edit,) = house.unreported
    assert (True, token, FRESH_S + 1) == (
        edit.relied,
        edit.heard_revision,
        house.clock.now() - edit.made_at,
    )
    house.hear(WatchResponse(revision=token + 9, snapshot=Snapshot()))
    assert [edit] == list(house.unreported)


def test_how_long_ago_an_edit_was_the_wall_clock_tells_only_after_a_reboot() -> None:
    edit = UnlockedEdit(
        RequestId("r"), Kind.UNASKED, A, AgentId(""), SHOP, "a.py", "", 1, 50_000, made_at=100.0
    )

    assert 20 == edit.ago_s(120.0, 3_600_000)
    assert 10 == edit.ago_s(5.0, 60_000)
    assert 10 == replace(edit, made_at=0.0).ago_s(120.0, 60_000)
    assert 0 == replace(edit, made_at=0.0).ago_s(120.0, 0)


async def test_the_latest_of_edits_by_one_lock_is_asked_about_however_it_is_noted(
    house: House,
) -> None:
    token = await done(house)
    house.clock.advance(FRESH_S + 1)
    cut_off(house)
    (edit,) = await house.edited()
    house.hear(WatchResponse(revision=token + 9, snapshot=Snapshot()))

    assert [edit] == list(house.unreported)


async def test_an_earlier_edit_does_not_take_the_place_of_a_later_one(house: House) -> None:
    cut_off(house)
    who = Claimant(A, AgentId(""))
    for at in (5.0, 9.0, 7.0):
        house.reporting.note(Kind.UNPROTECTED, SHOP, "a.py", who, 8, relied_at=at)

    assert [9.0] == [edit.made_at for edit in house.unreported]
