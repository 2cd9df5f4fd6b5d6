"""Shows notices on this user's desktop, if there is one. Never raises, never waits long.

The library is loaded with the first notice that is to be shown: most agents run
where there is no desktop.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from html import escape
from pathlib import Path
from typing import Any

from scoord.clock import Clock
from scoord_agent.background import Background
from scoord_agent.notifying import Note

_log = logging.getLogger(__name__)

WITHIN_S = 3.0
PAUSE_S = 600.0
"""A desktop that did not take a notice is left alone for so long."""

_ADDRESS = "DBUS_SESSION_BUS_ADDRESS"


class Desktop:
    """The place where notices are shown."""

    def __init__(self, clock: Clock, environ: MutableMapping[str, str] | None = None) -> None:
        self._clock = clock
        self._environ = os.environ if environ is None else environ
        self._background = Background()
        self._again_at = 0.0
        self._notifier: Any = None
        self._in_turn = asyncio.Lock()

    def show(self, note: Note) -> None:
        """Show a notice soon; lose it where there is no desktop."""
        address = bus_address(self._environ)
        if address is None or self._clock.now() < self._again_at:
            return
        if address:
            self._environ.setdefault(_ADDRESS, address)  # where the library looks
        self._background.start(self._try(note))

    async def close(self) -> None:
        """End what still runs."""
        await self._background.close()
        self._hang_up()

    async def _try(self, note: Note) -> None:
        try:
            async with asyncio.timeout(WITHIN_S), self._in_turn:
                shown = await self._send(note)
        except Exception as error:  # noqa: BLE001 (whatever a desktop does must not hurt)
            _log.info("the desktop cannot be asked: %s", error)
            shown = False
        if not shown:
            # Its connection may be the trouble: the next begins with a new one.
            self._hang_up()
            self._again_at = self._clock.now() + PAUSE_S

    def _hang_up(self) -> None:
        """Close the connection, which the library keeps open whether a try worked or not."""
        notifier, self._notifier = self._notifier, None
        bus = getattr(getattr(notifier, "_backend", None), "bus", None)
        if bus is not None:
            bus.disconnect()

    async def _send(self, note: Note) -> bool:
        """Send one; whether it arrived, which the library tells by this callback alone."""
        if self._notifier is None:
            # In a thread: it takes longer than a hook should wait.
            self._notifier = await asyncio.to_thread(_load)
        arrived: list[bool] = []
        # What a text of another session says in entities it must not become.
        text = escape(note.text, quote=False) if await _reads_markup(self._notifier) else note.text
        await self._notifier.send(note.title, text, on_dispatched=lambda: arrived.append(True))
        return bool(arrived)


def bus_address(environ: Mapping[str, str], platform: str = sys.platform) -> str | None:
    """Return the session bus of this user's desktop; None where there is no desktop.

    Empty where a notice needs no address. A bus alone is no desktop: servers have one.
    """
    if platform == "darwin":
        return None if environ.get("SSH_CONNECTION") else ""
    if not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        return None
    if named := environ.get(_ADDRESS):
        return named
    bus = Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}", "bus")
    return f"unix:path={bus}" if bus.is_socket() else None


async def _reads_markup(notifier: Any) -> bool:
    """Whether this desktop reads a text as markup, which the library does not tell."""
    await notifier.get_capabilities()  # connects
    interface = getattr(getattr(notifier, "_backend", None), "interface", None)
    return interface is not None and "body-markup" in await interface.call_get_capabilities()


def _load() -> Any:
    from desktop_notifier import DesktopNotifier  # noqa: PLC0415 (see above)

    return DesktopNotifier(app_name="Session Coordinator", app_icon=None)
