"""What the tests of edits share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scoord.clock import FakeClock
from scoord_agent import unsettled
from support.house import House, editing_house


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def house(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """A session that edits."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setattr(unsettled, "_AGAIN_S", 0.01)
    async with editing_house(tmp_path, clock) as made:
        yield made
