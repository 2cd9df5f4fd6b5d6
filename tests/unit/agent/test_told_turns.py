"""How long a turn counts that is told late."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scoord_agent.background import Background
from scoord_agent.turns import Place
from scoord_hooks.neutral import EventKind
from support.clock import FakeClock
from support.hooks import Hooks
from support.house import House, editing_house
from support.repositories import repository

SHORT_S, LONG_S = 1, 600


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A session whose own settings keep a file for a moment only."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    async with editing_house(tmp_path, FakeClock()) as made:
        made.session.worktree = str(made.root)
        made.set(f"claim_timeout: {SHORT_S}")
        yield made


@pytest.fixture
async def hooks(house: House) -> AsyncIterator[Hooks]:
    background = Background()
    yield Hooks(house, background)
    await background.close()


async def waits_elsewhere(house: House, root: Path) -> Place:
    """It is refused a file of a repository that keeps one for longer; where it waits then."""
    library = repository(root / "library", "https://example.com/library")
    settings = f"session_coordination: {{claim_timeout: {LONG_S}}}"
    (library / "coordination.yaml").write_text(settings, encoding="utf-8")
    house.coordinator.hold("a.py", "Session_far")
    assert "a.py is locked" in (await house.edit(str(library / "a.py"))).reason
    (place,) = house.turns.unheard(house.session.session_id)
    return place


@pytest.mark.parametrize(
    ("late_s", "told"),
    [(SHORT_S, "a.py is free now"), (LONG_S, "your turn at it is over")],
)
async def test_it_counts_for_as_long_as_the_repository_of_the_file_keeps_it(
    house: House, hooks: Hooks, tmp_path: Path, late_s: int, told: str
) -> None:
    place = await waits_elsewhere(house, tmp_path)

    house.turns.come(place)
    house.turns.keep(place, "a.py")
    house.clock.advance(late_s)

    assert told in (await hooks.send(EventKind.PROMPT)).context


async def test_where_nobody_knows_how_long_that_is_its_own_settings_say_it(
    house: House, hooks: Hooks, tmp_path: Path
) -> None:
    place = await waits_elsewhere(house, tmp_path)
    house.turns.keep_only([])

    house.turns.queued(place, "a.py", 9)  # a snapshot shows it
    house.turns.keep(place, "a.py")
    house.clock.advance(SHORT_S)

    assert "your turn at it is over" in (await hooks.send(EventKind.PROMPT)).context
