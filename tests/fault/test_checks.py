"""The checks of a history find what they are there for."""

from contextlib import nullcontext
from typing import cast

import pytest

from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import LockRecord
from scoord_server.store import keys
from support.lab.checks import check
from support.lab.fault import LabFault
from support.lab.faults import FAULTS
from support.lab.figures import Figures
from support.lab.lab import Lab
from support.lab.load import History, Hook, Section, Verdict
from support.lab.run import InvalidRunError, Met, check_valid, run
from support.lab.store_log import Change, StoreLog

PATH = "a.py"
KEY = keys.lock("shop", PATH)


def put(revision: int, pid: int, created: int = 0) -> Change:
    holder = Holder(session_id=f"Session_vm_{pid}_20260101T000000Z")
    record = LockRecord(holder=holder, path=PATH)
    return Change(revision, KEY, created or revision, record.SerializeToString())


def gone(revision: int) -> Change:
    return Change(revision, KEY, 0, b"")


def store(*changes: Change) -> StoreLog:
    """A store that did one thing each second."""
    log = StoreLog()
    for change in changes:
        log.see(change.revision, (change,), float(change.revision))
    return log


def allowed(pid: int, at: float, took_s: float = 0.1) -> Hook:
    return Hook("m1", pid, "PreToolUse", PATH, at, at + took_s, Verdict.ALLOWED)


GOOD = (put(1, pid=7), gone(4), put(5, pid=8))


def test_a_good_history_passes() -> None:
    hooks = [allowed(7, 1.0), allowed(7, 3.0), allowed(8, 5.0)]
    sections = [Section(7, PATH, 1.1, 1.2), Section(7, PATH, 3.1, 3.9), Section(8, PATH, 5.1, 5.2)]

    check(History(hooks, sections), store(*GOOD))


@pytest.mark.parametrize(
    ("history", "changes", "found"),
    [
        (History([allowed(7, 4.5)]), GOOD, "allowed without a lock"),
        (History([allowed(8, 2.0)]), GOOD, "allowed without a lock"),
        (History([allowed(7, 1.0, took_s=2.6)]), GOOD, "hooks took over"),
        (
            History([], [Section(7, PATH, 1.0, 3.0), Section(8, PATH, 2.0, 4.0)]),
            GOOD,
            "two edit at once",
        ),
        (History(), (put(1, pid=7), put(2, pid=8, created=1)), "while it is held"),
        (History(), (put(1, pid=7), put(2, pid=7, created=2)), "changes its token"),
        (History(), (gone(1),), "a lock ends that nobody had"),
    ],
    ids=[
        "from memory, after the end",
        "before the grant",
        "late",
        "two at once",
        "a second holder",
        "a second token",
        "an end without a grant",
    ],
)
def test_a_broken_promise_is_found(
    history: History, changes: tuple[Change, ...], found: str
) -> None:
    with pytest.raises(AssertionError, match=found):
        check(history, store(*changes))


def ends(pid: int, at: float) -> Hook:
    return Hook("m1", pid, "SessionEnd", "", at, at + 0.1, Verdict.ALLOWED)


def refused(pid: int, at: float, *, unheard: bool) -> Hook:
    return Hook("m1", pid, "PreToolUse", PATH, at, at + 0.1, Verdict.UNKNOWN, unheard)


IDLE = [allowed(7, 1.0), ends(7, 9.0)]
"""A session that edits at 1, and is silent until it ends at 9."""


@pytest.mark.parametrize(
    "since",
    [(), (put(5, pid=8),), (put(5, pid=7),)],
    ids=["it is free", "another has it", "it has it again, under a new token"],
)
def test_a_lock_that_is_lost_while_its_session_lives_is_found(since: tuple[Change, ...]) -> None:
    lost = store(put(1, pid=7), gone(4), *since)
    check(History(IDLE), lost, losing=("m1",))

    with pytest.raises(AssertionError, match="lost before the session's end"):
        check(History(IDLE), lost, losing=("m2",))


def test_what_is_held_until_the_end_is_kept() -> None:
    check(History(IDLE), store(put(1, pid=7)))
    check(History(IDLE), store(put(1, pid=7), gone(9)))


