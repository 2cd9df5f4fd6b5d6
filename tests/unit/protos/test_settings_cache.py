"""Settings that are read again when their files change, and only then."""

import os
from pathlib import Path

import pytest

from scoord.config import RECHECK_S, SettingsCache
from scoord.errors import InvalidConfig
from support.clock import FakeClock


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "repository").mkdir()
    return tmp_path / "repository"


@pytest.fixture
def cache(tmp_path: Path, clock: FakeClock) -> SettingsCache:
    return SettingsCache(tmp_path / "user", {"SCOORD_LOCK_TIMEOUT": "900"}, clock=clock)


def set_action(root: Path, action: str) -> None:
    (root / "coordination.yaml").write_text(f"session_coordination: {{conflict_action: {action}}}")


def test_unchanged_files_are_not_read_again(
    cache: SettingsCache, root: Path, clock: FakeClock
) -> None:
    first = cache.get(root)
    clock.advance(RECHECK_S)

    assert first is cache.get(root)
    assert first.session_coordination.lock_timeout == 900


def test_files_are_looked_at_once_in_a_while(
    cache: SettingsCache, root: Path, clock: FakeClock
) -> None:
    first = cache.get(root)
    set_action(root, "warn")
    clock.advance(RECHECK_S / 2)
    assert first is cache.get(root)
    clock.advance(RECHECK_S / 2)

    assert cache.get(root).session_coordination.conflict_action == "warn"


def test_a_file_of_the_same_size_at_the_same_time_is_seen_as_another(
    cache: SettingsCache, root: Path, clock: FakeClock
) -> None:
    set_action(root, "block")
    cache.get(root)
    file, new = root / "coordination.yaml", root / "new"
    new.write_text("session_coordination: {conflict_action: warn }")
    os.utime(new, ns=(0, file.stat().st_mtime_ns))
    assert new.stat().st_size == file.stat().st_size
    new.replace(file)
    clock.advance(RECHECK_S)

    assert cache.get(root).session_coordination.conflict_action == "warn"


def test_the_users_file_is_watched_too(
    cache: SettingsCache, root: Path, tmp_path: Path, clock: FakeClock
) -> None:
    cache.get(root)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "file-patterns.yaml").write_text("ignore: ['*.md']")
    clock.advance(RECHECK_S)

    assert not cache.get(root).patterns.locks("a.md")
    assert not cache.get(None).patterns.locks("a.md")


def test_two_worktrees_have_settings_of_their_own(
    cache: SettingsCache, root: Path, tmp_path: Path
) -> None:
    set_action(root, "warn")

    assert cache.get(root).session_coordination.conflict_action == "warn"
    assert cache.get(tmp_path).session_coordination.conflict_action == "block"


def test_while_a_file_is_wrong_every_call_says_so_until_it_is_mended(
    cache: SettingsCache, root: Path, clock: FakeClock
) -> None:
    set_action(root, "blok")
    for _ in range(2):
        with pytest.raises(InvalidConfig, match="'blok' is not allowed"):
            cache.get(root)
        clock.advance(RECHECK_S)
    set_action(root, "warn")
    clock.advance(RECHECK_S)

    assert cache.get(root).session_coordination.conflict_action == "warn"
