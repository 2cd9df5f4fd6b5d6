"""What a person is shown, how often, and that a desktop can do no harm."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest

from scoord.ids import ProjectId, SessionId
from scoord.sections import SessionCoordination
from scoord.text import one_line
from scoord.v1.events_pb2 import Notice
from scoord.v1.locks_pb2 import Holder
from scoord_agent import desktop, wording
from scoord_agent.desktop import PAUSE_S, Desktop, bus_address
from scoord_agent.local_session import LocalSession
from scoord_agent.notifying import MOST, WITHIN_S, Note, Notifying, Pacing
from scoord_agent.sessions import Sessions
from scoord_agent.settings import SettingsFor
from support.clock import FakeClock
from support.desktop import FakeDesktop, bus, fake_desktop
from support.hostile import MARKER, TEXTS, harm_in

NOTE = Note("Session_1 in shop", "auth.py is free now")


def test_a_person_is_shown_a_few_at_a_time_and_then_how_many_more_there_were() -> None:
    pacing = Pacing()
    shown = [pacing.pace(f"notice {number}", 0.0) for number in range(MOST + 4)]
    assert shown == ["notice 0", "notice 1", "notice 2", None, None, None, None]
    assert pacing.pace("later", WITHIN_S) == "later (and 4 more since: see scoord status)"
    assert pacing.pace("again", WITHIN_S) == "again"


def notifying(*, on: bool = True, clock: FakeClock | None = None) -> tuple[Notifying, list[Note]]:
    shown: list[Note] = []
    coordination = SessionCoordination(show_notifications=on)
    settings: Any = SimpleNamespace(
        at=lambda _root: SimpleNamespace(session_coordination=coordination)
    )
    return Notifying(cast("SettingsFor", settings), clock or FakeClock(), shown.append), shown


def session(tmp_path: Path, told: Notifying, repository: str = "shop") -> LocalSession:
    sessions = Sessions(tmp_path / "sessions.jsonl")
    sessions.person = told.tell
    home = ProjectId(f"git.example.org/team/{repository}")
    one = LocalSession(SessionId("Session_a"), "claude-code", None, "/", home=home)
    one.aliases = {home: "Session_1"}
    sessions.add(one)
    return one


def test_what_is_told_in_the_same_words_is_shown_to_each_or_counted(tmp_path: Path) -> None:
    clock = FakeClock()
    told, shown = notifying(clock=clock)
    one, two = (session(tmp_path, told, repository=name) for name in ("shop", "desk"))
    for waiter in (one, two, one, two):
        waiter.take_notices()
        waiter.tell("README.md is free now", person=True)
    clock.advance(WITHIN_S)
    one.tell_loss("lost")

    titles = ["Session_1 in shop", "Session_1 in desk", "Session_1 in shop", "Session_1 in shop"]
    assert titles == [note.title for note in shown]
    assert "lost (and 1 more since: see scoord status)" == shown[-1].text


def test_only_what_concerns_a_person_is_shown_and_all_that_is_lost(tmp_path: Path) -> None:
    told, shown = notifying()
    one = session(tmp_path, told)
    one.tell("for the model alone")
    one.tell("auth.py is free now", person=True)
    one.tell("auth.py is free now", person=True)
    one.tell_loss("⚠️ Your lock on \x1b[1m<b>a.py</b> was broken.")
    assert shown == [
        Note("Session_1 in shop", "auth.py is free now"),
        Note("Session_1 in shop", f"Your lock on {one_line('<b>a.py</b>')} was broken."),
    ]


def test_where_the_settings_say_so_nothing_is_shown(tmp_path: Path) -> None:
    told, shown = notifying(on=False)
    one = session(tmp_path, told)
    one.tell("free", person=True)
    one.tell_loss("lost")
    assert shown == []
    assert one.take_notices() == ["lost", "free"]


def test_sessions_that_are_taken_up_again_have_their_person_too(tmp_path: Path) -> None:
    told, shown = notifying()
    session(tmp_path, told)
    after = Sessions(tmp_path / "sessions.jsonl")
    after.person = told.tell
    after.load(0.0)
    (one,) = after
    one.tell_loss("lost")
    assert [note.text for note in shown] == ["lost"]


@pytest.mark.parametrize(
    ("environ", "platform", "address"),
    [
        ({}, "linux", None),
        ({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/b"}, "linux", None),
        ({"DISPLAY": ":0", "XDG_RUNTIME_DIR": "/nowhere"}, "linux", None),
        ({"DISPLAY": ":0", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/b"}, "linux", "unix:path=/b"),
        ({"WAYLAND_DISPLAY": "w", "DBUS_SESSION_BUS_ADDRESS": "x"}, "linux", "x"),
        ({}, "darwin", ""),
        ({"SSH_CONNECTION": "a b"}, "darwin", None),
    ],
)
def test_a_desktop_is_a_screen_and_a_bus(
    environ: dict[str, str], platform: str, address: str | None
) -> None:
    assert bus_address(environ, platform) == address


@pytest.fixture
async def screen(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeDesktop]:
    async with fake_desktop() as fake:
        for name, value in fake.env.items():
            monkeypatch.setenv(name, value)
        yield fake


async def test_a_notice_is_shown_on_a_real_bus(screen: FakeDesktop) -> None:
    shower = Desktop(FakeClock())
    shower.show(NOTE)
    shower.show(Note("two", "more"))
    assert await screen.next(2) == [(NOTE.title, NOTE.text), ("two", "more")]
    await shower.close()


@pytest.mark.parametrize(
    ("reads_markup", "sent"), [(True, "R&amp;D: &amp;#x202e;"), (False, "R&D: &#x202e;")]
)
async def test_entities_in_a_text_are_shown_as_they_are_written(
    screen: FakeDesktop, *, reads_markup: bool, sent: str
) -> None:
    screen.reads_markup = reads_markup
    shower = Desktop(FakeClock())
    shower.show(Note("R&D", "R&D: &#x202e;"))
    assert await screen.next() == [("R&D", sent)]
    await shower.close()


def hostile_notes() -> list[Note]:
    """What is shown of each hostile text: as a notice, in a message, and as a session's name."""
    shown: list[Note] = []
    clock = FakeClock()
    settings: Any = SimpleNamespace(
        at=lambda _root: SimpleNamespace(session_coordination=SessionCoordination())
    )
    told = Notifying(cast("SettingsFor", settings), clock, shown.append)
    for text in TEXTS:
        home = ProjectId(f"git.example.org/team/{text}")
        one = LocalSession(SessionId("Session_a"), "claude-code", None, "/", home=home)
        one.aliases = {home: text}
        sender = Holder(alias=text, person=text, branch=text)
        message = wording.noticed(Notice(kind="message", sender=sender, path=text, text=text))
        for notice in (text, message):
            told.tell(one, notice)
            clock.advance(WITHIN_S)
    return shown


