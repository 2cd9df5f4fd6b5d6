"""What ``scoord doctor`` looks at. Each check returns what it found, and what to do."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Final

from scoord import config, local
from scoord.errors import InvalidConfig, ScoordError
from scoord.text import age
from scoord.text import failure as failure_line
from scoord.variables import misspelt
from scoord_agent import own, spawn
from scoord_agent.cli import local_client, proof
from scoord_agent.cli.differences import differences
from scoord_agent.cli.pictures import AgentFacts, CoordinatorFacts, Picture, picture
from scoord_agent.knowledge import backlog
from scoord_agent.spawn import AGENT, COORDINATOR
from scoord_agent.wording_settings import switched_off
from scoord_hooks import claude_version, connectivity, installed
from scoord_hooks.git_exclude import worktree_root
from scoord_hooks.in_force import in_force
from scoord_hooks.places import bash_path, shim_path
from scoord_hooks.status import Status
from scoord_hooks.status import statuses as hooks_statuses

_ANYWHERE: Final = Path("/")
"""For what the agent tells alike wherever it is asked, also where a project's name is wrong."""
_SLOW_MS: Final = 250.0
"""A hook that has to ask takes about as long; more is felt at every edit."""


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    level: Level
    text: str
    """One line, or one for each thing that is wrong with settings."""
    advice: str = ""
    """What to do; empty when there is nothing to do."""


def findings() -> list[Finding]:
    """Run every check. One that cannot be made is a finding too."""
    return list(_each_told_once(_made(name, check) for name, check in _CHECKS))


def _each_told_once(found: Iterable[Finding]) -> Iterator[Finding]:
    """What keeps several checks from being made is told by the first of them.

    It may say more of it in further lines.
    """
    told: dict[str, str] = {}
    for one in found:
        first = told.setdefault(one.text.partition("\n")[0], one.name)
        if one.level is Level.FAIL and first != one.name:
            yield Finding(one.name, Level.WARN, f"not checked; see {first}")
        else:
            yield one


def _made(name: str, check: Callable[[], Finding]) -> Finding:
    # What one check refuses does not keep the others from being made.
    allowance = nullcontext() if check is _state_dir else local.even_if_readable()
    try:
        with allowance:
            return check()
    except ScoordError as failure:
        return Finding(name, Level.FAIL, "\n".join(failure.lines))
    except Exception as failure:  # noqa: BLE001 (the others are made all the same)
        told = f"cannot be checked: {type(failure).__name__}: {failure} (a mistake of ours)"
        return Finding(name, Level.FAIL, failure_line(told))


def _python() -> Finding:
    return Finding("python", Level.OK, f"{platform.python_version()} at {sys.executable}")


def _state_dir() -> Finding:
    local.check_room()
    return Finding("state", Level.OK, f"{local.state_dir()} is private to this user, and has room")


def _git() -> Finding:
    found = shutil.which("git")
    if found:
        return Finding("git", Level.OK, found)
    advice = "install git: without it a project is known by its path, and by nobody else"
    return Finding("git", Level.WARN, "not found on PATH", advice)


def _settings() -> Finding:
    root = worktree_root(local.here())
    if faults := _wrong_here():
        text = "\n".join(faults)
        return Finding("settings", Level.FAIL, text, "correct what is named")
    text = f"load cleanly for {root or 'no repository'}"
    for found, advice in _doubts(root):
        if found:
            return Finding("settings", Level.WARN, f"{text}, but {'; '.join(found)}", advice)
    return Finding("settings", Level.OK, text)


def _doubts(root: Path | None) -> Iterator[tuple[list[str], str]]:
    """Return what settings that load may not be meant to say, and what to do."""
    wrong = [f"{name} is not read; did you mean {near}?" for name, near in misspelt(os.environ)]
    yield wrong, "rename it"
    settings = _load(root)
    yield switched_off(settings.session_coordination), "set it to true, unless that is meant"
    if root:
        yield backlog.problems(root, settings.tasks), "correct tasks:, or the file that it names"


