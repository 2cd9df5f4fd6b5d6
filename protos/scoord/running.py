"""How a program runs until it is told to stop. It knows none of them."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


def stop_by_signal() -> asyncio.Event:
    """Return the event of being told to stop: by SIGTERM, or by Ctrl-C."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def run_until(stop: asyncio.Event, *loops: Coroutine[Any, Any, None]) -> None:
    """Run ``loops`` until ``stop``; one that ends by itself has failed, and so has the program."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    for task in (*tasks, waiting):
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
