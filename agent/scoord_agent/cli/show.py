"""How the command line looks: tables, ages, names. It asks nobody anything.

Every text that came from another session goes through ``scoord.text``: one line,
no control sequences, bounded; and never as markup.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import click
from rich.console import Console
from rich.text import Text

from scoord.text import age, escaped, failure, one_line, quote, remaining
from scoord_agent.cli.listing import PIPE_COLUMNS, Cell, Kind, Listing, columns_of
from scoord_agent.cli.pictures import LockRow, Picture, SessionRow, SuggestionRow, WaiterRow
from scoord_agent.wording_times import NOT_KNOWN, how_old

KINDS: Final = {
    **dict.fromkeys(("file", "entity", "from", "to"), Kind.PATH),
    **dict.fromkeys(("session", "who", "project", "branch"), Kind.NAME),
    **dict.fromkeys(
        (
            "state",
            "progress",
            "changed",
            "areas",
            "depends on",
            "what",
            "work",
            "relation",
            "free to do",
        ),
        Kind.WORDS,
    ),
    "what is known": Kind.FACTS,
    **dict.fromkeys(
        (
            "held",
            "ends in",
            "waiting",
            "place",
            "for",
            "when",
            "ended",
            "lasted",
            "id",
            "age",
            "kind",
            "token",
        ),
        Kind.WHOLE,
    ),
}
"""What becomes of which column where there is little room; the others are text."""


def console(*, stderr: bool = False) -> Console:
    """Return a console that honours NO_COLOR, FORCE_COLOR and COLUMNS.

    Those for colours make no terminal of a pipe: its lines stay whole, and nothing moves in it.
    """
    found = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not found.file.isatty():
        found.is_interactive = False
        if "COLUMNS" not in os.environ:
            found.width = PIPE_COLUMNS
    return found


def print_json(answer: Mapping[str, Any]) -> None:
    """Print for a script: one JSON object, nothing else on stdout."""
    click.echo(escaped(json.dumps(answer, indent=2, ensure_ascii=False)))


def who(row: LockRow | WaiterRow | SessionRow) -> str:
    """Return ``alice@mbp``."""
    return f"{one_line(row.person, 40)}@{one_line(row.host, 40)}"


def name(row: LockRow | WaiterRow | SessionRow) -> str:
    """Return the session's alias, else its id; a subagent is named beside it."""
    agent = "" if isinstance(row, SessionRow) else one_line(row.agent_id, 40)
    alias = one_line(row.alias or row.session_id, 60)
    return f"{alias} ({agent})" if agent else alias


def holding(row: LockRow) -> str:
    """Return one line on who holds a lock, since when and why."""
    branch = f", branch {one_line(row.branch, 60)}" if row.branch else ""
    reason = f": {quote(row.reason)}" if row.reason else ", no reason given"
    return f"{name(row)} ({who(row)}{branch}), for {age(row.held_s)}{reason}"


def locks_table(rows: Sequence[LockRow], *, projects: bool, tokens: bool) -> Listing:
    """Return the locks, with their projects if there may be several, and tokens where wanted.

    What most locks have nothing to say of has a column only where one has.
    """
    columns = [column for column in _LOCK_COLUMNS if tokens or column != "token"]
    cells = [_lock_cells(row) for row in rows]
    return _without_empty(columns, cells, projects_of(rows) if projects else None)


def waiters_table(rows: Sequence[WaiterRow], *, projects: bool) -> Listing:
    """Return who waits for what, with their projects if there may be several."""
    cells = [_waiter_cells(row) for row in rows]
    return _without_empty(_WAITER_COLUMNS, cells, projects_of(rows) if projects else None)


def suggestions_table(rows: Sequence[SuggestionRow]) -> Listing:
    """Return work that is free to be done, best first."""
    shown = [
        (suggested(row), one_line(row.kind, 10), "; ".join(map(one_line, row.why))) for row in rows
    ]
    return listing(("free to do", "kind", "why"), shown)


