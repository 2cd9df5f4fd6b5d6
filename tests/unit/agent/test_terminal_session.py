"""Whose a command is that was started below several sessions."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scoord.ids import SessionId
from scoord_agent import processes
from scoord_agent.lifecycle import Lifecycle
from scoord_agent.local_session import LocalSession
from scoord_agent.sessions import Sessions
from support.clock import FakeClock
from support.house import nothing


async def test_a_command_is_of_the_nearest_session_above_it(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions.jsonl")
    for name, pid in (("terminal", os.getppid()), ("coding", os.getpid())):
        process = processes.find(pid)
        sessions.add(LocalSession(SessionId(name), name, process, "/"))
    parts: Any = SimpleNamespace(worktree_of=lambda _cwd: None)
    lifecycle = Lifecycle(
        sessions=sessions,
        registration=parts,
        last_seen=parts,
        knowing=parts,
        locator=parts,
        settings=parts,
        machine=parts,
        clock=FakeClock(),
        changed=lambda: None,
        ending=lambda _session: None,
        written=nothing,
    )

    assert (await lifecycle.terminal_session(os.getpid(), "/")).session_id == "coding"
    assert (await lifecycle.terminal_session(os.getppid(), "/")).session_id == "terminal"
