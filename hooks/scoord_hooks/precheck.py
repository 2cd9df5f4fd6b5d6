"""What speaks against an installation, or is worth a note: one line each.

Looks at this machine, and changes nothing.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scoord.errors import NotAllowed
from scoord.local import here
from scoord_hooks import claude_version, git_exclude
from scoord_hooks.claude_version import Version
from scoord_hooks.claude_wiring import Transport, UnreachableAction
from scoord_hooks.json_text import Document
from scoord_hooks.order import Order, Way
from scoord_hooks.places import Scope

_AGAIN: Final = "install again once claude --version answers"
_PROXIES: Final = ("https_proxy", "http_proxy", "all_proxy")


def refuse(order: Order, reasons: Sequence[str]) -> None:
    """Raise NotAllowed with all that speaks against it, unless it is to be done all the same."""
    if reasons and not order.force:
        raise NotAllowed("; ".join(reasons) + " (or --force); nothing was changed")


def nowhere(order: Order) -> tuple[str, ...]:
    """Return that there is no checkout whose sessions would be meant."""
    if order.scope is Scope.USER or git_exclude.worktree_root(here()):
        return ()
    return (f"{here()} is in no repository; go to one, or wire all your sessions: --scope user",)


def lacks(order: Order, version: Version | None) -> tuple[str, ...]:
    """Return why this Claude Code would call none of our hooks."""
    plugin = order.way is Way.PLUGIN
    feature = claude_version.PLUGIN_FOLDERS if plugin else claude_version.HTTP_HOOKS
    if (plugin or order.transport is Transport.HTTP) and version and feature.missing_in(version):
        return (feature.complaint(version),)
    return ()


def limits(order: Order, version: Version | None) -> tuple[str, ...]:
    """Return what this Claude Code does less well than a newer one."""
    if version is None:
        unchecked = f"{claude_version.unknown()}, so it was not checked what it lacks"
        if order.way is Way.PLUGIN:
            return (unchecked,)
        return (f"{unchecked}, and {claude_version.STOP_FAILURE.name} was left out; {_AGAIN}",)
    if order.way is Way.PLUGIN:
        return ()
    needed = [claude_version.STOP_FAILURE]
    if order.transport is Transport.COMMAND:
        needed.append(claude_version.EXEC_FORM)
    elif order.unreachable is UnreachableAction.BLOCK:
        needed.append(claude_version.ON_FAILURE)
    return tuple(need.complaint(version) for need in needed if need.missing_in(version))


def detours(order: Order, settings: Sequence[Document]) -> tuple[str, ...]:
    """Return why posts to the agent would leave the machine.

    Claude Code sends http hooks through a proxy too, loopback or not: with the token
    and the content of every edit.
    """
    variables = _environment(settings)
    through = next((variables[name] for name in _PROXIES if variables.get(name)), "")
    direct = [host.strip().partition(":")[0] for host in variables.get("no_proxy", "").split(",")]
    if order.transport is Transport.COMMAND or not through or {"127.0.0.1", "*"} & set(direct):
        return ()
    # Without the user and password that a proxy's URL may hold.
    why = f"Claude Code would send http hooks through the proxy {through.rpartition('@')[2]}"
    return (f"{why}; add 127.0.0.1 to NO_PROXY, or use --transport command",)


def _environment(settings: Sequence[Document]) -> dict[str, str]:
    """Return the variables Claude Code would have here, with names in lower case."""
    variables = {name.lower(): value for name, value in os.environ.items()}
    for document in settings:
        block = document.value(("env",))
        for name, value in block.items() if isinstance(block, dict) else ():
            variables[name.lower()] = str(value)
    return variables


def leaks(order: Order, settings: Path) -> tuple[str, ...]:
    """Return why the token would become public."""
    if order.transport is Transport.COMMAND:
        return ()
    file = Path(os.path.realpath(settings))
    is_tracked = git_exclude.is_tracked(file)
    if is_tracked is None:
        why = f"git does not say whether it tracks {file}, which has the agent's token then"
        return (f"{why}; see what git ls-files says there, or use --transport command",)
    why = f"git tracks {file}, so the agent's token would be committed"
    mend = "run git rm --cached on it, or use --transport command"
    return (f"{why}; {mend}",) if is_tracked else ()
