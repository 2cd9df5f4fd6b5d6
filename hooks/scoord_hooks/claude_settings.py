"""Our entries inside a Claude Code settings document: adding, finding, removing. Pure.

Entries of other people are never changed: ours are in matcher groups of their own,
after theirs. What our entries say is known to ``claude_wiring``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from scoord.errors import InvalidConfig
from scoord_hooks.claude_wiring import (
    EVENTS,
    TOKEN_NAME,
    Entries,
    Transport,
    UnreachableAction,
    Wiring,
    action_of,
    entries_of,
    is_ours,
    url,
)
from scoord_hooks.json_text import Document


@dataclass(frozen=True, slots=True)
class Found:
    """One handler of ours, and where it is."""

    event: str
    group: int
    handler: int
    values: Mapping[str, object]

    @property
    def transport(self) -> Transport:
        """How this event is sent."""
        return Transport.HTTP if self.values.get("type") == "http" else Transport.COMMAND

    @property
    def call(self) -> str:
        """What it does with its event: of several that do the same Claude Code runs one."""
        return str([self.values.get(name) for name in ("url", "command", "args")])


Named = tuple[Path, Document]
"""A settings document, and the file it is in."""


def install(
    document: Document, wiring: Wiring, backups: Sequence[Document], file: Path
) -> Document:
    """Return the document with our entries; the same one if they are there already.

    Raises InvalidConfig, naming ``file``, if something else stands where they have to go.
    """
    _check_shape(document, file)
    wanted = entries_of(wiring)
    if find_entries(document, wiring.shim).same_as(wanted):
        return document
    return _add(uninstall(document, wiring.shim, backups), wanted)


def uninstall(document: Document, shim: str, backups: Sequence[Document]) -> Document:
    """Return the document without our entries.

    If the document is one of the backups with our entries added and nothing else,
    the answer is that backup, byte for byte.
    """
    entries = find_entries(document, shim)
    if not entries.groups:
        return document
    for backup in backups:
        if not find(backup, shim) and _add(backup, entries).text == document.text:
            return backup
    return _remove(document, shim)


def find(document: Document, shim: str) -> tuple[Found, ...]:
    """Return our handlers, recognised by the agent's URL or the call of the shim."""
    return tuple(
        Found(event, group, number, handler)
        for event, group, number, handler in _handlers(document)
        if is_ours(handler, shim)
    )


def ordered(found: Sequence[Found]) -> tuple[Transport, UnreachableAction]:
    """Return what was asked for at the install, as far as our handlers still tell.

    Where there are none: what is installed if nothing is said.
    """
    by_http = not found or any(one.transport is Transport.HTTP for one in found)
    # A session's start is a command by either transport, and names what becomes of an edit.
    actions = (action_of(one.values) for one in found if one.transport is Transport.COMMAND)
    action = next(filter(None, actions), UnreachableAction.WARN)
    return Transport.HTTP if by_http else Transport.COMMAND, action


def find_entries(document: Document, shim: str) -> Entries:
    """Return all that is ours: whole groups, less the handlers other people put in."""
    ours: dict[tuple[str, int], list[Mapping[str, object]]] = {}
    for found in find(document, shim):
        ours.setdefault((found.event, found.group), []).append(found.values)
    groups = []
    for (event, number), handlers in ours.items():
        group = document.value(("hooks", event, number))
        assert isinstance(group, dict)  # noqa: S101 (find() came through it)
        groups.append((event, {**group, "hooks": handlers}))
    token = document.value(("env", TOKEN_NAME)) if _any_http(groups) else ""
    return Entries(tuple(groups), token if isinstance(token, str) else "")


def _check_shape(document: Document, file: Path) -> None:
    """Raise InvalidConfig if what our entries go into is not what Claude Code reads."""
    for place, kind, name in (
        (("hooks",), "{", "an object"),
        (("env",), "{", "an object"),
        *((("hooks", event), "[", "an array") for event in EVENTS),
    ):
        if document.kind(place) not in ("", kind):
            what = f'"{".".join(place)}" must be {name}'
            raise InvalidConfig(f"{file}: {what}; nothing was changed")


def objections(settings: Named, others: Sequence[Named], wiring: Wiring) -> tuple[str, ...]:
    """Return why our entries would not work or would hurt, one line each, with the file.

    ``others`` are the further settings files that Claude Code reads here.
    """
    everywhere = (settings, *others)
    found = switched_off(everywhere)
    if wiring.transport is Transport.HTTP:
        found += _http_objections(settings, everywhere, wiring)
    return tuple(found)


