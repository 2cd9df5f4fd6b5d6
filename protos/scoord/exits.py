"""What the exit code of every program and command says. It knows none of them.

Scripts branch on these, so they change with a major version only.
"""

from typing import Final

from scoord.errors import BadRequest, Refused, ScoordError, Unknown

DONE: Final = 0
REFUSED: Final = 1
"""Held by another, not found, not allowed; or a check that failed."""
USAGE: Final = 2
"""Asked wrongly. Click uses the same number."""
UNREACHABLE: Final = 3
"""The outcome is not known: the agent, the coordinator or its store cannot be asked."""
CRASHED: Final = 70
"""A mistake of ours (``EX_SOFTWARE``)."""
INTERRUPTED: Final = 130
"""Ended by Ctrl-C, as a shell would say it."""


def exit_code(error: ScoordError) -> int:
    """Return the exit code for a failure of the catalogue."""
    if isinstance(error, Refused):
        return REFUSED
    if isinstance(error, BadRequest):
        return USAGE
    return UNREACHABLE if isinstance(error, Unknown) else CRASHED
