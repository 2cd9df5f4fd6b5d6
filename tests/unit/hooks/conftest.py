import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scoord_hooks import claude_version
from support.claude_settings import NEWEST
from support.recording_agent import RecordingAgent, recording_agent
from support.shim import Shim


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a home directory, a free port, and the newest Claude Code."""
    for name in ("SCOORD_STATE_DIR", "XDG_STATE_HOME", "CLAUDE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCOORD_AGENT_PORT", "7790")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(claude_version, "installed", lambda: NEWEST)
    (tmp_path / ".claude").mkdir()
    return tmp_path


@pytest.fixture
def file(home: Path) -> Path:
    return home / ".claude" / "settings.json"


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    state = tmp_path / "state of mine"
    state.mkdir(mode=0o700)
    return Shim(state)


@pytest.fixture
async def agent(shim: Shim) -> AsyncIterator[RecordingAgent]:
    async with recording_agent() as agent:
        shim.set_up(agent.port)
        yield agent
