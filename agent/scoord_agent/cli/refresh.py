"""``scoord refresh``: what is stale is ended now, by the store as it is."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from scoord.happenings import Kind
from scoord.text import age, one_line
from scoord_agent.cli import local_client, show, show_past
from scoord_agent.cli.options import everything_option, json_option
from scoord_agent.cli.past import Who, who
from scoord_agent.cli.pictures import lock_row

Answer = dict[str, Any]

_SWEPT: Final[Mapping[str, str]] = {
    Kind.IDLE: "was not used for too long",
    Kind.LASTED: "had its time",
    Kind.ORPHANED: "its session was gone",
}


@click.command()
@everything_option
@json_option
def refresh(*, everything: bool, as_json: bool) -> None:
    """Read the store anew, end what is stale, and say what was done.

    Stale is what `session_timeout` and `lock_timeout` say; the coordinator ends it by
    itself sooner or later, this makes it look now.
    """
    answer = local_client.refresh(everything=everything)
    if as_json:
        show.print_json(answer)
        return
    for line in (*_ended(answer), _there_is(answer), _view(answer)):
        click.echo(line)


def _ended(answer: Answer) -> Iterator[str]:
    done = [
        *(f"ended     {_named(who(row))}: idle for {age(row['idle_s'])}" for row in answer["idle"]),
        *(f"noted     {_named(who(row))}: its lease ran out" for row in answer["expired"]),
        *map(_taken, answer["locks"]),
    ]
    if answer["turns"]:
        done.append(f"passed on {_count(answer['turns'], 'turn')} that nobody used")
    yield from done or ["stale     nothing"]


def _taken(row: Answer) -> str:
    lock, why = lock_row(row), _SWEPT.get(row["swept"], one_line(row["swept"], 20))
    return f"took      {one_line(lock.path)} from {show.name(lock)} ({show.who(lock)}): {why}"


def _named(session: Who) -> str:
    return f"{show_past.name(session)} ({show_past.place(session)})"


def _there_is(answer: Answer) -> str:
    counts = f"{_count(answer['sessions'], 'session')}, {_count(answer['held'], 'lock')}"
    return f"now       {counts}, {answer['waiting']} waiting, at revision {answer['revision']}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _view(answer: Answer) -> str:
    behind = answer["last_change"] - answer["view_revision"]
    state = f"{_count(behind, 'revision')} behind the store" if behind > 0 else "up to date"
    return f"view      {state}, heard {age(answer['view_age_s'])} ago"
