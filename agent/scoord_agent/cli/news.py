"""What the terminal above was not told yet: it has no hook, so its next command tells it."""

import contextlib

import click

from scoord.errors import ScoordError
from scoord_agent.cli import local_client


def tell() -> None:
    """Tell it on stderr, once; what is wrong with the agent, the command itself will say."""
    with contextlib.suppress(ScoordError):
        for line in local_client.news():
            click.echo(line, err=True)  # the agent has made it safe to show
