"""``scoord history``: what happened here, and what finished sessions did."""

import json
from collections.abc import Mapping
from typing import Any

import click

from scoord.happenings import DETAILS, KINDS
from scoord.text import escaped, one_line
from scoord_agent.cli import local_client, show, show_past
from scoord_agent.cli.following import follow
from scoord_agent.cli.past import event_row, log_row
from scoord_agent.cli.spans import span

_FOLLOWED = 10
"""Lines of the past that come before what is followed."""

_LISTED = 50


@click.command()
@click.option("--session", default="", metavar="NAME", help="Only of this session: id or name.")
@click.option("--file", default="", metavar="PATH", help="Only about this file or folder.")
@click.option(
    "--person",
    default="",
    metavar="NAME",
    help="Only of, or by, this person: alice, or alice@host.",
)
@click.option(
    "--since", "since_s", callback=span, metavar="TIME", help="Not older: 90s, 30m, 2h, 7d."
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS, case_sensitive=False),
    metavar="KIND",
    help="Only what happened thus; may be given again. One of these, which docs/history.md"
    f" explains: {', '.join(KINDS)}.",
)
@click.option(
    "--all",
    "all",
    is_flag=True,
    help=f"Also what is left out otherwise: {', '.join(DETAILS)}.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=None,
    help=f"How many; {_LISTED} by itself, before --follow {_FOLLOWED}.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--sessions", is_flag=True, help="What finished sessions did, instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --follow, one a line.")
def history(
    *, limit: int | None, follow: bool, sessions: bool, as_json: bool, **wanted: Any
) -> None:
    """Show what happened in this project, newest first.

    Every grant, release and end is there, and what it was about, for as long as
    `retention_days` says; the end of a session with what it still held. A refusal is
    there once, as "waiting" with a place in a queue or as "refused" without one,
    however often the same is asked for again meanwhile. So is each change of what a
    session says of itself (intent, branch, status, progress, areas, on whom a person says it
    depends), and what it is offered; of these, the intent is shown, the others with
    --all, or where --kind names them.
    """
    _check(wanted, follow=follow, sessions=sessions)
    question = {**wanted, "kinds": list(wanted["kinds"])}
    if follow:
        _follow({**question, "limit": limit or _FOLLOWED}, as_json=as_json)
    elif sessions:
        _print_sessions({**question, "limit": min(limit or _LISTED, 1000)}, as_json=as_json)
    else:
        _print_events({**question, "limit": limit or _LISTED}, as_json=as_json)


def _check(wanted: Mapping[str, Any], *, follow: bool, sessions: bool) -> None:
    if sessions and follow:
        raise click.UsageError("--sessions lists what is over; it cannot be followed")
    if sessions and (wanted["file"] or wanted["kinds"] or wanted["all"]):
        raise click.UsageError("--sessions goes with --session, --person and --since only")


def _print_events(question: Mapping[str, object], *, as_json: bool) -> None:
    answer = local_client.history(**question)
    if as_json:
        show.print_json(answer)
        return
    console, rows = show.console(), [event_row(row) for row in answer["events"]]
    if rows:
        console.print(show_past.events_table(rows))
    else:
        console.print(f"nothing that is kept{_of_nobody(str(question['session']))}")
    if not answer.get("complete", True):
        click.echo("there is more; see --limit, or narrow it with --since", err=True)


def _of_nobody(session: str) -> str:
    """Return that no session is known by a name, where neither history nor anybody here is."""
    if not session or local_client.history(session=session, limit=1)["events"]:
        return ""
    live = local_client.status(everything=False)["sessions"]
    names = {str(row[key]).casefold() for row in live for key in ("alias", "session_id")}
    unknown = f"; no session here is known as {one_line(session, 60)!r}"
    return "" if session.casefold() in names else unknown


def _print_sessions(question: Mapping[str, object], *, as_json: bool) -> None:
    answer = local_client.finished_sessions(**question)
    if as_json:
        show.print_json(answer)
        return
    rows = [log_row(row) for row in answer["logs"]]
    console = show.console()
    console.print(show_past.logs_table(rows) if rows else "no finished session that is kept")


def _follow(question: Mapping[str, object], *, as_json: bool) -> None:
    for row in follow(question):
        line = escaped(json.dumps(row, ensure_ascii=False)) if as_json else None
        click.echo(line or show_past.event_line(event_row(row)))
