"""There is one agent of a user, also where the directory of its lock is removed."""

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from scoord.errors import NotAllowed
from scoord_agent import only_one
from scoord_agent.only_one import OnlyOne
from support.house import until


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "scoord" / "agent.lock"


@pytest.fixture(autouse=True)
def _looks_often(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.parent.mkdir(parents=True)
    monkeypatch.setattr(only_one, "LOOK_S", 0.001)


@asynccontextmanager
async def staying(
    file: Path, put_back: Callable[[], None] = lambda: None
) -> AsyncIterator[asyncio.Event]:
    """An agent that is the one; yields what tells it to stop."""
    only, stop = OnlyOne(file), asyncio.Event()
    with only.hold() as running:
        assert running is None
        task = asyncio.create_task(only.stay(stop, put_back))
        try:
            yield stop
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def remove(file: Path) -> None:
    file.unlink()


def running(file: Path) -> int | None:
    """Who has the lock, as another agent finds it."""
    with OnlyOne(file).hold() as pid:
        return pid


def test_a_second_one_is_told_of_the_first_until_that_has_ended(file: Path) -> None:
    with OnlyOne(file).hold() as first:
        assert first is None
        assert os.getpid() == running(file)

    assert b"" == file.read_bytes(), "it is not wanted back"
    assert running(file) is None


def test_a_lock_that_cannot_be_used_is_named(file: Path) -> None:
    file.mkdir()

    with pytest.raises(NotAllowed, match=r"agent\.lock"), OnlyOne(file).hold():
        pass


async def test_a_lock_that_was_removed_with_all_around_it_is_there_again(file: Path) -> None:
    put_back = list[Path]()
    async with staying(file, lambda: put_back.append(file)) as stop:
        shutil.rmtree(file.parents[1])
        await until(file.exists)

        await until(lambda: running(file) == os.getpid())
        assert 0o700 == file.parent.stat().st_mode & 0o777
        assert ([file], False) == (put_back, stop.is_set())


async def test_what_was_beside_it_and_cannot_be_put_back_yet_is_so_later(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tries = list[Path]()

    def put_back() -> None:
        tries.append(file)
        if len(tries) < 4:
            raise NotAllowed("no space left on device")

    async with staying(file, put_back):
        remove(file)
        await until(lambda: "it is there again" in caplog.text)
        assert 1 == caplog.text.count("no space left on device")
        await asyncio.sleep(0.02)
    assert 4 == len(tries), "that is done"


async def test_of_two_agents_the_one_whose_lock_was_removed_ends(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with staying(file) as stop:
        remove(file)
        with OnlyOne(file).hold() as second:
            assert second is None
            await asyncio.wait_for(stop.wait(), 5)
    assert "another agent has begun" in caplog.text


async def test_a_lock_that_cannot_be_looked_at_is_looked_at_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = list[Path]()

    def fails(self: Path, **_: object) -> os.stat_result:
        looks.append(self)
        raise OSError(errno.ESTALE, "as on a disk that is away")

    async with staying(file) as stop:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "stat", fails)
            await until(lambda: len(looks) > 2)
        remove(file)
        await until(file.exists)
        assert not stop.is_set()
