"""What was ordered at the installs, as far as the settings still tell. Reads only."""

from scoord_hooks import precheck
from scoord_hooks.claude_settings import find, ordered
from scoord_hooks.claude_version import Version
from scoord_hooks.claude_wiring import Transport
from scoord_hooks.in_force import in_force
from scoord_hooks.order import Order, Way
from scoord_hooks.places import Scope, plugin_path, scopes, settings_path, shim_path
from scoord_hooks.settings_file import documents_at


def orders() -> list[Order]:
    """Return one order for each scope that has hooks of ours; empty if none has."""
    by_settings = [order for scope in scopes() if (order := _order(scope))]
    folders = dict.fromkeys(in_force().folders)
    by_plugin = [
        Order(scope, Transport.COMMAND, way=Way.PLUGIN)
        for scope in scopes()
        if plugin_path(scope) in folders
    ]
    return by_settings + by_plugin


def lacks(version: Version) -> tuple[str, ...]:
    """Return all that this Claude Code lacks for the hooks that are installed, one line each.

    Where none is, for those that would be installed if nothing else is said.
    """
    lines = (
        line
        for order in orders() or [Order()]
        for line in (*precheck.lacks(order, version), *precheck.limits(order, version))
    )
    return tuple(dict.fromkeys(lines))


def _order(scope: Scope) -> Order | None:
    found = [
        one
        for document in documents_at([settings_path(scope)])
        for one in find(document, str(shim_path()))
    ]
    return Order(scope, *ordered(found)) if found else None
