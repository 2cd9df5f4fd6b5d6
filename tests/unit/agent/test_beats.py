"""The loop that all sessions of a machine live on."""

import asyncio
import os
from pathlib import Path

import pytest

from scoord_agent.lifecycle import Origin
from scoord_hooks.neutral import EventKind
from support.clock import FakeClock
from support.whole import whole_agent

OWN = Origin(pid=os.getpid())


@pytest.mark.parametrize(
    "step",
    [
        "settings.SettingsFor.at",
        "protection.Protection.look",
        "strays.Strays.give_back",
        "reclaiming.Reclaiming.begin",
        "reporting.Reporting.begin",
        "publishing.Publishing.renew",
        "pursuits.Pursuits.renew",
        "neighbours.Neighbours.watch_only",
    ],
)
async def test_a_step_that_fails_does_not_end_it(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LookupError("nobody foresaw this")

    async with whole_agent(tmp_path, clock) as agent:
        await agent.hear(EventKind.PROMPT, OWN)
        with monkeypatch.context() as patched:
            patched.setattr(f"scoord_agent.{step}", fail)
            await agent.beat()


async def test_leases_are_renewed_while_a_registration_takes_long(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def take_long(*_: object) -> None:
        await asyncio.Event().wait()

    async with whole_agent(tmp_path, clock) as agent:
        await agent.hear(EventKind.PROMPT, OWN)
        await agent.beat()
    async with whole_agent(tmp_path, clock) as agent:  # the one after it
        [session] = agent.sessions
        agent.coordinator.leases.add(session.lease)
        monkeypatch.setattr(agent.coordinator, "register", take_long)
        monkeypatch.setattr("scoord_agent.heart.next_beat_s", lambda *_: 0.01)

        await agent.beat()

        beats = agent.coordinator.beats
        assert len(beats) > 3
        assert {session.lease} == {beat.lease_id for sent in beats for beat in sent.beats}
