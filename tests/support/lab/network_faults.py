"""Networks that lose what is sent: one way or both, on one link or on all of them."""

import contextlib
import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator

from support.lab.fault import Injection, LabFault, Proof, losing
from support.lab.lab import COORDINATORS, MACHINES, STORES, Lab
from support.lab.network import no_shaping
from support.lab.team import CLIENT_PORT, COORDINATOR_PORT
from support.lab.trouble import black_holed_connections

Way = tuple[str, str]
"""From one machine to another."""

Hosts = Callable[[Lab], Iterable[str]]

_LONG_S = 7.5
"""Longer than T, which is 6 s here."""
_SWIZZLE_S = 0.15
_NARROW = "64kbit"


def _these(*hosts: str) -> Hosts:
    return lambda _: hosts


def _asked(lab: Lab) -> Iterable[str]:
    """The coordinator that the agent of m2 speaks to when the fault begins."""
    return [lab.asked_by("m2")]


def _leader(lab: Lab) -> Iterable[str]:
    return [lab.leader()]


def _followers(lab: Lab) -> Iterable[str]:
    return lab.followers()


def _a_follower(lab: Lab) -> Iterable[str]:
    return lab.followers()[:1]


def _rest_of(chosen: Hosts) -> Hosts:
    """The members of etcd that are not chosen."""
    return lambda lab: [name for name in STORES if name not in chosen(lab)]


def _one_way(sources: Hosts, targets: Hosts) -> Injection[Lab]:
    """Nothing gets from the ones to the others any more; all that they answer does."""
    return _cut(lambda lab: itertools.product(sources(lab), targets(lab)))


def _both_ways(ones: Hosts, others: Hosts) -> Injection[Lab]:
    def ways(lab: Lab) -> Iterable[Way]:
        there = list(itertools.product(ones(lab), others(lab)))
        return [*there, *map(_back, there)]

    return _cut(ways)


def _cut(ways_of: Callable[[Lab], Iterable[Way]]) -> Injection[Lab]:
    @contextlib.contextmanager
    def injection(lab: Lab) -> Iterator[Proof]:
        ways = list(ways_of(lab))
        with contextlib.ExitStack() as stack:
            for way in ways:
                stack.enter_context(lab.network.cut(*way))
            yield lambda: _are_cut(lab, ways)

    return injection


def _are_cut(lab: Lab, ways: list[Way]) -> bool:
    """Whether nothing passes there, and what is not cut of the same links passes."""
    passing = {way: lab.network.passes(*way) for way in {*ways, *map(_back, ways)}}
    return all(passes == (way not in ways) for way, passes in passing.items())


def _back(way: Way) -> Way:
    return way[1], way[0]


def _isolated(member: Hosts) -> Injection[Lab]:
    """A member that the other members do not reach, while coordinators do."""
    apart = _both_ways(member, _rest_of(member))

    @contextlib.contextmanager
    def injection(lab: Lab) -> Iterator[Proof]:
        (name,) = member(lab)
        address = lab.network[name].address
        with apart(lab) as is_cut:
            yield lambda: is_cut() and lab.network["c1"].reaches(address, CLIENT_PORT)

    return injection


@contextlib.contextmanager
def _connections_black_holed(lab: Lab) -> Iterator[Proof]:
    """Connections that stand are dropped silently; new ones can be made."""
    machine = lab.machines["m2"]
    found = black_holed_connections(lab.network, machine.agent_pid, "m2", COORDINATORS)
    with found as number:
        address = lab.network["c1"].address
        yield lambda: number > 0 and machine.space.reaches(address, COORDINATOR_PORT)


@contextlib.contextmanager
def _swizzled(lab: Lab) -> Iterator[Proof]:
    """All links fail, one after another, and come back in another order."""
    links = [
        *itertools.product(MACHINES, COORDINATORS),
        *itertools.product(COORDINATORS, STORES),
        *itertools.combinations(STORES, 2),
    ]
    rng = random.Random(0)
    with contextlib.ExitStack() as stack:
        cuts = {link: stack.enter_context(contextlib.ExitStack()) for link in links}
        for one, other in rng.sample(links, len(links)):
            cuts[one, other].enter_context(lab.network.apart([one], [other]))
            time.sleep(_SWIZZLE_S)
        yield lambda: not any(lab.network.passes(*link) for link in links)
        for link in rng.sample(links, len(links)):
            cuts[link].close()
            time.sleep(_SWIZZLE_S)


