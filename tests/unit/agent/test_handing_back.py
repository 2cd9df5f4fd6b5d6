"""Locks that are given back before their session ends."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from scoord import git as scoord_git
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
from support.repositories import git, repository, worktree

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

    @property
    def unsettled(self) -> "House":
        """Nothing was cut off."""
        return self

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
        return scoord_git.commit(str(self.root))

    def set(self, setting: str) -> None:
        text = f"session_coordination: {{{setting}}}\n"
        (self.root / "coordination.yaml").write_text(text, encoding="utf-8")
        self.clock.advance(RECHECK_S)

    def write(self, *names: str) -> None:
        for name in names:
            with (self.root / name).open("a", encoding="utf-8") as file:
                file.write("1\n")

    def commit(self, *names: str) -> None:
        self.write(*names)
        git(self.root, "add", "--", *names)
        git(self.root, "commit", "-q", "--allow-empty", "-m", "next", "--", *names)
        self.clock.advance(RECHECK_S)

    async def looked(self) -> list[str]:
        """All that was given back, once git is asked what is committed."""
        self.asked.clear()
        self.handing_back.after_commit(self.session)
        await self.finish()
        return self.released

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


async def test_after_a_commit_what_it_has_in_and_is_unchanged_is_given_back(house: House) -> None:
    house.set("release_on: commit")
    for name in ("a.py", "changed.py", "other.py"):
        house.hold(name)
    house.hold("src/**", is_pattern=True)
    house.handing_back.after_commit(house.session)
    house.commit("a.py", "changed.py")
    house.write("changed.py")

    assert ["a.py"] == await house.looked()

    for name in ("changed.py", "other.py"):
        asked_again = house.held.find(SHOP, name, Claimant(A, AgentId("")))
        assert asked_again
        assert house.head() == asked_again.commit, "the next commit decides, not the next hook"
    house.commit("changed.py")
    assert ["a.py", "changed.py"] == await house.looked()


async def test_so_it_is_with_a_repositorys_first_commit(house: House) -> None:
    house.set("release_on: commit")
    shutil.rmtree(house.root / ".git")
    git(house.root, "init", "-q")
    house.handing_back.look(house.session)
    for name in ("a.py", "other.py"):
        house.hold(name)

    house.commit("a.py")

    assert ["a.py"] == await house.looked()
    house.handing_back.look(house.session)
    assert [(A, 1)] == house.commits


@pytest.mark.parametrize("setting", ["commit", "session_end"])
async def test_a_worktree_that_is_removed_holds_nothing_back(house: House, setting: str) -> None:
    linked = worktree(house.root, house.root.parent / "linked", "feature")
    text = f"session_coordination: {{release_on: {setting}}}\n"
    (linked / "coordination.yaml").write_text(text, encoding="utf-8")
    house.hold("a.py", worktree=str(linked))
    house.hold("timed.py", worktree=str(linked), ends_at=house.clock.now() + 1800)
    house.hold("used.py", worktree=str(linked), in_several=True)
    house.handing_back.look_anew(house.session)
    house.handing_back.after_commit(house.session)

    git(house.root, "worktree", "remove", "--force", str(linked))
    house.clock.advance(RECHECK_S)
    house.handing_back.after_commit(house.session)
    await asyncio.sleep(0.1)

    assert (["a.py"] if setting == "commit" else []) == house.released


async def test_what_is_taken_for_a_time_ends_then_and_not_with_a_commit(house: House) -> None:
    house.set("release_on: commit")
    house.hold("timed.py", ends_at=house.clock.now() + 1800)
    house.hold("a.py")
    house.commit("a.py", "timed.py")

    assert ["a.py"] == await house.looked()


@pytest.mark.parametrize(
    "moves",
    [
        "merge -q --ff-only others",
        "merge -q --no-ff --no-edit others",
        "cherry-pick others",
        "rebase -q others",
        "switch -q others",
        "commit -q --amend --allow-empty -m again",
        "commit -q --allow-empty -m nothing",
    ],
)
async def test_what_moves_without_a_commit_of_the_file_there_gives_nothing_back(
    house: House, moves: str
) -> None:
    house.commit("a.py")
    others = worktree(house.root, house.root.parent / "others", "others")
    (others / "a.py").write_text("theirs\n", encoding="utf-8")
    git(others, "commit", "-q", "-a", "-m", "theirs")
    git(others, "checkout", "-q", "--detach")
    house.set("release_on: commit")
    house.hold("a.py")
    house.write("a.py")
    git(house.root, "stash", "-q")

    git(house.root, *moves.split())

    house.clock.advance(RECHECK_S)
    assert [] == await house.looked()


async def test_what_a_merge_was_resolved_in_is_given_back_with_it(house: House) -> None:
    house.commit("a.py", "b.py")
    others = worktree(house.root, house.root.parent / "others", "others")
    for name in ("a.py", "b.py"):
        (others / name).write_text("theirs\n", encoding="utf-8")
    git(others, "commit", "-q", "-a", "-m", "theirs")
    house.commit("a.py")
    house.set("release_on: commit")
    house.hold("a.py")
    house.hold("b.py")
    git(house.root, "merge", "-q", "--no-commit", "-s", "ours", "others")
    (house.root / "a.py").write_text("of both\n", encoding="utf-8")
    git(house.root, "checkout", "-q", "others", "--", "b.py")
    git(house.root, "add", "a.py")
    git(house.root, "commit", "-q", "-m", "both")
    house.clock.advance(RECHECK_S)

    assert ["a.py"] == await house.looked(), "b.py is as others have it"


async def test_what_git_ignores_is_in_no_commit(house: House) -> None:
    house.set("release_on: commit")
    (house.root / ".git" / "info" / "exclude").write_text("local.env\n", encoding="utf-8")
    house.hold("local.env")
    house.write("local.env")
    house.commit("a.py")

    assert [] == await house.looked()


@pytest.mark.parametrize("where", ["shop", "linked"])
async def test_a_file_that_is_used_while_git_is_asked_is_kept(house: House, where: str) -> None:
    house.set("release_on: commit")
    lock = house.hold("a.py")
    other = house.hold("b.py")
    house.commit("a.py", "b.py")
    house.handing_back.after_commit(house.session)

    house.held.renew_commit(lock, str(house.root.parent / where), house.head())

    await house.finish()
    assert [other.shown] == house.released


async def test_no_commit_gives_back_what_is_used_in_two_worktrees(house: House) -> None:
    """Which one has all of it nobody can say. What else is held there goes as ever."""
    house.set("release_on: commit")
    house.commit("a.py")
    house.commit("a.py")
    linked = worktree(house.root, house.root.parent / "linked", "feature")
    git(linked, "reset", "-q", "--hard", "HEAD~1")
    house.held.renew_commit(house.hold("a.py"), str(linked), scoord_git.commit(str(linked)))
    (linked / "a.py").write_text("work\n", encoding="utf-8")
    house.handing_back.after_commit(house.session)
    await asyncio.sleep(0.3)
    assert [] == house.released, "it was committed before it was granted"

    house.hold("b.py")
    house.commit("a.py", "b.py")
    assert ["b.py"] == await house.looked()

    git(linked, "commit", "-q", "-a", "-m", "there")
    house.clock.advance(RECHECK_S)
    house.handing_back.after_commit(house.session)
    await asyncio.sleep(0.3)
    assert ["b.py"] == house.released


async def test_a_file_whose_edit_is_allowed_and_has_not_happened_is_kept_for_a_while(
    house: House,
) -> None:
    house.set("release_on: commit")
    lock = house.hold("a.py")
    edit = lock.project, lock.key, lock.agent, house.root
    house.session.remembered.allowed[edit] = Allowed(lock.token, house.clock.now())
    house.hold("b.py", agent="agent-1")
    house.commit("a.py", "b.py")
    assert ["b.py"] == await house.looked()

    house.clock.advance(EDIT_WITHIN_S)

    assert ["b.py", "a.py"] == await house.looked(), "the edit was denied: nobody tells"


async def test_what_git_was_too_slow_to_tell_is_asked_for_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.set("release_on: commit")
    lock = house.hold("a.py")
    house.commit("a.py")
    with monkeypatch.context() as slow:
        slow.setattr(scoord_git, "GIT_PATIENCE_S", 0.0)
        house.handing_back.after_commit(house.session)
        await asyncio.sleep(0.3)
    assert lock == house.held.find_same(lock)

    assert ["a.py"] == await house.looked()


async def test_a_commit_gives_nothing_back_unless_it_is_to(house: House) -> None:
    house.hold("a.py")
    house.commit("a.py")

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


async def test_of_what_nobody_knows_the_worktree_nothing_is_known_to_be_left_or_committed(
    house: House,
) -> None:
    """It was granted last by an agent before, in another worktree than its session's own."""
    house.set("release_on: commit")
    house.session.home = SHOP
    house.hold("a.py", branch="elsewhere", worktree="")
    house.commit("a.py")

    await house.handing_back.after_switch(house.session)
    house.handing_back.after_commit(house.session)
    await asyncio.sleep(0.3)
    assert [] == house.released
    assert [] == house.session.take_notices()

    house.set("release_on: stop")
    house.handing_back.after_turn(house.session)
    await house.finish()
    assert ["a.py"] == house.released, "a turn ends there, too"


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
    (elsewhere / "a.py").touch()
    git(elsewhere, "add", "a.py")
    git(elsewhere, "commit", "-q", "-m", "next")
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
