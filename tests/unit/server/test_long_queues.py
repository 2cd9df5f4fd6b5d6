"""The places in a queue of many: as the rule says of each two, and without comparing each two."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from scoord.claimant import Claimant
from scoord.ids import AgentId, LeaseId, SessionId
from scoord.v1.records_pb2 import WaiterRecord
from scoord_server.model.conflicts import place_of, places
from scoord_server.model.facts import WaiterFact

MANY = 300


def _queue(claimants: Sequence[Claimant]) -> list[WaiterFact]:
    return [
        WaiterFact(WaiterRecord(), at, at, b"%d" % at, LeaseId(1), who)
        for at, who in enumerate(claimants)
    ]


def _drawn(draw: random.Random) -> Claimant:
    session, agent = SessionId(draw.choice("xyz")), AgentId(draw.choice(("", "a", "b")))
    return Claimant(
        session, agent, shared=draw.random() < 0.4, branch=draw.choice(("", "main", "topic"))
    )


def test_a_place_is_how_many_of_those_ahead_one_waits_for() -> None:
    for seed in range(300):
        _check_places(random.Random(seed))


def _check_places(draw: random.Random) -> None:
    who = [_drawn(draw) for _ in range(draw.randint(1, 12))]
    right = [1 + sum(one.excludes(me) for one in who[:at]) for at, me in enumerate(who)]
    queue = _queue(who)

    assert right == list(places(queue))
    asked = _drawn(draw)
    of_asked = [at for at, me in enumerate(who) if me.is_same(asked) and me.branch == asked.branch]
    assert place_of(asked, queue) == (right[of_asked[0]] if of_asked else 0)


def _session(name: str) -> Claimant:
    return Claimant(SessionId(name), AgentId(""))


CROWDS: dict[str, Callable[[str], Claimant]] = {
    "sessions": _session,
    "branches": lambda name: replace(_session(name), branch=name),
    "subagents of one": lambda name: replace(_session("s"), agent=AgentId(name)),
}


@pytest.mark.parametrize("crowd", CROWDS)
def test_where_many_wait_not_each_is_compared_with_each(
    crowd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = [CROWDS[crowd](str(number)) for number in range(MANY)]
    queue, last = _queue(who), 1 if crowd == "branches" else MANY
    compared: list[Claimant] = []
    excludes = Claimant.excludes

    def counted(self: Claimant, other: Claimant) -> bool:
        compared.append(self)
        return excludes(self, other)

    monkeypatch.setattr(Claimant, "excludes", counted)

    assert last == place_of(who[-1], queue)
    assert last == list(places(queue))[-1]
    assert len(compared) <= 2 * MANY
