"""What is known of a worktree is kept, and learned anew when its commit changes."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scoord.clock import FakeClock
from scoord.config import SettingsCache, load
from scoord.errors import InvalidPath
from scoord.ids import MachineId
from scoord.paths import Locator, Worktree
from scoord_agent.background import Background
from scoord_agent.knowledge.knowing import AGAIN_S, Knowing
from scoord_agent.knowledge.repository import Knowledge, learn
from scoord_agent.settings import SettingsFor
from support.house import until
from support.repositories import git, repository


class Lessons:
    """Learns for real, and says how often; may be held up, or fail."""

    def __init__(self) -> None:
        self.commits: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.fails = False

    def __call__(self, root: Path, commit: str) -> Knowledge:
        self.commits.append(commit)
        assert self.go_on.wait(10)
        if self.fails:
            raise InvalidPath("no git")
        return learn(root, commit)


class School:
    """One worktree, and what is known of it."""

    def __init__(self, directory: Path) -> None:
        self.clock, self.lessons, self.background = FakeClock(), Lessons(), Background()
        self.root = repository(directory / "shop", "https://example.com/shop")
        self.locator = Locator(MachineId("m1"), self.clock)
        cache = SettingsCache(directory / "user", {}, clock=self.clock)
        self.knowing = Knowing(
            learn=self.lessons,
            locator=self.locator,
            settings=SettingsFor(cache, load(None, directory / "user", {})),
            background=self.background,
            clock=self.clock,
        )

    @property
    def worktree(self) -> Worktree:
        found = self.locator.worktree_of(str(self.root))
        assert found
        return found

    def commit(self) -> None:
        git(self.root, "add", ".")
        git(self.root, "commit", "-q", "--allow-empty", "-m", "more")
        self.clock.advance(2.0)


@pytest.fixture
async def school(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[School]:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    made = School(tmp_path)
    try:
        yield made
    finally:
        made.lessons.go_on.set()
        await made.background.close()


async def test_nothing_is_waited_for(school: School) -> None:
    school.lessons.go_on.clear()

    assert school.knowing.at_once(school.worktree) is None
    assert school.knowing.areas(school.worktree) is None

    school.lessons.go_on.set()
    known = await school.knowing.of(school.worktree, 10.0)
    assert known is not None
    assert 1 == len(school.lessons.commits)


async def test_a_command_waits_for_so_long_at_most(school: School) -> None:
    school.lessons.go_on.clear()

    assert await school.knowing.of(school.worktree, 0.05) is None


async def test_a_new_commit_is_learned_while_the_old_is_told(school: School) -> None:
    before = await school.knowing.of(school.worktree, 10.0)
    assert before
    (school.root / "new.py").write_text("")
    school.commit()
    assert school.knowing.at_once(school.worktree) is before, "not again so soon"
    assert 1 == len(school.lessons.commits)

    school.clock.advance(AGAIN_S)
    assert school.knowing.at_once(school.worktree) is before
    await until(lambda: school.knowing.at_once(school.worktree) is not before)
    after = school.knowing.at_once(school.worktree)
    assert after
    assert "new.py" in after.files


async def test_what_cannot_be_learned_is_tried_again_later(school: School) -> None:
    school.lessons.fails = True
    assert await school.knowing.of(school.worktree, 10.0) is None
    assert await school.knowing.of(school.worktree, 0.05) is None
    assert 1 == len(school.lessons.commits)

    school.lessons.fails = False
    school.clock.advance(AGAIN_S)
    assert await school.knowing.of(school.worktree, 10.0)


async def test_areas_of_the_settings_take_the_place_of_those_found(school: School) -> None:
    await school.knowing.of(school.worktree, 10.0)
    assert ["src"] == _areas_of(school, "src/a.py")

    text = "areas: {everything: {patterns: ['*.py'], description: all there is}}"
    (school.root / "coordination.yaml").write_text(text)
    school.clock.advance(2.0)

    assert ["everything"] == _areas_of(school, "src/a.py")
    assert await school.knowing.of(school.worktree, 10.0), "and which files are in them"


def _areas_of(school: School, path: str) -> list[str]:
    areas = school.knowing.areas(school.worktree)
    assert areas
    return areas.of_all([path])
