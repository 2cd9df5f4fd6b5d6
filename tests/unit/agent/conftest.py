"""What the tests of edits share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scoord.clock import FakeClock
from scoord_agent import edits, unsettled
from support.house import House, editing_house

DECIDE_S = 0.2
"""How long an edit waits here."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def house(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """A session whose edits wait ``DECIDE_S`` only."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setattr(edits, "DECIDE_WITHIN_S", DECIDE_S)
    monkeypatch.setattr(unsettled, "_AGAIN_S", 0.01)
    async with editing_house(tmp_path, clock) as made:
        yield made
