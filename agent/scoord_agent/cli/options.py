"""The arguments and options that several commands share."""

from collections.abc import Callable, Sequence
from typing import Any

import click

paths_argument = click.argument("paths", nargs=-1, required=True, metavar="PATH...")
reason_option = click.option("--reason", default="", help="Why; others read it.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
everything_option = click.option(
    "--all", "everything", is_flag=True, help="Every project, not only the one of this directory."
)


def text_argument(name: str, *, required: bool = True) -> Callable[[Any], Any]:
    """Take the rest of the words as one text: a shell has taken the quotes, if there were any."""
    shown = name.upper() if required else f"[{name.upper()}]"
    return click.argument(
        name, nargs=-1, required=required, metavar=f"{shown}...", callback=_joined
    )


def _joined(_ctx: click.Context, _param: click.Parameter, words: Sequence[str]) -> str:
    return " ".join(words)
