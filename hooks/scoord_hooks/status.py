"""What is installed, and whether it is what this machine's agent needs. Reads only."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from scoord.local import agent_port, token
from scoord_hooks import claude_version, plugin_folder, settings_file, unreachable
from scoord_hooks.claude_settings import Found, disables_all, find, find_entries, ordered
from scoord_hooks.claude_wiring import (
    EVENTS,
    STOP_FAILURE,
    Transport,
    UnreachableAction,
    Wiring,
    entries_of,
    is_exec_form,
    words_of,
)
from scoord_hooks.connectivity import agent_answers
from scoord_hooks.in_force import InForce, disabled_in, in_force
from scoord_hooks.json_text import Document
from scoord_hooks.places import (
    Scope,
    bash_path,
    other_settings_paths,
    packaged_shim,
    plugin_path,
    scope_option,
    scopes,
    settings_path,
    shim_path,
)
from scoord_hooks.plugin_folder import State
from scoord_hooks.plugin_wiring import EXPANSION, FOLDER_ID
from scoord_hooks.settings_file import documents_at

_OFF: Final = "disableAllHooks is true, so it does not run"

Group = Mapping[str, object]
"""A matcher group of Claude Code's settings."""


@dataclass(frozen=True, slots=True)
class EventStatus:
    """One event: whether it is sent to the agent, how, and what is wrong with it."""

    event: str
    transport: Transport | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything about the hooks of one scope."""

    settings: Path
    events: tuple[EventStatus, ...]
    agent: bool
    ways: tuple[str, ...] = ()
    """What carries hooks of ours, in whatever scope."""
    doubled: str = ""
    """What is wrong with being wired in two ways at once; empty if it is not."""
    differs: str = ""
    """What the settings say otherwise than what is installed does; empty if they do not.

    It may be meant: ``--unreachable-action`` is for that. So it is nothing that is wrong.
    """
    advice: str = ""
    """What to do; empty if there is nothing to do."""
    plugin: Path | None = None
    """The plugin's folder, where that carries the hooks of this scope."""

    @property
    def wired(self) -> bool:
        """Whether any event of this scope is sent, however well."""
        return any(event.transport for event in self.events)

    @property
    def complete(self) -> bool:
        """Whether every event is installed, and once, and nothing is wrong with any."""
        return _is_sound(self.events) and not self.doubled


def statuses() -> tuple[Status, ...]:
    """Look at every scope there is here; those that are wired come first."""
    return tuple(sorted(map(status, scopes()), key=lambda one: not one.wired))


def status(scope: Scope) -> Status:
    """Look at one settings file. Raises InvalidConfig if it is not JSON."""
    settings = settings_path(scope)
    document = settings_file.read(settings).document()
    seen = _look(scope, document)
    now, folder = in_force(), plugin_path(scope)
    by_plugin = not seen.found and (folder in now.folders or bool(now.enabled))
    if by_plugin:
        problem = _plugin_problem(scope, off=seen.off)
        names = (*EVENTS, EXPANSION)
        events = tuple(EventStatus(event, Transport.COMMAND, problem) for event in names)
    else:
        events = tuple(_event_status(event, seen) for event in seen.wanted)
    is_sound = _is_sound(events)
    # What is wrong is mended first, with what was asked for then.
    differs = unreachable.difference(scope, seen.unreachable) if seen.found and is_sound else ""
    advice = "" if is_sound else _advice(scope, seen, now)
    return Status(
        settings,
        events,
        agent_answers(agent_port(), token()),
        now.ways,
        now.doubled,
        differs,
        now.remedy or (f"run: {seen.plain}" if differs else advice),
        folder if by_plugin and folder in now.folders else None,
    )


def _is_sound(events: Sequence[EventStatus]) -> bool:
    return all(event.transport and not event.problem for event in events)


def _advice(scope: Scope, seen: "_Seen", now: InForce) -> str:
    """What to do about hooks that are missing or wrong: only what would not be refused."""
    if plugin_path(scope) in now.folders:
        return f"run: scoord hooks install --as plugin{scope_option(settings_path(scope))}"
    if not seen.found and now.ways:
        other = next(each for each in Scope if each is not scope)
        return f"nothing is wired in this scope; see: scoord hooks status --scope {other}"
    return f"run: {seen.command}"


