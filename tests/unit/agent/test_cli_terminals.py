"""What commands show on terminals of all kinds, and in pipes."""

import io
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from scoord_agent.cli import doctor, machine, show, waiting, watching
from scoord_agent.cli.checks import Finding, Level


@pytest.fixture
def dumb(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written on a terminal that cannot move its cursor."""
    monkeypatch.setenv("TERM", "dumb")
    written = io.StringIO()
    console = Console(file=written, force_terminal=True)
    monkeypatch.setattr(show, "console", lambda **_: console)
    return written


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal of five lines."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(watching, "EVERY_S", 0.0)
    return Console(file=io.StringIO(), force_terminal=True, width=60, height=5, color_system=None)


def written(console: Console) -> str:
    """All that was written on it."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Let signals that end a command do nothing by themselves, and put back what they did."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda *_: None) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def looks(*seen: str) -> Callable[[], str]:
    """What is seen one after the other, until Ctrl-C."""
    left = iter(seen)

    def look() -> str:
        for each in left:
            return each
        raise KeyboardInterrupt

    return look


def test_on_a_dumb_terminal_one_picture_follows_the_other(
    dumb: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "EVERY_S", 0.0)

    with pytest.raises(KeyboardInterrupt):
        watching.watch(show.console(), looks("one", "two"))

    assert ["one", "", "two", ""] == dumb.getvalue().splitlines()


@pytest.mark.usefixtures("dumb")
def test_on_a_dumb_terminal_a_wait_says_why_line_by_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with waiting._showing(quiet=False) as tell:
        tell("a.py is held by bob", 0.0)
        tell("a.py is held by bob", 2.0)

    assert "a.py is held by bob\n" == capsys.readouterr().err


@pytest.fixture(params=["FORCE_COLOR", "TTY_COMPATIBLE"])
def coloured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to have colours also where there is no terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv(request.param, "1")


@pytest.mark.usefixtures("coloured")
def test_in_a_pipe_with_colours_lines_are_as_long_as_in_one_without(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show.console().print("word " * 40)

    assert ["word " * 40] == capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("coloured")
def test_in_a_pipe_with_colours_nothing_moves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "EVERY_S", 0.0)

    with pytest.raises(KeyboardInterrupt):
        watching.watch(show.console(), looks("one"))
    with waiting._showing(quiet=False) as tell, machine._progress("starting the agent"):
        tell("a.py is held by bob", 0.0)

    assert ("one\n\n", "a.py is held by bob\n") == capsys.readouterr()


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_a_watch_the_terminal_is_as_before(
    screen: Console, number: signal.Signals
) -> None:
    seen = iter(["one"])

    def look() -> str:
        os.kill(os.getpid(), number)
        return next(seen)

    with pytest.raises(KeyboardInterrupt):
        watching.watch(screen, look)

    assert written(screen).endswith("\x1b[?25h\x1b[?1049l"), "the cursor, and the usual screen"


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(
    ("lines", "last"),
    [(5, "line 5"), (6, "and 2 more lines; say `scoord status`")],
)
def test_what_is_below_the_screen_is_counted(screen: Console, lines: int, last: str) -> None:
    picture = "\n".join(f"line {number}" for number in range(1, lines + 1))

    with pytest.raises(KeyboardInterrupt):
        watching.watch(screen, looks(picture))

    seen = written(screen).partition("line 1")[2].partition("\x1b")[0].splitlines()
    assert ["line 2", "line 3", "line 4", last] == [line.strip() for line in seen[1:]]


def test_of_what_the_doctor_finds_the_level_alone_has_its_colour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=60)

    doctor._print(console, [Finding("git", Level.OK, "version 2.40")])

    assert "\x1b[32mok   \x1b[0m git          version 2.40\n" == written(console)
