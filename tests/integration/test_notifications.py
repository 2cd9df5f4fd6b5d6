"""The person in front of a session is shown what concerns it, on a real bus."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.desktop import FakeDesktop, fake_desktop
from support.machines import Machine, machines, refusal, repository
from support.pair import ORIGIN
from support.processes import coordinator


@dataclass(frozen=True, slots=True)
class Desk:
    """A machine with a desktop, and a checkout."""

    machine: Machine
    desktop: FakeDesktop
    root: Path


@pytest.fixture
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    settings = f"session_coordination:\n  show_notifications: {getattr(request, 'param', 'true')}\n"
    files = {"auth.py": "", "b.py": "", "coordination.yaml": settings}
    root = repository(tmp_path / "shop", files, f"{ORIGIN}/shop")
    async with fake_desktop() as desktop:
        with coordinator(tmp_path, "--embedded", "--data", str(tmp_path / "store")) as running:
            machine = Machine(tmp_path / "home", "alice", running.address, **desktop.env)
            with machines(machine):
                yield Desk(machine, desktop, root)


def _meet(desk: Desk) -> None:
    """One session has a file, another one waits for it, and then it is taken from the first."""
    first, second = desk.machine.session(desk.root), desk.machine.session(desk.root)
    for session in (first, second):
        session.start()
    first.edit("auth.py")
    assert refusal(second.edit("auth.py"))
    done = desk.machine.scoord(
        "unlock", "auth.py", "--force", "--yes", "--reason", "urgent", cwd=desk.root
    )
    assert done.returncode == 0, done.stderr


async def test_a_person_is_shown_who_waits_what_is_broken_and_what_is_free(desk: Desk) -> None:
    await asyncio.to_thread(_meet, desk)
    shown = await desk.desktop.next(3)
    assert {title for title, _ in shown} == {"Session_1 in shop", "Session_2 in shop"}
    texts = "\n".join(f"{title}: {text}" for title, text in sorted(shown))
    assert "Session_1 in shop: Session_2 (alice@" in texts
    assert "waits for auth.py, which you hold" in texts
    assert "Session_1 in shop: Your lock on auth.py was broken by " in texts
    assert 'urgent"' in texts
    assert "Session_2 in shop: auth.py is free now, and you are next" in texts


@pytest.mark.parametrize("desk", ["false"], indirect=True)
async def test_where_the_settings_say_so_a_person_is_shown_nothing(desk: Desk) -> None:
    await asyncio.to_thread(_meet, desk)
    await asyncio.sleep(2)
    assert desk.desktop.shown == []
