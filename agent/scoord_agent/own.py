"""The coordinator of this machine's own: which one it is, and that it runs.

``scoord up`` starts it, and so does the agent whenever it is gone. Both ask here.
"""

import asyncio
import logging
import subprocess
from typing import Final

from scoord.addresses import is_loopback, split
from scoord.errors import ScoordError
from scoord.sections import Coordinators
from scoord_agent import spawn
from scoord_agent.spawn import COORDINATOR, Started

_log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 2.0
START_EVERY_S: Final = 10.0
"""One that ends at once, e.g. on a damaged store, must not be started over and over."""


def may_be_ours(named: Coordinators) -> str | None:
    """Return where one may be started that the agent then asks, by the agent's settings.

    None if they name one on another machine, or one that speaks TLS, which ours does
    not: then that is the one to wait for.
    """
    is_here = all(is_loopback(split(one)[0]) for one in named.addresses)
    return named.addresses[0] if is_here and named.ca is None else None


def address(named: Coordinators) -> str | None:
    """Return where our own is; None if it is not ours to see that one runs there.

    Ours is the one of settings that name none, and one that ``up`` has started, until
    ``down``. Another address on loopback may be a tunnel to the team's coordinator: an
    embedded one in its place would be a second truth.
    """
    where = may_be_ours(named)
    is_default = named.addresses == Coordinators().addresses
    return where if is_default or where == spawn.recorded_address() else None


def ensure(where: str) -> Started | None:
    """Start it unless it runs; None if another program serves the address."""
    if spawn.running(COORDINATOR) is None and spawn.is_listening(where):
        return None
    return spawn.start_coordinator(where)


async def keep(named: Coordinators) -> None:
    """Start our own whenever it is gone, and its record, until cancelled."""
    child: subprocess.Popen[bytes] | None = None
    record = ""
    while True:
        pause_s = LOOK_EVERY_S
        try:
            # In a thread: it waits for locks, and for connections.
            record = await asyncio.to_thread(spawn.keep_record, record)
            started = await asyncio.to_thread(_mended, named)
        except (OSError, ScoordError) as error:
            _log.warning("cannot look after our coordinator: %s", error)
            pause_s = START_EVERY_S
        else:
            if started is not None:
                _log.info("started our coordinator (pid %d)", started.pid)
                child, pause_s = started.child, START_EVERY_S
        await asyncio.sleep(pause_s)
        if child is not None:
            child.poll()  # so that one that ended is not kept as a zombie


def _mended(named: Coordinators) -> Started | None:
    """Start our own if it is gone; None if nothing had to be done."""
    where = address(named)
    if where is None or spawn.running(COORDINATOR):
        return None
    started = ensure(where)
    return started if started and started.fresh else None
