"""The events of the demo have the fields that Claude Code sends, where it sends them."""

from pathlib import Path
from typing import Any

import pytest

from scoord_agent.cli.demo_script import Scene, body, steps

NAMES = {"A": "a", "B": "b"}
SCENE = Scene(Path("/p"), {"A": 1, "B": 2}, NAMES, {"A": "prompt-a", "B": "prompt-b"})
BODIES = [body(SCENE, step) for step in steps(SCENE.project)]


def _of(event: str) -> list[dict[str, Any]]:
    return [each for each in BODIES if each["hook_event_name"] == event]


def test_there_is_no_prompt_before_the_first() -> None:
    assert all("prompt_id" not in each for each in _of("SessionStart"))
    assert all(each["prompt_id"].startswith("prompt-") for each in BODIES[2:])


@pytest.mark.parametrize("event", ["PreToolUse", "PostToolUse"])
def test_a_tools_events_say_the_effort(event: str) -> None:
    assert all(each["effort"] == {"level": "high"} for each in _of(event))
    assert all("effort" not in each for each in _of("Stop") + _of("SessionEnd"))


def test_what_follows_on_an_edit_is_about_that_edit() -> None:
    before = {each["tool_use_id"]: each for each in _of("PreToolUse")}
    after = _of("PostToolUse")

    assert len(after) == len(before) - 1, "one is refused"
    for each in after:
        assert each["tool_input"] == before[each["tool_use_id"]]["tool_input"]
        assert each["tool_response"]["success"]


def test_a_session_stops_before_it_ends() -> None:
    for session in NAMES.values():
        mine = [each["hook_event_name"] for each in BODIES if each["session_id"] == session]
        assert mine[-2:] == ["Stop", "SessionEnd"]
