"""Locks of several repositories that were lost with the lease of their session."""

from pathlib import Path

from support.house import SHOP, A, House, until
from support.repositories import repository


async def test_what_comes_back_has_its_limit_by_the_settings_of_its_own_repository(
    house: House, tmp_path: Path
) -> None:
    house.session.worktree = str(house.root)
    house.set("lock_timeout: 7, heartbeat_interval: 1")
    library = repository(tmp_path / "library", "https://example.com/library")
    text = "session_coordination: {lock_timeout: 500, heartbeat_interval: 1}"
    (library / "coordination.yaml").write_text(text, encoding="utf-8")
    await house.edit("a.py")
    await house.edit(str(library / "src" / "a.py"))
    house.coordinator.expire(house.session.lease)
    house.registration.lapse(house.session)

    await house.registration.enter(house.session, SHOP, house.settings.at(house.root))
    house.reclaiming.begin(house.session)
    await until(lambda: not house.held.losses.of(A))

    asked = {(it.project, it.lost.path): it for it in house.coordinator.reclaims}
    assert asked[SHOP, "a.py"].lock_timeout.seconds == 8
    assert asked["example.com/library", "src/a.py"].lock_timeout.seconds == 501