def suggested(row: SuggestionRow) -> str:
    """Return what is to be done; a task by its name too."""
    name, title = one_line(row.name), one_line(row.title)
    return title if row.kind != "task" else f"{name}: {title}"


_LOCK_COLUMNS: Final = (
    *("file", "how", "session", "who", "held", "token", "ends in", "done in", "waiting", "why"),
)
_WAITER_COLUMNS: Final = ("file", "how", "place", "session", "who", "for", "why")
_RARE: Final = frozenset({"how", "token", "ends in", "done in", "waiting"})


def _without_empty(
    columns: Sequence[str], cells: Sequence[Mapping[str, str]], projects: Sequence[str] | None
) -> Listing:
    empty = {column for column in _RARE if not any(row.get(column) for row in cells)}
    kept = [column for column in columns if column not in empty]
    return listing(kept, [[row[column] for column in kept] for row in cells], projects)


def _waiter_cells(row: WaiterRow) -> dict[str, str]:
    return {
        "file": one_line(row.path),
        "how": one_line(row.kind, 80),
        "place": f"{row.place} (its turn)" if row.has_turn else str(row.place),
        "session": name(row),
        "who": who(row),
        "for": age(row.waiting_s),
        "why": one_line(row.reason),
    }


def _lock_cells(row: LockRow) -> dict[str, str]:
    return {
        "file": one_line(row.path),
        "how": one_line(row.kind, 80),
        "session": name(row),
        "who": who(row),
        "held": age(row.held_s),
        "token": str(row.token or ""),
        "ends in": "" if row.ends_in_s is None else age(row.ends_in_s),
        "done in": _done_in(row),
        "waiting": str(row.waiters) if row.waiters else "",
        "why": one_line(row.reason),
    }


def _done_in(row: LockRow) -> str:
    if row.ends_in_s is not None:
        return ""
    left = NOT_KNOWN if row.estimate_s is None else remaining(row.estimate_s).replace("about ", "~")
    basis = one_line(row.estimate_basis, 80)
    return f"{left} ({basis})" if basis else left


def listing(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    projects: Sequence[str] | None = None,
) -> Listing:
    """Return any rows under their columns, after their projects if there may be several.

    The texts have been made safe to show.
    """
    if projects is None:
        return Listing(columns_of(columns, KINDS), rows)
    led = [(project, *row) for project, row in zip(projects, rows, strict=True)]
    return Listing(columns_of(("project", *columns), KINDS), led)


def projects_of(rows: Iterable[LockRow | WaiterRow | SessionRow]) -> list[str]:
    """Return the project of each row."""
    return [one_line(row.project, 80) for row in rows]


def coordinator_line(picture: Picture) -> Text:
    """Return one line on the coordinator: whether it can be asked, and since when not."""
    facts = picture.coordinator
    away = "yellow" if facts.heard_s is None else "bold red"  # it may yet be starting
    style = "green" if facts.connected else away
    line = Text("coordinator ")
    line.append(one_line(facts.standing, 20), style)
    line.append(f" at {one_line(facts.address, 120)}")
    if not facts.connected:
        heard = "" if facts.heard_s is None else f", last heard {age(facts.heard_s)} ago"
        line.append(f"{heard}{_because(facts.why)}")
    elif old := how_old(picture.view_age_s):
        line.append(f"; {old}", "yellow" if picture.is_current else "bold red")
    return line


def project_line(picture: Picture) -> Text:
    """Return one line on the project, and whether other machines can meet here."""
    project = picture.project
    if project is None:
        return Text("project     none here")
    line = Text(f"project     {one_line(project.id, 200)}")
    if not project.shared:
        line.append("  (this machine only: no remote, no commit, no `project:`)", "yellow")
    return line


def problem_lines(problems: Iterable[str]) -> list[Text]:
    """Return what the agent says is wrong, a line each; whole, since its end says what to do."""
    return [Text(f"problem     {failure(each)}", "bold yellow") for each in problems]


def _because(error: str) -> str:
    return f": {one_line(error)}" if error else ""
