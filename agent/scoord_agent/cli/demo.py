"""``scoord demo``: two sessions collide, from real hook events, against what is running."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from scoord import config, local
from scoord.errors import CoordinatorUnreachable
from scoord.exits import REFUSED as FAILED
from scoord.sections import SessionCoordination
from scoord.text import one_line
from scoord_agent.cli import local_client, show
from scoord_agent.cli.demo_script import CLIENT, Held, Outcome, Scene, Step, body, scene, steps
from scoord_agent.cli.hook_post import by_shim, post
from scoord_agent.cli.pictures import Picture, picture
from scoord_agent.wording_settings import switched_off

SETTLE_S: Final = 3.0
"""Lists, and what is told, come from views that follow the store; a decision never does."""
_COLOUR: Final = {"A": "cyan", "B": "magenta"}


@dataclass(frozen=True, slots=True)
class Played:
    """A step, and what came of it."""

    step: Step
    outcome: Outcome
    told: str
    """What the model reads, else what the person does."""
    took_ms: float
    answer: dict[str, Any]
    locks: Held | None
    """Who holds what after it, where the step says who should."""
    differs: str
    """How it differs from what was expected; empty if it does not."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the steps as JSON, for scripts.")
@click.pass_context
def demo(ctx: click.Context, *, as_json: bool) -> None:
    """Let two sessions collide, and show who is told what.

    It posts real hook events of Claude Code to the running agent, in a scratch
    project of its own. Exit code 1 if anything comes out differently than promised.
    """
    _check_coordinator()
    with scene() as scratch:
        played = _play(scratch, None if as_json else show.console())
    differs = [one.differs for one in played if one.differs]
    if as_json:
        show.print_json({"ok": not differs, "steps": [_facts(one) for one in played]})
    for line in differs:
        click.echo(f"differs: {line} ({_hint()})", err=True)
    if differs:
        ctx.exit(FAILED)


def _check_coordinator() -> None:
    """Raise what stands in the way of every lock, before any is tried."""
    facts = picture(local_client.status(everything=False)).coordinator
    if not facts.connected:
        why = f": {facts.why}" if facts.why else ""
        raise CoordinatorUnreachable(
            f"the coordinator at {facts.address} cannot be asked{why};"
            " `scoord up` starts this machine's own, `scoord doctor` says more"
        )
    local_client.rehearse()


def _hint() -> str:
    """Say what explains a difference, as far as that can be seen from here."""
    if not picture(local_client.status(everything=False)).coordinator.connected:
        return "the coordinator went away meanwhile; see `scoord status`"
    settings = config.load(None, local.config_dir(), os.environ).session_coordination
    return _hint_of(settings) or "see `scoord doctor`"


def _hint_of(settings: SessionCoordination) -> str:
    """Say which setting explains a difference; empty if none does."""
    if off := switched_off(settings):
        return off[0]
    if settings.conflict_action != "block":
        return f"conflict_action is {settings.conflict_action}, so no edit is refused"
    if settings.critical_files != ("*",):
        return f"critical_files is {', '.join(settings.critical_files)}: other files are not locked"
    if settings.claim_timeout < SETTLE_S:
        kept = f"claim_timeout is {settings.claim_timeout:g} s"
        return f"{kept}, so a turn may be over before it is told"
    return ""


def _play(scratch: Scene, console: Console | None) -> list[Played]:
    played = []
    number = 0
    for one in _each(scratch):
        played.append(one)
        if console and not (one.step.aside and not one.told):
            number += 1
            _show(console, number, one)
    return played


def _each(scratch: Scene) -> Iterator[Played]:
    """Play the steps in order; stop at the first that differs: the rest stands on it."""
    for step in steps(scratch.project):
        one = _do(scratch, step)
        yield one
        if one.differs:
            return


def _do(scratch: Scene, step: Step) -> Played:
    answer, took_ms = _answered(scratch, step)
    refused = (answer.get("hookSpecificOutput") or {}).get("permissionDecision") == "deny"
    outcome = Outcome.REFUSED if refused else Outcome.ALLOWED
    locks = None if step.locks is None else _settled(scratch, step.locks)
    told = _told(answer)
    differs = _difference(step, outcome, told, locks)
    return Played(step, outcome, told, took_ms, answer, locks, differs)


