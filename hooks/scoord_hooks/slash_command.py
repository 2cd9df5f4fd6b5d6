"""``scoord hooks slash``: what the plugin's slash commands run."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from scoord.errors import InvalidRequest, ScoordError
from scoord_hooks.slash import Typed, arguments_of, framed, typed

_SECONDS: Final = 20
"""Less than the hook has, so that what was said until then is shown."""
_COLUMNS: Final = "120"
_MOST_BYTES: Final = 1 << 20


@click.command(hidden=True)
def slash() -> None:
    """Answer a slash command of the plugin, whose event comes on the standard input."""
    command = typed(_event())
    try:
        output = _output(arguments_of(command), command)
    except ScoordError as error:
        output = f"error: {' '.join(error.lines)}"
    click.echo(framed(command, output))


def _event() -> dict[str, object]:
    try:
        event = json.loads(sys.stdin.buffer.read(_MOST_BYTES))
    except ValueError as failure:
        raise InvalidRequest("the event on the standard input is not JSON") from failure
    if not isinstance(event, dict):
        raise InvalidRequest("the event on the standard input is not an object")
    return event


def _output(arguments: Sequence[str], command: Typed) -> str:
    """Run ``scoord`` with these arguments, as a list; return all that it printed."""
    # By the Python that runs this: another version may be on PATH. -P as everywhere.
    line = [sys.executable, "-P", "-m", "scoord_agent.cli", *arguments]
    try:
        run = subprocess.run(
            line,
            cwd=command.cwd if Path(command.cwd).is_dir() else None,
            env={**os.environ, "COLUMNS": _COLUMNS, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode(errors="replace")
        return f"{said}\nerror: not done within {_SECONDS} s; try it in a terminal"
    return run.stdout.decode(errors="replace") or "done, with nothing to show"
