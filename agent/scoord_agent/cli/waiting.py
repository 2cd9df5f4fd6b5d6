"""``scoord wait``: blocks until files are this session's, or until it has waited long enough."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import click
from rich.text import Text

from scoord.errors import ScoordError, Unknown
from scoord.exits import REFUSED
from scoord.names import path_key
from scoord.text import age
from scoord_agent.cli import local_client, news, problems, show
from scoord_agent.cli.hold import print_granted
from scoord_agent.cli.options import json_option, paths_argument, reason_option
from scoord_agent.cli.spans import seconds_in
from scoord_agent.cli.watching import end_as_by_ctrl_c

POLL_S: Final = 10.0
"""How long one call to the agent waits."""

LOOK_S: Final = 2.0
"""The same, in front of a person, who sees the place and the time change."""

PATIENCE_S: Final = 30.0
"""How long the agent or its coordinator may be away meanwhile; both come back by themselves."""

_MOST_S: Final = 86_400

Answer = dict[str, Any]
Tell = Callable[[str, float], object]
"""Shows why it waits, and for how many seconds it has."""


def _seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """Read seconds, or a duration as people type it; a day at most. Raises BadParameter."""
    try:
        found = float(value)
    except ValueError:
        found = seconds_in(value)
    if not 0 <= found <= _MOST_S:
        raise click.BadParameter(f"{value!r} is not between 0 and {_MOST_S} seconds")
    return found


@click.command()
@paths_argument
@click.option(
    "--timeout",
    "timeout_s",
    callback=_seconds,
    default="600",
    show_default=True,
    metavar="TIME",
    help="Give up after that long: seconds, or as 90s, 30m, 2h.",
)
@reason_option
@json_option
@click.pass_context
def wait(
    ctx: click.Context, paths: tuple[str, ...], timeout_s: float, reason: str, *, as_json: bool
) -> None:
    """Wait until files are free, and take their locks, all or none.

    Who comes first is served first. Of several files, the turn at one passes on, and others
    may have it first, when the rest is not free within claim_timeout. Giving up, or Ctrl-C,
    leaves the queue, unless an edit was refused the file, too: its session will be told.
    """
    problems.tell_own()
    news.tell()
    begun = time.monotonic()
    with _showing(quiet=as_json) as tell:
        answer = _wait(paths, reason, timeout_s, tell)
    answer["waited_s"] = round(time.monotonic() - begun, 3)
    _print(answer, as_json=as_json)
    if "held" in answer:
        ctx.exit(REFUSED)


def _wait(paths: Sequence[str], reason: str, timeout_s: float, tell: Tell) -> Answer:
    """Wait; whatever ends it, a place in a queue that is only its own does not outlive it."""
    end_as_by_ctrl_c()
    try:
        answer = _until_ours(paths, reason, timeout_s, tell)
    except BaseException:
        _leave(paths)
        raise
    if "held" in answer:
        kept = _leave(paths)
        left = [row for row in answer["held"] if row["place"] and not kept & _named(row)]
        answer["left_queue"] = bool(left)
        for conflict in left:
            conflict["place"] = 0
    return answer


def _until_ours(paths: Sequence[str], reason: str, timeout_s: float, tell: Tell) -> Answer:
    step_s = LOOK_S if show.console(stderr=True).is_interactive else POLL_S
    begun, answer = time.monotonic(), local_client.wait(paths, reason, 0.0)
    problems.tell(answer)
    while "held" in answer and (waited_s := time.monotonic() - begun) < timeout_s:
        tell(_why(answer["held"]), waited_s)
        answer = _again(paths, reason, min(step_s, timeout_s - waited_s), answer["held"])
    return answer


def _again(paths: Sequence[str], reason: str, within_s: float, held: Sequence[Answer]) -> Answer:
    """Ask again, also while the agent is being replaced. Raises Unknown when it stays away."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = local_client.wait(paths, reason, within_s, held)
        except Unknown:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.5)
        else:
            problems.tell(answer)
            return answer


def _leave(paths: Sequence[str]) -> set[tuple[str, str]]:
    """Leave the queue, but the places where the session waits otherwise, too, which are named.

    Where that cannot be said, the turn passes on when it is not used.
    """
    with contextlib.suppress(ScoordError):
        return local_client.leave(paths)
    return set()


def _named(row: Answer) -> set[tuple[str, str]]:
    """What it is a place for, as far as an agent of any version says it."""
    return {(row["project"], path_key(row["path"]))} if {"project", "path"} <= row.keys() else set()


@contextlib.contextmanager
def _showing(*, quiet: bool) -> Iterator[Tell]:
    """What tells of the wait on stderr: a line that changes on a terminal, else each new line."""
    console, told = show.console(stderr=True), set[str]()

    def once(why: str, _waited_s: float) -> None:
        if why not in told:
            told.add(why)
            click.echo(why, err=True)

    if quiet or not console.is_interactive:
        yield (lambda *_: None) if quiet else once
        return
    with console.status("waiting") as status:
        yield lambda why, waited_s: status.update(Text(f"{why}, for {age(waited_s)}"))


def _why(held: Sequence[Answer]) -> str:
    """Why it waits, on one line. The text is the agent's, already made safe to show."""
    first = held[0]
    reason = str(first["message"]).partition("\n")[0]
    more = f" and {len(held) - 1} more" if len(held) > 1 else ""
    place = f"place {first['place']} in the queue" if first["place"] else "it has no queue"
    return f"{reason}{more}; {place}, waiting"


def _print(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        show.print_json(answer)
    elif "held" in answer:
        for conflict in answer["held"]:
            click.echo(str(conflict["message"]).partition("\n")[0], err=True)
        left = ", and left the queue" if answer["left_queue"] else ""
        kept = [str(conflict["path"]) for conflict in answer["held"] if conflict["place"]]
        stays = f"; the session keeps its place for {', '.join(kept)}" if kept else ""
        click.echo(f"gave up after {age(answer['waited_s'])}{left}{stays}", err=True)
    else:
        print_granted(answer["granted"])
