"""``scoord graph``: the state of a project as entities and relations."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from scoord import local
from scoord.errors import InvalidPath, NotAllowed, Refused, ScoordError
from scoord.text import counted, one_line
from scoord_agent.cli import local_client, show
from scoord_agent.cli.graph_formats import FORMATS, by_type, clean
from scoord_agent.cli.listing import PIPE_COLUMNS, Listing
from scoord_agent.cli.options import json_option
from scoord_agent.wording_free import STILL_READ

if TYPE_CHECKING:
    from scoord_agent.cli.graph_import import Memory


@click.group(invoke_without_command=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", *FORMATS]),
    help="How it is written; as a table, if not said.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file instead; it appears whole or not at all.",
)
@click.pass_context
def graph(ctx: click.Context, form: str | None, output: Path | None, *, as_json: bool) -> None:
    """Show the state of this project as a graph: sessions, locks, areas, tasks, notes.

    jsonl is the format of memory files; `scoord graph import FILE` reads them.
    """
    if ctx.invoked_subcommand is not None:
        return
    form = _one_form(form, as_json=as_json)
    seen = clean(local_client.graph())
    if output is not None:
        text = FORMATS[form](seen) if form != "table" else _plain_table(seen)
        _write(output, text if form == "jsonl" else f"{text}\n")
    elif form == "table":
        _print_table(show.console(), seen)
    else:
        click.echo(FORMATS[form](seen))


def _one_form(form: str | None, *, as_json: bool) -> str:
    """Return how it is to be written. Raises UsageError where that is said twice, differently."""
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json is --format json: leave it out, or --format {form}")
    return "json" if as_json else form or "table"


@graph.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def import_(file: Path, *, as_json: bool) -> None:
    """Add what a memory file (.jsonl) of a knowledge-graph tool holds.

    The whole file is checked first; if a line is wrong, nothing is added. What the
    graph has already stays as it is, so importing twice does no harm.
    """
    # What the other forms need not load.
    from scoord_agent.cli.graph_import import read_memory  # noqa: PLC0415

    memory = read_memory(file)
    counts = _add(memory)
    if as_json:
        show.print_json(counts)
        return
    entities = counted(counts["entities"], "entity", "entities")
    click.echo(f"added {entities} and {counted(counts['relations'], 'relation', 'relations')}")
    if counts["left_out"]:
        click.echo(
            f"left out {counts['left_out']} that told of sessions, locks, areas or tasks: those"
            " follow from what there is"
        )


def _add(memory: "Memory") -> dict[str, int]:
    """Add it in parts; if that is cut off, say how far it came."""
    from scoord_agent.graph_shapes import batches  # noqa: PLC0415 (as above)

    counts = {"entities": 0, "relations": 0, "left_out": memory.left_out}
    parts = (("entities", memory.entities), ("relations", memory.relations))
    for kind, shapes in parts:
        for batch in batches(shapes):
            rows = [shape.model_dump(by_alias=True) for shape in batch]
            try:
                answer = local_client.ask("POST", "/v1/graph/add", _from_here(kind, rows))
            except ScoordError as error:
                raise type(error)(_how_far(counts, error)) from error
            counts[kind] += len(answer[kind])
    return counts


def _from_here(kind: str, rows: list[dict[str, Any]]) -> dict[str, object]:
    return local_client.from_here(**{kind: rows})


def _how_far(counts: dict[str, int], error: ScoordError) -> str:
    done = counts["entities"] + counts["relations"]
    if not done:
        return f"nothing was added: {error.message}"
    again = "" if isinstance(error, Refused) else "; import it again to add the rest"
    return f"{done} were added, then: {error.message}{again}"


def _write(file: Path, text: str) -> None:
    try:
        local.atomic_write(file.absolute(), text.encode())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InvalidPath(f"cannot write {one_line(str(file))}: its folder is not there") from error
    except OSError as error:
        raise NotAllowed(f"cannot write {one_line(str(file))}: {error.strerror}") from error


def _print_table(console: Console, seen: dict[str, Any]) -> None:
    head = Text(f"graph {seen['context']} ({seen['location']}) of {seen['project']}")
    console.print(head, soft_wrap=True)
    console.print()
    if not seen["entities"]:
        console.print("no entities")
    else:
        console.print(_entities(seen))
    if seen["relations"]:
        console.print()
        console.print(_relations(seen))
    if seen["left_out"]:
        console.print(f"and {seen['left_out']} more that have no room here")
    if not seen["known"]:
        console.print(STILL_READ)


def _entities(seen: dict[str, Any]) -> Listing:
    return show.listing(
        ("entity", "type", "what is known"),
        [
            (row["name"], row["entityType"], "\n".join(map(one_line, row["observations"])))
            for row in by_type(seen["entities"])
        ],
    )


def _relations(seen: dict[str, Any]) -> Listing:
    return show.listing(
        ("from", "relation", "to"),
        [[row[key] for key in ("from", "relationType", "to")] for row in seen["relations"]],
    )


def _plain_table(seen: dict[str, Any]) -> str:
    text = io.StringIO()
    console = Console(file=text, width=PIPE_COLUMNS, highlight=False, markup=False)
    _print_table(console, seen)
    return text.getvalue().rstrip("\n")
