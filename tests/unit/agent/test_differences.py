"""How settings that are in force and those of now are told apart, as a person writes them."""

from pathlib import Path

import pytest

from scoord import config
from scoord_agent.cli.differences import differences
from scoord_agent.cli.pictures import AgentFacts


def test_a_switch_is_shown_as_it_is_written_in_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))
    now = config.load(None, tmp_path, {"SCOORD_COORDINATOR_INSECURE": "true"})

    first, *_ = differences(AgentFacts(settings={"coordinator": {"insecure": False}}), now)

    assert first == "coordinator.insecure is false there, true now"
