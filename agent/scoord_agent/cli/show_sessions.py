"""How sessions look: what they do, how far they are, on whom they depend. It asks nobody anything.

As in ``show``, every text that came from another session is made safe where it is shown.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.text import Text

from scoord.text import age, one_line, remaining
from scoord_agent.cli.listing import Cell, Listing
from scoord_agent.cli.pictures import DependencyRow, SessionRow
from scoord_agent.cli.show import listing, name, projects_of, who
from scoord_agent.wording_times import NOT_KNOWN

_BAR: Final = 10
"""Characters of a bar for all there is to do."""
_AT_WORK: Final = frozenset({"working", "waiting"})
_DONE: Final = 100
_QUIET_S: Final = 600.0
"""One that works is heard of more often than that."""


def sessions_table(rows: Sequence[SessionRow], *, projects: bool) -> Listing:
    """Return the sessions, with their projects if there may be several."""
    far = any(row.progress or row.status in _AT_WORK for row in rows)
    columns = ["session", "who", "branch", "state", *(["progress"] if far else []), "doing"]
    shown = list[Sequence[Cell]]()
    for row in rows:
        progress = (_progress(row),) if far else ()
        branch = one_line(row.branch, 60)
        shown.append((name(row), who(row), branch, _state(row), *progress, _doing(row)))
    return listing(columns, shown, projects_of(rows) if projects else None)


def work_table(rows: Sequence[SessionRow], *, projects: bool) -> Listing | None:
    """Return where they work and on whom they depend; None when there is nothing to say."""
    told = [row for row in rows if row.areas or row.depends_on or row.edits or row.commits]
    if not told:
        return None
    columns = ("session", "changed", "areas", "depends on")
    shown = [
        (
            name(row),
            _changed(row),
            ", ".join(one_line(area, 60) for area in row.areas),
            _depends(row.depends_on),
        )
        for row in told
    ]
    return listing(columns, shown, projects_of(told) if projects else None)


def _state(row: SessionRow) -> str:
    """Return what a session does, and since when or how long ago that was seen."""
    match row.status:
        case "terminal":
            return f"terminal, used {age(row.idle_s)} ago"
        case "idle":
            return f"idle {age(row.idle_s)}"
        case "working" | "waiting":
            quiet = f", seen {age(row.idle_s)} ago" if row.idle_s > _QUIET_S else ""
            return f"{row.status}{quiet}"
    return f"active {age(row.idle_s)} ago"


def _progress(row: SessionRow) -> Text:
    """Return a bar, how far it is, and when it will be done; of one at work also "not known"."""
    if row.progress is None:
        return Text(NOT_KNOWN if row.status in _AT_WORK else "")
    full = _BAR * min(max(row.progress.percent, 0), 100) // 100
    text = Text("━" * full, "green")
    text.append("╌" * (_BAR - full), "dim")
    done, total = row.progress.done, row.progress.total
    far = f"{done} of {total} steps" if total else f"{row.progress.percent} %"
    if row.estimate:
        far = f"{_left(row.estimate.left_s)} ({far})"
    elif row.status in _AT_WORK and row.progress.percent < _DONE:
        far = f"{far}, time left {NOT_KNOWN}"
    text.append(f" {far}", "default")
    return text


def _left(seconds: float) -> str:
    left = remaining(seconds)
    return f"{left} left" if left.startswith("about") else f"done {left}"


def _doing(row: SessionRow) -> str:
    step = one_line(row.progress.step, 120) if row.progress else ""
    intent = one_line(row.intent)
    if not step:
        return intent
    return f"{intent}; now: {step}" if intent else f"now: {step}"


def _changed(row: SessionRow) -> str:
    """Return ``4 files, 1 commit``."""
    counts = ((row.edits, "file"), (row.commits, "commit"))
    return ", ".join(f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in counts if n)


def _depends(rows: Iterable[DependencyRow]) -> str:
    """Return ``Session_1 (waits for auth.py, imports cart.py)``: each session once."""
    each = dict[str, list[str]]()
    for on in rows:
        hows = each.setdefault(one_line(on.alias or on.session_id, 60), [])
        how = {"waits": "waits for", "imports": "imports"}.get(on.why, "")
        if how and on.path:
            hows.append(f"{how} {one_line(on.path, 80)}")
    named = ((alias, f" ({', '.join(hows)})" if hows else "") for alias, hows in each.items())
    return ", ".join(f"{alias}{how}" for alias, how in named)
