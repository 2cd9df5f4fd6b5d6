"""What goes on, shown again and again until Ctrl-C."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from scoord.errors import ScoordError

EVERY_S: Final = 1.0


def watch(console: Console, look: Callable[[], RenderableType]) -> None:
    """Show what ``look`` returns, anew each second, until it is interrupted.

    Where there is no terminal, or a dumb one, one picture follows the other. What cannot be
    looked at is said, and tried again.
    """
    if console.is_interactive:
        _live(console, look)
    else:
        _lines(console, look)


def end_as_by_ctrl_c() -> None:
    """Let a terminal that is closed, or a tool's time limit, end this process as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def _live(console: Console, look: Callable[[], RenderableType]) -> None:
    end_as_by_ctrl_c()  # else the terminal is left in its other screen, without a cursor
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            live.update(_Screenful(_seen(look)), refresh=True)
            time.sleep(EVERY_S)


@dataclass(frozen=True, slots=True)
class _Screenful:
    """What there is room for, and how much more there is."""

    seen: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As lines, of which the last counts those that have no room."""
        height = options.size.height
        lines = console.render_lines(self.seen, options.update(height=None), pad=False)
        more = len(lines) - height + 1 if len(lines) > height else 0
        for line in lines[: height - 1] if more else lines:
            yield from (*line, Segment.line())
        if more:
            said = f"and {more} more lines; say `scoord status`"
            yield Text(said, "yellow", no_wrap=True, overflow="ellipsis")


def _lines(console: Console, look: Callable[[], RenderableType]) -> None:
    while True:
        console.print(_seen(look))
        console.print()
        time.sleep(EVERY_S)


def _seen(look: Callable[[], RenderableType]) -> RenderableType:
    try:
        return look()
    except ScoordError as error:
        return Text("\n".join(error.lines), "bold red")
