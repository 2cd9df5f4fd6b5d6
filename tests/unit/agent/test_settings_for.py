"""The last good settings stay in force, and what is wrong is said while it is."""

from pathlib import Path

import pytest

from scoord.config import RECHECK_S, Settings, SettingsCache, load
from scoord.ids import ProjectId
from scoord.paths import NamedBy, Worktree
from scoord_agent import settings
from scoord_agent.settings import SettingsFor
from support.clock import FakeClock

BAD = "session_coordination: {conflict_action: maybe}"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def fallback(tmp_path: Path) -> Settings:
    return load(None, tmp_path / "user", {})


@pytest.fixture
def settings_for(tmp_path: Path, clock: FakeClock, fallback: Settings) -> SettingsFor:
    return SettingsFor(SettingsCache(tmp_path / "user", {}, clock=clock), fallback)


def write(root: Path, text: str) -> None:
    root.mkdir(exist_ok=True)
    (root / "coordination.yaml").write_text(text)


def test_the_last_good_settings_stay_in_force(
    settings_for: SettingsFor, tmp_path: Path, clock: FakeClock
) -> None:
    write(tmp_path / "a", "session_coordination: {conflict_action: warn}")
    settings_for.at(tmp_path / "a")
    write(tmp_path / "a", BAD)
    clock.advance(RECHECK_S)

    assert settings_for.at(tmp_path / "a").session_coordination.conflict_action == "warn"
    assert "conflict_action" in settings_for.problem(tmp_path / "a")


def test_a_worktree_that_is_removed_has_the_settings_that_it_had(
    settings_for: SettingsFor, tmp_path: Path, clock: FakeClock
) -> None:
    write(tmp_path / "a", "session_coordination: {conflict_action: warn}")
    settings_for.at(tmp_path / "a")

    (tmp_path / "a" / "coordination.yaml").unlink()
    (tmp_path / "a").rmdir()
    clock.advance(RECHECK_S)
    assert settings_for.at(tmp_path / "a").session_coordination.conflict_action == "warn"

    (tmp_path / "a").mkdir()
    clock.advance(RECHECK_S)
    assert settings_for.at(tmp_path / "a").session_coordination.conflict_action == "block"


def test_a_problem_is_over_when_its_worktree_is_removed(
    settings_for: SettingsFor, tmp_path: Path, clock: FakeClock
) -> None:
    write(tmp_path / "a", BAD)
    settings_for.at(tmp_path / "a")
    assert len(settings_for.problems()) == 1

    (tmp_path / "a" / "coordination.yaml").unlink()
    (tmp_path / "a").rmdir()
    clock.advance(RECHECK_S)
    assert settings_for.problems() == []


def test_of_many_worktrees_the_latest_are_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fallback: Settings
) -> None:
    monkeypatch.setattr(settings, "_MOST_WORKTREES", 2)
    monkeypatch.setattr("scoord.config._MOST_WORKTREES", 2)
    cache = SettingsCache(tmp_path / "user", {})
    settings_for = SettingsFor(cache, fallback)
    good, bad = ([tmp_path / f"{kind}{n}" for n in range(3)] for kind in ("good", "bad"))
    for root in good + bad:
        write(root, BAD if root in bad else "session_coordination: {}")
        settings_for.at(root)

    assert good[1:] == list(settings_for._good)
    assert bad[1:] == list(settings_for._problems)
    assert bad[1:] == list(cache._kept)


def test_a_command_sees_what_was_saved_a_moment_ago(
    settings_for: SettingsFor, tmp_path: Path
) -> None:
    root = tmp_path / "a"
    worktree = Worktree(root, ProjectId("shop"), shared=True, named_by=NamedBy.ORIGIN)
    write(root, "tasks: [a.md]")
    settings_for.of(worktree)
    write(root, "tasks: [a.md, b.md]")

    assert settings_for.of(worktree).tasks == ("a.md",)
    assert settings_for.now(worktree).tasks == ("a.md", "b.md")
    assert settings_for.of(worktree).tasks == ("a.md", "b.md")
