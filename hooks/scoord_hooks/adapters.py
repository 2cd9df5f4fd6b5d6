"""The coding CLIs we can speak with: a name to its dialect."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from scoord.errors import InvalidRequest
from scoord_hooks import claude_code, claude_version
from scoord_hooks.neutral import Decision, HookEvent


class Adapter(Protocol):
    """One coding CLI's dialect. Pure: no files, no network, no clock."""

    def parse(self, name: str, body: Mapping[str, object]) -> HookEvent:
        """Read one event. Raises InvalidRequest, naming the field that is wrong."""

    def render(self, event_name: str, decision: Decision) -> dict[str, object]:
        """Return the CLI's own JSON for a decision."""

    def refusal(self, event_name: str, message: str) -> dict[str, object]:
        """Return the CLI's own JSON for an event that could not be read."""


_ADAPTERS: Final[Mapping[str, Adapter]] = {claude_code.CLIENT: claude_code}

_VERSIONS: Final[Mapping[str, Callable[[Sequence[str]], str]]] = {
    claude_code.CLIENT: claude_version.running
}


def running_version(client: str, command: Sequence[str]) -> str:
    """Return the version of a coding CLI by its executable and arguments; empty if unknown.

    It reads small files.
    """
    find = _VERSIONS.get(client)
    return find(command) if find else ""


def adapter(client: str) -> Adapter:
    """Return the dialect of a coding CLI. Raises InvalidRequest with the known names."""
    try:
        return _ADAPTERS[client]
    except KeyError:
        known = ", ".join(sorted(_ADAPTERS))
        raise InvalidRequest(
            f"no coding CLI is known as {client[:100]!r}; known are: {known}"
        ) from None
