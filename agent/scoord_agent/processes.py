"""Which process is behind a session, and whether it still runs.

A process id alone is reused; with its start time it names one process for ever.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from scoord.clock import boot_id

_TERMINAL_SHELLS = frozenset({"bash", "zsh", "fish", "sh", "dash", "ksh", "tcsh", "nu", "pwsh"})

_INITS = frozenset(
    {
        *("init", "systemd", "launchd", "runit", "s6-svscan", "openrc-init"),
        *("tini", "dumb-init", "docker-init", "catatonit", "pause", "sleep", "tail"),
    }
)
"""What is the first process, or stands in for it, and is nobody's coding CLI."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process, for ever."""

    pid: int
    started: float
    """Start time, as this system tells it: on Linux in clock ticks since boot, which no
    correction of the wall clock moves; elsewhere in seconds since 1970."""


def find(pid: int) -> Process | None:
    """The running process with this id; None when there is none that we may see."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Process(pid, _started(process))
    except (psutil.Error, OSError, ValueError, OverflowError):
        return None


def mark(pid: int) -> str:
    """One word for the running process with this id, and for no other; empty if there is none.

    Ticks since boot name it within one boot, if the system tells which; seconds since 1970
    do without.
    """
    process, boot = find(pid), boot_id() if psutil.LINUX else ""
    return f"{process.started}@{boot}" if process else ""


def is_running(process: Process) -> bool:
    """Whether it still runs; a zombie does not. One that cannot be looked at counts as running.

    For want of descriptors or memory every look fails, and would end every session here.
    """
    found = find(process.pid)
    return found == process if found else not is_gone(process.pid)


def is_gone(pid: int) -> bool:
    """Whether there is none with this id, or a zombie; one that we may not look at is there."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError, ValueError, OverflowError):
        return False


def client_of_connection(port: int) -> int | None:
    """The id of our user's process whose TCP connection on loopback leaves from ``port``.

    It looks through every process of the user: some milliseconds, so it is for
    sessions that never announced themselves, not for every event.
    """
    for process in psutil.process_iter():
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:
            continue
        if any(c.status != psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
            return process.pid
    return None


def ancestors(pid: int) -> list[int]:
    """The process itself and those above it, nearest first.

    Step by step: psutil's own ``parents()`` reads every process of the machine.
    """
    found: list[int] = []
    while pid > 0 and pid not in found:
        try:
            above = psutil.Process(pid).ppid()
        except psutil.Error:
            break
        found.append(pid)
        pid = above
    return found


def tty_of(pid: int) -> str:
    """The terminal that a process runs in, as ``pts/3``; empty when there is none."""
    try:
        return _pts_of(pid) or (psutil.Process(pid).terminal() or "").removeprefix("/dev/")
    except (psutil.Error, OSError):
        return ""


def _pts_of(pid: int) -> str:
    """As Linux tells it: psutil knows only the terminals that were there when it first looked."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return ""
    device = int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[4])
    name = Path(f"/dev/pts/{os.minor(device)}")
    return f"pts/{name.name}" if name.exists() and name.stat().st_rdev == device else ""


def command_of(pid: int) -> list[str]:
    """The executable of a process and its arguments; empty when they may not be seen."""
    try:
        process = psutil.Process(pid)
        return [process.exe(), *process.cmdline()]
    except (psutil.Error, OSError):
        return []


def behind_shells(pid: int) -> int | None:
    """``pid``, or the first process above it that is not a shell; None where that is init.

    A hook that a CLI runs as a shell line has that shell as its parent, which
    ends with the hook. One whose CLI has ended is init's.
    """
    found = next((p for p in ancestors(pid) if _name(p) not in _TERMINAL_SHELLS), pid)
    return None if _is_init(found) else found


def terminal_of(pid: int) -> int | None:
    """The shell above ``pid`` that a person types into, else its parent; None without either.

    What only took it in, since its parent had ended, is neither: it has all terminals of a
    machine below it, and never ends.
    """
    above = [each for each in ancestors(pid)[1:] if not _has_taken_in(each, pid)]
    return next(filter(_is_shell, above), above[0] if above else None)


def _has_taken_in(above: int, pid: int) -> bool:
    """Whether ``above`` has not started ``pid``, as far as can be told, or is init.

    The first process of a container may be anything, and have started what is below it:
    that is in one terminal session with it. What it took in is not, nor what a server runs.
    """
    if _is_init(above):
        return True
    is_first = above == 1
    if not is_first and (_is_shell(above) or _parent(above) > 1):
        return False
    if is_first and _is_shell(above) and tty_of(above):
        return False
    return _terminal_session(above) != _terminal_session(pid)


def _is_init(pid: int) -> bool:
    # In this order: hooks ask, and hardly any process has such a name.
    return _name(pid) in _INITS and _parent(pid) <= 1


def _is_shell(pid: int) -> bool:
    return _name(pid).lstrip("-") in _TERMINAL_SHELLS


def _parent(pid: int) -> int:
    return next(iter(ancestors(pid)[1:]), 0)


def _terminal_session(pid: int) -> int:
    """As ``setsid`` makes it; another one for each process that may not be seen."""
    try:
        return os.getsid(pid)
    except OSError:
        return -pid


def _started(process: psutil.Process) -> float:
    if not psutil.LINUX:
        return process.create_time()
    # Field 22 of proc(5); the name before it, in parentheses, may hold anything.
    stat = Path(f"/proc/{process.pid}/stat").read_bytes()
    return float(stat.rpartition(b")")[2].split()[19])


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""