def _plugin_problem(scope: Scope, *, off: bool) -> str:
    """Return what keeps the plugin from working; empty if nothing does."""
    folder = plugin_path(scope)
    if off:
        return _OFF
    if disabled := disabled_in():
        return f"{FOLDER_ID} is turned off in {disabled[0]}"
    if plugin_folder.state(folder) is State.OUTDATED:
        return f"{folder} is of another version; run `scoord hooks install --as plugin` again"
    return ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that the states of the events are told from."""

    off: bool
    found: Mapping[str, Found]
    groups: Mapping[str, Sequence[Group]]
    token: str
    wanted: Mapping[str, Group]
    unreachable: UnreachableAction
    """What was asked for at the install."""
    plain: str
    """What installs the same, but for that: as the settings say."""
    command: str
    """What installs the same once more."""


def _look(scope: Scope, document: Document) -> _Seen:
    shim = str(shim_path())
    found, written = find(document, shim), find_entries(document, shim)
    wiring = _wiring_of(found)
    groups: dict[str, list[Group]] = {}
    for event, group in written.groups:
        groups.setdefault(event, []).append(group)
    return _Seen(
        off=_switched_off(scope, document),
        found={one.event: one for one in found},
        groups=groups,
        token=written.token,
        wanted=dict(entries_of(wiring).groups),
        unreachable=wiring.unreachable,
        plain=_plain(scope, wiring),
        command=_command(scope, wiring),
    )


def _wiring_of(found: Sequence[Found]) -> Wiring:
    """What was asked for at the install, as far as the entries still tell."""
    transport, action = ordered(found)
    commands = (one.values for one in found if one.transport is Transport.COMMAND)
    return Wiring(
        transport=transport,
        port=agent_port(),
        token=token(),
        shim=str(shim_path()),
        bash=bash_path(),
        exec_form=any(map(is_exec_form, commands)),
        unreachable=action,
        tells_failures=_tells_failures({one.event for one in found}),
    )


def _tells_failures(wired: Collection[str]) -> bool:
    """Whether StopFailure is to be there. Only where it is not, its version is asked for."""
    if not wired or STOP_FAILURE in wired:
        return True
    return claude_version.STOP_FAILURE.is_in(claude_version.installed())


def _command(scope: Scope, wiring: Wiring) -> str:
    """What installs the same once more."""
    plain = _plain(scope, wiring)
    if wiring.unreachable is UnreachableAction.WARN:
        return plain
    return f"{plain} --unreachable-action {wiring.unreachable}"


def _plain(scope: Scope, wiring: Wiring) -> str:
    """What installs the same, with what the settings say of the agent's being gone."""
    words = ["scoord hooks install"]
    if scope is Scope.PROJECT:
        words.append("--scope project")
    if wiring.transport is Transport.COMMAND:
        words.append("--transport command")
    return " ".join(words)


def _switched_off(scope: Scope, document: Document) -> bool:
    others = documents_at(other_settings_paths(scope))
    return any(map(disables_all, (document, *others)))


def _event_status(event: str, seen: _Seen) -> EventStatus:
    found = seen.found.get(event)
    if found is None:
        return EventStatus(event, None, "not installed")
    if seen.off:
        return EventStatus(event, found.transport, _OFF)
    problem = _problem(found, seen)
    again = f"{problem}; run `{seen.command}` again"
    return EventStatus(event, found.transport, again if problem else "")


def _problem(found: Found, seen: _Seen) -> str:
    check = _command_problem(found) if found.transport is Transport.COMMAND else ""
    http = _http_problem(found, seen.token) if found.transport is Transport.HTTP else ""
    return check or http or _difference(seen.groups[found.event], seen.wanted[found.event])


def _http_problem(found: Found, written_token: str) -> str:
    if urlsplit(str(found.values["url"])).port != agent_port():
        return f"another port than the agent's {agent_port()}"
    return "" if written_token == token() else "another token than the agent's"


def _command_problem(found: Found) -> str:
    shim = shim_path()
    if str(shim) not in words_of(found.values):
        return f"calls another shim than {shim}"
    if not os.access(shim, os.R_OK):
        return f"{shim} is missing"
    same = shim.read_bytes() == packaged_shim()
    return "" if same else f"{shim} is of another version"


def _difference(groups: Sequence[Group], wanted: Group) -> str:
    """Return what differs from what this version installs; empty if nothing does."""
    fields = [_fields(group) for group in groups]
    if len(fields) > 1 or fields[0] is None:
        return "installed more than once"
    now, then = fields[0], _fields(wanted) or {}
    changed = (name for name in {**then, **now} if now.get(name) != then.get(name))
    return ", ".join(_said(name, now.get(name), then.get(name)) for name in changed)


def _fields(group: Group) -> dict[str, object] | None:
    """Return a group and its handler as one; None if it has several."""
    handlers = group["hooks"]
    assert isinstance(handlers, list)  # noqa: S101 (they were found in it)
    rest = {name: value for name, value in group.items() if name != "hooks"}
    return {**rest, **handlers[0]} if len(handlers) == 1 else None


def _said(name: str, now: object, then: object) -> str:
    if now is None:
        return f"{name} is missing, should be {json.dumps(then)}"
    if then is None:
        return f"{name} was added"
    return f"{name} is {json.dumps(now)}, should be {json.dumps(then)}"
