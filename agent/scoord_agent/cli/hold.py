"""``scoord lock``, ``release``, ``unlock``: locks for the session, or the terminal, above."""

import getpass
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import click

from scoord.text import one_line
from scoord_agent.cli import local_client, problems, show
from scoord_agent.cli.exits import REFUSED
from scoord_agent.cli.pictures import LockRow, lock_row
from scoord_agent.cli.spans import span

NO_GRANT: Final = 2**63 - 1
"""A token that no grant has: a break that names it breaks nothing, and tells who holds."""

paths_argument = click.argument("paths", nargs=-1, required=True, metavar="PATH...")
reason_option = click.option("--reason", default="", help="Why; others read it.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


@click.command(short_help="Take the locks of files and patterns.")
@paths_argument
@click.option(
    "--for", "lasts_s", callback=span, metavar="TIME", help="End after that long: 90s, 30m, 2h."
)
@click.option("--shared", is_flag=True, help="Let others share it; nobody edits meanwhile.")
@reason_option
@json_option
@click.pass_context
def lock(
    ctx: click.Context,
    paths: tuple[str, ...],
    reason: str,
    lasts_s: float,
    *,
    shared: bool,
    as_json: bool,
) -> None:
    """Take the locks of files and patterns, all or none: up to 30 in a project.

    A PATH with *, ? or [, or with a slash at its end, is a pattern as in
    .gitignore: 'src/api/**' holds all that is or will be below src/api. Put it in
    quotes. Locks belong to the coding session that runs this command; in a
    terminal of yours, to that terminal, until it is closed.
    """
    problems.tell_own()
    answer = local_client.acquire(paths, reason, shared=shared, lasts_s=lasts_s)
    problems.tell(answer)
    held = answer.get("held")
    if as_json:
        show.print_json(answer)
    else:
        _print_held(held) if held else print_granted(answer["granted"])
    if held:
        ctx.exit(REFUSED)


@click.command()
@paths_argument
@json_option
@click.pass_context
def release(ctx: click.Context, paths: tuple[str, ...], *, as_json: bool) -> None:
    """Give back locks of files and patterns before the session ends."""
    if not _release(paths, as_json=as_json):
        ctx.exit(REFUSED)


@click.command()
@paths_argument
@click.option("--force", is_flag=True, help="Break a lock that another session holds.")
@click.option("--yes", is_flag=True, help="With --force: do not ask.")
@reason_option
@json_option
@click.pass_context
def unlock(
    ctx: click.Context,
    paths: tuple[str, ...],
    reason: str,
    *,
    force: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Give locks back; with --force, break those of others.

    The holder of a lock that was broken is told who did it and why.
    """
    if force:
        _check_may_ask(yes=yes)
        done = _break_all(paths, reason, yes=yes, as_json=as_json)
    else:
        done = _release(paths, as_json=as_json)
    if not done:
        ctx.exit(REFUSED)


def print_granted(granted: Sequence[dict[str, Any]]) -> None:
    """Print what is ours now, and where nobody on another machine can meet it."""
    for grant in granted:
        alone = " (in no project: only sessions of this machine see it)"
        click.echo(f"locked {one_line(grant['path'])}{alone if grant.get('outside') else ''}")


def _print_held(held: Sequence[dict[str, Any]]) -> None:
    """Print why nothing was taken. The text is the agent's, already made safe to show."""
    for conflict in held:
        click.echo(conflict["message"], err=True)


def _release(paths: Sequence[str], *, as_json: bool) -> bool:
    problems.tell_own()
    answer = local_client.release(paths)
    problems.tell(answer)
    if as_json:
        show.print_json(answer)
        return not answer["not_held"]
    for path in answer["released"]:
        click.echo(f"released {one_line(path)}")
    for path in answer["not_held"]:
        click.echo(
            f"{one_line(path)} is not locked by this session; `scoord locks` shows who has what",
            err=True,
        )
    return not answer["not_held"]


def _check_may_ask(*, yes: bool) -> None:
    if not yes and not sys.stdin.isatty():
        raise click.UsageError(
            "--force asks before it breaks a lock; without a terminal, say --yes"
        )


def _break_all(paths: Sequence[str], reason: str, *, yes: bool, as_json: bool) -> bool:
    """Break one after the other: each is shown and confirmed by itself."""
    problems.tell_own()
    results = []
    for path in paths:
        results.append(_break(path, reason, yes=yes))
        if not as_json:
            click.echo(f"{results[-1]['path']} {results[-1]['message']}")
    if as_json:
        show.print_json({"locks": results})
    return all(result["broken"] for result in results)


def _break(path: str, reason: str, *, yes: bool) -> dict[str, Any]:
    """Show who holds the lock, ask, and break exactly the grant that was shown."""
    shown = _current(path)
    if shown is None:
        return _outcome(path, None, "is not locked")
    click.echo(f"{one_line(shown.path)} is held by {show.holding(shown)}", err=True)
    if not yes and not click.confirm("Break this lock?", err=True):
        return _outcome(path, shown, "is left as it is")
    answer = local_client.break_lock(path, shown.token, _me(), reason)
    problems.tell(answer)
    if answer.get("broken"):
        return _outcome(path, shown, "was taken from its holder, who is told", broken=True)
    return _outcome(path, shown, _what_happened(answer))


def _current(path: str) -> LockRow | None:
    """Return the lock as the store has it now, not as a list showed it."""
    answer = local_client.break_lock(path, NO_GRANT, _me(), "")
    problems.tell(answer)
    return lock_row(answer["current"]) if answer.get("current") else None


def _what_happened(answer: dict[str, Any]) -> str:
    current = answer.get("current")
    if not current:
        return "was given back meanwhile; nothing was broken"
    return f"changed hands meanwhile and was not broken: now {show.holding(lock_row(current))}"


def _outcome(
    path: str, shown: LockRow | None, what: str, *, broken: bool = False
) -> dict[str, Any]:
    name = one_line(shown.path if shown else path)
    token = shown.token if shown else None
    holder = asdict(shown) if shown else None
    return {"path": name, "token": token, "broken": broken, "holder": holder, "message": what}


def _me() -> str:
    """Return who breaks it, for the record and for the one who loses it."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a user id without a name, as in some containers
        return socket.gethostname()
