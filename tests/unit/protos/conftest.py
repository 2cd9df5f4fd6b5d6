from collections.abc import Callable
from pathlib import Path

import pytest

from scoord.ids import MachineId
from scoord.paths import Locator
from support.clock import FakeClock
from support.repositories import ORIGIN, repository
from support.settings import Place


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the one who runs the tests has set for git out of them."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def locator(clock: FakeClock) -> Locator:
    return Locator(MachineId("m1"), clock)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return repository(tmp_path / "repo", ORIGIN)


@pytest.fixture
def no_git(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let every later start of git fail."""
    return lambda: monkeypatch.setenv("PATH", "/nonexistent")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
