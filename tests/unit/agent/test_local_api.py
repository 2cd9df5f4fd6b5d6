"""The agent's socket: it is there as long as the agent is."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from scoord_agent import local_api
from scoord_agent.local_api import LocalApi
from support.house import until


class _Desk:
    """Nobody asks it anything."""

    def close(self) -> None:
        """Nothing runs."""


@asynccontextmanager
async def kept_open(socket: Path) -> AsyncIterator[asyncio.Task[None]]:
    """The API on its socket, and what looks after that."""
    desk = cast("Any", _Desk())
    api = LocalApi(desk, desk, desk, socket)
    await api.start()
    keeping = asyncio.create_task(api.keep_open())
    try:
        yield keeping
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await api.close()


def remove(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("failure", [errno.ESTALE, errno.EIO, errno.EACCES])
async def test_a_socket_that_cannot_be_looked_at_does_not_end_the_agent(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: int,
) -> None:
    looks, socket = list[Path](), tmp_path / "agent.sock"

    def fails(self: Path, **_: object) -> bool:
        looks.append(self)
        raise OSError(failure, "as on a disk that is away")

    monkeypatch.setattr(local_api, "LOOK_S", 0.001)
    async with kept_open(socket) as keeping:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "exists", fails)
            await until(lambda: len(looks) > 1 or keeping.done())
            assert not keeping.done()
        remove(socket)
        # Not only until it is there: what is cancelled while it begins to listen leaves it open.
        await until(lambda: "it is there again" in caplog.text)
        assert socket.is_socket()
