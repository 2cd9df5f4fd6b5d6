"""The arguments and options that several commands share."""

import click

paths_argument = click.argument("paths", nargs=-1, required=True, metavar="PATH...")
reason_option = click.option("--reason", default="", help="Why; others read it.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
everything_option = click.option(
    "--all", "everything", is_flag=True, help="Every project, not only the one of this directory."
)
