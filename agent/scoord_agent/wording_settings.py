"""What is told of settings: that they do not load, or that by them nothing works or is locked.

As in ``wording.py``: every text is shown on one line, stripped and bounded.
"""

from scoord.sections import SessionCoordination
from scoord.text import failure, one_line

_MOST_SHOWN = 300
"""Characters of one fault beside other work; some name all keys there are."""


def problem(error: str) -> str:
    """Settings that do not load: the first fault, and how many more there are."""
    first, *more = error.splitlines()
    shown = one_line(first, _MOST_SHOWN)
    rest = f" (and {len(more)} more: `scoord doctor` says all)" if more else ""
    return f"⚠️ Settings are not in force, the last good ones are: {shown}{rest}"


def mending(error: str) -> str:
    """What is said of an edit of the settings that name the project, while they do not load."""
    told = "\n".join(map(failure, error.splitlines()))
    return f"⚠️ Let through without a lock, and nothing else here is until it is mended: {told}"


def switched_off(settings: SessionCoordination) -> list[str]:
    """Why no edit is ever refused, one line for each setting that says so."""
    found = []
    if not settings.auto_register:
        found.append("auto_register is false, so sessions are not registered and lock nothing")
    if not settings.enable_file_locks:
        found.append("enable_file_locks is false, so nothing is locked")
    return found


def port_taken(port: int) -> str:
    """Why no agent can listen on its port, and what to do."""
    return (
        f"port {port} is taken by another program: end it, or set"
        " SCOORD_AGENT_PORT and run `scoord hooks install` again"
    )
