"""What is known of a worktree is kept, and learned anew when its commit changes."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scoord.config import SettingsCache, load
from scoord.errors import InvalidPath
from scoord.ids import MachineId, SessionId
from scoord.paths import Locator, Worktree
from scoord_agent.background import Background
from scoord_agent.knowledge.knowing import AGAIN_S, Knowing
from scoord_agent.knowledge.repository import Knowledge, learn
from scoord_agent.local_session import LocalSession
from scoord_agent.settings import SettingsFor
from scoord_agent.surroundings import Surroundings
from support.clock import FakeClock
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
            learned=lambda _root: None,
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


async def test_a_prompt_means_the_files_that_it_names_and_those_that_are_to_be_there(
    school: School,
) -> None:
    around, session = Surroundings(school.knowing), _session_in(school)
    for name in ("a", "b", "c", "d"):
        (school.root / name).mkdir()
        (school.root / name / "same.py").write_text("")
    school.commit()

    def meant(prompt: str) -> list[str]:
        return [file.shown for file in around.meant_by(session, prompt)]

    assert [] == meant("see src/A.py"), "before anybody asked about it"
    await school.knowing.of(school.worktree, 10.0)

    assert ["src/a.py"] == meant("see src/A.py, or `a.py`.")
    assert ["b/same.py"] == meant("see b/same.py")
    assert [] == meant("see same.py"), "nobody knows which"
    assert ["tests/test_A.py"] == meant("write tests/test_A.py and/or x.py, not ../y.py or /z.py")
    many = " ".join(f"src/{number}.py" for number in range(50))
    assert 20 == len(meant(many))


async def test_the_source_of_a_new_test_is_the_one_that_the_repository_has(
    school: School,
) -> None:
    around, session = Surroundings(school.knowing), _session_in(school)
    for path in ("src/shop/cart.py", "src/shop/price.py", "tests/test_price.py"):
        (school.root / path).parent.mkdir(parents=True, exist_ok=True)
        (school.root / path).write_text("")
    school.commit()
    await school.knowing.of(school.worktree, 10.0)

    for prompt in ("write tests/test_cart.py", "Write test_cart.py"):
        (new,) = around.meant_by(session, prompt)
        assert "tests/test_cart.py" == new.shown
        assert ["src/shop/cart.py"] == list(around.belonging_to(new))
    (known,) = around.meant_by(session, "see src/a.py")
    assert "tests/test_a.py" in around.belonging_to(known), "where such tests usually are"


def _session_in(school: School) -> LocalSession:
    return LocalSession(SessionId("s"), "claude-code", None, "/", worktree=str(school.root))


def _areas_of(school: School, path: str) -> list[str]:
    areas = school.knowing.areas(school.worktree)
    assert areas
    return areas.of_all([path])
