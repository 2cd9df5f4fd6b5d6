"""What a person asks to be installed."""

from dataclasses import dataclass
from enum import StrEnum

from scoord_hooks.claude_wiring import Transport, UnreachableAction
from scoord_hooks.places import Scope


class Way(StrEnum):
    """What carries our hooks: entries in the settings, or the plugin, with its commands."""

    SETTINGS = "settings"
    PLUGIN = "plugin"


@dataclass(frozen=True, slots=True)
class Order:
    """What to install, and where."""

    scope: Scope = Scope.USER
    transport: Transport = Transport.HTTP
    """How events are sent; those of the plugin always by command."""
    unreachable: UnreachableAction = UnreachableAction.WARN
    force: bool = False
    """Install in spite of what speaks against it."""
    way: Way = Way.SETTINGS
