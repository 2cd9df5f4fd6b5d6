"""How settings that are in force and those of now are told apart, as a person writes them."""

import json
import os
from pathlib import Path

import pytest

from scoord import config
from scoord.layers import variable
from scoord.sections import SessionCoordination
from scoord_agent.cli.differences import differences
from scoord_agent.cli.pictures import AgentFacts
from scoord_agent.settings import read_once


def test_a_switch_is_shown_as_it_is_written_in_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))
    now = config.load(None, tmp_path, {"SCOORD_COORDINATOR_INSECURE": "true"})

    first, *_ = differences(AgentFacts(settings={"coordinator": {"insecure": False}}), now)

    assert first == "coordinator.insecure is false there, true now"


# -- variables: the agent has those of the shell that started it --------------------------------


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for key in SessionCoordination.model_fields:
        monkeypatch.delenv(variable("session_coordination", key), raising=False)
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))
    return monkeypatch


def _told(agent: dict[str, object], tmp_path: Path) -> list[str]:
    found = differences(AgentFacts(settings=agent), config.load(None, tmp_path, os.environ))
    return [line for line in found if line.startswith("SCOORD_")]


def test_what_the_agents_environment_sets_alone_is_told(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("SCOORD_ENABLE_FILE_LOCKS", "no")
    agent = read_once(config.load(None, tmp_path, os.environ), os.environ)
    environment.delenv("SCOORD_ENABLE_FILE_LOCKS")

    assert _told(agent, tmp_path) == ["SCOORD_ENABLE_FILE_LOCKS is false there, not set now"]


def test_what_only_this_environment_sets_is_told_and_an_empty_variable_sets_nothing(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    agent = read_once(config.load(None, tmp_path, os.environ), os.environ)
    environment.setenv("SCOORD_LOCK_TIMEOUT", "")
    environment.setenv("SCOORD_CRITICAL_FILES", "*.py, *.md")
    environment.setenv("SCOORD_SESSION_TIMEOUT", "3600")

    assert _told(agent, tmp_path) == [
        "SCOORD_CRITICAL_FILES is not set there, *.py, *.md now",
        "SCOORD_SESSION_TIMEOUT is not set there, 3600 s now",
    ]


def test_an_agent_that_tells_nothing_of_its_environment_does_not_differ_by_that(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("SCOORD_CONFLICT_ACTION", "warn")

    assert _told({}, tmp_path) == []


def test_the_same_variables_are_no_difference_once_they_went_through_json(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("SCOORD_CRITICAL_FILES", "*.py")
    environment.setenv("SCOORD_RETENTION_DAYS", "3")
    agent = read_once(config.load(None, tmp_path, os.environ), os.environ)

    assert agent["session_coordination"] == {"critical_files": ["*.py"], "retention_days": 3}
    assert _told(json.loads(json.dumps(agent)), tmp_path) == []
