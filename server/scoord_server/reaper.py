"""Ends what has been idle for too long, and trims history, again and again.

Every replica runs one; what they do is such that it does not matter how many do it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from scoord.errors import ScoordError
from scoord_server import trimming
from scoord_server.coordinator import Coordinator
from scoord_server.sweeping import Sweeping

_log = logging.getLogger(__name__)

INTERVAL_S = 1.0


class Reaper:
    """Drives the sweeps of one replica."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._sweeping = Sweeping(coordinator)

    async def run(self) -> None:
        """Sweep once a second, trim once a minute, note each end at once; until cancelled."""
        await asyncio.gather(
            _again(INTERVAL_S, self.sweep),
            _again(trimming.INTERVAL_S, self.trim),
            self._coordinator.farewells.run(),
        )

    async def sweep(self) -> None:
        """End every session, lock and claim that is overdue now."""
        await self._coordinator.look()
        await self._sweeping.sweep()

    async def trim(self) -> None:
        """Delete what is too old or too much of history."""
        if deleted := await self._coordinator.trimming.trim():
            _log.info("%d of the oldest lines and work logs are deleted", deleted)


async def _again(interval_s: float, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
    said = ""
    while True:
        await asyncio.sleep(interval_s)
        try:
            await step()
            if said:
                _log.info("%s: done again", _name(step))
            said = ""
        except ScoordError as error:
            # Once: an outage lasts for many of them.
            if str(error) != said:
                _log.warning("%s stopped half-way, trying again: %s", _name(step), error)
            said = str(error)
        except Exception:  # noqa: BLE001 (what is idle must not bring the coordinator down)
            _log.exception("%s failed in a way nobody foresaw", _name(step))


def _name(step: Callable[..., object]) -> str:
    """What it is called in the log: the sweep, or the trim."""
    return f"the {step.__name__}"