def test_hostile_texts_are_one_bounded_line_on_the_desktop() -> None:
    notes = hostile_notes()

    assert 2 * len(TEXTS) == len(notes)
    harm = [harm_in(line, longest=300) for note in notes for line in (note.title, note.text)]
    assert [] == list(filter(None, harm))
    came = sum(MARKER in note.text for note in notes)
    assert came > len(TEXTS), "they are shown, not dropped"


async def test_hostile_texts_reach_a_real_bus_as_they_were_made_harmless(
    screen: FakeDesktop,
) -> None:
    shower, notes = Desktop(FakeClock()), hostile_notes()
    for note in notes:
        shower.show(note)
        await asyncio.gather(*shower._background._tasks)

    assert [(note.title, note.text) for note in notes] == await screen.next(len(notes))
    await shower.close()


async def test_a_desktop_that_does_not_answer_is_left_alone_for_a_while(
    screen: FakeDesktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desktop, "WITHIN_S", 0.5)
    clock = FakeClock()
    screen.stuck = True
    shower = Desktop(clock)
    shower.show(NOTE)
    await asyncio.gather(*shower._background._tasks)
    screen.stuck = False
    shower.show(NOTE)
    assert not shower._background._tasks
    clock.advance(PAUSE_S)
    shower.show(NOTE)
    assert await screen.next() == [(NOTE.title, NOTE.text)]
    await shower.close()


async def test_a_bus_without_a_desktop_is_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    async with bus() as address:
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        shower = Desktop(clock)
        before = psutil.Process().num_fds()
        with caplog.at_level(logging.INFO):
            for _ in range(5):
                shower.show(NOTE)
                await asyncio.gather(*shower._background._tasks)
        records = len(caplog.records)
        for _ in range(5):
            clock.advance(PAUSE_S)
            shower.show(NOTE)
            await asyncio.gather(*shower._background._tasks)
        assert records <= 2
        assert psutil.Process().num_fds() <= before + 1, "no connection is left open"
        await shower.close()


@pytest.mark.parametrize("address", ["unix:path=/nowhere/bus", "nonsense", "tcp:host=x,port=1"])
async def test_an_address_that_leads_nowhere_is_silence(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    shower = Desktop(FakeClock())
    begun = time.monotonic()
    shower.show(NOTE)
    assert time.monotonic() - begun < 0.1
    async with asyncio.timeout(10):
        await asyncio.gather(*shower._background._tasks)
    await shower.close()


def test_without_a_desktop_the_library_is_not_even_loaded() -> None:
    code = (
        "import asyncio, sys\n"
        "from scoord.clock import SystemClock\n"
        "from scoord_agent.desktop import Desktop\n"
        "from scoord_agent.notifying import Note\n"
        "async def main():\n"
        "    shower = Desktop(SystemClock(), {})\n"
        "    shower.show(Note('a', 'b'))\n"
        "    await asyncio.sleep(0.05)\n"
        "    await shower.close()\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if 'notifier' in name or 'dbus' in name])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("[]\n", "")
