"""The shim where no agent listens: it starts one, and says what that means."""

import asyncio
import json
import os
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path

import pytest

from support.ports import free_port
from support.recording_agent import RecordingAgent
from support.shim import EVENT, Answer, Shim, fake_python, told


@pytest.mark.parametrize("policy", ["block", "warn"])
async def test_without_an_agent_a_prompt_says_once_to_each_session_that_nothing_is_guarded(
    shim: Shim, policy: str
) -> None:
    port = free_port()
    shim.set_up(port)

    async def prompt(pid: str) -> Answer:
        arguments = "claude-code", "UserPromptSubmit", policy
        return await shim.run(*arguments, environment={"CLAUDE_PID": pid})

    first = told(await prompt("4711"), "UserPromptSubmit")
    assert f"edits are not coordinated now: no agent listens on port {port}" in first
    assert (await prompt("4711")).stdout == ""
    assert told(await prompt("471"), "UserPromptSubmit") == first


async def test_a_prompt_that_is_answered_lets_the_next_outage_be_told(
    shim: Shim, agent: RecordingAgent
) -> None:
    agent.status = 503
    assert "gave no valid answer" in (await shim.run("claude-code", "UserPromptSubmit")).stdout
    agent.status = 200
    assert (await shim.run("claude-code", "UserPromptSubmit")).stdout == "{}\n"
    agent.status = 503
    assert "gave no valid answer" in (await shim.run("claude-code", "UserPromptSubmit")).stdout


async def test_a_prompt_without_an_agent_is_silent_if_so_wished(shim: Shim) -> None:
    shim.set_up(free_port())
    assert (await shim.run("claude-code", "UserPromptSubmit", "proceed")).stdout == ""


@pytest.mark.parametrize("size", [10, 70_000])
async def test_a_prompt_is_silent_about_an_agent_that_was_started_a_moment_ago(
    shim: Shim, size: int
) -> None:
    shim.set_up(free_port())
    (shim.state / "agent.starting").touch()
    body = json.dumps(EVENT | {"prompt": "x" * size}).encode()
    assert (await shim.run("claude-code", "UserPromptSubmit", body=body)).stdout == ""


@pytest.mark.parametrize("late_s", [0.0, 0.5])
async def test_the_start_of_a_session_starts_the_agent(
    shim: Shim, tmp_path: Path, late_s: float
) -> None:
    port = free_port()
    shim.set_up(port, python=str(fake_python(tmp_path, port, late_s)))
    answer = await shim.run("claude-code", "SessionStart")
    assert answer.stdout.startswith('{"started"')
    arguments, state, cwd, leads_a_session, its_port = (tmp_path / "started").read_text().split("|")
    assert arguments == "-P -m scoord_agent"
    assert (state, cwd, its_port) == (str(shim.state), "/", str(port))
    assert leads_a_session == str(shutil.which("setsid") is not None)


async def test_an_agent_that_is_not_up_in_time_is_said_to_be_starting(shim: Shim) -> None:
    shim.set_up(free_port())
    answer = await shim.run("claude-code", "SessionStart")
    said = told(answer, "SessionStart")
    assert said.startswith("Session Coordinator: the agent is being started; ")
    assert "not coordinated" not in said
    assert answer.seconds < 2.6
    assert (await shim.run("claude-code", "UserPromptSubmit")).stdout == ""


async def test_where_no_agent_can_be_started_none_is_waited_for(shim: Shim) -> None:
    shim.set_up(free_port(), python="/is/not/there/python")
    answer = await shim.run("claude-code", "SessionStart")
    assert "edits are not coordinated now: no agent listens" in told(answer, "SessionStart")
    assert answer.seconds < 1


@pytest.mark.parametrize("name", ["UserPromptSubmit", "PreToolUse"])
async def test_a_prompt_and_an_edit_start_an_agent_that_was_killed_and_do_not_wait(
    shim: Shim, tmp_path: Path, name: str
) -> None:
    port = free_port()
    shim.set_up(port, python=str(fake_python(tmp_path, port)))
    (shim.state / "agent.lock").write_text("4711")
    answer = await shim.run("claude-code", name)
    assert "no agent listens" in answer.stdout
    async with asyncio.timeout(10):
        while not (tmp_path / "started").exists():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.05)
    assert (await shim.run("claude-code", "Stop")).stdout.startswith('{"started"')


@pytest.mark.parametrize(
    ("name", "pid"),
    [("PreToolUse", ""), ("UserPromptSubmit", ""), ("PostToolUse", "4711"), ("Stop", "4711")],
)
async def test_an_agent_that_was_stopped_and_other_events_start_none(
    shim: Shim, tmp_path: Path, name: str, pid: str
) -> None:
    port = free_port()
    shim.set_up(port, python=str(fake_python(tmp_path, port)))
    (shim.state / "agent.lock").write_text(pid)
    await shim.run("claude-code", name)
    await asyncio.sleep(0.5)
    assert not (tmp_path / "started").exists()


def agent_that_fails(shim: Shim, directory: Path) -> Path:
    """The agent was killed, and each that is started fails: a line for each in this file."""
    begun, python = directory / "begun", directory / "python"
    python.write_text(f'#!/bin/sh\necho >>"{begun}"\n')
    python.chmod(stat.S_IRWXU)
    shim.set_up(free_port(), python=str(python))
    (shim.state / "agent.lock").write_text("4711")
    return begun


async def test_many_hooks_at_once_start_one_agent_and_one_that_fails_is_not_started_again(
    shim: Shim, tmp_path: Path
) -> None:
    begun = agent_that_fails(shim, tmp_path)
    for _ in range(4):
        await shim.run("claude-code", "PreToolUse")
        await shim.run("claude-code", "UserPromptSubmit")
    async with asyncio.timeout(10):
        while not begun.exists():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    assert begun.read_text() == "\n"


@pytest.mark.parametrize(
    ("age_s", "is_started"),
    [(3600, True), (120, True), (30, False), (-3600, True)],
    ids=["of an hour ago", "of two minutes ago", "of just now", "of before the clock was set back"],
)
async def test_a_mark_of_a_start_keeps_others_from_it_for_a_minute_by_any_clock(
    shim: Shim, tmp_path: Path, age_s: float, *, is_started: bool
) -> None:
    begun = agent_that_fails(shim, tmp_path)
    mark, then = shim.state / "agent.starting", time.time() - age_s
    mark.touch()
    os.utime(mark, (then, then))
    await shim.run("claude-code", "UserPromptSubmit")
    with suppress(TimeoutError):
        async with asyncio.timeout(10 if is_started else 0.5):
            while not begun.exists():  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.05)
    assert is_started == begun.exists()
