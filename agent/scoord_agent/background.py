"""Work whose outcome no hook waits for."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from scoord.errors import ScoordError

_log = logging.getLogger(__name__)


class Background:
    """Work whose outcome no hook waits for."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work``; a failure is logged, not raised."""
        task = asyncio.create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """End what still runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except ScoordError as error:
        _log.info("background work did not succeed: %s", error)
    except Exception:  # noqa: BLE001 (nobody else would see it)
        _log.exception("background work failed in a way nobody foresaw")
