"""When the next heartbeat is due, from when on it counts, and what it says."""

import asyncio
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoord.ids import LeaseId, MachineId, ProjectId, SessionId
from scoord.sections import SessionCoordination
from scoord.v1.events_pb2 import WatchResponse
from scoord.v1.locks_pb2 import Holder, Lock
from scoord.v1.sessions_pb2 import HeartbeatRequest, HeartbeatResponse
from scoord_agent.heart import Heart, next_beat_s
from scoord_agent.held import HeldLocks
from scoord_agent.local_session import LocalSession
from scoord_agent.moves import Moving
from scoord_agent.neighbours import Neighbours
from scoord_agent.sessions import Sessions
from support.clock import FakeClock
from support.house import BELIEF_S, SHOP, A, House


@given(st.floats(min_value=0.1, max_value=60.0), st.integers())
def test_the_next_beat_is_never_late_and_at_most_a_fifth_early(
    interval_s: float, seed: int
) -> None:
    wait_s = next_beat_s(interval_s, random.Random(seed))

    assert 0.8 * interval_s <= wait_s * (1 + 1e-12)
    assert wait_s <= interval_s


def test_beats_are_spread() -> None:
    rng = random.Random(1)
    waits = [next_beat_s(10.0, rng) for _ in range(1_000)]

    assert min(waits) < 8.1
    assert max(waits) > 9.9


@pytest.fixture
async def heart(house: House) -> Heart:
    """It beats for the session of the house, which is registered."""
    await house.registration.enter(house.session, SHOP, house.settings.at(house.root))
    return Heart(
        client=house.coordinator.client,
        sessions=house.sessions,
        held=house.held,
        settings=house.settings,
        clock=house.clock,
        machine_id="m1",
        lapse=house.registration.lapse,
        moved=Moving(
            held=house.held, neighbours=cast("Neighbours", house.stream), locator=house.locator
        ).of,
    )


async def test_a_renewal_counts_from_when_it_was_sent(house: House, heart: Heart) -> None:
    house.clock.advance(BELIEF_S)
    house.coordinator.gate = asyncio.Event()
    beat = asyncio.create_task(heart.beat())
    await asyncio.sleep(0.01)
    house.clock.advance(5)
    house.coordinator.gate.set()
    await beat

    assert house.held.believes(A, house.clock.now() + BELIEF_S - 5.1)
    assert not house.held.believes(A, house.clock.now() + BELIEF_S - 4.9)


async def test_a_session_whose_lease_is_over_is_believed_in_no_more(
    house: House, heart: Heart
) -> None:
    house.coordinator.expire(house.session.lease)
    await heart.beat()

    assert not house.held.believes(A, house.clock.now())


@pytest.mark.parametrize("is_over", [False, True])
async def test_what_a_beat_says_of_the_lease_before_is_nothing_to_the_next_one(
    house: House, heart: Heart, *, is_over: bool
) -> None:
    before = house.session.lease
    house.clock.advance(BELIEF_S)
    house.coordinator.gate = asyncio.Event()
    beat = asyncio.create_task(heart.beat())
    await asyncio.sleep(0.01)
    house.session.lease = LeaseId(before + 1)
    if is_over:
        house.coordinator.expire(before)
    house.coordinator.gate.set()
    await beat

    assert not house.held.believes(A, house.clock.now())
    assert house.session.lease == before + 1, "it is not over"


async def test_what_a_session_does_is_published_at_the_pace_of_heartbeat_interval(
    tmp_path: Path,
) -> None:
    clock, beats = FakeClock(), list[bool]()

    async def heartbeat(request: HeartbeatRequest) -> HeartbeatResponse:
        beats.extend(beat.active for beat in request.beats)
        return HeartbeatResponse()

    sessions = Sessions(tmp_path / "sessions.jsonl")
    session = LocalSession(SessionId("Session_a"), "claude-code", None, "/")
    session.lease, session.aliases = LeaseId(7), {ProjectId("shop"): "Session_1"}
    session.published_at = clock.now()
    sessions.add(session)
    coordination = SessionCoordination(heartbeat_interval=300.0)
    nothing: Any = SimpleNamespace(
        heartbeat=heartbeat, at=lambda _root: SimpleNamespace(session_coordination=coordination)
    )
    heart = Heart(
        client=nothing,
        sessions=sessions,
        held=HeldLocks(belief_s=20.0),
        settings=nothing,
        clock=clock,
        machine_id=MachineId("m"),
        lapse=lambda _session: None,
        moved=lambda _sessions: {},
    )
    for _ in range(121):
        session.act(clock.now())
        await heart.beat()
        clock.advance(5.0)

    assert [number for number, active in enumerate(beats) if active] == [60, 120]


async def test_use_is_published_often_enough_for_each_repository_and_for_what_it_had_set(
    house: House, heart: Heart
) -> None:
    house.set("heartbeat_interval: 2, lock_timeout: 6")
    await house.edit()
    await heart.beat()

    assert house.session.root is None, "its own settings are the user's: 300 s"
    for setting in ("heartbeat_interval: 2, lock_timeout: 6", "heartbeat_interval: 300"):
        house.set(setting)
        house.clock.advance(2)
        house.session.act(house.clock.now())
        await house.edit()
        await heart.beat()
        (beat,) = house.coordinator.beats[-1].beats

        assert (True, ["a.py"]) == (beat.active, [ref.path for ref in beat.touched])


async def test_a_beat_says_what_is_checked_out_where_a_lock_tells_otherwise(
    house: House, heart: Heart
) -> None:
    await house.edit()
    held = house.holds()
    assert held is not None
    told = Lock(project=SHOP, path="a.py", token=held.token, holder=Holder(session_id=A))
    house.stream.tell(WatchResponse(revision=held.token, lock=told))
    house.clock.advance(1)
    await heart.beat()

    (beat,) = house.coordinator.beats[-1].beats
    assert [("a.py", held.token, "main")] == [
        (one.lock.path, one.lock.token, one.branch) for one in beat.moved
    ]


async def test_of_more_sessions_than_one_heartbeat_takes_each_is_told_how_it_is(
    house: House, heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoord_agent.heart.MOST_BEATS", 2)
    for number in range(4):
        other = LocalSession(SessionId(f"Session_{number}"), "claude-code", None, "/")
        house.sessions.add(other)
        await house.registration.enter(other, SHOP, house.settings.at(house.root))
    house.coordinator.expire(other.lease)
    house.clock.advance(BELIEF_S)
    await heart.beat()

    sent = house.coordinator.beats
    assert [2, 2, 1] == [len(request.beats) for request in sent]
    live = [house.held.believes(one.session_id, house.clock.now()) for one in house.sessions]
    assert 4 == live.count(True)


async def test_of_more_used_locks_than_one_heartbeat_takes_the_rest_go_with_the_next(
    house: House, heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoord_agent.heart.MOST_TOLD", 2)
    names = [f"{letter}.py" for letter in "abcde"]
    for name in 2 * names:
        await house.edit(name)
    house.clock.advance(1_000)
    told, sizes = list[str](), list[int]()
    for _ in range(4):
        await heart.beat()
        house.clock.advance(1)
        (beat,) = house.coordinator.beats[-1].beats
        told += [ref.path for ref in beat.touched]
        sizes.append(len(beat.touched))

    assert [2, 2, 1, 0] == sizes
    assert names == sorted(told)
