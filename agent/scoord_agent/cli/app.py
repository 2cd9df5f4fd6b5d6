"""The command line's root: finds, loads and runs one subcommand, and words its failures.

Subcommands are entry points of the group ``scoord.commands``, so that one command
line serves programs that do not import each other. It knows none of them by name.
"""

import difflib
import importlib.metadata
import os
import sys
import traceback
from collections.abc import Sequence
from functools import cached_property
from typing import Final, NoReturn

import click

from scoord import local, text
from scoord.errors import BY_CODE, BadRequest, InvalidConfig, ScoordError
from scoord.exits import CRASHED, DONE, INTERRUPTED, REFUSED, exit_code
from scoord_agent.cli import streams

DISTRIBUTION: Final = "session-coordinator"
COMMANDS: Final = "scoord.commands"
CRASH_LOG: Final = "cli.log"


class CommandLine(click.Group):
    """A group whose commands are loaded when they are called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the names of all commands."""
        return sorted(self._found)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command; None if there is no such one."""
        point = self._found.get(cmd_name)
        if point is None:
            return None
        return _load(point) if COMMANDS in ctx.meta else _load_to_list(point)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the called command. Raises UsageError with the nearest name if there is none."""
        # From here on a command is run; without this mark, one is only looked at.
        ctx.meta[COMMANDS] = args[0]
        near = difflib.get_close_matches(args[0], self._found, n=1)
        if args[0] not in self._found and near:
            ctx.fail(f"No such command {args[0]!r}; did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    @cached_property
    def _found(self) -> dict[str, importlib.metadata.EntryPoint]:
        return {point.name: point for point in importlib.metadata.entry_points(group=COMMANDS)}


def _load(point: importlib.metadata.EntryPoint) -> click.Command:
    command = point.load()
    if not isinstance(command, click.Command):
        raise TypeError(f"the entry point {point.value} is not a click command")
    return command


def _load_to_list(point: importlib.metadata.EntryPoint) -> click.Command:
    """Load a command for a list, where one that is broken must not hide the others."""
    try:
        return _load(point)
    except (ImportError, AttributeError, TypeError) as failure:
        return click.Command(point.name, short_help=f"(cannot be loaded: {failure})")


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=DISTRIBUTION, message="%(prog)s %(version)s")
def root() -> None:
    """Let many coding-agent sessions edit one project without overwriting each other.

    Exit codes: 0 done, 1 refused, 2 usage, 3 unreachable, 70 broken, 130 Ctrl-C.
    """


def main() -> NoReturn:
    """Run the command line of this process."""
    streams.prepare()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; return the exit code. Every failure becomes one line on stderr."""
    # gRPC reads it once, as it is loaded: what it would log comes as one line of ours.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        return _run(arguments)
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except ScoordError as error:
        for line in _lines(error):
            _complain(line)
        return exit_code(error)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return REFUSED
    except Exception as error:  # noqa: BLE001 (the last place that can turn it into one line)
        return _unforeseen(error)


def _run(arguments: Sequence[str]) -> int:
    result = root.main(list(arguments), prog_name="scoord", standalone_mode=False)
    # Here, where it can still be caught: the reader of a pipe may be gone.
    sys.stdout.flush()
    return result if isinstance(result, int) else DONE


def _show(error: click.ClickException) -> None:
    """Print what is wrong with the command as one line; a missing command gets the help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"; see `{context.command_path} --help`" if context else ""
    _complain(_as_click_says(error).rstrip(".") + hint)


def _as_click_says(error: click.ClickException) -> str:
    """Return its message, safe to show; the sign of its ranges (0<=x<=100) begins no tag."""
    return text.failure(error.format_message()).replace("\u2039=", "<=")


def _complain(line: str) -> None:
    click.echo(f"error: {line}", err=True)


def _lines(error: ScoordError) -> list[str]:
    """Return what to print of it: one line, or one for each thing that is wrong with settings."""
    if isinstance(error, InvalidConfig):
        return list(error.lines)
    return [_one_line(error)]


def _one_line(error: ScoordError) -> str:
    """Return the message, with the catalogue's advice where the message itself has none.

    A message of ours says what to do after a semicolon, and one about a bad request
    names what is wrong with it: more would only repeat it.
    """
    (line,) = error.lines
    entry = BY_CODE.get(getattr(error, "code", ""))
    if entry is None or ";" in line or isinstance(error, BadRequest):
        return line
    return f"{line} ({entry.advice})"


def _stdout_fails() -> bool:
    """Whether what was printed cannot be written: it is kept, so that writing fails again."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _unforeseen(error: Exception) -> int:
    """Say in one line what no catalogue has; return the exit code."""
    if isinstance(error, OSError) and _stdout_fails():
        _forget_stdout()
        _complain(f"the answer cannot be written to the standard output: {error.strerror}")
        return REFUSED
    _complain(_unexpected(error))
    return CRASHED


def _unexpected(error: Exception) -> str:
    """Return one line for a mistake of ours, and keep the traceback where it can be read."""
    what = text.failure(f"{type(error).__name__}: {error}")
    if os.environ.get("SCOORD_DEBUG"):
        traceback.print_exception(error)
        return what
    kept = _keep_traceback(error)
    return f"{what} (a mistake of ours; {kept or 'set SCOORD_DEBUG=1 to see where'})"


def _keep_traceback(error: Exception) -> str:
    try:
        log = local.state_dir() / CRASH_LOG
        log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except (OSError, ScoordError):
        return ""
    return f"the traceback is in {log}"


def _forget_stdout() -> None:
    """Keep the interpreter from flushing into what is closed or full once more as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
