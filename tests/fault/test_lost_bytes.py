"""What a connection may do to one command: lose its answer, stall, break off, close half."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.lab.fault import happening
from support.lab.figures import Figures
from support.lab.line import Line, handed_over, line, locks, wait_for_lock
from support.lab.line_faults import (
    ANSWERS_LOST,
    BLACK_HOLES,
    BROKEN_OFF,
    COMPACTED_UNWATCHED,
    HALF_CLOSED,
    HELD,
    SLOW,
    Joint,
)
from support.machines import FAST_LEASES, Answer, CodingSession, refusal
from support.processes import wait_until

pytestmark = pytest.mark.etcd

ANSWER_S = 2.5
TTL_S = float(FAST_LEASES["SCOORD_LEASES_TTL"])
JOINTS = ("between agent and coordinator", "between coordinator and etcd")


@pytest.fixture(scope="module")
def running(etcd_binary: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with line(tmp_path_factory.mktemp("line")) as made:
        yield made


@pytest.fixture(params=JOINTS)
def joint(request: pytest.FixtureRequest, running: Line) -> Joint:
    where = running.to_coordinator if request.param == JOINTS[0] else running.to_etcd
    return Joint(running, where)


def test_a_grant_whose_answer_is_lost_is_given_once(running: Line, joint: Joint) -> None:
    alice, bob = running.sessions()
    before = joint.proxy.swallowed

    with ThreadPoolExecutor() as pool, happening(ANSWERS_LOST, joint):
        asked = pool.submit(alice.edit, "a.py")
        token = wait_for_lock(bob, "a.py")
        wait_until("the answer is lost", lambda: joint.proxy.swallowed > before)
        joint.proxy.cut()
        assert {} == asked.result()

    wait_until("alice's machine lists it", lambda: "a.py" in locks(alice))
    assert token == locks(alice)["a.py"]["token"]
    assert {} == alice.edit("a.py")
    assert "is locked by Session_1" in refusal(bob.edit("a.py"))


def test_an_end_whose_answer_is_lost_is_an_end(running: Line, joint: Joint) -> None:
    alice, bob = running.sessions()
    assert {} == alice.edit("a.py")
    before = joint.proxy.swallowed

    with ThreadPoolExecutor() as pool, happening(ANSWERS_LOST, joint):
        asked = pool.submit(alice.end)
        wait_until("the answer is lost", lambda: joint.proxy.swallowed > before)
        joint.proxy.cut()
        taken_s = wait_until("bob gets it", lambda: "" == refusal(bob.edit("a.py")))
        assert {} == asked.result()

    assert taken_s < TTL_S / 3, "nobody waits for the lease to run out"


def test_a_session_whose_first_answer_is_lost_is_one_session(running: Line, joint: Joint) -> None:
    made = running.project()
    bob = running.bob.session(made.bobs)
    bob.start()
    alice = running.alice.session(made.alices)
    before = joint.proxy.swallowed

    with ThreadPoolExecutor() as pool, happening(ANSWERS_LOST, joint):
        asked = pool.submit(alice.start)
        wait_until("the answer is lost", lambda: joint.proxy.swallowed > before)
        wait_until("she is registered", lambda: len(sessions(bob)) == 2)
        joint.proxy.cut()
        asked.result()

    assert {} == alice.edit("a.py")
    wait_until("there are two of them", lambda: len(sessions(bob)) == 2)


def sessions(session: CodingSession) -> list[Answer]:
    """The sessions of its project, as its machine is told."""
    return list(session.machine.status(session.cwd)["sessions"])


def test_an_edit_goes_on_over_a_connection_that_breaks_off(running: Line, joint: Joint) -> None:
    alice, _ = running.sessions()

    with happening(BROKEN_OFF, joint):
        begun = time.monotonic()
        assert {} == alice.edit("a.py")
        assert time.monotonic() - begun < ANSWER_S


def test_an_edit_goes_on_over_a_connection_that_is_half_closed(running: Line, joint: Joint) -> None:
    alice, _ = running.sessions()

    with happening(HALF_CLOSED, joint):
        begun = time.monotonic()
        assert {} == alice.edit("a.py")
        assert time.monotonic() - begun < ANSWER_S


def test_edits_go_on_over_a_slow_connection(running: Line, joint: Joint) -> None:
    alice, bob = running.sessions()

    with happening(SLOW, joint):
        assert {} == alice.edit("a.py")
        assert "is locked by Session_1" in refusal(bob.edit("a.py"))
        assert "" == refusal(alice.edit("b.py"))


def test_connections_that_became_black_holes_are_left_behind(
    running: Line, joint: Joint, figures: Figures
) -> None:
    """As after a suspend, or when a router has forgotten them: new ones would be good."""
    alice, _ = running.sessions()

    with happening(BLACK_HOLES, joint):
        left_s = wait_until("an edit succeeds", lambda: "" == refusal(alice.edit("a.py")), 20)

    where = "agent" if joint.proxy is running.to_coordinator else "coordinator"
    figures.promise(f"black holes behind the {where}, next grant", [left_s], TTL_S)
    assert left_s < TTL_S


def test_belief_ends_before_another_is_let_in_while_nothing_gets_through(
    running: Line, joint: Joint
) -> None:
    alice, bob = running.sessions()
    assert {} == alice.edit("a.py")

    with happening(HELD, joint):
        pause_s = handed_over(alice, bob, "a.py", 2 * TTL_S).pause_s
        assert pause_s > 0.5, "the pause is there for machines whose clocks differ"

    wait_until("alice is refused", lambda: "is locked by" in refusal(alice.edit("a.py")))


def test_a_session_that_ends_while_nothing_gets_through_frees_its_files_afterwards(
    running: Line, joint: Joint
) -> None:
    alice, bob = running.sessions()
    assert {} == alice.edit("a.py")
    assert "is locked by" in refusal(bob.edit("a.py"))

    with happening(HELD, joint):
        alice.end()
    freed_s = wait_until("bob gets it", lambda: bob.edit("a.py") == {})

    assert freed_s < TTL_S / 3, "nobody waits for the lease to run out"


def test_a_coordinator_lists_anew_what_was_compacted_while_it_could_not_watch(
    running: Line,
) -> None:
    alice, bob = running.sessions()
    assert {} == alice.edit("a.py")

    with happening(COMPACTED_UNWATCHED, running):
        assert {} == bob.edit("b.py")
        assert {} == bob.edit("more.py")

    wait_until("alice's machine lists bob's", lambda: "b.py" in locks(alice))
    assert "listing anew" in running.coordinator.output()
    assert "is locked by Session_2" in refusal(alice.edit("b.py"))
