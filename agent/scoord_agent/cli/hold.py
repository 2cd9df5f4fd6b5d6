"""``scoord lock``, ``release``, ``unlock``: locks for the session, or the terminal, above."""

import getpass
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Final

import click

from scoord.exits import DONE, REFUSED, UNREACHABLE
from scoord.ids import NO_GRANT
from scoord.text import age, one_line
from scoord.typed import as_typed
from scoord_agent.cli import local_client, news, problems, show
from scoord_agent.cli.options import json_option, paths_argument, reason_option
from scoord_agent.cli.pictures import LockRow, WaiterRow, lock_row, read_row
from scoord_agent.cli.spans import span

_OWED: Final = "is given back as soon as the coordinator can be asked; it is not held any more"


@click.command(short_help="Take the locks of files and patterns.")
@paths_argument
@click.option(
    "--for", "lasts_s", callback=span, metavar="TIME", help="End after that long: 90s, 30m, 2h."
)
@click.option("--shared", is_flag=True, help="Let others share it; nobody edits meanwhile.")
@reason_option
@json_option
@click.pass_context
def lock(
    ctx: click.Context,
    paths: tuple[str, ...],
    reason: str,
    lasts_s: float,
    *,
    shared: bool,
    as_json: bool,
) -> None:
    """Take the locks of files and patterns, all or none: up to 30 in a project.

    A PATH with * or ?, or with a slash at its end, is a pattern as in
    .gitignore: 'src/api/**' holds all that is or will be below src/api. Put it in
    quotes. The names ahead of the first * or ? are names: 'app/[id]/' is that
    very folder. Locks belong to the coding session that runs this command; in a
    terminal of yours, to that terminal, until it is closed. What you have
    already ends as --for says now, and is held for what --reason says now;
    without them, as before.
    """
    problems.tell_own()
    news.tell()
    answer = local_client.acquire(paths, reason, shared=shared, lasts_s=lasts_s)
    problems.tell(answer)
    held = answer.get("held")
    if as_json:
        show.print_json(answer)
    else:
        _print_held(held) if held else print_granted(answer["granted"], shared=shared)
    if held:
        ctx.exit(REFUSED)


@click.command()
@paths_argument
@json_option
@click.pass_context
def release(ctx: click.Context, paths: tuple[str, ...], *, as_json: bool) -> None:
    """Give back locks of files and patterns before the session ends.

    Where the session waits for a file, or it is kept for it, it gives up its place.

    While the coordinator is away, what is given back is not held any more, and others
    can have it as soon as the coordinator is back; the exit code is 3 then.
    """
    ctx.exit(_release(paths, as_json=as_json))


