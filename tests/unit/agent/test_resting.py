"""Sessions that do nothing for so long that they are ended: what they are told of that."""

import os
from pathlib import Path

import pytest

from scoord_agent.lifecycle import Origin
from scoord_hooks.neutral import EventKind
from support.clock import FakeClock
from support.whole import TIMEOUT_S, whole_agent

OWN = Origin(pid=os.getpid())


async def test_what_went_with_it_is_told_at_its_next_hook_and_once(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with whole_agent(tmp_path, clock) as agent:
        await agent.hear(EventKind.BEFORE_EDIT, OWN)
        await agent.idles(TIMEOUT_S + 300)
        await agent.beat()

        told = (await agent.hear(EventKind.PROMPT, OWN)).context
        assert 1 == told.count("Your lock on a.py is lost: this session did nothing for long")
        assert "a.py" not in (await agent.hear(EventKind.PROMPT, OWN)).context


@pytest.mark.parametrize(("idle_s", "edits"), [(10.0, True), (TIMEOUT_S + 300, False)])
async def test_one_that_works_or_had_nothing_is_told_of_no_loss(
    tmp_path: Path, clock: FakeClock, *, idle_s: float, edits: bool
) -> None:
    async with whole_agent(tmp_path, clock) as agent:
        await agent.hear(EventKind.BEFORE_EDIT if edits else EventKind.PROMPT, OWN)
        await agent.idles(idle_s)

        assert "is lost" not in (await agent.hear(EventKind.PROMPT, OWN)).context
