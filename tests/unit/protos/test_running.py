"""How a program runs until it is told to stop."""

import asyncio
import os
import signal

import pytest

from scoord.running import run_until, stop_by_signal


class Loops:
    """What runs, and what of it was ended."""

    def __init__(self) -> None:
        self.ended = 0

    async def for_good(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1


async def _fails() -> None:
    raise ValueError("out of order")


async def test_all_loops_run_until_a_signal() -> None:
    loops, stop = Loops(), stop_by_signal()
    running = asyncio.create_task(run_until(stop, loops.for_good(), loops.for_good()))
    await asyncio.sleep(0)

    os.kill(os.getpid(), signal.SIGTERM)
    await running

    assert 2 == loops.ended


async def test_a_loop_that_fails_ends_the_others_and_is_told() -> None:
    loops = Loops()

    with pytest.raises(ValueError, match="out of order"):
        await run_until(asyncio.Event(), loops.for_good(), _fails())

    assert 1 == loops.ended
