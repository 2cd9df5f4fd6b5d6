"""``scoord hooks``: install, uninstall and look at the hooks of a coding CLI."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scoord import exits
from scoord.local import agent_port, token
from scoord_hooks import unreachable, ways
from scoord_hooks.claude_wiring import Transport, UnreachableAction
from scoord_hooks.connectivity import agent_answers, shim_passes
from scoord_hooks.install import Done
from scoord_hooks.order import Order, Way
from scoord_hooks.places import Scope, bash_path, shim_path
from scoord_hooks.slash_command import slash
from scoord_hooks.status import Status, statuses
from scoord_hooks.status import status as look

_PIPE_COLUMNS = 240
"""A pipe has no width: lines stay whole there."""

_Command = Callable[..., None]


def _where(command: _Command) -> _Command:
    """Add the options that say which settings, and in which form to answer."""
    return _options(command, Scope.USER.value, "All your sessions, or those in this checkout.")


def _where_looked(command: _Command) -> _Command:
    """The same for who only looks: what is not said is the scope that is wired."""
    return _options(command, None, "All your sessions, or this checkout's; else what is wired.")


def _options(command: _Command, scope: str | None, about_scope: str) -> _Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Answer in JSON."),
        click.option(
            "--scope",
            type=click.Choice([scope.value for scope in Scope]),
            default=scope,
            show_default=scope is not None,
            help=about_scope,
        ),
        click.option(
            "--client",
            type=click.Choice(["claude-code"]),
            default="claude-code",
            show_default=True,
            help="The coding CLI.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def hooks() -> None:
    """Install, remove and check the hooks of a coding CLI."""


hooks.add_command(slash)


@hooks.command()
@_where
@click.option(
    "--as",
    "way",
    type=click.Choice([way.value for way in Way]),
    default=Way.SETTINGS.value,
    show_default=True,
    help="As entries in the settings, or as the plugin sc, with its slash commands.",
)
@click.option(
    "--transport",
    type=click.Choice([transport.value for transport in Transport]),
    default=None,
    help="How events reach the agent: http, if not said; a plugin's go by command.",
)
@click.option(
    "--unreachable-action",
    type=click.Choice([action.value for action in UnreachableAction]),
    default=None,
    help="What becomes of an edit when the agent cannot be asked; by default, as the settings say.",
)
@click.option("--force", is_flag=True, help="Install in spite of what speaks against it.")
def install(
    client: str,  # noqa: ARG001 (one so far; click has checked it)
    scope: str,
    way: str,
    transport: str | None,
    unreachable_action: str | None,
    *,
    as_json: bool,
    force: bool,
) -> None:
    """Install the hooks, beside what is in the settings already.

    What was installed the other way (--as) in the same scope is taken out.
    """
    if way == Way.PLUGIN:
        _check_plugin(transport, unreachable_action)
        transport = Transport.COMMAND
    action = UnreachableAction(unreachable_action or unreachable.of_settings(Scope(scope)))
    order = Order(Scope(scope), Transport(transport or Transport.HTTP), action, force, Way(way))
    done = ways.install(order)
    agent = agent_answers(agent_port(), token())
    shim = agent and shim_passes(shim_path(), bash_path())
    if as_json:
        _print_json({**asdict(done), "agent": agent, "shim": shim})
        return
    _print_done(done, "installed", "already installed, nothing to do")
    if done.changed:
        click.echo("sessions that start from now on take part; restart those that are open")
    _print_connectivity(agent=agent, shim=shim)


@hooks.command()
@_where
def uninstall(client: str, scope: str, *, as_json: bool) -> None:  # noqa: ARG001 (see install)
    """Take our hooks out again, and leave everything else as it is."""
    done = ways.uninstall(Order(Scope(scope)))
    if as_json:
        _print_json(asdict(done))
    else:
        _print_done(done, "our hooks are taken out", "no hooks of ours there, nothing to do")


@hooks.command(short_help="Show which are installed, and whether they work.")
@_where_looked
@click.pass_context
def status(context: click.Context, client: str, scope: str | None, *, as_json: bool) -> None:  # noqa: ARG001 (see install)
    """Show which hooks are installed, and whether they reach the agent.

    Exits with 1 if something is missing or wrong, with 3 if the agent does not answer.
    """
    seen = look(Scope(scope)) if scope else statuses()[0]
    if as_json:
        _print_json({**asdict(seen), "complete": seen.complete})
    else:
        _print_status(seen)
    if not seen.complete:
        context.exit(exits.REFUSED)
    if not seen.agent:
        context.exit(exits.UNREACHABLE)


def _check_plugin(transport: str | None, unreachable_action: str | None) -> None:
    if transport == Transport.HTTP:
        raise click.UsageError(
            "a plugin has no place for the token that http hooks need;"
            " leave --transport out, or use --as settings"
        )
    if unreachable_action:
        raise click.UsageError(
            "the plugin does what unreachable_action says in your settings;"
            " leave --unreachable-action out, or use --as settings"
        )


def _print_json(values: dict[str, Any]) -> None:
    click.echo(json.dumps(values, indent=2, default=str, ensure_ascii=False))


def _print_done(done: Done, changed: str, unchanged: str) -> None:
    click.echo(f"{done.settings}: {changed if done.changed else unchanged}")
    if done.backup:
        click.echo(f"as it was before: {done.backup}")
    for note in done.notes:
        click.echo(f"note: {note}")


def _print_connectivity(*, agent: bool, shim: bool) -> None:
    if not agent:
        click.echo(
            f"warning: no agent answers on port {agent_port()} yet; "
            "it starts with the next session, or now with: scoord up",
        )
    elif not shim:
        click.echo(f"warning: the agent answers, but {shim_path()} does not pass an event to it")
    else:
        click.echo(f"tested: events reach the agent on port {agent_port()}")


def _print_status(seen: Status) -> None:
    click.echo(f"plugin: {seen.plugin}" if seen.plugin else f"settings: {seen.settings}")
    silent = f"no answer on port {agent_port()}, so nothing is guarded now"
    click.echo("agent: " + ("answers" if seen.agent else silent))
    click.echo()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    for column in ("event", "sent by"):
        table.add_column(column, no_wrap=True)
    table.add_column("state", overflow="fold")
    for event in seen.events:
        table.add_row(event.event, event.transport or "-", Text(event.problem or "installed"))
    console = Console(highlight=False)
    if not console.file.isatty() and "COLUMNS" not in os.environ:
        console.width = _PIPE_COLUMNS
    console.print(table)
    console.print(Text("wired by: " + (" and ".join(seen.ways) or "nothing")), soft_wrap=True)
    if seen.doubled:
        console.print(Text(f"warning: {seen.doubled}", "yellow"), soft_wrap=True)
    if seen.differs:
        console.print(Text(f"warning: {seen.differs}", "yellow"), soft_wrap=True)
    if seen.advice:
        click.echo(f"\n{seen.advice}")
