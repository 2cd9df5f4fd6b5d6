"""Folders that do not answer keep few threads, and nobody who asks of others."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import cast

import pytest

from scoord.errors import InvalidPath
from scoord.ids import ProjectId
from scoord.paths import Locator, NamedBy, Worktree
from scoord_agent.places import worktree_of
from support.house import until

HERE = Worktree(Path("/here"), ProjectId("example.com/shop"), shared=True, named_by=NamedBy.ORIGIN)
MORE_THAN_THREADS = 40


class Mount:
    """A locator; what is below /dead does not answer before its server is back."""

    def __init__(self) -> None:
        self.is_back = Event()
        self.looks: list[str] = []

    def worktree_of(self, cwd: str) -> Worktree | None:
        self.looks.append(cwd)
        if not cwd.startswith("/dead"):
            return HERE
        self.is_back.wait(10)
        raise InvalidPath("stale")


@pytest.fixture
def mount() -> Iterator[Mount]:
    found = Mount()
    yield found
    found.is_back.set()


def look(mount: Mount, cwd: str) -> "asyncio.Task[Worktree | None]":
    return asyncio.create_task(worktree_of(cast("Locator", mount), cwd))


async def test_a_folder_that_does_not_answer_keeps_one_thread(mount: Mount) -> None:
    dead = [look(mount, "/dead/x") for _ in range(MORE_THAN_THREADS)]
    await until(lambda: mount.looks)
    for hook in dead[:-1]:
        hook.cancel()
    dead.append(look(mount, "/dead/x"))
    elsewhere, _ = await asyncio.wait({look(mount, "/here")}, timeout=2)
    mount.is_back.set()
    results = await asyncio.gather(*dead, return_exceptions=True)

    assert [HERE] == [found.result() for found in elsewhere]
    assert ["/dead/x", "/here"] == mount.looks
    assert [InvalidPath] * 2 == [type(result) for result in results[-2:]]


async def test_a_folder_is_looked_at_anew_once_it_has_answered(mount: Mount) -> None:
    assert HERE == await look(mount, "/here")
    assert HERE == await look(mount, "/here")

    assert ["/here"] * 2 == mount.looks
