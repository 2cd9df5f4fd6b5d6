"""A stream falls silent after an edit: what that relied on outlives its session and its agent."""

import asyncio
import os
from pathlib import Path

from scoord.v1.events_pb2 import Progress, WatchResponse
from scoord_agent.lifecycle import Origin
from scoord_agent.protection import FRESH_S
from scoord_hooks.neutral import EventKind
from support.clock import FakeClock
from support.scripted_coordinator import Fate
from support.whole import Whole, whole_agent

OWN = Origin(pid=os.getpid())


async def edits(agent: Whole) -> None:
    """A session edits a file by its lock; then nobody is heard any more."""
    await agent.hear(EventKind.PROMPT, OWN)
    await agent.hear(EventKind.BEFORE_EDIT, OWN)
    (session,) = agent.sessions
    await asyncio.sleep(0)
    followed = WatchResponse(revision=1, progress=Progress())
    agent.parts.neighbours.of(session.home).apply(followed, agent.clock.now())
    await agent.hear(EventKind.AFTER_EDIT, OWN)
    assert session.remembered.relied
    agent.coordinator.fates.extend([Fate.UNREACHABLE] * 100)


async def test_it_is_written_down_with_the_next_beat(tmp_path: Path, clock: FakeClock) -> None:
    async with whole_agent(tmp_path, clock) as agent:
        await edits(agent)
        await agent.beat()
        assert [] == list(agent.parts.common.unreported)
        clock.advance(FRESH_S + 1)
        await agent.beat()

        assert ["a.py"] == [edit.path for edit in agent.parts.common.unreported]


async def test_it_is_written_down_when_its_session_ends(tmp_path: Path, clock: FakeClock) -> None:
    async with whole_agent(tmp_path, clock) as agent:
        await edits(agent)
        clock.advance(FRESH_S + 1)
        await agent.hear(EventKind.SESSION_END, OWN)

        assert [] == agent.sessions
        assert ["a.py"] == [edit.path for edit in agent.parts.common.unreported]
