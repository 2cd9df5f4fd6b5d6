"""What the promises of time are measured by: each is a fault, done again and again.

A measure yields, for as long as it is asked, the seconds that one occurrence cost a
session that waits for it. The lab is healthy before and after each.
"""

import contextlib
import itertools
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass

from support.lab.lab import COORDINATORS, Lab
from support.lab.team import LabSession, stopped
from support.machines import FAST_LEASES, context, refusal
from support.processes import wait_until

TTL_S = float(FAST_LEASES["SCOORD_LEASES_TTL"])
HEARTBEAT_S = float(FAST_LEASES["SCOORD_LEASES_HEARTBEAT"])
REAL_LEASES = {
    "SCOORD_LEASES_TTL": "30",
    "SCOORD_LEASES_BELIEF": "20",
    "SCOORD_LEASES_HEARTBEAT": "5",
    "SCOORD_LEASES_RPC_TIMEOUT": "2",
}

Seconds = Generator[float, None, None]
Measure = Callable[[Lab], Seconds]


@dataclass(frozen=True, slots=True)
class Promise:
    """What is measured, how often at least to know its 99th percentile, and what it may cost."""

    name: str
    measure: Measure
    runs: int
    goal_s: float


@contextlib.contextmanager
def a_session(lab: Lab, machine: str) -> Iterator[LabSession]:
    """A new session on one machine, ended afterwards."""
    session = lab.session(machine, f"{machine}-{time.time_ns()}", shim=False)
    session.start()
    try:
        yield session
    finally:
        session.end()
        session.kill()


@contextlib.contextmanager
def leases(lab: Lab, machine: str, env: Mapping[str, str]) -> Iterator[None]:
    """The agent of a machine runs with other leases meanwhile."""
    _restart(lab, machine, env)
    try:
        yield
    finally:
        _restart(lab, machine, FAST_LEASES)


def granted_s(session: LabSession, path: str, within_s: float) -> float:
    """The seconds until the session gets the file."""
    return wait_until(f"{path} is granted", lambda: "" == refusal(session.edit(path)), within_s)


def some(measure: Measure, lab: Lab, runs: int) -> list[float]:
    """Measure so many times."""
    with contextlib.closing(measure(lab)) as seconds:
        return list(itertools.islice(seconds, runs))


def coordinator_kills(lab: Lab) -> Seconds:
    """From the kill -9 of the coordinator that is asked to the next edit."""
    with a_session(lab, "m2") as session:
        while True:
            replica = lab.coordinators[lab.asked_by("m2")]
            replica.running.kill()
            took_s = granted_s(session, _new("kill"), 10)
            replica.start()
            yield took_s


def coordinator_stops(lab: Lab) -> Seconds:
    """From the SIGSTOP of the coordinator that is asked to the next edit."""
    with a_session(lab, "m2") as session:
        while True:
            with stopped(lab.coordinators[lab.asked_by("m2")].running.pid):
                took_s = granted_s(session, _new("still"), 10)
            yield took_s


def leader_kills(lab: Lab) -> Seconds:
    """From the kill -9 of etcd's leader to the next grant."""
    with a_session(lab, "m2") as session:
        while True:
            store = lab.stores[lab.leader()]
            store.member.kill()
            took_s = granted_s(session, _new("leader"), 15)
            store.spawn()
            store.wait_until_healthy()
            yield took_s


def leader_stops(lab: Lab) -> Seconds:
    """From the SIGSTOP of etcd's leader to the next grant."""
    with a_session(lab, "m2") as session:
        while True:
            with stopped(lab.stores[lab.leader()].pid):
                took_s = granted_s(session, _new("leader-still"), 15)
            lab.check_health()
            yield took_s


def clean_ends(lab: Lab) -> Seconds:
    """From the end of a session to the grant of its file to another."""
    while True:
        path = _new("end")
        with a_session(lab, "m2") as other, a_session(lab, "m1") as holder:
            assert "" == refusal(holder.edit(path))
            assert "is locked by" in refusal(other.edit(path))
            holder.end()
            took_s = granted_s(other, path, 5)
        yield took_s


def turns_told(lab: Lab) -> Seconds:
    """From the end of a session to the next hook of the first waiter that says so."""
    while True:
        path = _new("told")
        with a_session(lab, "m2") as waiter, a_session(lab, "m1") as holder:
            assert "" == refusal(holder.edit(path))
            assert "is locked by" in refusal(waiter.edit(path))
            begun = time.monotonic()
            holder.end()
            wait_until(
                f"who waits is told of {path}",
                lambda: f"{path} is free now" in context(waiter.prompt("?")),  # noqa: B023 (it is over before the next)
                5,
            )
            took_s = time.monotonic() - begun
        yield took_s


def machine_deaths(lab: Lab) -> Seconds:
    """From the moment a machine hears nothing any more to the grant of its file to another."""
    while True:
        path = _new("dead")
        with a_session(lab, "m1") as holder, a_session(lab, "m2") as other:
            assert "" == refusal(holder.edit(path))
            with lab.network.apart(["m1"], COORDINATORS):
                took_s = granted_s(other, path, 70)
                assert "" != refusal(holder.edit(path))
            lab.check_health()
        yield took_s


def deaths_with_a_new_leader(lab: Lab) -> Seconds:
    """The same, when etcd's leader is killed at 0.8 T: the next one gives each lease its T anew."""
    while True:
        path = _new("dead")
        with a_session(lab, "m1") as holder, a_session(lab, "m2") as other:
            assert "" == refusal(holder.edit(path))
            with lab.network.apart(["m1"], COORDINATORS):
                begun = time.monotonic()
                _wait_refused(other, path, begun + 0.8 * TTL_S)
                store = lab.stores[lab.leader()]
                store.member.kill()
                granted_s(other, path, 4 * TTL_S)
                took_s = time.monotonic() - begun
            store.spawn()
            lab.check_health()
        yield took_s


def _wait_refused(session: LabSession, path: str, until: float) -> None:
    while time.monotonic() < until:
        assert "is locked by" in refusal(session.edit(path))
        time.sleep(0.2)


def deaths_with_real_leases(lab: Lab) -> Seconds:
    """The same with the leases that users have."""
    with leases(lab, "m1", REAL_LEASES):
        yield from machine_deaths(lab)


PROMISES = (
    Promise("a coordinator is killed: the next edit", coordinator_kills, 30, 2.0),
    Promise("a coordinator stands still: the next edit", coordinator_stops, 30, 2.0),
    Promise("the leader of etcd is killed: the next grant", leader_kills, 20, 3.0),
    Promise("the leader of etcd stands still: the next grant", leader_stops, 20, 3.0),
    Promise("a clean end: the next grant", clean_ends, 200, 0.5),
    Promise("a clean end: the first who waits is told", turns_told, 100, 0.5),
    Promise("a machine is cut off: its file is free (T = 6 s)", machine_deaths, 5, TTL_S + 1),
    Promise(
        "the same, with a change of etcd's leader (T = 6 s)",
        deaths_with_a_new_leader,
        5,
        2 * TTL_S + 5,
    ),
    Promise("the same with the defaults (T = 30 s)", deaths_with_real_leases, 3, 31.0),
)


def _restart(lab: Lab, machine: str, env: Mapping[str, str]) -> None:
    """Replace the agent of a machine."""
    place = lab.machines[machine]
    assert place.agent is not None
    place.signal_agent(signal.SIGTERM)
    place.agent.process.wait(timeout=15)
    place.env |= env
    place.start_agent()


def _new(what: str) -> str:
    """A file that nobody ever had."""
    return f"{what}-{time.time_ns()}.py"
