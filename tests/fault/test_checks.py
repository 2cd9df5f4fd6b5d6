"""The checks of a history find what they are there for."""

from contextlib import nullcontext
from typing import cast

import pytest

from scoord.v1.locks_pb2 import Holder
from scoord.v1.records_pb2 import LockRecord
from scoord_server.store import keys
from support.lab.checks import check
from support.lab.faults import Fault
from support.lab.figures import Figures
from support.lab.lab import Lab
from support.lab.load import History, Hook, Section, Verdict
from support.lab.run import run
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


def test_a_history_with_gaps_is_invalid() -> None:
    log = store(*GOOD)
    log.gaps.append("3 to 9")

    with pytest.raises(AssertionError, match="INVALID"):
        check(History(), log)


@pytest.mark.parametrize(
    ("ci", "ends"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_a_fault_that_cannot_be_done_here_is_skipped_and_in_ci_a_failure(
    ci: str, ends: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    fault = Fault("impossible", lambda _: nullcontext(lambda: True), missing=lambda: "no tool")

    with pytest.raises(ends, match="no tool"):
        run(cast("Lab", None), fault, Figures())
