"""A desktop that takes notices: a session bus, and a service on it that keeps what it is told."""

# No "from __future__ import annotations": the annotations below are D-Bus signatures.
import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

NAME, PATH = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"


@dataclass(slots=True)
class FakeDesktop:
    """What a desktop was asked to show: title and text, oldest first."""

    address: str
    shown: list[tuple[str, str]] = field(default_factory=list)
    stuck: bool = False
    """Whether it takes notices and never answers."""
    reads_markup: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def env(self) -> dict[str, str]:
        """What a program that was started on it has."""
        return {"DISPLAY": ":0", "DBUS_SESSION_BUS_ADDRESS": self.address}

    async def next(self, count: int = 1, within_s: float = 10.0) -> list[tuple[str, str]]:
        """Wait until so many have been shown; return all."""
        async with asyncio.timeout(within_s):
            while len(self.shown) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return self.shown


@asynccontextmanager
async def bus() -> AsyncIterator[str]:
    """A session bus of its own; yields its address. Skips where there is no dbus-daemon."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed")
    process = await asyncio.create_subprocess_exec(
        "dbus-daemon", "--session", "--nofork", "--print-address", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()
        await asyncio.sleep(0)


@asynccontextmanager
async def fake_desktop() -> AsyncIterator[FakeDesktop]:
    """A bus with a desktop on it."""
    from dbus_fast.aio.message_bus import MessageBus

    async with bus() as address:
        desktop = FakeDesktop(address)
        connection = await MessageBus(bus_address=address).connect()
        connection.export(PATH, _service(desktop))
        await connection.request_name(NAME)
        try:
            yield desktop
        finally:
            connection.disconnect()
            await connection.wait_for_disconnect()  # type: ignore[no-untyped-call]


def _service(desktop: FakeDesktop) -> Any:
    from dbus_fast.service import ServiceInterface, method

    class Service(ServiceInterface):
        @method()
        def GetCapabilities(self) -> "as":  # type: ignore[valid-type]  # noqa: F722, N802
            return ["body", "body-markup"] if desktop.reads_markup else ["body"]

        @method()
        def GetServerInformation(self) -> "ssss":  # type: ignore[name-defined]  # noqa: F821, N802
            return ["fake", "none", "1", "1.2"]

        @method()
        async def Notify(  # noqa: N802
            self,
            app_name: "s",  # type: ignore[name-defined]  # noqa: F821
            replaces_id: "u",  # type: ignore[name-defined]  # noqa: F821
            app_icon: "s",  # type: ignore[name-defined]  # noqa: F821
            summary: "s",  # type: ignore[name-defined]  # noqa: F821
            body: "s",  # type: ignore[name-defined]  # noqa: F821
            actions: "as",  # type: ignore[valid-type]  # noqa: F722
            hints: "a{sv}",  # type: ignore[valid-type]  # noqa: F722
            expire_timeout: "i",  # type: ignore[name-defined]  # noqa: F821
        ) -> "u":  # type: ignore[name-defined]  # noqa: F821
            if desktop.stuck:
                await asyncio.sleep(3600)
            desktop.shown.append((summary, body))
            desktop.arrived.set()
            return len(desktop.shown)

    return Service(NAME)
