"""Sessions whose process is not found: by its return they are known, by their silence they end."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from scoord.ids import SessionId
from scoord_agent import processes
from scoord_agent.lifecycle import Origin
from scoord_agent.local_session import MAIN
from scoord_agent.turns import Place
from scoord_agent.wanted import Wanted
from scoord_hooks.neutral import EventKind, HookEvent, Verdict
from support.clock import FakeClock
from support.whole import TIMEOUT_S, whole_agent

UNKNOWN = Origin()
OWN = Origin(pid=os.getpid())


async def test_its_process_is_its_own_once_that_is_found(tmp_path: Path, clock: FakeClock) -> None:
    async with whole_agent(tmp_path, clock) as agent:
        await agent.hear(EventKind.BEFORE_EDIT, UNKNOWN)
        (session,) = agent.sessions

        assert (await agent.hear(EventKind.BEFORE_EDIT, OWN)).verdict is not Verdict.DENY
        assert [session] == agent.sessions
        assert processes.find(os.getpid()) == session.process
        await agent.hear(EventKind.SESSION_END, OWN)
        assert [] == agent.sessions
        assert {} == agent.coordinator.locks


async def test_whose_command_was_heard_before_the_first_of_its_hooks_is_no_terminal(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook of its start was lost; it has no shell around, as the MCP server of a CLI."""
    monkeypatch.setattr(processes, "terminal_of", lambda pid: pid)
    async with whole_agent(tmp_path, clock) as agent:
        made = await agent.parts.lifecycle.terminal_session(os.getpid(), str(agent.root))
        assert not made.has_hooks

        await agent.hear(EventKind.BEFORE_EDIT, OWN)

        assert [made] == agent.sessions
        assert made.has_hooks
        waiter = Place(made.home, "a.py", SessionId("other"), MAIN)
        made.tell_wanted(waiter, Wanted("Session_2 waits for a.py"))
        assert made.wanted[MAIN]


async def test_anothers_process_is_not_its_own(tmp_path: Path, clock: FakeClock) -> None:
    async with whole_agent(tmp_path, clock) as agent:
        await agent.hear(EventKind.BEFORE_EDIT, UNKNOWN)
        await agent.hear(EventKind.BEFORE_EDIT, OWN, "c2")

        assert [None, os.getpid()] == [it.process and it.process.pid for it in agent.sessions]


async def test_another_process_that_takes_up_its_conversation_is_another_session(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with whole_agent(tmp_path, clock) as agent:
        await agent.hear(EventKind.BEFORE_EDIT, UNKNOWN)
        (before,) = agent.sessions

        start = HookEvent("claude-code", EventKind.SESSION_START, "", "c1", str(agent.root))

        another = await agent.parts.lifecycle.session_of(replace(start, reason="resume"), OWN)

        assert before.process is None
        assert [before, another] == agent.sessions


async def test_it_is_forgotten_when_it_was_ended_as_idle_and_stays_so(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with whole_agent(tmp_path, clock) as agent:
        await agent.hear(EventKind.BEFORE_EDIT, OWN, "c2")
        (known,) = agent.sessions
        await agent.hear(EventKind.BEFORE_EDIT, UNKNOWN)
        await agent.idles(TIMEOUT_S + 300)
        assert [False, False] == [session.registered for session in agent.sessions]

        await agent.idles(TIMEOUT_S)
        assert [known] == agent.sessions


async def test_one_that_goes_on_before_is_told_what_it_lost(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with whole_agent(tmp_path, clock) as agent:
        await agent.hear(EventKind.BEFORE_EDIT, UNKNOWN)
        (session,) = agent.sessions
        await agent.idles(TIMEOUT_S + 300)
        session.tell_loss("a.py was free for others")

        assert "free for others" in (await agent.hear(EventKind.PROMPT, UNKNOWN)).context
        await agent.idles(TIMEOUT_S + 300)
        assert [session] == agent.sessions