@contextlib.contextmanager
def _narrow(lab: Lab) -> Iterator[Proof]:
    with lab.network.narrowed("m2", _NARROW) as was_full:
        yield was_full


NETWORK_FAULTS = (
    LabFault(
        "an agent's words do not reach the coordinators",
        _one_way(_these("m2"), _these(*COORDINATORS)),
        lasts_s=_LONG_S,
        feels=("m2",),
        loses=losing("m2"),
    ),
    LabFault(
        "the coordinators' words do not reach an agent",
        _one_way(_these(*COORDINATORS), _these("m2")),
        lasts_s=_LONG_S,
        feels=("m2",),
        loses=losing("m2"),
    ),
    LabFault(
        "an agent is cut off for longer than T",
        _both_ways(_these("m2"), _these(*COORDINATORS)),
        lasts_s=_LONG_S,
        feels=("m2",),
        loses=losing("m2"),
    ),
    LabFault(
        "an agent of http hooks is cut off for longer than T",
        _both_ways(_these("m1"), _these(*COORDINATORS)),
        lasts_s=_LONG_S,
        feels=("m1",),
        loses=losing("m1"),
    ),
    LabFault(
        "an agent is cut off from the coordinator it asks",
        _both_ways(_these("m2"), _asked),
        lasts_s=3,
        feels=("m2",),
    ),
    LabFault(
        "an agent's line is narrow",
        _narrow,
        lasts_s=4,
        feels=("m2",),
        thin=2,
        missing=no_shaping,
    ),
    LabFault(
        "connections that stand are black holes",
        _connections_black_holed,
        lasts_s=3,
        feels=("m2",),
        thin=2,
    ),
    LabFault(
        "a coordinator's words do not reach etcd",
        _one_way(_asked, _these(*STORES)),
        lasts_s=_LONG_S,
    ),
    LabFault(
        "etcd's words do not reach a coordinator",
        _one_way(_these(*STORES), _asked),
        lasts_s=_LONG_S,
    ),
    LabFault(
        "a coordinator is cut off from etcd for longer than T",
        _both_ways(_asked, _these(*STORES)),
        lasts_s=_LONG_S,
    ),
    LabFault(
        "a coordinator's words do not reach the leader of etcd",
        _one_way(_asked, _leader),
        lasts_s=3,
    ),
    LabFault(
        "the words of etcd's leader do not reach a coordinator",
        _one_way(_leader, _asked),
        lasts_s=3,
    ),
    LabFault("the leader of etcd is alone, with its clients", _isolated(_leader), lasts_s=4),
    LabFault("a follower of etcd is alone, with its clients", _isolated(_a_follower), lasts_s=4),
    LabFault(
        "the leader of etcd is alone, without clients",
        _both_ways(_leader, lambda lab: (*lab.followers(), *COORDINATORS)),
        lasts_s=4,
    ),
    LabFault("the leader of etcd is deaf", _one_way(_followers, _leader), lasts_s=4),
    LabFault("the leader of etcd is mute", _one_way(_leader, _followers), lasts_s=4),
    LabFault("a follower of etcd is deaf", _one_way(_rest_of(_a_follower), _a_follower), lasts_s=3),
    LabFault("a follower of etcd is mute", _one_way(_a_follower, _rest_of(_a_follower)), lasts_s=3),
    LabFault(
        "the leader of etcd and a follower do not reach each other",
        _both_ways(_leader, _a_follower),
        lasts_s=4,
    ),
    LabFault(
        "all links fail one after another",
        _swizzled,
        lasts_s=2,
        thin=1,
        loses=losing(*MACHINES),
    ),
)
