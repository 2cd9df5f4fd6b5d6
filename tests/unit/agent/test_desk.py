"""What a command of this machine is answered, and what is undone when nobody hears it."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scoord_agent.doors import Doors
from scoord_agent.wishes import Wish
from support.clock import FakeClock
from support.whole import Whole, whole_agent


@pytest.fixture
async def agent(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Whole]:
    async with whole_agent(tmp_path, clock) as made:
        yield made


def wish(agent: Whole, *paths: str, **more: Any) -> Wish:
    return Wish(str(agent.root), paths, os.getpid(), **more)


async def test_what_was_new_by_a_command_that_is_given_up_is_given_back(agent: Whole) -> None:
    desk = Doors(agent.parts).desk()
    await desk.acquire(wish(agent, "had.py"))
    granted = (await desk.acquire(wish(agent, "had.py", "a.py", "src/**")))["granted"]
    new = tuple((row["project"], row["path"]) for row in granted if row["new"])

    assert ["a.py", "src/**"] == sorted(path for _, path in new)
    await desk.leave(wish(agent, "had.py", "a.py", "src/**", new=new))

    assert ["had.py"] == [lock.shown for lock in agent.parts.common.held]
