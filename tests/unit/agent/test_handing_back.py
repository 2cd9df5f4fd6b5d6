"""Locks that are given back before their session ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from scoord.claimant import Claimant
from scoord.config import SettingsCache, load
from scoord.ids import AgentId, FencingToken, MachineId, ProjectId, SessionId
from scoord.paths import RECHECK_S, Locator
from scoord_agent.background import Background
from scoord_agent.handing_back import EDIT_WITHIN_S, HandingBack
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from scoord_agent.remembered import Allowed
from scoord_agent.settings import SettingsFor
from scoord_agent.taking import Taking
from support.clock import FakeClock
from support.repositories import git, repository

SHOP = ProjectId("example.com/shop")
A = SessionId("Session_a")


@dataclass
class House:
    """One session in a repository with a.py and b.py."""

    root: Path
    clock: FakeClock
    held: HeldLocks
    session: LocalSession
    released: list[str] = field(default_factory=list)
    given: list[HeldLock] = field(default_factory=list)
    """All that was to be given back, held or not."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something was given back, or nothing was left to."""
    handing_back: HandingBack = field(init=False)
    commits: list[tuple[SessionId, int]] = field(default_factory=list)
    """Who was first seen to go on after them, and how many."""

    async def release(self, _session: LocalSession, locks: Sequence[HeldLock]) -> None:
        """In the place of the real one."""
        self.given += locks
        self.released += [lock.shown for lock in locks if self.held.drop(lock)]
        self.asked.set()

    def turn_over(self, session: LocalSession) -> None:
        """In the place of the real one."""

    async def finish(self) -> None:
        """Wait until something was given back."""
        async with asyncio.timeout(5):
            await self.asked.wait()

    def hold(self, name: str, agent: str = "", **more: object) -> HeldLock:
        fields = {"commit": self.head(), "worktree": str(self.root), **more}
        lock = HeldLock(SHOP, name, name, A, AgentId(agent), FencingToken(7), **fields)  # type: ignore[arg-type]  # of a test
        self.held.put(lock)
        return lock

    def head(self) -> str:
        return git(self.root, "rev-parse", "HEAD").strip()

    def set(self, setting: str) -> None:
        text = f"session_coordination: {{{setting}}}\n"
        (self.root / "coordination.yaml").write_text(text, encoding="utf-8")
        self.clock.advance(RECHECK_S)

    def commit(self) -> None:
        git(self.root, "commit", "-q", "--allow-empty", "-m", "next")
        self.clock.advance(RECHECK_S)

    def switch(self, *arguments: str) -> None:
        git(self.root, "switch", "-q", *arguments)
        self.clock.advance(RECHECK_S)


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    root, clock = repository(tmp_path / "shop", "https://example.com/shop"), FakeClock()
    branch = git(root, "branch", "--show-current").strip()
    session = LocalSession(A, "claude-code", None, str(root), worktree=str(root), branch=branch)
    made, background = House(root, clock, HeldLocks(20.0), session), Background()
    cache = SettingsCache(tmp_path / "user", {}, clock=clock)
    made.handing_back = HandingBack(
        taking=cast("Taking", made),
        held=made.held,
        settings=SettingsFor(cache, load(None, tmp_path / "user", {})),
        locator=Locator(MachineId("m1"), clock),
        background=background,
        clock=clock,
        committed=lambda of, commits: made.commits.append((of.session_id, len(commits))),
    )
    yield made
    await background.close()


async def test_after_a_commit_what_is_unchanged_is_given_back(house: House) -> None:
    house.set("release_on: commit")
    house.hold("a.py")
    house.hold("changed.py")
    house.hold("src/**", is_pattern=True)
    (house.root / "changed.py").write_text("2\n", encoding="utf-8")
    house.handing_back.after_commit(house.session)
    house.commit()

    house.handing_back.after_commit(house.session)

    await house.finish()
    assert ["a.py"] == house.released
    asked_again = house.held.find(SHOP, "changed.py", Claimant(A, AgentId("")))
    assert asked_again
    assert house.head() == asked_again.commit, "the next commit decides, not the next hook"


async def test_a_file_that_is_used_while_git_is_asked_is_kept(house: House) -> None:
    house.set("release_on: commit")
    lock = house.hold("a.py")
    other = house.hold("b.py")
    house.commit()
    house.handing_back.after_commit(house.session)

    house.held.renew_commit(lock, house.head())

    await house.finish()
    assert [other.shown] == house.released


