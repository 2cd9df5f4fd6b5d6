"""Who has no hooks, and is on another branch than what it holds is for."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scoord.paths import RECHECK_S
from scoord_agent.doors import Doors
from scoord_agent.lifecycle import Origin
from scoord_agent.wishes import Wish
from scoord_hooks.neutral import EventKind
from support.clock import FakeClock
from support.house import settle
from support.repositories import git
from support.whole import Whole, whole_agent


@pytest.fixture
async def agent(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Whole]:
    """One in whose repository locks hold on a branch."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    async with whole_agent(tmp_path, clock) as made:
        text = "session_coordination: {scope: branch}"
        (made.root / "coordination.yaml").write_text(text, encoding="utf-8")
        yield made


async def beat_on(agent: Whole, branch: str) -> list[str]:
    """Another branch is checked out as the agents beat; what is held then."""
    git(agent.root, "switch", "-q", "-c", branch)
    agent.clock.advance(RECHECK_S)
    await agent.beat()
    await settle()
    return [lock.shown for lock in agent.parts.common.held]


async def test_a_terminal_holds_nothing_on_a_branch_that_it_has_left(agent: Whole) -> None:
    desk = Doors(agent.parts).desk()
    await desk.acquire(Wish(str(agent.root), ("a.py",), os.getpid()))

    assert [] == await beat_on(agent, "feature")

    (terminal,) = agent.sessions
    assert terminal.branch == "feature"
    assert [["a.py"]] == [[ref.path for ref in one.locks] for one in agent.coordinator.releases]
    (told,) = terminal.take_notices()
    assert "The branch is feature now: your lock on a.py, which was for main only" in told


async def test_what_has_hooks_is_told_by_them(agent: Whole) -> None:
    await agent.hear(EventKind.BEFORE_EDIT, Origin(pid=os.getpid()))

    assert ["a.py"] == await beat_on(agent, "feature")
