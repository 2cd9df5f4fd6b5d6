"""What a command of this machine is answered, and what is undone when nobody hears it."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scoord.ids import FencingToken, MachineId, ProjectId
from scoord_agent import unsettled
from scoord_agent.doors import Doors
from scoord_agent.held_lock import HeldLock
from scoord_agent.lifecycle import Origin
from scoord_agent.local_api import LocalApi
from scoord_agent.local_session import MAIN
from scoord_agent.status_desk import AgentFacts, StatusDesk
from scoord_agent.wishes import Wish
from scoord_hooks.neutral import EventKind
from support.clock import FakeClock
from support.house import settle
from support.repositories import git, repository, worktree
from support.scripted_coordinator import Fate
from support.whole import Whole, whole_agent


@pytest.fixture
async def agent(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Whole]:
    monkeypatch.setattr(unsettled, "_AGAIN_S", 0.01)
    async with whole_agent(tmp_path, clock) as made:
        yield made


def wish(agent: Whole, *paths: str, **more: Any) -> Wish:
    return Wish(str(agent.root), paths, os.getpid(), **more)


@pytest.fixture
async def replaced(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Whole]:
    """The agent after one that had a.py, before it knows what that had."""
    async with whole_agent(tmp_path, clock) as before:
        await Doors(before.parts).desk().acquire(wish(before, "a.py"))
        before.parts.sessions.save()
        (session,), coordinator = before.sessions, before.coordinator
    async with whole_agent(tmp_path, clock) as made:
        made.coordinator.leases.add(session.lease)
        made.coordinator.locks |= coordinator.locks
        made.coordinator.revision = coordinator.revision
        yield made


def local_api(agent: Whole, socket: Path) -> LocalApi:
    doors, facts = Doors(agent.parts), AgentFacts(1, "0", 1, MachineId("m1"), "mbp", "", "", {})
    return LocalApi(doors.desk(), doors.status_desk(facts), doors.break_desk(), socket)


async def test_what_was_new_by_a_command_that_is_given_up_is_given_back(agent: Whole) -> None:
    desk = Doors(agent.parts).desk()
    await desk.acquire(wish(agent, "had.py"))
    granted = (await desk.acquire(wish(agent, "had.py", "a.py", "src/**")))["granted"]
    new = tuple((row["project"], row["path"]) for row in granted if row["new"])

    assert ["a.py", "src/**"] == sorted(path for _, path in new)
    await desk.leave(wish(agent, "had.py", "a.py", "src/**", new=new))

    assert ["had.py"] == [lock.shown for lock in agent.parts.common.held]


@pytest.mark.parametrize("command", ["acquire", "wait"])
async def test_one_that_is_killed_while_its_settings_are_looked_at_leaves_nothing_locked(
    agent: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    looked = asyncio.Event()

    async def problems(*_: object) -> None:
        looked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(StatusDesk, "problems", problems)
    socket = tmp_path / "socket"
    api = local_api(agent, socket)
    await api.start()
    body = {"cwd": str(agent.root), "paths": ["a.py"], "pid": os.getpid(), "within_s": 5}
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as http:
        asked = asyncio.create_task(http.post(f"http://agent/v1/{command}", json=body))
        await looked.wait()
        asked.cancel()
        await settle()
    await api.close()

    assert [] == list(agent.parts.common.held)
    assert {} == agent.coordinator.locks


async def test_a_terminal_with_a_place_is_not_promised_to_be_told(agent: Whole) -> None:
    agent.coordinator.hold("a.py", "Session_far")

    answer = await Doors(agent.parts).desk().acquire(wish(agent, "a.py"))

    assert answer["reads"] is False
    assert "You are first in the queue and keep your place." in answer["held"][0]["message"]


@pytest.mark.parametrize("is_command", [True, False])
async def test_a_command_that_waits_is_named_to_a_command_and_not_to_a_tool(
    agent: Whole, is_command: bool
) -> None:
    agent.coordinator.hold("src/a.py", "Session_far")

    asked = wish(agent, "src/**", lasting=is_command)
    answer = await Doors(agent.parts).desk().acquire(asked)

    assert ("`scoord wait" in answer["held"][0]["message"]) == is_command


async def held_late(
    agent: Whole, release: str, *edited: str, where: Path | None = None
) -> list[str]:
    """What stands of an edit that is granted late, where this is given back before."""
    coordinator = agent.coordinator
    coordinator.fates.append(Fate.UNREACHABLE)
    coordinator.connection.failed("gone", agent.clock.now())
    told = await agent.hear(EventKind.BEFORE_EDIT, Origin(pid=os.getpid()), paths=edited)
    assert "let through without a lock" in told.context

    root = str(where or agent.root)
    answer = await Doors(agent.parts).desk().release(root, [release], os.getpid())
    assert [release] == answer["not_held"]
    coordinator.connection.answered(agent.clock.now())
    await settle()

    held = [lock.shown for lock in agent.parts.common.held]
    assert held == list(coordinator.locks)
    return held


async def test_what_an_edit_may_yet_be_granted_is_not_held_after_it_is_given_back(
    agent: Whole,
) -> None:
    assert [] == await held_late(agent, "a.py", "a.py")


async def test_what_is_given_back_takes_nothing_else_along(agent: Whole) -> None:
    assert ["b.py"] == await held_late(agent, "a.py", "a.py", "b.py")
    assert [["a.py"]] == [[ref.path for ref in one.locks] for one in agent.coordinator.releases]


async def test_so_it_is_where_nothing_that_was_edited_is_given_back(agent: Whole) -> None:
    assert ["a.py"] == await held_late(agent, "b.py", "a.py")


async def test_it_is_given_back_by_any_spelling(agent: Whole) -> None:
    assert [] == await held_late(agent, "A.py", "a.py")


@pytest.mark.parametrize("scope", ["repository", "branch"])
async def test_it_is_given_back_from_another_worktree_where_a_lock_would_be(
    agent: Whole, tmp_path: Path, scope: str
) -> None:
    (agent.root / "coordination.yaml").write_text(f"session_coordination: {{scope: {scope}}}")
    there = worktree(agent.root, tmp_path / "there", "topic")

    held = ["a.py"] if scope == "branch" else []
    assert held == await held_late(agent, "a.py", "a.py", where=there)


@pytest.mark.parametrize(
    ("taken_in", "fate"), [("", "released"), ("zoo", "released"), ("linked", "not_held")]
)
async def test_a_share_of_another_branch_is_given_back_where_it_was_taken_or_may_have_been(
    agent: Whole, tmp_path: Path, taken_in: str, fate: str
) -> None:
    """An agent that takes it up may not know where that was, and it is not its session's home."""
    zoo = repository(tmp_path / "zoo", "https://example.com/zoo")
    worktree(zoo, tmp_path / "linked", "topic")
    desk = Doors(agent.parts).desk()
    await desk.acquire(wish(agent, "a.py"))
    project, where = ProjectId("example.com/zoo"), str(tmp_path / taken_in) if taken_in else ""
    (session,), token = agent.sessions, FencingToken(7)
    share = HeldLock(project, "z.py", "z.py", session.session_id, MAIN, token, shared=True)
    agent.parts.common.held.put(replace(share, branch="main", worktree=where))
    git(zoo, "switch", "-q", "-c", "feature")

    answer = await desk.release(str(zoo), ["z.py"], os.getpid())

    assert ["z.py"] == answer[fate]


async def test_what_the_agent_before_had_is_not_new(replaced: Whole) -> None:
    desk = Doors(replaced.parts).desk()

    granted = (await desk.acquire(wish(replaced, "a.py", "b.py")))["granted"]

    assert [("a.py", False), ("b.py", True)] == [(row["path"], row["new"]) for row in granted]


async def test_what_the_agent_before_had_stays_where_another_project_is_refused(
    replaced: Whole, tmp_path: Path
) -> None:
    """A file of the other one is asked for after that which was had, as far as is known."""
    repository(tmp_path / "zoo", "https://example.com/zoo")
    replaced.coordinator.hold("z.py", "Session_far")

    answer = await Doors(replaced.parts).desk().acquire(wish(replaced, "a.py", "../zoo/z.py"))

    assert ["z.py"] == [row["path"] for row in answer["held"]]
    assert [] == replaced.coordinator.releases
    assert {"a.py", "z.py"} == replaced.coordinator.locks.keys()
