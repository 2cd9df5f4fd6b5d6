"""What may happen to a connection, a clock or a program of a line, while one command is given."""

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.error import HTTPError

from support.etcd import Member
from support.lab.fault import Fault, Proof
from support.lab.line import Line
from support.lab.team import stands_still, stopped
from support.lab.trouble import no_strace, slowed_disk
from support.machines import CodingSession
from support.proxy import Delay, Proxy
from support.skewed_agent import SkewedMachine

_SLOW = Delay(0.02, 0.15)


@dataclass(frozen=True, slots=True)
class Joint:
    """One of the two places in a line where a proxy is."""

    line: Line
    proxy: Proxy

    def check_health(self) -> None:
        """Fail unless both sides of its line can edit."""
        self.line.check_health()


# -- connections -----------------------------------------------------------------------------


@contextlib.contextmanager
def _answers_lost(joint: Joint) -> Iterator[Proof]:
    before = joint.proxy.swallowed
    with joint.proxy.answers_lost():
        yield lambda: joint.proxy.swallowed > before


@contextlib.contextmanager
def _broken_off(joint: Joint) -> Iterator[Proof]:
    stood = joint.proxy.connections()
    joint.proxy.cut()
    yield lambda: stood > 0


@contextlib.contextmanager
def _half_closed(joint: Joint) -> Iterator[Proof]:
    stood = joint.proxy.connections()
    joint.proxy.half_close()
    yield lambda: stood > 0


@contextlib.contextmanager
def _slow(joint: Joint) -> Iterator[Proof]:
    before, joint.proxy.delay = joint.proxy.passed, _SLOW
    try:
        yield lambda: joint.proxy.passed > before
    finally:
        joint.proxy.delay = Delay()


@contextlib.contextmanager
def _black_holes(joint: Joint) -> Iterator[Proof]:
    before = joint.proxy.swallowed
    with joint.proxy.black_holes() as number:
        yield lambda: number > 0 and joint.proxy.swallowed > before


@contextlib.contextmanager
def _held(joint: Joint) -> Iterator[Proof]:
    before = joint.proxy.held
    with joint.proxy.holding():
        yield lambda: joint.proxy.held > before


@contextlib.contextmanager
def _compacted_unwatched(line: Line) -> Iterator[Proof]:
    """A coordinator reaches no etcd, and what it did not see is forgotten at the end."""
    member = line.etcd.member
    before = revision(member)
    with line.to_etcd.refusing():
        yield lambda: revision(member) > before
        past = {"revision": revision(member), "physical": True}
        member.post("/v3/kv/compaction", past)
        assert _is_forgotten(member, before), "INVALID: nothing was compacted"


def revision(member: Member) -> int:
    """The revision that etcd is at."""
    return int(member.post("/v3/kv/range", {"key": "AA=="})["header"]["revision"])


def _is_forgotten(member: Member, past: int) -> bool:
    try:
        member.post("/v3/kv/range", {"key": "AA==", "revision": past})
    except HTTPError as compacted:
        compacted.close()
        return True
    return False


ANSWERS_LOST = Fault("answers are lost", _answers_lost)
BROKEN_OFF = Fault("connections break off", _broken_off)
HALF_CLOSED = Fault("connections are half closed", _half_closed)
SLOW = Fault("a connection is slow", _slow)
BLACK_HOLES = Fault("connections become black holes", _black_holes)
HELD = Fault("nothing gets through", _held)
COMPACTED_UNWATCHED = Fault("etcd is compacted while nobody watches", _compacted_unwatched)


# -- clocks and programs -----------------------------------------------------------------------


def clock_goes(rate: float = 1.0, *, jump_s: float = 0.0) -> Fault[Line]:
    """The clock of Alice's agent jumps once, and goes at ``rate`` until it is healed."""

    @contextlib.contextmanager
    def injection(line: Line) -> Iterator[Proof]:
        machine = line.alice
        assert isinstance(machine, SkewedMachine)
        machine.clock(rate, jump_s)
        try:
            yield machine.goes_as_said
        finally:
            machine.clock(1.0)

    return Fault(f"a clock goes at {rate:.2g} and jumps by {jump_s:g} s", injection)


def machine_still(*sessions: CodingSession) -> Fault[Line]:
    """Alice's agent and these coding CLIs of hers stand still, as her machine does in a suspend."""

    @contextlib.contextmanager
    def injection(line: Line) -> Iterator[Proof]:
        assert line.alice.agent is not None
        pids = [line.alice.agent.pid, *(session.pid for session in sessions)]
        with contextlib.ExitStack() as stack:
            for pid in pids:
                stack.enter_context(stopped(pid))
            yield lambda: all(map(stands_still, pids))

    return Fault("a machine stands still", injection)


@contextlib.contextmanager
def _member_still(member: Member) -> Iterator[Proof]:
    assert member.process is not None
    pid = member.process.pid
    member.send(signal.SIGSTOP)
    try:
        yield lambda: stands_still(pid)
    finally:
        member.send(signal.SIGCONT)


MEMBER_STILL = Fault("a member of etcd stands still", _member_still)


@contextlib.contextmanager
def _member_disk_hangs(member: Member) -> Iterator[Proof]:
    assert member.process is not None
    with slowed_disk(member.process.pid, delay_ms=60_000) as proof:
        yield proof


MEMBER_DISK_HANGS = Fault("the disk of a member of etcd hangs", _member_disk_hangs, no_strace)