@click.command()
@paths_argument
@click.option("--force", is_flag=True, help="Break a lock that another session holds.")
@click.option(
    "--token",
    "tokens",
    type=click.IntRange(1),
    multiple=True,
    metavar="N",
    help="With --force: break the grant that was shown with this token, and no other; do not ask.",
)
@click.option("--yes", is_flag=True, help="With --force: do not ask; break what there is by then.")
@click.option("--typed", default="scoord unlock", hidden=True)
@reason_option
@json_option
@click.pass_context
def unlock(
    ctx: click.Context,
    paths: tuple[str, ...],
    reason: str,
    tokens: tuple[int, ...],
    typed: str,
    *,
    force: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Give locks and places in queues back; with --force, break locks of others.

    --force shows who holds a path, why and since when, and asks; without a terminal,
    it says what to type instead. --token N, from there or from `scoord locks`, breaks
    the grant that you saw: one that changed hands since stays. --yes alone breaks
    whatever grant it finds. Where locks hold on one branch, those on other branches
    are in nobody's way here: they are shown, and broken by --token only.

    Where several share a path, each share is shown and broken by itself; your own
    stays. Who waited first for a file has it kept then. The holder of a lock that was
    broken is told who did it and why.
    """
    if tokens and not force:
        raise click.UsageError("--token goes with --force")
    if not force:
        ctx.exit(_release(paths, as_json=as_json))
    if not _break_all(paths, _Order(reason, frozenset(tokens), typed, yes=yes), as_json=as_json):
        ctx.exit(REFUSED)


def print_granted(granted: Sequence[dict[str, Any]], *, shared: bool = False) -> None:
    """Print what is ours now, until when, and where nobody on another machine can meet it.

    ``shared`` is how it was asked for: what a session has alone, as for an edit, it keeps so.
    """
    several = len({grant.get("project") for grant in granted}) > 1
    for grant in granted:
        left_s = grant.get("ends_in_s")
        ends = f", which ends in {age(round(left_s))}" if left_s else ""
        alone = _alone(grant) if shared else ""
        where = _where(grant, several=several)
        mode = ", shared" if grant.get("mode") == "shared" else ""
        click.echo(f"locked {one_line(grant['path'])}{where}{mode}{ends}{alone}")


def _alone(grant: dict[str, Any]) -> str:
    """Return that it is not shared, and how to; an agent of another version may not tell."""
    if grant.get("mode") != "exclusive":
        return ""
    again = f"scoord release {as_typed([grant['path']])}"
    return (
        f"; it is yours alone already and stays so: `{again}` and lock it --shared to let others"
        " share it"
    )


def _where(grant: dict[str, Any], *, several: bool) -> str:
    """Return where a path is, if that is not plain: paths of several projects may look alike."""
    if grant.get("outside"):
        return " (in no project: only sessions of this machine see it)"
    return f" (of {one_line(grant['project'])})" if several else ""


def _print_held(held: Sequence[dict[str, Any]]) -> None:
    """Print why nothing was taken. The text is the agent's, already made safe to show."""
    for conflict in held:
        click.echo(conflict["message"], err=True)


def _release(paths: Sequence[str], *, as_json: bool) -> int:
    """Give ``paths`` back, and return the exit code."""
    problems.tell_own()
    news.tell()
    answer = local_client.release(paths)
    problems.tell(answer)
    news.tell()  # it may have been lost before
    if as_json:
        show.print_json(answer)
    else:
        _print_released(answer)
    if answer["not_held"]:
        return REFUSED
    return UNREACHABLE if answer.get("owed") else DONE


def _print_released(answer: dict[str, Any]) -> None:
    for path in answer["released"]:
        click.echo(f"released {one_line(path)}")
    for path in answer.get("left", ()):
        click.echo(f"{one_line(path)}: no longer waiting for it")
    for path in answer.get("owed", ()):
        click.echo(f"{one_line(path)} {_OWED}", err=True)
    patterns = {row["path"]: row for row in answer.get("within", ())}
    for path in answer["not_held"]:
        click.echo(_not_held(path, patterns.get(path)), err=True)


def _not_held(path: str, within: dict[str, Any] | None) -> str:
    if within is None:
        return f"{one_line(path)} is not locked by you; `scoord locks` shows who has what"
    return f"{one_line(path)} {_lies_in(within, 'release')}"


def _lies_in(within: dict[str, Any], command: str) -> str:
    """Return in which pattern a file lies that is held by nothing else, and how to name that."""
    pattern = within["pattern"]
    where = "" if within["said_here"] else " in the top folder of its worktree"
    return (
        f"is held by the pattern {one_line(pattern)}, as a whole;"
        f" say{where}: scoord {command} {as_typed([pattern])}"
    )


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be broken, and what its person agreed to."""

    reason: str
    tokens: frozenset[int]
    """The grants that were seen; empty where none is named."""
    typed: str
    """What it was typed as, to be typed again."""
    yes: bool

    def names(self, row: LockRow) -> bool:
        """Whether this grant is meant: any is, where none is named."""
        return not self.tokens or row.token in self.tokens

    def again(self, path: str, row: LockRow) -> str:
        """Return what to type for exactly this grant."""
        named, grant = as_typed([path]), f"--force --token {row.token}"
        # Behind -- there are no options.
        words = (grant, named) if named.startswith("--") else (named, grant)
        return " ".join((self.typed, *words))


def _break_all(paths: Sequence[str], order: _Order, *, as_json: bool) -> bool:
    """Break one after the other: each is shown and confirmed by itself."""
    problems.tell_own()
    news.tell()
    results = []
    for result in chain.from_iterable(_break(path, order) for path in paths):
        results.append(result)
        if not as_json:
            click.echo(f"{one_line(result['path'])} {result['message']}")
    if as_json:
        show.print_json({"locks": results})
    return all(result["broken"] for result in results)


def _break(path: str, order: _Order) -> Iterator[dict[str, Any]]:
    """Break all that others hold at a path; of what only this session has, give that back."""
    standing = _standing(path)
    named = [row for row in standing.here if order.names(row)]
    others = [row for row in named if not row.own]
    others += [row for row in standing.elsewhere if row.token in order.tokens]
    if others:
        yield from (_break_one(path, shown, order) for shown in others)
    elif named:
        local_client.release([path])
        what = "was your own, and is given back"
        yield _outcome(path, named[0], what, broken=True)
    elif standing.here:
        yield from (_outcome(path, row, _another(path, row, order)) for row in standing.here)
    else:
        yield from (_outcome(path, row, _elsewhere(path, row, order)) for row in standing.elsewhere)
        lies = [_lies_in(row, "unlock --force") for row in standing.within]
        if lies or not standing.elsewhere:
            yield _outcome(path, None, lies[0] if lies else "is not locked")


def _break_one(path: str, shown: LockRow, order: _Order) -> dict[str, Any]:
    """Show who holds the lock, ask, and break exactly the grant that was shown."""
    click.echo(f"{one_line(shown.path)} is held by {show.holding(shown)}", err=True)
    if refusal := _not_agreed(path, shown, order):
        return _outcome(path, shown, refusal)
    answer = local_client.break_lock(path, shown.token, _me(), order.reason)
    problems.tell(answer)
    if answer.get("broken"):
        return _outcome(path, shown, _how_taken(answer) + _for_whom(answer), broken=True)
    return _outcome(path, shown, _what_happened(path, shown, answer, order))


def _not_agreed(path: str, shown: LockRow, order: _Order) -> str:
    """Return what becomes of a grant that nobody agreed to break; empty where somebody did."""
    if order.yes or order.tokens:
        return ""
    if not sys.stdin.isatty():
        return f"is left as it is; to break exactly that, say: {order.again(path, shown)}"
    return "" if click.confirm("Break this lock?", err=True) else "is left as it is"


@dataclass(frozen=True, slots=True)
class _Standing:
    """What is held at a path."""

    here: Sequence[LockRow]
    """On this branch or on every one."""
    elsewhere: Sequence[LockRow]
    """On other branches only."""
    within: Sequence[dict[str, Any]]
    """The patterns that it lies in, where nothing else holds it here."""


def _standing(path: str) -> _Standing:
    answer = local_client.break_lock(path, NO_GRANT, _me(), "")
    problems.tell(answer)
    here = [answer["current"], *answer.get("others", ())] if answer.get("current") else []
    rows, elsewhere = map(lock_row, here), map(lock_row, answer.get("elsewhere", ()))
    return _Standing([*rows], [*elsewhere], answer.get("within", ()))


def _how_taken(answer: dict[str, Any]) -> str:
    if answer.get("unrecorded"):
        return (
            "was taken from its holder; the store is full, so that neither history nor the holder"
            " is told by whom and why"
        )
    return "was taken from its holder, who is told"


def _for_whom(answer: dict[str, Any]) -> str:
    """Return who is next and had waited, if that is another: the file is not free yet."""
    if not (kept := answer.get("kept")):
        return ""
    row = read_row(WaiterRow, kept)
    branch = f", branch {one_line(row.branch, 60)}" if row.branch else ""
    return (
        f"; it is kept now for {show.name(row)} ({show.who(row)}{branch}), who waited first,"
        f" for {age(kept['kept_s'])} at most"
    )


def _what_happened(path: str, shown: LockRow, answer: dict[str, Any], order: _Order) -> str:
    stand = map(lock_row, filter(None, (answer.get("current"), *answer.get("elsewhere", ()))))
    now = next((row for row in stand if not _are_apart(row, shown)), None)
    if now is None:
        return "was given back meanwhile; nothing was broken"
    return _changed_hands(path, now, order)


def _are_apart(one: LockRow, other: LockRow) -> bool:
    """Return whether both may be held at once, each on its branch."""
    return one.scope == other.scope == "branch" and one.branch != other.branch


def _changed_hands(path: str, row: LockRow, order: _Order) -> str:
    return (
        f"changed hands meanwhile and was not broken: now {show.holding(row)};"
        f" to break that, say: {order.again(path, row)}"
    )


def _another(path: str, row: LockRow, order: _Order) -> str:
    """Return which token there is, where only others were named: perhaps none that ever was."""
    named = " or ".join(map(str, sorted(order.tokens)))
    return (
        f"was not broken: its lock has token {row.token}, not {named}: {show.holding(row)};"
        f" to break that, say: {order.again(path, row)}"
    )


def _elsewhere(path: str, row: LockRow, order: _Order) -> str:
    return (
        f"is not locked on this branch, but on another by {show.holding(row)};"
        f" to break that, say: {order.again(path, row)}"
    )


def _outcome(
    path: str, shown: LockRow | None, what: str, *, broken: bool = False
) -> dict[str, Any]:
    name = shown.path if shown else path
    token = shown.token if shown else None
    holder = asdict(shown) if shown else None
    return {"path": name, "token": token, "broken": broken, "holder": holder, "message": what}


def _me() -> str:
    """Return who breaks it, for the record and for the one who loses it."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a user id without a name, as in some containers
        return socket.gethostname()