def switched_off(everywhere: Sequence[Named]) -> list[str]:
    """Return why no hook would run at all, one line for each file that says so."""
    return [
        f'{file}: "disableAllHooks" is true, so no hook runs; remove it'
        for file, document in everywhere
        if disables_all(document)
    ]


def disables_all(document: Document) -> bool:
    """Whether settings have Claude Code run no hook, whoever's it is."""
    return document.value(("disableAllHooks",)) is True


def _http_objections(settings: Named, everywhere: Sequence[Named], wiring: Wiring) -> Iterator[str]:
    file, document = settings
    kept = document.value(("env", TOKEN_NAME))
    if kept is not None and kept != wiring.token and not find(document, wiring.shim):
        yield f'{file}: "env" already has another {TOKEN_NAME}; rename that one'
    advice = "or use --transport command"
    where, urls = _gate(everywhere, "allowedHttpHookUrls")
    ours = url(wiring, EVENTS[-1])
    if where and not any(_matches(pattern, ours) for pattern in urls):
        allowed = url(wiring, "*")
        yield f'{where}: "allowedHttpHookUrls" does not allow the agent; add "{allowed}", {advice}'
    where, names = _gate(everywhere, "httpHookAllowedEnvVars")
    if where and TOKEN_NAME not in names:
        yield f'{where}: "httpHookAllowedEnvVars" does not allow {TOKEN_NAME}; add it, {advice}'


def _gate(everywhere: Sequence[Named], name: str) -> tuple[str, list[object]]:
    """Return which files have a gate, and what it lets through in all of them together."""
    lists = [(file, document.value((name,))) for file, document in everywhere]
    known = [(file, names) for file, names in lists if isinstance(names, list)]
    files = ", ".join(str(file) for file, _ in known)
    return files, list(chain.from_iterable(names for _, names in known))


def _matches(pattern: object, url: str) -> bool:
    parts = map(re.escape, str(pattern).split("*"))
    return re.fullmatch(".*".join(parts), url) is not None


def _add(document: Document, entries: Entries) -> Document:
    if document.kind(("hooks",)) == "":
        document = document.with_member((), "hooks", {})
    for event, group in entries.groups:
        if document.kind(("hooks", event)) == "":
            document = document.with_member(("hooks",), event, [group])
        else:
            document = document.with_item(("hooks", event), group)
    if not entries.token:
        return document
    if document.kind(("env",)) == "":
        return document.with_member((), "env", {TOKEN_NAME: entries.token})
    return document.with_member(("env",), TOKEN_NAME, entries.token)


def _remove(document: Document, shim: str) -> Document:
    token = find_entries(document, shim).token
    # From the last to the first, so that the numbers before stay right.
    for found in reversed(find(document, shim)):
        handlers = ("hooks", found.event, found.group, "hooks")
        document = document.without((*handlers, found.handler))
        document = _drop_emptied(document, handlers)
    if token and document.kind(("env", TOKEN_NAME)):
        document = _drop_emptied(document.without(("env", TOKEN_NAME)), ("env",))
    return document


def _drop_emptied(document: Document, place: tuple[str | int, ...]) -> Document:
    """Take out what has just become empty, then what that leaves empty."""
    if document.steps(place):
        return document
    if place and place[-1] == "hooks" and len(place) > 1:
        place = place[:-1]  # a group without handlers is nothing, whatever its matcher
    document = document.without(place)
    return _drop_emptied(document, place[:-1]) if len(place) > 1 else document


def _handlers(document: Document) -> Iterator[tuple[str, int, int, Mapping[str, object]]]:
    hooks = document.value(("hooks",))
    for event, groups in hooks.items() if isinstance(hooks, dict) else ():
        for number, group in enumerate(groups if isinstance(groups, list) else ()):
            handlers = group.get("hooks") if isinstance(group, dict) else None
            for at, handler in enumerate(handlers if isinstance(handlers, list) else ()):
                if isinstance(handler, dict):
                    yield event, number, at, handler


def _any_http(groups: Sequence[tuple[str, Mapping[str, object]]]) -> bool:
    return any(
        isinstance(handlers := group["hooks"], list)
        and any(handler.get("type") == Transport.HTTP for handler in handlers)
        for _, group in groups
    )