def _wrong_here() -> list[str]:
    """Return what is wrong with the settings that hold here, a line each."""
    try:
        proof.check(_load(worktree_root(local.here())))
    except InvalidConfig as error:
        return list(error.lines)
    return []


def _load(root: Path | None) -> config.Settings:
    return config.load(root, local.config_dir(), os.environ)


def _agent() -> Finding:
    if failed := spawn.last_failure(AGENT):
        text = f"{local_client.NOT_RUNNING}\nit ended last with: {failed}"
        return Finding("agent", Level.FAIL, text, "correct that; then run: scoord up")
    agent, ours = _look(_ANYWHERE).agent, version("session-coordinator")
    text = f"runs (pid {agent.pid}, version {agent.version}) for {age(agent.uptime_s)}"
    if outdated := _outdated(agent):
        return _with_other_settings(f"{text}, with other settings: {'; '.join(outdated)}")
    if agent.version == ours:
        return Finding("agent", Level.OK, text)
    return Finding(
        "agent", Level.WARN, f"{text}, but this is {ours}", "run: scoord down; scoord up"
    )


def _with_other_settings(text: str) -> Finding:
    """Advise to begin with the settings of now only where they would work."""
    try:
        proof.prove(_load(None), _look(_ANYWHERE))
    except ScoordError as failure:
        lines = "\n".join((text, f"those of now would not work: {failure.lines[0]}"))
        return Finding("agent", Level.FAIL, lines, "correct them; then run: scoord up")
    return Finding("agent", Level.FAIL, text, "run: scoord up")


def _outdated(agent: AgentFacts) -> tuple[str, ...]:
    """Return how the agent's settings differ; settings that do not load are told by their check."""
    try:
        return differences(agent, _load(None))
    except InvalidConfig:
        return ()


def _listener() -> Finding:
    port = local.agent_port()
    if connectivity.agent_answers(port, local.token()):
        return Finding("hook port", Level.OK, f"127.0.0.1:{port} answers and takes the token")
    if not local_client.healthy() and spawn.is_listening(f"127.0.0.1:{port}"):
        taken = f"127.0.0.1:{port} is taken by another program"
        advice = "end it, or run: SCOORD_AGENT_PORT=N scoord hooks install; then: scoord up"
        return Finding("hook port", Level.FAIL, taken, advice)
    silent = f"127.0.0.1:{port} does not answer as our agent"
    return Finding("hook port", Level.FAIL, silent, "run: scoord up")


def _hook_env() -> Finding:
    file = local.hook_env_path()
    try:
        written = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Finding("hook.env", Level.FAIL, f"{file} is missing", "run: scoord up")
    fresh = f"SCOORD_PORT={local.agent_port()}\n" in written and local.token() in written
    if fresh:
        return Finding("hook.env", Level.OK, f"{file} has the agent's port and token")
    other = f"{file} has another port or token"
    return Finding("hook.env", Level.FAIL, other, "run: scoord up")


def _coordinator() -> Finding:
    if not local_client.healthy():
        settings = _load(None)  # what an agent would be started with
        proof.ask(settings)
        if failed := _failure_of_ours(settings):
            advice = "correct that; then run: scoord up"
            return Finding("coordinator", Level.FAIL, f"it ended last with: {failed}", advice)
    start = time.perf_counter()
    facts = _look(_ANYWHERE).coordinator
    took_ms = (time.perf_counter() - start) * 1000
    if not facts.connected:
        return _not_connected(facts)
    text = f"connected at {facts.address}, two questions there and back in {took_ms:.0f} ms"
    try:
        local_client.rehearse()
    except ScoordError as failure:
        why = f"connected at {facts.address}, but it takes nothing in: {failure.message}"
        return Finding("coordinator", Level.FAIL, why, "mend its store; see `scoord logs`")
    level = Level.OK if took_ms < _SLOW_MS else Level.WARN
    advice = "" if level is Level.OK else "edits wait this long for each new lock"
    return Finding("coordinator", level, text, advice)


