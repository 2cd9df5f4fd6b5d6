"""``scoord task`` and ``scoord suggest``: the team's backlog, and what to do next."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import click
from rich.text import Text

from scoord import local
from scoord.text import age, one_line
from scoord_agent.cli import local_client, problems, show
from scoord_agent.cli.options import json_option
from scoord_agent.cli.pictures import suggestion_row
from scoord_agent.wording_free import NOTHING, left_out, missing

Answer = dict[str, Any]


@click.group()
def task() -> None:
    """Keep the team's backlog: what is to be done, shared by all machines."""


@task.command("add")
@click.argument("words", nargs=-1, required=True, metavar="TITLE…")
@click.option("--each", is_flag=True, help="Make a task of each TITLE.")
@click.option("--area", default="", help="The area it is in, by its name in `scoord graph`.")
@json_option
def add(words: tuple[str, ...], area: str, *, each: bool, as_json: bool) -> None:
    """Add a task. One that is open under the same title is not added twice."""
    titles = list(words) if each else [_one_title(words)]
    body = local_client.from_here(titles=titles, area=area)
    answer = local_client.ask("POST", "/v1/tasks/add", body, timeout_s=local_client.SUGGEST_S)
    if as_json:
        show.print_json(answer)
        return
    for row in answer["tasks"]:
        click.echo(f"{_id(row)}  {_title(row)}")


def _one_title(words: Sequence[str]) -> str:
    """Return the title that the words make. Raises UsageError where some are titles in quotes."""
    if len(words) > 1 and any(" " in word.strip() for word in words):
        raise click.UsageError("several titles: say --each to make a task of each of them")
    return " ".join(words)


@task.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are done, too.")
@json_option
def list_(*, everything: bool, as_json: bool) -> None:
    """List open tasks: the team's, and those of the files that `tasks:` names."""
    query = urlencode({"cwd": str(local.here()), "all": int(everything)})
    answer = local_client.ask("GET", f"/v1/tasks?{query}")
    problems.tell(answer)
    if as_json:
        show.print_json(answer)
    elif answer["tasks"]:
        show.console().print(_table(answer["tasks"], everything=everything))
    else:
        click.echo('no open tasks; add one: scoord task add "what is to be done"')


@task.command("done")
@click.argument("task_id", metavar="ID")
@json_option
def done(task_id: str, *, as_json: bool) -> None:
    """Say that a task is done."""
    answer = local_client.ask("POST", "/v1/tasks/done", local_client.from_here(task_id=task_id))
    if as_json:
        show.print_json(answer)
    else:
        click.echo(f"done: {_id(answer['task'])}  {_title(answer['task'])}")


@task.command("remove")
@click.argument("task_id", metavar="ID")
@json_option
def remove(task_id: str, *, as_json: bool) -> None:
    """Take a task off the backlog, which is not wanted any more."""
    answer = local_client.ask("POST", "/v1/tasks/remove", local_client.from_here(task_id=task_id))
    if as_json:
        show.print_json(answer)
    else:
        click.echo(f"removed: {_id(answer['task'])}  {_title(answer['task'])}")


@click.command()
@click.option(
    "--count",
    type=click.IntRange(1, 20),
    default=3,
    show_default=True,
    help="How many suggestions.",
)
@click.option("--intent", default="", help="What to fit, instead of what the session says it does.")
@json_option
def suggest(count: int, intent: str, *, as_json: bool) -> None:
    """Say what to do next: the free tasks, areas and files least in the way of others.

    What is suggested is kept for the coding session that runs this command for two
    minutes: nobody else is suggested the same meanwhile. In a terminal of yours
    nothing is kept.
    """
    body = local_client.from_here(count=count, intent=intent)
    answer = local_client.ask("POST", "/v1/suggest", body, timeout_s=local_client.SUGGEST_S)
    if as_json:
        show.print_json(answer)
    else:
        _print_suggestions(answer)


def _print_suggestions(answer: Answer) -> None:
    console = show.console()
    for row in map(suggestion_row, answer["suggestions"]):
        line = Text().append(f"{one_line(row.kind, 10)}  ", "bold")
        line.append(show.suggested(row))
        console.print(line, soft_wrap=True)
        for why in row.why:
            console.print(Text(f"      {one_line(why)}"), soft_wrap=True)
    if answer["suggestions"] and (kept_s := answer.get("kept_s")):
        click.echo(f"kept for this session for {age(kept_s)}")
    if said := missing(answer):
        add = ' Add work: scoord task add "what is to be done"' if said == NOTHING else ""
        click.echo(f"{said}{add}")
    if said := left_out(answer):
        click.echo(said)


def _table(rows: Sequence[Answer], *, everything: bool) -> Any:
    columns = ("id", "task", "area", "from", "age", "kept for", *(("done",) if everything else ()))
    cells = [
        (
            _id(row),
            _title(row),
            one_line(row["area"], 80),
            one_line(row["source"], 80),
            "" if row["age_s"] is None else age(row["age_s"]),
            one_line(row["offered_to"], 60),
            *((_done_by(row),) if everything else ()),
        )
        for row in rows
    ]
    return show.listing(columns, cells)


def _done_by(row: Answer) -> str:
    if not row["done"]:
        return ""
    return f"by {one_line(row['done_by'], 60)}" if row["done_by"] else "yes"


def _id(row: Answer) -> str:
    return one_line(row["id"], 120)


def _title(row: Answer) -> str:
    return one_line(row["title"])