def _answered(scratch: Scene, step: Step) -> tuple[dict[str, Any], float]:
    """Bring an event, again for a moment while it does not tell what it should; and how long."""
    # As Claude Code has it: a session's start is a command, all else is posted.
    bring = by_shim if step.event == "SessionStart" else post
    deadline = time.monotonic() + SETTLE_S
    while True:
        start = time.perf_counter()
        answer = bring(CLIENT, step.event, body(scratch, step), scratch.pids[step.session])
        took_ms = (time.perf_counter() - start) * 1000
        if step.tells in _told(answer) or time.monotonic() >= deadline:
            return answer, took_ms
        time.sleep(0.05)


def _told(answer: dict[str, Any]) -> str:
    """Return what the model reads, else what the person does."""
    specific = answer.get("hookSpecificOutput") or {}
    told = specific.get("permissionDecisionReason") or specific.get("additionalContext")
    return str(told or answer.get("systemMessage", ""))


def _settled(scratch: Scene, expected: Held) -> Held:
    """Return who holds what, given a moment to become what is expected."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        held = _held(scratch)
        if held == expected or time.monotonic() >= deadline:
            return held
        time.sleep(0.05)


def _held(scratch: Scene) -> Held:
    seen = picture(local_client.status(everything=False, cwd=str(scratch.project)))
    names = _names(scratch, seen)
    return tuple(sorted((names.get(row.session_id, "?"), row.path) for row in seen.locks))


def _names(scratch: Scene, seen: Picture) -> dict[str, str]:
    """Return A or B for each session's id, known by its process."""
    by_pid = {pid: name for name, pid in scratch.pids.items()}
    return {row.session_id: by_pid.get(row.pid, "?") for row in seen.sessions}


def _difference(step: Step, outcome: Outcome, told: str, locks: Held | None) -> str:
    where = f"{step.session} {step.does}"
    if outcome is not step.expected:
        return f"{where}: expected {step.expected}, was {outcome}"
    if step.tells not in told:
        return f"{where}: expected to be told: {step.tells}; was: {one_line(told) or 'nothing'}"
    if locks != step.locks:
        return f"{where}: expected these locks then: {_shown(step.locks)}; were: {_shown(locks)}"
    return ""


def _show(console: Console, number: int, one: Played) -> None:
    """Print one step: who does what, what came of it, what the model reads."""
    line = Text(f"{number}  ")
    line.append(one.step.session, f"bold {_COLOUR[one.step.session]}")
    line.append(f" {one.step.does}")
    if one.step.event == "PreToolUse":
        refused = one.outcome is Outcome.REFUSED
        line.append(
            f"  → {one.outcome} in {one.took_ms:.0f} ms", "bold red" if refused else "green"
        )
    console.print(line)
    _print_below(console, _as_told(one.told), "bold" if one.outcome is Outcome.REFUSED else "dim")
    if one.locks is not None:
        _print_below(console, [f"locks: {_shown(one.locks)}"], "dim")


def _shown(locks: Held | None) -> str:
    return ", ".join(f"{one_line(path)} by {name}" for name, path in locks or ()) or "none"


def _as_told(text: str) -> list[str]:
    """Return the text line by line as the model gets it, made safe for a terminal."""
    return [" " * (len(x) - len(x.lstrip())) + one_line(x, 2000) for x in text.splitlines()]


def _print_below(console: Console, lines: list[str], style: str) -> None:
    for line in lines:
        console.print(Padding(Text(line, style), (0, 0, 0, 5), expand=False))


def _facts(one: Played) -> dict[str, Any]:
    return {
        "session": one.step.session,
        "does": one.step.does,
        "event": one.step.event,
        "expected": one.step.expected,
        "outcome": one.outcome,
        "told": one.told,
        "ms": round(one.took_ms, 2),
        "locks": one.locks,
        "differs": one.differs,
    }
