"""Sixteen sessions on two agents race for one file on real etcd."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.etcd import Etcd
from support.machines import CodingSession, Machine, clone, machines, refusal, repository
from support.processes import coordinator, etcd_store, wait_until

pytestmark = pytest.mark.etcd

ROUNDS = 50
TRIES = 3
FILE = "auth.py"
ORIGIN = "https://git.example.org/team/race"


@pytest.fixture
def racers(tmp_path: Path, etcd: Etcd, namespace: bytes) -> Iterator[list[CodingSession]]:
    first = repository(tmp_path / "first", {FILE: ""}, ORIGIN)
    second = clone(first, tmp_path / "second", ORIGIN)
    with coordinator(tmp_path, *etcd_store(etcd, namespace)) as running:
        # Who could not ask in time has not won.
        strict = {"SCOORD_UNREACHABLE_ACTION": "block"}
        one = Machine(tmp_path / "one", "one", running.address, **strict)
        two = Machine(tmp_path / "two", "two", running.address, **strict)
        with machines(one, two):
            sessions = [one.session(first) for _ in range(8)]
            sessions += [two.session(second) for _ in range(8)]
            for session in sessions:
                session.start()
            yield sessions


def test_exactly_one_of_sixteen_wins_each_round(racers: list[CodingSession]) -> None:
    """All rounds are for one file, so the tokens of its grants must rise strictly.

    The winner of a round ends, and starts again as a new session.
    """
    tokens = [0]
    with ThreadPoolExecutor(max_workers=len(racers)) as pool:
        for number in range(ROUNDS):
            winners = _raced(pool, racers)
            assert 1 == len(winners), f"round {number}: {len(winners)} winners"
            (winner,) = winners
            tokens.append(_token(winner))
            winner.end()
            winner.session_id += "+"
            winner.start()

    assert ROUNDS + 1 == len(tokens)
    assert sorted(set(tokens)) == tokens


def _raced(pool: ThreadPoolExecutor, racers: list[CodingSession]) -> list[CodingSession]:
    """Who wins; once more where nobody does, since whose turn it was could not ask in time."""
    for _ in range(TRIES):
        answers = list(pool.map(lambda s: s.edit(s.cwd / FILE), racers))
        refusals = list(map(refusal, answers))
        winners = [s for s, refused in zip(racers, refusals, strict=True) if not refused]
        if winners or not any("no lock can be taken now" in refused for refused in refusals):
            break
    return winners


def _token(winner: CodingSession) -> int:
    """The token of the lock that the winner has, once the list shows it."""
    found: list[int] = []

    def is_listed() -> bool:
        status = winner.machine.status(winner.cwd)
        own = {s["session_id"] for s in status["sessions"] if s["pid"] == winner.pid}
        found[:] = [lock["token"] for lock in status["locks"] if lock["session_id"] in own]
        return bool(found)

    wait_until("the winner is listed", is_listed)
    return found[0]
