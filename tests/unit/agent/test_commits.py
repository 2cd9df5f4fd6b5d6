"""Whose commits they are, where several sessions work in one worktree."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from scoord import git as git_files
from scoord.ids import AgentId, FencingToken, ProjectId, SessionId
from scoord.names import path_key
from scoord_agent.background import Background
from scoord_agent.commits import Commits, committed
from scoord_agent.held import HeldLocks
from scoord_agent.held_lock import HeldLock
from scoord_agent.local_session import LocalSession
from support.repositories import git, repository

SHOP = ProjectId("example.com/shop")


@dataclass
class Desk:
    """Sessions of one worktree, and what is counted for each of them."""

    root: Path
    background: Background = field(default_factory=Background)
    held: HeldLocks = field(default_factory=lambda: HeldLocks(20.0))
    sessions: list[LocalSession] = field(default_factory=list)
    counted: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def session(self, name: str, worktree: str = "") -> LocalSession:
        session = LocalSession(SessionId(name), "claude-code", None, "/", home=SHOP)
        session.worktree = worktree or str(self.root)
        self.sessions.append(session)
        return session

    def edit(self, session: LocalSession, name: str) -> None:
        session.work.edit(SHOP, name, "")

    def hold(self, session: LocalSession, name: str, **more: bool) -> HeldLock:
        token = FencingToken(len(list(self.held)) + 1)
        lock = HeldLock(
            SHOP,
            path_key(name),
            name,
            session.session_id,
            AgentId(""),
            token,
            worktree=session.worktree,
            **more,  # type: ignore[arg-type]  # of a test
        )
        self.held.put(lock)
        return lock

    def commit(self, *names: str) -> str:
        for name in names:
            with (self.root / name).open("a", encoding="utf-8") as file:
                file.write("1\n")
        git(self.root, "add", ".")
        git(self.root, "commit", "-q", "--allow-empty", "-m", "next")
        return git(self.root, "rev-parse", "HEAD").strip()

    async def count(self, first: LocalSession, *commits: str) -> list[str]:
        """Whose they are, if ``first`` is seen first."""
        counting = Commits(
            sessions=self.sessions,
            held=self.held,
            background=self.background,
            committed=self._count,
        )
        counting.made(first, commits)
        async with asyncio.timeout(5):
            return [await self.counted.get() for _ in commits]

    def _count(self, whose: LocalSession, made: int) -> None:
        for _ in range(made):
            self.counted.put_nowait(whose.session_id)


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    made = Desk(repository(tmp_path / "shop"))
    yield made
    await made.background.close()


async def test_a_commit_is_counted_for_who_edited_its_files_and_not_who_is_seen_first(
    desk: Desk,
) -> None:
    one, two = desk.session("one"), desk.session("two")
    desk.edit(one, "README.md")
    desk.edit(two, "B.md")

    commits = desk.commit("README.md"), desk.commit("B.md")

    assert ["one", "two"] == await desk.count(two, *commits)


async def test_who_holds_a_file_is_before_who_edited_it_once(desk: Desk) -> None:
    one, two = desk.session("one"), desk.session("two")
    desk.edit(one, "a.md")
    desk.edit(two, "a.md")
    desk.hold(two, "a.md")
    assert ["two"] == await desk.count(one, desk.commit("a.md"))

    desk.hold(one, "src/**", is_pattern=True)
    assert ["one"] == await desk.count(two, desk.commit("src/new.py"))


async def test_who_only_reads_a_file_has_not_committed_it(desk: Desk) -> None:
    one, two = desk.session("one"), desk.session("two")
    desk.hold(one, "a.md", shared=True)
    desk.edit(two, "a.md")

    assert ["two"] == await desk.count(one, desk.commit("a.md"))


async def test_what_is_given_back_while_git_is_asked_is_counted_for_its_holder(desk: Desk) -> None:
    one, two = desk.session("one"), desk.session("two")
    lock = desk.hold(one, "a.md")
    commit = desk.commit("a.md")
    asyncio.get_running_loop().call_soon(desk.held.drop, lock)

    assert ["one"] == await desk.count(two, commit)


async def test_a_commit_of_nobodys_files_is_of_who_is_first_seen_to_go_on(desk: Desk) -> None:
    desk.edit(desk.session("one"), "a.md")
    two = desk.session("two")

    commits = desk.commit("other.md"), desk.commit(), "1" * 40

    assert ["two"] * 2 == await desk.count(two, *commits[:2])
    assert ["two"] == await desk.count(two, *commits[2:]), "git does not know it"


async def test_sessions_of_other_worktrees_have_not_made_it(desk: Desk) -> None:
    desk.edit(desk.session("elsewhere", worktree="/elsewhere"), "a.md")
    one = desk.session("one")

    assert ["one"] == await desk.count(one, desk.commit("a.md"))


async def test_what_many_locks_are_committed_in_git_is_asked_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, names, heads = desk.session("one"), [f"{n}.md" for n in range(30)], [desk.commit()]
    heads += [desk.commit(*names[n : n + 10]) for n in (0, 10, 20)]
    locks = [
        replace(desk.hold(session, name), commit=heads[n // 10 + late])
        for n, name in enumerate(names)
        for late in (0, 1)
    ]
    asked_of, asked_changed = Mock(wraps=git_files.files_of), Mock(wraps=git_files.changed)
    monkeypatch.setattr(git_files, "files_of", asked_of)
    monkeypatch.setattr(git_files, "changed", asked_changed)

    over = committed(str(desk.root), locks, git_files.patience())

    assert set(locks[::2]) == over, "a commit that was before the grant ends nothing"
    assert 1 == asked_of.call_count == asked_changed.call_count


async def test_where_nothing_was_committed_git_is_not_asked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = replace(desk.hold(desk.session("one"), "a.md"), commit=desk.commit())
    git(desk.root, "commit", "-q", "--allow-empty", "--amend", "-m", "again")
    monkeypatch.setenv("PATH", "/nowhere")

    assert set() == committed(str(desk.root), [lock], git_files.patience())