def _failure_of_ours(settings: config.Settings) -> str:
    """Return what keeps this machine's own coordinator from running, where that is to be asked."""
    is_asked = own.may_be_ours(settings.coordinator) is not None
    return spawn.last_failure(COORDINATOR) if is_asked else ""


def _not_connected(facts: CoordinatorFacts) -> Finding:
    heard = "" if facts.heard_s is None else f", heard {age(facts.heard_s)} ago"
    why = f": {facts.why}" if facts.why else ""
    if failed := _failure_of_ours(_load(None)):
        why += f"\nit ended last with: {failed}"
    return Finding(
        "coordinator",
        Level.FAIL,
        f"{facts.standing} at {facts.address}{heard}{why}",
        "run `scoord up` if it is this machine's own; else check its address and that it runs",
    )


def _project() -> Finding:
    seen = _look(local.here())
    others = sorted(set(seen.problems) - set(_wrong_here()))
    if others:
        text = "\n".join(others)
        return Finding("project", Level.FAIL, text, "correct what is named")
    if seen.project is None:
        return Finding("project", Level.WARN, "none here", "go to a repository to check one")
    if seen.project.shared:
        return Finding("project", Level.OK, f"{seen.project.id}, by its {seen.project.named_by}")
    advice = "give it a remote, a commit, or `project:` in coordination.yaml"
    return Finding("project", Level.WARN, f"{seen.project.id} cannot meet other machines", advice)


def _hooks() -> Finding:
    """Look at every scope: one of them is enough."""
    found = hooks_statuses()
    if doubled := found[0].doubled:
        return Finding("hooks", Level.WARN, doubled, found[0].advice)
    complete = next((status for status in found if status.complete), None)
    if complete and complete.differs:
        return Finding("hooks", Level.WARN, complete.differs, complete.advice)
    if complete:
        where = " and ".join(complete.ways)
        return Finding("hooks", Level.OK, f"installed: {where}")
    if found[0].wired:
        return Finding("hooks", Level.FAIL, _first_problem(found[0]), found[0].advice)
    return Finding("hooks", Level.WARN, "not installed", found[0].advice)


def _first_problem(status: Status) -> str:
    """Return what is wrong with hooks that are there in part."""
    problems = (f"{event.event}: {event.problem}" for event in status.events if event.problem)
    return f"{status.plugin or status.settings}: {next(problems, 'incomplete')}"


def _shim() -> Finding:
    """Send a real event the way a coding CLI does at a session's start."""
    shim = shim_path()
    if not shim.exists():
        if in_force().enabled:
            return Finding("shim", Level.OK, "the plugin has its own")
        return Finding("shim", Level.WARN, "not installed", "run: scoord hooks install")
    if connectivity.shim_passes(shim, bash_path()):
        return Finding("shim", Level.OK, "brings an event to the agent, and the answer back")
    return Finding("shim", Level.FAIL, f"{shim} gets no answer", "run: scoord up")


def _claude() -> Finding:
    version = claude_version.installed()
    if version is None:
        found = "see what `claude --version` says" if claude_version.where() else "install it"
        return Finding("claude", Level.WARN, claude_version.unknown(), f"{found}, or go on")
    lacks = installed.lacks(version)
    shown = claude_version.show(version)
    if lacks:
        return Finding("claude", Level.WARN, "; ".join(lacks), "update Claude Code")
    return Finding("claude", Level.OK, f"{shown} has all that the installed hooks use")


def _look(place: Path) -> Picture:
    return picture(local_client.status(everything=False, cwd=str(place)))


_CHECKS: Final[tuple[tuple[str, Callable[[], Finding]], ...]] = (
    ("python", _python),
    ("git", _git),
    ("state", _state_dir),
    ("settings", _settings),
    ("agent", _agent),
    ("hook port", _listener),
    ("hook.env", _hook_env),
    ("coordinator", _coordinator),
    ("project", _project),
    ("hooks", _hooks),
    ("shim", _shim),
    ("claude", _claude),
)
