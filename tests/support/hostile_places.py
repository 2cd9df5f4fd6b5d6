"""Every place where a command shows what others said: how it is called, and how long it may be."""

import contextlib
import io
import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scoord_agent.cli.app import run
from support.hostile_ways import at_home_of
from support.machines import Machine

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Printed:
    """What one command printed, and its exit code."""

    code: int
    out: str
    err: str


def command(machine: Machine, cwd: Path, *arguments: str) -> Printed:
    """Run a command of ours in this process, as that machine's user would in a pipe."""
    out, err = io.StringIO(), io.StringIO()
    with (
        at_home_of(machine),
        _signals_kept(),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = run(arguments)
    return Printed(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Place:
    """A command, and how many lines it may print by what it says with ``--json``."""

    arguments: tuple[str, ...]
    lines: Callable[[Answer], int]
    of: frozenset[str] = frozenset({"agents", "hand"})
    """Whose texts must be there: only agents of ours add tasks, only by hand sessions end."""
    share: float = 1.0
    """How many of them: some tasks are kept for the sessions that were told of them."""


def _table(rows: Sequence[object]) -> int:
    return 2 + len(rows) if rows else 1


def _status(answer: Answer) -> int:
    sessions, told = answer["sessions"], ("areas", "depends_on", "edits", "commits")
    work = [row for row in sessions if any(row[key] for key in told)]
    tables = (sessions, work, answer["locks"], answer["waiters"], answer["suggestions"])
    return 2 + len(answer["problems"]) + sum(1 + _table(rows) for rows in tables if rows)


def _locks(answer: Answer) -> int:
    waiters = answer["waiters"]
    return _table(answer["locks"]) + (1 + _table(waiters) if waiters else 0)


def _suggest(answer: Answer) -> int:
    """With the line that says how long it is kept, or that there is nothing."""
    return 1 + sum(1 + len(row["why"]) for row in answer["suggestions"])


HISTORY: Final = ("history", "--all", "--limit", "900")

PLACES: Final = {
    "status": Place(("status",), _status),
    "locks": Place(("locks",), _locks),
    "history": Place(HISTORY, lambda answer: _table(answer["events"])),
    "finished": Place(
        ("history", "--sessions"), lambda answer: _table(answer["logs"]), frozenset({"hand"})
    ),
    "tasks": Place(("task", "list"), lambda answer: _table(answer["tasks"]), frozenset({"agents"})),
    "suggest": Place(("suggest", "--count", "20"), _suggest, frozenset({"agents"}), share=0.1),
}


def texts_of(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, with the name of the field that it is in."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from texts_of(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from texts_of(each, name)


def graph_lines(answer: Answer) -> int:
    """How many lines the table of a graph may have."""
    facts: int = sum(max(1, len(row["observations"])) for row in answer["entities"])
    relations = 1 + _table(answer["relations"]) if answer["relations"] else 0
    return 2 + 2 + facts + relations + bool(answer["left_out"])


def read(machine: Machine, cwd: Path, *arguments: str) -> Answer:
    """What a command says with ``--json``."""
    answer = json.loads(command(machine, cwd, *arguments).out)
    assert isinstance(answer, dict)
    return answer
