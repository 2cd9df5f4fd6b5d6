"""``scoord doctor``: what works, what does not, what to do."""

from dataclasses import asdict
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from scoord import local, text
from scoord.exits import REFUSED as FAILED
from scoord_agent.cli import show
from scoord_agent.cli.checks import Finding, Level, findings
from scoord_agent.cli.options import json_option

_STYLE: Final = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Check what works, what does not, and what to do.

    Exit code 1 if anything fails; a warning is not a failure.
    """
    local.here()  # where nothing is, most checks would say the same
    found = findings()
    ok = all(one.level is not Level.FAIL for one in found)
    if as_json:
        show.print_json({"ok": ok, "checks": [asdict(one) for one in found]})
    else:
        _print(show.console(), found)
    if not ok:
        ctx.exit(FAILED)


def _print(console: Console, found: list[Finding]) -> None:
    for one in found:
        first, *more = map(text.failure, one.text.split("\n"))
        line = Text().append(f"{one.level:<5}", _STYLE[one.level])
        console.print(line.append(f" {one.name:<12} {first}"))
        for each in more:
            console.print(Text(f"{'':<19}{each}"))
        if one.advice:
            console.print(Text(f"{'':<19}→ {one.advice}", "yellow"))
