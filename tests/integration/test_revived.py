"""An agent that was killed is started again by the hooks of sessions that go on."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scoord_hooks.places import packaged_shim
from support.machines import Answer, CodingSession, context, refusal
from support.pair import Pair, clones, pair
from support.processes import wait_until

STARTED_S = 20.0


@dataclass
class Shop:
    """Alice's session and Bob's, in one project."""

    both: Pair
    a: CodingSession
    b: CodingSession

    @property
    def lock(self) -> Path:
        """Where the pid of Alice's agent stands."""
        return self.both.alice.state_dir / "agent.lock"

    @property
    def mark(self) -> Path:
        """Of the hook that starts an agent."""
        return self.both.alice.state_dir / "agent.starting"

    def by_shim(self, event: str, **fields: object) -> Answer:
        """An event of Alice's session that goes by command."""
        return self.by_shim_of(self.a, event, **fields)

    def by_shim_of(self, session: CodingSession, event: str, **fields: object) -> Answer:
        """The same of another session on her machine."""
        shim = self.both.alice.home / "shim.sh"
        shim.write_bytes(packaged_shim())
        done = subprocess.run(
            ["bash", str(shim), "claude-code", event, "block"],
            input=json.dumps(session.body(event, **fields)).encode(),
            env=self.both.alice.env | {"CLAUDE_PID": str(session.pid)},
            capture_output=True,
            timeout=12,
            check=True,
        )
        return dict(json.loads(done.stdout or b"{}"))

    def answers(self) -> bool:
        """Whether an agent of Alice's answers."""
        with contextlib.suppress(OSError):
            return self.a.told() is not None
        return False


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with pair(tmp_path) as both:
        here = clones(tmp_path / "shop", {"auth.py": "", "b.py": ""})
        made = Shop(both, both.alice.session(here.alices), both.bob.session(here.bobs))
        made.a.start()
        made.b.start()
        yield made
        # The test's own agent is ended with its machine; one that a hook has started is not.
        if words := made.lock.read_text(encoding="ascii").split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(words[0]), signal.SIGTERM)
            wait_until("the agent ends", lambda: not made.lock.read_bytes())


EDIT = {"tool_name": "Edit", "tool_input": {"file_path": "b.py"}, "tool_use_id": "toolu_1"}


@pytest.mark.parametrize(
    ("event", "fields"), [("UserPromptSubmit", {"prompt": "go on"}), ("PreToolUse", EDIT)]
)
def test_a_killed_agent_is_back_after_a_prompt_or_an_edit(
    shop: Shop, event: str, fields: dict[str, object]
) -> None:
    assert {} == shop.a.edit("auth.py")
    assert shop.both.alice.agent is not None
    shop.both.alice.agent.kill()
    first = shop.by_shim(event, **fields)
    assert shop.mark.exists(), "so that no other hook starts one"

    said = refusal(first) if event == "PreToolUse" else context(first)
    assert "no agent listens" in said
    wait_until("an agent answers", shop.answers, STARTED_S)
    assert not shop.mark.exists()
    assert {} == shop.a.edit("b.py")
    assert "is locked by Session_1" in refusal(shop.b.edit("b.py"))


def slow_to_start(shop: Shop, late_s: float) -> None:
    """What a hook starts as the agent takes so long."""
    env, python = shop.both.alice.state_dir / "hook.env", shop.both.alice.home / "slow-python"
    python.write_text(f'#!/bin/sh\nsleep {late_s}\nexec {sys.executable} "$@"\n')
    python.chmod(0o700)
    lines = env.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("SCOORD_PYTHON=")]
    env.write_text("\n".join([*kept, f"SCOORD_PYTHON={python}", ""]))


def test_a_session_whose_agent_is_up_too_late_for_its_start_is_greeted_at_its_next_prompt(
    shop: Shop,
) -> None:
    assert shop.both.alice.agent is not None
    shop.both.alice.agent.end()
    slow_to_start(shop, 3.0)

    late = shop.both.alice.session(shop.a.cwd)
    begun = shop.by_shim_of(late, "SessionStart", source="startup")
    assert "the agent is being started" in context(begun)
    assert {} == shop.by_shim_of(late, "UserPromptSubmit", prompt="go on"), "it is not up yet"
    wait_until("an agent listens", lambda: bool(shop.lock.read_bytes()), STARTED_S)
    wait_until("it answers", lambda: not shop.mark.exists(), STARTED_S)

    greeting = context(shop.by_shim_of(late, "UserPromptSubmit", prompt="go on"))
    assert "this session is Session_" in greeting
    assert "2 other sessions are active" in greeting
    assert "this session is" not in context(
        shop.by_shim_of(late, "UserPromptSubmit", prompt="more")
    )


def test_an_agent_that_was_stopped_leaves_no_pid_and_the_start_of_a_session_is_its_own(
    shop: Shop,
) -> None:
    """Without a pid the shim starts none at a prompt or an edit: see its own tests."""
    assert shop.both.alice.agent is not None
    shop.both.alice.agent.end()

    assert b"" == shop.lock.read_bytes()
    shop.by_shim("SessionStart", source="startup")
    wait_until("an agent answers", shop.answers, STARTED_S)
    assert b"" != shop.lock.read_bytes()
