"""``scoord status`` and ``scoord locks``: what goes on here, for people and scripts."""

import contextlib
from typing import Any

import click
from rich.console import Group, RenderableType

from scoord.errors import ScoordError
from scoord.exits import UNREACHABLE
from scoord_agent.cli import local_client, news, problems, show
from scoord_agent.cli.options import everything_option, json_option
from scoord_agent.cli.pictures import Picture, picture
from scoord_agent.cli.show_sessions import sessions_table, work_table
from scoord_agent.cli.watching import watch
from scoord_agent.wording_free import BEING_READ
from scoord_agent.wording_times import NOT_KNOWN


@click.command()
@everything_option
@json_option
@click.option("--watch", "again", is_flag=True, help="Show it anew each second, until Ctrl-C.")
@click.pass_context
def status(ctx: click.Context, *, everything: bool, as_json: bool, again: bool) -> None:
    """Show sessions and how far they are, locks, who waits, what is free to do, the coordinator.

    Exits with 3 if the coordinator or its store cannot be asked: what is shown is what
    was last heard.
    """

    def look() -> Group:
        return _status(picture(_look(everything=everything)), everything=everything)

    if again:
        if as_json:
            raise click.UsageError("--watch is for people; call it without --json")
        news.tell()
        watch(show.console(), look)
        return
    problems.tell_own()
    news.tell()
    answer = _look(everything=everything)
    if as_json:
        problems.tell_beside(answer)
        show.print_json(answer)
    else:
        problems.tell(answer)
        show.console().print(_status(picture(answer), everything=everything))
    _exit_by_state(ctx, answer)


@click.command()
@everything_option
@json_option
@click.pass_context
def locks(ctx: click.Context, *, everything: bool, as_json: bool) -> None:
    """Show which files are locked, by whom and why, and who waits for which.

    Exits with 3 if the coordinator or its store cannot be asked: what is shown is what
    was last heard.
    """
    problems.tell_own()
    news.tell()
    answer = local_client.status(everything=everything)
    problems.tell(answer)
    if as_json:
        show.print_json(_locks_alone(answer))
    else:
        seen = picture(answer)
        if not seen.is_current:
            show.console().print(show.coordinator_line(seen))
        locked = _locks(seen, everything=everything, tokens=True)
        parts = [locked, *_waiters(seen, everything=everything)]
        show.console().print(Group(*parts))
    _exit_by_state(ctx, answer)


def _look(*, everything: bool) -> dict[str, Any]:
    """Ask what goes on, and what is free to do in this project, if that is told in time."""
    answer = local_client.status(everything=everything)
    answer["suggestions"] = []
    if not everything and picture(answer).is_current:
        with contextlib.suppress(ScoordError):
            told = local_client.suggestions()
            answer |= {key: told[key] for key in ("suggestions", "known") if key in told}
    return answer


def _exit_by_state(ctx: click.Context, answer: dict[str, Any]) -> None:
    if not picture(answer).is_current:
        ctx.exit(UNREACHABLE)


def _status(seen: Picture, *, everything: bool) -> Group:
    """Return all of it, part by part with a blank line between."""
    head = [show.coordinator_line(seen), show.project_line(seen)]
    parts: list[RenderableType] = [*head, *show.problem_lines(seen.problems)]
    parts += ["", _sessions(seen, everything=everything)]
    if work := work_table(seen.sessions, projects=everything):
        parts += ["", work]
    parts += ["", _locks(seen, everything=everything)]
    parts += _waiters(seen, everything=everything)
    if seen.suggestions:
        parts += ["", show.suggestions_table(seen.suggestions)]
    if seen.project and not seen.known:
        parts += ["", BEING_READ]
    return Group(*parts)


def _sessions(seen: Picture, *, everything: bool) -> RenderableType:
    if seen.sessions:
        return sessions_table(seen.sessions, projects=everything)
    return f"no sessions{_as_far_as_known(seen)}"


def _locks(seen: Picture, *, everything: bool, tokens: bool = False) -> RenderableType:
    if seen.locks:
        return show.locks_table(seen.locks, projects=everything, tokens=tokens)
    return f"no locks{_as_far_as_known(seen)}"


def _waiters(seen: Picture, *, everything: bool) -> list[RenderableType]:
    """Return who waits, and whose turn it is at a file that nobody holds; after a blank line."""
    if seen.waiters is None:
        return ["", f"who waits is {NOT_KNOWN}"]
    return ["", show.waiters_table(seen.waiters, projects=everything)] if seen.waiters else []


def _as_far_as_known(seen: Picture) -> str:
    """What was last heard is never shown as if it were known."""
    return "" if seen.is_current else " that this machine has heard of"


_LOCKS = ("project", "locks", "waiters", "view_age_s", "coordinator")


def _locks_alone(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the locks, and what says how far they can be trusted."""
    return {key: answer.get(key) for key in _LOCKS}
