"""Which places in queues are left when another branch is checked out, and where."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scoord.paths import RECHECK_S
from scoord_agent.background import Background
from scoord_agent.handing_back import HandingBack
from support.clock import FakeClock
from support.house import House, editing_house, settle
from support.repositories import git, repository, worktree

BY_BRANCH = "session_coordination: {scope: branch}"


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A session by whose settings locks hold on a branch; another has a.py, wherever it is."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    async with editing_house(tmp_path, FakeClock()) as made:
        made.set("scope: branch")
        made.coordinator.hold("a.py", "Session_far")
        yield made


@pytest.fixture
async def handing_back(house: House) -> AsyncIterator[HandingBack]:
    background = Background()
    yield HandingBack(
        taking=house.taking,
        held=house.held,
        settings=house.settings,
        locator=house.locator,
        background=background,
        clock=house.clock,
        committed=lambda _session, _commits: None,
    )
    await background.close()


async def waits_in(house: House, root: Path) -> None:
    assert "a.py is locked" in (await house.edit(str(root / "a.py"))).reason


async def switched(house: House, handing_back: HandingBack, root: Path, *branch: str) -> list[str]:
    """Another branch is checked out; what the session is told at its next hook."""
    git(root, "switch", "-q", *branch)
    house.clock.advance(RECHECK_S)
    handing_back.take_up_branch(house.session)
    await handing_back.leave_queues(house.session)
    await settle()
    return house.session.take_notices()


def left(house: House) -> list[str]:
    """The branches for which a place at a.py was given up."""
    return [branch for request in house.coordinator.left for branch in request.place_branches]


@pytest.mark.parametrize("settings", [BY_BRANCH, "session_coordination: {scope: repository}"])
async def test_a_switch_in_its_own_repository_leaves_no_queue_of_another(
    house: House, handing_back: HandingBack, tmp_path: Path, settings: str
) -> None:
    library = repository(tmp_path / "library", "https://example.com/library")
    (library / "coordination.yaml").write_text(settings, encoding="utf-8")
    await waits_in(house, library)

    assert [] == await switched(house, handing_back, house.root, "--detach")
    assert [] == await switched(house, handing_back, house.root, "-c", "feature")
    assert [] == left(house)


async def test_the_queue_is_left_where_it_waits_also_in_another_worktree_than_its_own(
    house: House, handing_back: HandingBack, tmp_path: Path
) -> None:
    linked = worktree(house.root, tmp_path / "linked", "topic")
    (linked / "coordination.yaml").write_text(BY_BRANCH, encoding="utf-8")
    for root in (house.root, linked):
        await waits_in(house, root)

    (told,) = await switched(house, handing_back, linked, "-c", "other")

    assert "The branch is other now: you do not wait for a.py on topic any more." in told
    assert ["topic"] == left(house)


async def test_so_it_is_for_what_the_agent_before_us_was_refused(
    house: House, handing_back: HandingBack
) -> None:
    await waits_in(house, house.root)
    unheard = house.turns.unheard(house.session.session_id)
    house.turns.keep_only([])
    house.turns.take_up(unheard)

    (told,) = await switched(house, handing_back, house.root, "--detach")
    assert "No branch is checked out now: you do not wait for a.py on main any more." in told

    await waits_in(house, house.root)
    (told,) = await switched(house, handing_back, house.root, "-c", "feature")
    assert "you do not wait for a.py on no branch any more" in told
    assert ["main", ""] == left(house)
