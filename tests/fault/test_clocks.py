"""An agent whose clock goes too fast, too slow, or jumps; and one that stands still."""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.lab.fault import happening
from support.lab.line import Line, handed_over, line, locks, wait_for_lock
from support.lab.line_faults import HELD, Joint, clock_goes, machine_still
from support.machines import FAST_LEASES, CodingSession, context, refusal
from support.processes import wait_until
from support.skewed_agent import SkewedMachine

pytestmark = pytest.mark.etcd

TTL_S = float(FAST_LEASES["SCOORD_LEASES_TTL"])
BELIEF_S = float(FAST_LEASES["SCOORD_LEASES_BELIEF"])
ANSWER_S = 2.5


@pytest.fixture(scope="module")
def running(etcd_binary: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with line(tmp_path_factory.mktemp("line"), SkewedMachine) as made:
        yield made


def asked(running: Line) -> Joint:
    """Between Alice's agent and its coordinator."""
    return Joint(running, running.to_coordinator)


def holder(running: Line) -> tuple[CodingSession, CodingSession]:
    """Alice's session, which holds a file, and Bob's."""
    both = running.sessions()
    assert {} == both[0].edit("a.py")
    return both


@pytest.mark.parametrize("rate", [2.0, 0.5], ids=["twice as fast", "half as fast"])
def test_locks_are_kept_by_an_agent_whose_clock_goes(running: Line, rate: float) -> None:
    first, second = holder(running)
    token = locks(first)["a.py"]["token"]

    with happening(clock_goes(rate), running):
        until = time.monotonic() + TTL_S + 1
        while time.monotonic() < until:
            assert "" == refusal(first.edit("a.py"))
            assert "is locked by" in refusal(second.edit("a.py"))
            time.sleep(0.2)

    assert token == locks(first)["a.py"]["token"]


@pytest.mark.parametrize("rate", [2.0, 1 / 1.4], ids=["twice as fast", "1.4 times too slow"])
def test_belief_ends_before_another_is_let_in_on_a_clock_that_goes(
    running: Line, rate: float
) -> None:
    first, second = holder(running)

    with happening(clock_goes(rate), running), happening(HELD, asked(running)):
        assert handed_over(first, second, "a.py", 2 * TTL_S).pause_s > 0


def test_a_clock_that_is_slower_than_allowed_leaves_the_store_right_and_is_told(
    running: Line,
) -> None:
    """T/D is what clocks may differ by. Beyond it two may believe; the store has one."""
    first, second = holder(running)

    with happening(clock_goes(0.5), running), happening(HELD, asked(running)):
        handover = handed_over(first, second, "a.py", 2 * TTL_S)
        assert handover.pause_s < 0, "the clock was not slow enough to show it"
        assert "bob" == locks(second)["a.py"]["person"]

    said: list[str] = []
    wait_until("she is refused", lambda: _refused(first, "a.py", said))
    wait_until("she is told", lambda: "Your lock on a.py was lost" in _heard(first, said))


def _refused(session: CodingSession, path: str, said: list[str]) -> bool:
    said.append(refusal(session.edit(path)))
    return "is locked by" in said[-1]


def _heard(session: CodingSession, said: list[str]) -> str:
    said.append(context(session.edit("b.py")))
    return "".join(said)


def test_one_who_wakes_from_suspend_does_not_answer_from_memory(
    running: Line,
) -> None:
    first, _ = holder(running)

    with happening(HELD, asked(running)):
        assert "" == refusal(first.edit("a.py")), "it is believed in before"
        with clock_goes(jump_s=BELIEF_S).inject(running) as is_there:
            assert "no lock can be taken now" in refusal(first.edit("a.py"))
            assert is_there()

    wait_until("it is held again", lambda: "" == refusal(first.edit("a.py")))


def test_one_who_wakes_from_suspend_holds_on_under_the_same_token(
    running: Line,
) -> None:
    first, second = holder(running)
    token = locks(first)["a.py"]["token"]

    with happening(clock_goes(jump_s=3600), running):
        assert "" == refusal(first.edit("a.py"))
        assert token == locks(first)["a.py"]["token"]
        assert "is locked by" in refusal(second.edit("a.py"))


def test_a_grant_that_is_read_after_the_lease_ran_out_is_not_believed(running: Line) -> None:
    """The agent stands still between its question and the answer, as a laptop may."""
    first, second = running.sessions()
    still = machine_still()

    with ThreadPoolExecutor() as pool, contextlib.ExitStack() as stack:
        with running.to_coordinator.holding_answers():
            asked = pool.submit(first.edit, "a.py")
            wait_for_lock(second, "a.py")
            is_there = stack.enter_context(still.inject(running))
        wait_until("the lease runs out", lambda: second.edit("a.py") == {}, 3 * TTL_S)
        assert is_there()
        stack.close()
        answer = asked.result()

    running.check_health()
    assert "" != refusal(answer), "bob has it"


def test_one_who_stands_still_between_the_answer_and_the_edit_is_told_and_so_is_the_other(
    running: Line,
) -> None:
    """The check was right when it was made; the edit comes when another has the file."""
    first, second = holder(running)

    with happening(machine_still(first), running):
        wait_until("bob gets it", lambda: second.edit("a.py") == {}, 3 * TTL_S)
    first.edited("a.py")

    mine = first.told_at_last("You edited a.py without the protection of a lock")
    assert "Session_2 (bob@" in mine
    theirs = second.told_at_last("edited a.py without the protection of its lock")
    assert "Session_1 (alice@" in theirs
