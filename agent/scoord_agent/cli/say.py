"""``scoord intent``, ``progress``, ``depends``, ``tell``: what people say of and to sessions."""

from typing import Any

import click

from scoord.exits import REFUSED, UNREACHABLE
from scoord.text import one_line, quote
from scoord_agent.cli import local_client, show
from scoord_agent.cli.options import json_option, text_argument

_session = click.option(
    "--session",
    default="",
    metavar="NAME",
    help="Of this session of this machine, instead of the one above this command.",
)


def _percent(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    """Read ``60`` or ``60%``. Raises BadParameter."""
    bare = value.removesuffix("%")
    if not (bare.isascii() and bare.isdigit() and len(bare) <= 3 and int(bare) <= 100):
        raise click.BadParameter(f"{value!r}: want 0 to 100")
    return int(bare)


@click.command()
@text_argument("text")
@_session
@json_option
def intent(text: str, session: str, *, as_json: bool) -> None:
    """Say what the session is about to do; others read it.

    It is that of the coding session that runs this command; in a terminal of yours,
    that of the terminal. An empty TEXT takes back what was said.
    """
    answer = _ask("/v1/intent", as_json=as_json, text=text, session=session)
    if not as_json:
        said = quote(answer["intent"]) if answer["intent"] else "says no more what it does"
        click.echo(f"{_name(answer)}: {said}")
    _end(answer, as_json=as_json)


@click.command()
@click.argument("percent", callback=_percent)
@text_argument("step", required=False)
@_session
@json_option
def progress(percent: int, step: str, session: str, *, as_json: bool) -> None:
    """Say how far the session is, and at which STEP.

    Coding sessions tell that by themselves from their task list; this is for people
    and scripts, and holds until the task list tells more.
    """
    answer = _ask("/v1/progress", as_json=as_json, percent=percent, step=step, session=session)
    if not as_json:
        step = f", {quote(answer['step'])}" if answer["step"] else ""
        click.echo(f"{_name(answer)}: {answer['percent']} %{step}")
    _end(answer, as_json=as_json)


@click.command()
@click.argument("on", nargs=-1, metavar="[SESSION]...")
@click.option("--none", "nobody", is_flag=True, help="Of nobody any more.")
@_session
@json_option
def depends(on: tuple[str, ...], session: str, *, nobody: bool, as_json: bool) -> None:
    """Say on which other sessions the session's work depends.

    That it waits for a lock, or imports a file that another holds, is known without.
    """
    if on and nobody:
        raise click.UsageError("--none is that it depends on nobody: name no session beside it")
    if not on and not nobody:
        raise click.UsageError("name the sessions that it depends on, or say --none")
    answer = _ask("/v1/depends", as_json=as_json, on=list(on), none=nobody, session=session)
    if not as_json:
        names = ", ".join(one_line(each["alias"], 60) for each in answer["depends_on"])
        click.echo(f"{_name(answer)} depends on {names or 'nobody'}")
    _end(answer, as_json=as_json)


@click.command()
@click.argument("session")
@text_argument("text")
@json_option
@click.pass_context
def tell(ctx: click.Context, session: str, text: str, *, as_json: bool) -> None:
    """Tell a SESSION of this project something: once, at its next hook.

    SESSION is its short name, as in `scoord status`, or its id. It reads one line,
    with your name, as data that it may act on or not; where a coding session runs
    this command, with that session's name. A terminal of a person's reads no messages.
    What is over 200 characters is cut.
    """
    answer = _ask("/v1/tell", as_json=as_json, to=session, text=text)
    if not answer["reads"]:
        why = "is a terminal without a coding CLI, which reads no messages"
        click.echo(f"{_name(answer)} {why}", err=True)
        ctx.exit(REFUSED)
    if answer.get("is_cut"):
        click.echo("that was over 200 characters: it reads the beginning only", err=True)
    if not as_json:
        click.echo(f"told {_name(answer)}: {quote(answer['text'])}")


def _ask(path: str, *, as_json: bool, **fields: object) -> dict[str, Any]:
    answer = local_client.ask("POST", path, local_client.from_here(**fields))
    if as_json:
        show.print_json(answer)
    return answer


def _end(answer: dict[str, Any], *, as_json: bool) -> None:
    """Exit as what waits for its coordinator does, where nobody else has heard it yet."""
    if answer.get("owed"):
        if not as_json:
            click.echo("others are told as soon as the coordinator can be asked", err=True)
        raise click.exceptions.Exit(UNREACHABLE)


def _name(answer: dict[str, Any]) -> str:
    return one_line(answer["alias"] or answer["session_id"], 60)
