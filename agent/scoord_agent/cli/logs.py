"""``scoord logs``: what the agent and the coordinator of this machine wrote down."""

import contextlib
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

import click
from rich.text import Text

from scoord.logs import KEPT_FILES, PROGRAMS, log_file
from scoord.text import one_line
from scoord_agent.cli import show

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_STYLE: Final = {"warning": "yellow", "error": "bold red", "critical": "bold red"}
_POLL_S: Final = 0.3
_MOST_LINE: Final = 1000  # characters


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a log."""

    time: str
    level: str
    program: str
    part: str
    event: str
    fields: tuple[object, ...]
    failure: dict[str, Any]
    raw: str

    @property
    def said(self) -> str:
        """The event with its fields in their places, and what failed."""
        try:
            text = self.event % self.fields if self.fields else self.event
        except (TypeError, ValueError):
            text = f"{self.event} {self.fields}"
        if not self.failure:
            return one_line(text, _MOST_LINE)
        places = self.failure.get("at") or ["?"]
        return one_line(f"{text}: {self.failure.get('what')}, at {places[-1]}", _MOST_LINE)


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written from now on.")
@click.option("--lines", "-n", type=click.IntRange(0, 100_000), default=50, show_default=True)
@click.option("--level", type=click.Choice(LEVELS), default="info", show_default=True)
@click.option("--program", type=click.Choice(PROGRAMS), help="One program's alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are written.")
def logs(lines: int, level: str, program: str | None, *, follow: bool, as_json: bool) -> None:
    """Show what the agent and the coordinator here wrote down, oldest first.

    They keep no prompts, no contents of files and no secrets. What happened to
    sessions and files is in `scoord history`.
    """
    programs = [program] if program else PROGRAMS
    wanted = frozenset(LEVELS[LEVELS.index(level) :])
    with contextlib.ExitStack() as stack:
        tails = [stack.enter_context(contextlib.closing(_Tail(log_file(p)))) for p in programs]
        kept = _kept(tails)
        found = [entry for entry in kept if entry.level in wanted]
        _print(deque(found, maxlen=lines), as_json=as_json)
        if not found and not follow:
            above = f" of level {level} or above" if kept else ""
            click.echo(f"nothing{above} is written down yet", err=True)
        while follow:
            time.sleep(_POLL_S)
            new = [e for tail in tails for e in tail.more() if e.level in wanted]
            _print(sorted(new, key=_when), as_json=as_json)


def _kept(tails: "Sequence[_Tail]") -> list[Entry]:
    return sorted((entry for tail in tails for entry in tail.all()), key=_when)


def _when(entry: Entry) -> str:
    return entry.time


def _print(entries: Iterable[Entry], *, as_json: bool) -> None:
    console = show.console()
    for entry in entries:
        if as_json:
            click.echo(entry.raw)
        else:
            console.print(_row(entry), soft_wrap=True)
    sys.stdout.flush()


def _row(entry: Entry) -> Text:
    row = Text().append(f"{_local(entry.time)}  ", "dim")
    row.append(f"{one_line(entry.level, 8):<8} ", _STYLE.get(entry.level, "none"))
    row.append(f"{one_line(entry.program, 6):<6} {one_line(entry.part, 14):<14} ", "cyan")
    row.append(entry.said)
    return row


def _local(time_said: str) -> str:
    """A time as the clock on the wall has it."""
    try:
        return f"{datetime.fromisoformat(time_said).astimezone():%m-%d %H:%M:%S}"
    except ValueError:
        return one_line(time_said, 14)


@dataclass(slots=True)
class _Tail:
    """One program's files, read to their end and then as they grow."""

    path: Path
    _file: IO[str] | None = field(default=None)
    _part: str = ""

    def all(self) -> Iterator[Entry]:
        """Everything that is kept, oldest first; ``more`` goes on from there."""
        for number in range(KEPT_FILES - 1, 0, -1):
            aside = self.path.with_name(f"{self.path.name}.{number}")
            try:
                text = aside.read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            yield from _entries(text.splitlines())
        yield from self.more()

    def more(self) -> Iterator[Entry]:
        """What was written since."""
        yield from self._rest()
        if not self._is_current():
            # Put aside meanwhile; all of the old one has been read by now.
            self._open()
            yield from self._rest()

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()

    def _rest(self) -> Iterator[Entry]:
        if self._file is None:
            return
        whole, end, self._part = (self._part + self._file.read()).rpartition("\n")
        yield from _entries(whole.splitlines() if end else [])

    def _is_current(self) -> bool:
        try:
            now = self.path.stat()
        except OSError:
            return True  # nothing there to go on with
        if self._file is None:
            return False
        return os.path.samestat(os.fstat(self._file.fileno()), now)

    def _open(self) -> None:
        self.close()
        self._part = ""
        try:
            self._file = self.path.open(encoding="utf-8", errors="replace")
        except OSError:
            self._file = None


def _entries(lines: Sequence[str]) -> Iterator[Entry]:
    """Read lines; what is none of ours, or was cut by a full disk, is left out."""
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, AttributeError, TypeError):
            yield _entry(json.loads(line), line)


def _entry(found: dict[str, Any], line: str) -> Entry:
    """Read one line. Raises what JSON of another shape leads to."""
    return Entry(
        time=str(found["time"]),
        level=str(found["level"]),
        program=str(found["program"]),
        part=str(found["part"]),
        event=str(found["event"]),
        fields=tuple(found.get("fields", ())),
        failure=dict(found.get("failure", {})),
        raw=line,
    )
