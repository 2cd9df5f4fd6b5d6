"""What a command asks the desk for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wish:
    """What a command in ``cwd`` wants for the session above the process ``pid``."""

    cwd: str
    paths: tuple[str, ...]
    pid: int
    reason: str = ""
    shared: bool = False
    lasts_s: float = 0.0
    """The locks end by themselves after so many seconds; 0 is never."""
    refused: tuple[tuple[str, str], ...] = ()
    """What the same command was refused last, as it waits: projects, and paths or patterns
    as they are compared."""
    new: tuple[tuple[str, str], ...] = ()
    """What it was granted and does not want any more, likewise."""
    lasting: bool = False
    """The process ends with its answer; what it takes is to be held on."""


@dataclass(frozen=True, slots=True)
class Breaking:
    """Which grant the process ``pid`` in ``cwd`` wants to be over, and why."""

    cwd: str
    pid: int
    path: str
    token: int
    by: str
    """The person, as they call themselves."""
    reason: str