async def test_a_file_whose_edit_is_allowed_and_has_not_happened_is_kept_for_a_while(
    house: House,
) -> None:
    house.set("release_on: commit")
    lock = house.hold("a.py")
    edit = lock.project, lock.key, lock.agent, house.root
    house.session.remembered.allowed[edit] = Allowed(lock.token, house.clock.now())
    house.hold("b.py", agent="agent-1")
    house.commit()
    house.handing_back.after_commit(house.session)
    await house.finish()
    assert ["b.py"] == house.released

    house.clock.advance(EDIT_WITHIN_S)
    house.asked.clear()
    house.handing_back.after_commit(house.session)

    await house.finish()
    assert ["b.py", "a.py"] == house.released, "the edit was denied: nobody tells"


async def test_a_commit_gives_nothing_back_unless_it_is_to(house: House) -> None:
    house.hold("a.py")
    house.commit()

    house.handing_back.after_commit(house.session)
    house.handing_back.after_turn(house.session)
    await asyncio.sleep(0.1)

    assert [] == house.released


async def test_a_turns_end_gives_back_what_the_main_thread_holds(house: House) -> None:
    house.set("release_on: stop")
    house.hold("a.py")
    house.hold("b.py", agent="agent-1")

    house.handing_back.after_turn(house.session)

    await house.finish()
    assert ["a.py"] == house.released


async def test_so_does_it_what_the_agent_before_knew_of_and_what_went_with_its_lease(
    house: House,
) -> None:
    house.set("release_on: stop")
    house.hold("a.py")
    house.held.lapse(A)
    house.session.had = [house.hold("b.py"), house.hold("c.py", "a1")]
    for lock in house.held.of(A):
        house.held.drop(lock)

    house.handing_back.after_turn(house.session)

    await house.finish()
    assert {"a.py", "b.py"} == {lock.shown for lock in house.given}


async def test_another_branch_ends_what_was_for_the_old_one(house: House) -> None:
    house.hold("a.py", branch=house.session.branch)
    house.hold("b.py")
    assert not house.handing_back.take_up_branch(house.session)
    house.switch("-c", "feature")

    assert house.handing_back.take_up_branch(house.session)
    assert not house.handing_back.take_up_branch(house.session), "once"
    await house.handing_back.after_switch(house.session)

    assert ["a.py"] == house.released
    (told,) = house.session.take_notices()
    assert "The branch is feature now: your lock on a.py" in told


async def test_most_hooks_look_at_nothing(house: House) -> None:
    assert house.handing_back.look(house.session)
    assert not house.handing_back.look(house.session)

    house.commit()
    assert house.handing_back.look(house.session)
    assert not house.handing_back.look(house.session)

    house.clock.advance(RECHECK_S)
    assert house.handing_back.look(house.session), "it may hold files of other worktrees"


@pytest.mark.parametrize("setting", ["commit", "session_end"])
async def test_who_is_at_rest_is_seen_to_have_committed_a_moment_after_the_last_look(
    house: House, setting: str
) -> None:
    elsewhere = repository(house.root.parent / "elsewhere", "https://example.com/elsewhere")
    text = f"session_coordination: {{release_on: {setting}}}\n"
    (elsewhere / "coordination.yaml").write_text(text, encoding="utf-8")
    house.hold("a.py", worktree=str(elsewhere), commit=git(elsewhere, "rev-parse", "HEAD").strip())
    assert house.handing_back.look(house.session)
    house.handing_back.after_commit(house.session)
    git(elsewhere, "commit", "-q", "--allow-empty", "-m", "next")
    assert not house.handing_back.look(house.session)

    house.handing_back.look_anew(house.session)

    assert (setting == "commit") == house.handing_back.look(house.session)
    house.handing_back.after_commit(house.session)
    if setting == "commit":
        await house.finish()
    assert (["a.py"] if setting == "commit" else []) == house.released


async def test_a_detached_head_ends_nothing(house: House) -> None:
    house.hold("a.py", branch=house.session.branch)
    house.switch("--detach")

    await house.handing_back.after_switch(house.session)

    assert [] == house.released
    assert [] == house.session.take_notices()


async def test_a_commit_is_told_of_once_with_who_is_seen_to_go_on_after_it(house: House) -> None:
    other = LocalSession(SessionId("Session_b"), "claude-code", None, "/")
    other.worktree = house.session.worktree
    for session in (house.session, other):
        house.handing_back.look(session)
    house.commit()
    house.commit()
    for session in (other, house.session, other):
        house.handing_back.look(session)
        house.clock.advance(RECHECK_S)
    house.switch("-c", "elsewhere")
    house.handing_back.look(house.session)

    assert [(other.session_id, 2)] == [each for each in house.commits if each[1]]
