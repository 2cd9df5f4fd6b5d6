"""What the tests of edits share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from scoord_agent import spawn, unsettled
from scoord_agent.spawn import Started
from support.clock import FakeClock
from support.house import House, editing_house
from support.local_api import ScriptedApi, scripted_api
from support.ports import free_port


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


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    """What answers the command line in an agent's place, in a state directory of its own."""
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))
    with scripted_api() as server:
        yield server


@pytest.fixture
def own_coordinator() -> Iterator[Started]:
    """A coordinator of our own, as a process."""
    started = spawn.start_coordinator(f"127.0.0.1:{free_port()}")
    assert started.child is not None
    yield started
    started.child.kill()
    started.child.wait()
