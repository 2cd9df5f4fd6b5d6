"""Whose a command is that was started below several sessions."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scoord.errors import InvalidRequest
from scoord.ids import ProjectId, SessionId
from scoord.paths import RECHECK_S
from scoord_agent import processes
from scoord_agent.lifecycle import Lifecycle, Origin
from scoord_agent.local_session import MAIN, TERMINAL, LocalSession
from scoord_agent.sessions import Sessions
from scoord_agent.status_desk import StatusDesk
from scoord_agent.turns import Place
from scoord_agent.wanted import MOST, Wanted
from scoord_hooks.neutral import EventKind
from support.clock import FakeClock
from support.house import nothing
from support.whole import whole_agent


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


async def test_a_command_below_a_coding_cli_that_is_not_registered_is_refused(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a terminal's it would take locks, which the end of the CLI would not give back."""
    monkeypatch.setattr(processes, "terminal_of", lambda pid: pid)
    async with whole_agent(tmp_path, clock) as agent:
        lifecycle, root = agent.parts.lifecycle, str(agent.root)
        settings = agent.root / "coordination.yaml"
        settings.write_text("session_coordination: {auto_register: false}\n", encoding="utf-8")
        await agent.hear(EventKind.PROMPT, Origin(pid=os.getpid()))

        with pytest.raises(InvalidRequest, match="auto_register"):
            await lifecycle.terminal_session(os.getpid(), root)
        assert [] == agent.sessions

        terminal = await lifecycle.terminal_session(os.getppid(), root)
        assert not terminal.has_hooks, "of a person beside it"
        with pytest.raises(InvalidRequest):
            await lifecycle.terminal_session(os.getpid(), root)

        settings.unlink()
        clock.advance(RECHECK_S)
        await agent.hear(EventKind.PROMPT, Origin(pid=os.getpid()))
        assert (await lifecycle.terminal_session(os.getpid(), root)).has_hooks


def desk_of(sessions: Sessions) -> StatusDesk:
    """One that is asked for news alone."""
    parts: Any = FakeClock()
    names = ("facts", "machine", "client", "neighbours", "hold_times", "locator", "settings")
    return StatusDesk(**dict.fromkeys(names, parts), sessions=sessions, clock=parts)


def test_a_terminals_command_takes_what_it_is_to_be_told_and_a_coding_sessions_does_not(
    tmp_path: Path,
) -> None:
    sessions = Sessions(tmp_path / "sessions.jsonl")
    desk = desk_of(sessions)
    process = processes.find(os.getpid())
    terminal = LocalSession(SessionId("terminal"), TERMINAL, process, "/")
    coding = LocalSession(SessionId("coding"), "claude-code", process, "/")
    for session in (terminal, coding):
        session.tell_loss("lost")
        session.tell("edited")

    assert desk.news(os.getpid()) == {"news": []}
    sessions.add(coding)
    assert desk.news(os.getpid()) == {"news": []}
    sessions.remove(coding)
    sessions.add(terminal)
    assert desk.news(os.getpid()) == {"news": ["lost", "edited"]}
    assert desk.news(os.getpid()) == {"news": []}
    assert coding.take_notices() == ["lost", "edited"]


def test_a_terminal_is_told_of_none_who_waits_and_of_none_that_was_left_out(
    tmp_path: Path,
) -> None:
    sessions, told = Sessions(tmp_path / "sessions.jsonl"), list[str]()
    sessions.person = lambda _session, notice: told.append(notice)
    terminal = LocalSession(SessionId("terminal"), TERMINAL, processes.find(os.getpid()), "/")
    sessions.add(terminal)
    for number in range(MOST + 30):
        place = Place(ProjectId("shop"), f"{number}.py", SessionId("Session_far"), MAIN)
        terminal.tell_wanted(place, Wanted(f"bob waits for {number}.py"))

    assert desk_of(sessions).news(os.getpid()) == {"news": []}
    assert len(told) == MOST + 30, "its person has seen each"
