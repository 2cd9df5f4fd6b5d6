"""Commands that end in every way a command can end, for tests of the root."""

import click

from scoord.errors import CoordinatorUnreachable, InternalError, InvalidPath, SessionNotFound


@click.command()
def fine() -> None:
    """Print a word."""
    click.echo("fine")


@click.command()
@click.pass_context
def refused(ctx: click.Context) -> None:
    """End with 1, as a refused lock does."""
    ctx.exit(1)


@click.command()
def wrong() -> None:
    """Fail as a bad request does."""
    raise InvalidPath("'\\x00' is no path")


@click.command()
def missing() -> None:
    """Fail as an unknown session does."""
    raise SessionNotFound("there is no Session_9")


@click.command()
def advised() -> None:
    """Fail with a message that says itself what to do."""
    raise CoordinatorUnreachable("nobody listens;\nstart it")


@click.command()
def broken() -> None:
    """Fail as the coordinator's own mistakes do."""
    raise InternalError("it failed")


@click.command()
def crash() -> None:
    """Fail as nobody foresaw."""
    raise ValueError("two\nlines")


@click.command()
def interrupted() -> None:
    """Be interrupted."""
    raise KeyboardInterrupt


NOT_A_COMMAND = 42