@pytest.mark.parametrize(("unheard", "kept"), [(True, True), (True, False), (False, True)])
def test_what_no_hook_heard_of_is_lost_only_where_it_is_to_be_kept(
    unheard: bool, kept: bool
) -> None:
    history = History([refused(7, 1.0, unheard=unheard), ends(7, 9.0)])
    is_found = pytest.raises(AssertionError, match="lost before") if unheard and kept else None

    with is_found or nullcontext():
        check(history, store(put(1, pid=7), gone(4)), unheard=kept)


def test_what_is_given_back_since_its_edit_was_refused_is_not_lost() -> None:
    """Another ask is under way when that is seen, and gets the file anew."""
    again = Hook("m1", 7, "PreToolUse", PATH, 3.9, 5.1, Verdict.ALLOWED)
    hooks = [refused(7, 1.0, unheard=False), again, ends(7, 9.0)]

    check(History(hooks), store(put(1, pid=7), gone(4), put(5, pid=7)))


def test_what_an_earlier_process_of_this_id_had_is_not_looked_at() -> None:
    check(History([allowed(7, 5.0), ends(7, 9.0)]), store(put(1, pid=7), gone(2), put(5, pid=7)))


def test_a_history_with_gaps_is_invalid() -> None:
    log = store(*GOOD)
    log.gaps.append("3 to 9")

    with pytest.raises(AssertionError, match="INVALID"):
        check(History(), log)


def test_a_revision_that_is_not_what_it_was_is_found() -> None:
    log = store(*GOOD)
    log.see(4, (gone(4),), 9.0)
    check(History(), log)

    log.see(4, (put(4, pid=9),), 9.0)

    with pytest.raises(AssertionError, match="what was committed is not what is there"):
        check(History(), log)


def test_the_tokens_of_a_moment_are_those_of_the_locks_that_were_held() -> None:
    log = store(*GOOD)

    assert [{KEY: 1}, {}, {KEY: 5}] == [log.tokens(until) for until in (3, 4, 5)]


def asked(machine: str, verdict: Verdict, number: int = 10) -> list[Hook]:
    return [Hook(machine, 7, "PreToolUse", PATH, 1.0, 1.1, verdict)] * number


FAULT = LabFault("of m2", lambda _: nullcontext(lambda: True), feels=("m2",))
M1 = asked("m1", Verdict.ALLOWED)
M2 = [*asked("m2", Verdict.HELD), *asked("m2", Verdict.ALLOWED)]


def test_a_load_that_met_the_fault_is_valid() -> None:
    check_valid(FAULT, Met(True, M1 + M2, M1 + M2))


@pytest.mark.parametrize(
    ("met", "found"),
    [
        (Met(False, M1 + M2, M1 + M2), "the fault did not happen"),
        (Met(True, M1 + M2[:4], M1 + M2), "only 4 edits were asked on m2"),
        (
            Met(True, M1 + asked("m2", Verdict.UNANSWERED), M1 + M2),
            "only 0 edits were asked on m2",
        ),
        (
            Met(True, asked("m1", Verdict.UNKNOWN) + M2, M1 + M2),
            "only 0 edits were asked on m1",
        ),
        (Met(True, M1 + M2, M1 + asked("m1", Verdict.HELD) + M2[10:]), "met another's lock"),
        (Met(True, M1 + M2, M1 + M2[:10]), "nobody on m2 edited"),
    ],
    ids=[
        "no fault",
        "a thin load",
        "nobody answers where it is felt",
        "nothing decided where it is not felt",
        "no conflict where it is felt",
        "no edit where it is felt",
    ],
)
def test_a_load_that_did_not_meet_the_fault_is_invalid(met: Met, found: str) -> None:
    with pytest.raises(InvalidRunError, match=f"INVALID: .*{found}"):
        check_valid(FAULT, met)


def test_names_of_faults_are_their_own() -> None:
    names = [fault.name for fault in FAULTS]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("ci", "ends"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_a_fault_that_cannot_be_done_here_is_skipped_and_in_ci_a_failure(
    ci: str, ends: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    fault = LabFault("impossible", lambda _: nullcontext(lambda: True), missing=lambda: "no tool")

    with pytest.raises(ends, match="no tool"):
        run(cast("Lab", None), fault, Figures())
