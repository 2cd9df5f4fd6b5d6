"""Who waits for a file that was committed: with ``release_on: commit`` it is given back."""

import asyncio
import os
from pathlib import Path

from scoord.ids import ProjectId, SessionId
from scoord.paths import RECHECK_S
from scoord_agent.lifecycle import Origin
from scoord_agent.local_session import MAIN
from scoord_agent.turns import Place
from scoord_agent.wanted import Wanted
from scoord_hooks.neutral import EventKind
from support.clock import FakeClock
from support.repositories import git
from support.whole import Whole, whole_agent

OWN = Origin(pid=os.getpid())
SHOP = ProjectId("example.com/shop")


async def edits(agent: Whole, *names: str) -> None:
    """Have the one session edit files; then others wait for each of them."""
    for name in names:
        await agent.hear(EventKind.BEFORE_EDIT, OWN, paths=(name,))
        (agent.root / name).write_text("1\n")
        await agent.hear(EventKind.AFTER_EDIT, OWN, paths=(name,))
    for name in names:
        place = Place(SHOP, name, SessionId("Session_far"), MAIN)
        agent.sessions[0].tell_wanted(place, Wanted(f"bob waits for {name}"))


def commits(agent: Whole, name: str) -> None:
    git(agent.root, "add", name)
    git(agent.root, "commit", "-q", "-m", name)
    agent.clock.advance(RECHECK_S)


async def test_the_hook_that_gives_a_file_back_says_of_nobody_that_it_waits_for_it(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with whole_agent(tmp_path, clock) as agent:
        settings = "session_coordination: {release_on: commit}\n"
        (agent.root / "coordination.yaml").write_text(settings, encoding="utf-8")
        await edits(agent, "a.py", "b.py")
        commits(agent, "a.py")

        assert "waits for" not in (await agent.hear(EventKind.PROMPT, OWN)).context

        async with asyncio.timeout(5):
            while agent.parts.held.at(SHOP, "a.py"):  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)
        told = (await agent.hear(EventKind.PROMPT, OWN)).context
        assert "bob waits for b.py" in told, "which is not in the commit"
        assert "a.py" not in told
