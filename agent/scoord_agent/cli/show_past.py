"""How the past looks on the command line. It asks nobody anything.

As in ``show``: every text of others goes through ``scoord.text``, and none is markup.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from scoord.names import path_key
from scoord.text import age, counted, one_line, quote
from scoord_agent.cli import show
from scoord_agent.cli.listing import Listing
from scoord_agent.cli.past import EventRow, LogRow, Who

_MOST_FILES: Final = 5
"""Files that one row names; the rest is counted."""

_DAY_S: Final = 86_400


def events_table(rows: Sequence[EventRow]) -> Listing:
    """Return lines of history, as they come."""
    return show.listing(
        ("when", "session", "who", "what", "file", "why"),
        [
            (_when(row), name(row.who), place(row.who), what(row), files(row.paths), why(row))
            for row in rows
        ],
    )


def _when(row: EventRow) -> str:
    return f"{age(row.ago_s)} ago" if row.ago_s < _DAY_S else f"{row.ago_s / _DAY_S:.0f} d ago"


def event_line(row: EventRow, now: datetime | None = None) -> str:
    """Return one line of history on one line, by this machine's clock; its day if not today."""
    today = (now or datetime.now(UTC)).astimezone()
    at = (today - timedelta(seconds=row.ago_s)).astimezone()
    when = f"{at:%H:%M:%S}" if at.date() == today.date() else f"{at:%Y-%m-%d %H:%M:%S}"
    who, where = name(row.who), place(row.who)
    whose = f"{who} ({where})" if who and where else who or where
    parts = (when, whose, what(row), files(row.paths))
    reason = f": {quote(row.reason)}" if row.reason else ""
    return " ".join(filter(None, parts)) + reason


def logs_table(rows: Sequence[LogRow]) -> Listing:
    """Return logs of finished sessions."""
    return show.listing(
        ("ended", "session", "who", "how", "lasted", "file", "work", "doing"),
        [
            (
                f"{age(row.ended_ago_s)} ago",
                name(row.who),
                place(row.who),
                one_line(row.how, 20),
                age(row.lasted_s),
                files(_worked_on(row)),
                _work(row),
                one_line(row.summary),
            )
            for row in rows
        ],
    )


def what(row: EventRow) -> str:
    """Return what happened, with those whom it was with."""
    kind, others = one_line(row.kind, 20), ", ".join(map(name, row.others[:3]))
    with_others = f" ({others})" if others else ""
    # A person who did it at no session is named already.
    is_named = row.by == row.who.person and not name(row.who)
    by = f" by {one_line(row.by, 40)}" if row.by and not is_named else ""
    return f"{kind}{by}{with_others}"


def why(row: EventRow) -> str:
    """Return the reason, in the words of whoever gave it."""
    return one_line(row.reason)


def files(paths: Sequence[str]) -> str:
    """Return the first few, and how many more there are."""
    more = len(paths) - _MOST_FILES
    shown = ", ".join(one_line(path) for path in paths[:_MOST_FILES])
    return f"{shown} and {more} more" if more > 0 else shown


def name(who: Who) -> str:
    """Return a session's short name, with the subagent if it was one."""
    alias = one_line(who.alias or who.session_id, 60)
    return f"{alias} ({one_line(who.agent_id, 40)})" if who.agent_id else alias


def place(who: Who) -> str:
    """Return ``alice@mbp``; of one that has long ended, not all may be known."""
    return "@".join(one_line(part, 40) for part in (who.person, who.host) if part)


def _worked_on(row: LogRow) -> list[str]:
    """What it edited or held, and for how long it held that; edits without a lock come first."""
    held = {path_key(hold.path) for hold in row.holds}
    unlocked = [path for path in row.files if path_key(path) not in held]
    return [*unlocked, *(f"{hold.path} ({age(hold.held_s)})" for hold in row.holds)]


def _work(row: LogRow) -> str:
    told = (
        (row.edits, f"{row.edits} edited"),
        (row.commits, counted(row.commits, "commit", "commits")),
        (row.refusals, f"{row.refusals} refused, waited {age(row.waited_s)}"),
    )
    return ", ".join(words for number, words in told if number)
