"""What one user has on one machine: directories, token, port, machine id.

The hooks, the agent and the command line meet through these files, so that none
of them has to be told where the others are. XDG directories on every system,
macOS included. It does not know what any of the programs does with them.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shlex
import socket
import stat
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import IO

from scoord.errors import InvalidConfig, InvalidPath, NotAllowed, ScoordError
from scoord.ids import MachineId

FIRST_PORT = 7790
"""The first of the ports of which an agent takes one."""

_PORTS_TRIED = 100
_FIRST_UID = 1000  # of the first ordinary user on most systems, who has the first port
_UIDS_APART = 99  # as many in a row have one each; by 100, root would have the first user's
_ROOM_BYTES = 16 * 1024  # for pid files and a first line in each log
_SOCKET_PATH_BYTES = 100  # macOS allows 103, Linux 107

_ALL = 0o077
_WRITE = 0o022
_closed_to = ContextVar("_closed_to", default=_ALL)
"""What others may not do with the state directory."""


def state_dir() -> Path:
    """Return the private directory (0700) of this user's agent; made if missing.

    Raises NotAllowed if it belongs to someone else, is open to others (but see
    ``even_if_readable``), cannot be made or there is no home for it, InvalidConfig if it
    would be another one in every folder.
    """
    named = os.environ.get("SCOORD_STATE_DIR")
    if named and not Path(named).is_absolute():
        raise InvalidConfig(f"SCOORD_STATE_DIR: {named!r} is not an absolute path")
    path = Path(named) if named else _xdg("XDG_STATE_HOME", ".local/state")
    return _private_dir(path, _closed_to.get())


@contextlib.contextmanager
def even_if_readable() -> Iterator[None]:
    """Have ``state_dir`` return a directory that others may read, but not write to.

    To see what runs there, and to end it: what it says is its user's all the same.
    """
    before = _closed_to.set(_WRITE)
    try:
        yield
    finally:
        _closed_to.reset(before)


def config_dir() -> Path:
    """Return where this user's settings are; it may not exist. Raises as ``user_home``."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def user_home() -> Path:
    """Return this user's home directory.

    Raises NotAllowed if there is none, as of a user that only a container knows, or if it
    would be another one in every folder.
    """
    try:
        home = Path.home()
    except RuntimeError as failure:
        raise NotAllowed("this user has no home directory; set HOME") from failure
    if not home.is_absolute():
        raise NotAllowed(f"HOME: {str(home)!r} is not an absolute path; set it to one")
    return home


def here() -> Path:
    """Return the current directory. Raises InvalidPath if it was removed under us.

    Likewise if its name is not UTF-8: nobody could be told of it.
    """
    try:
        return Path(check_utf8(str(Path.cwd())))
    except OSError as failure:
        raise InvalidPath("this directory is gone; change to one that exists") from failure


def check_utf8(folder: str) -> str:
    """Return ``folder`` if its name can be sent and shown. Raises InvalidPath."""
    try:
        folder.encode()
    except UnicodeEncodeError as failure:
        raise InvalidPath(f"the name of the folder {folder!a} is not UTF-8; rename it") from failure
    return folder


def token() -> str:
    """Return the secret that the agent's listener asks for; made at the first call."""
    return _read_or_make(state_dir() / "token", lambda: secrets.token_urlsafe(32))


def machine_id() -> MachineId:
    """Return the random name of this user on this machine; made at the first call."""
    return MachineId(_read_or_make(state_dir() / "machine-id", lambda: uuid.uuid4().hex))


def agent_port() -> int:
    """Return the agent's port: ``SCOORD_AGENT_PORT``, else chosen once and kept.

    The variable alone changes nothing for programs that do not have it; see
    ``keep_agent_port``. Raises InvalidConfig if what is set or kept is not a port,
    or none is free.
    """
    named = os.environ.get("SCOORD_AGENT_PORT")
    if named:
        return _port(named, "SCOORD_AGENT_PORT")
    file = state_dir() / "port"
    return _port(_read_or_make(file, lambda: str(_free_port())), str(file))


def keep_agent_port() -> int:
    """Return the agent's port, and make it the one of every later start, and of the hooks.

    Raises InvalidConfig as ``agent_port`` does, NotAllowed if it cannot be written.
    """
    port, file = agent_port(), state_dir() / "port"
    line = f"{port}\n"
    if _read_text(file) != line:
        with writable(file):
            atomic_write(file, line.encode())
    return port


def socket_path() -> Path:
    """Return the agent's Unix socket: one for each state directory, at most 100 bytes long.

    It follows the state directory and nothing else, so that programs started from
    a desktop, a cron job or a terminal that outlived its login find the same agent.
    """
    home = state_dir()
    path = home / "agent.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    # Known to all, so anyone may have made it first: checked to be ours.
    return _private_dir(Path("/tmp") / f"scoord-{os.geteuid()}") / f"{digest}.sock"  # noqa: S108


def hook_env_path() -> Path:
    """Return the file from which the hook shim learns port, token and interpreter."""
    return state_dir() / "hook.env"


def write_hook_env(unreachable: str = "warn") -> Path:
    """Write what the hook shim needs, as lines a shell can source; return the file.

    ``unreachable`` is what becomes of an edit when the agent cannot be asked, where
    the hook itself does not say it.
    """
    values = {
        "SCOORD_PORT": str(agent_port()),
        "SCOORD_TOKEN": token(),
        "SCOORD_PYTHON": sys.executable,
        "SCOORD_STATE_DIR": str(state_dir()),
        "SCOORD_UNREACHABLE": unreachable,
    }
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    path = hook_env_path()
    if _read_text(path) != lines:
        with writable(path):
            atomic_write(path, lines.encode())
    return path


def put_back(token: str, machine: MachineId, port: int) -> None:
    """Write again what is gone from the state directory, as a program that runs read it there.

    What others have made anew since stays. Raises NotAllowed if it cannot be written.
    """
    home = state_dir()
    for name, line in (("token", token), ("machine-id", machine), ("port", str(port))):
        _read_or_make(home / name, partial(str, line))


def atomic_write(
    path: Path,
    data: bytes,
    mode: int = 0o600,
    most: int = 0o777,
    before_replace: Callable[[], None] = lambda: None,
) -> None:
    """Replace a file so that readers, and a crash, see it whole: old or new.

    A symlink is followed and stays. An existing file keeps its owner and mode;
    ``mode`` is for a new one, and neither has a permission that is not in ``most``.
    ``before_replace`` runs at the last moment, and stops
    it by raising. Raises OSError; the old file is then untouched.
    """
    target = Path(os.path.realpath(path))
    with _temporary_beside(target) as file:
        _take_over_metadata(target, file.fileno(), mode, most)
        _write_through(file, data)
        before_replace()
        Path(file.name).replace(target)
    _sync_directory(target.parent)


def read_lines(path: Path) -> list[bytes]:
    """Return the lines of what was written line by line; none of what cannot be read.

    Bytes: a damaged one costs its own line alone.
    """
    try:
        return path.read_bytes().split(b"\n")
    except OSError:
        return []


def check_room() -> None:
    """Raise NotAllowed if nothing can be written to the state directory."""
    home = state_dir()
    with writable(home), _temporary_beside(home / "room") as file:
        _write_through(file, bytes(_ROOM_BYTES))


@contextlib.contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn the system's failure to write ``path`` into NotAllowed, with what to do."""
    try:
        yield
    except OSError as failure:
        raise _unusable(path, failure) from failure


@contextlib.contextmanager
def alone(purpose: str) -> Iterator[None]:
    """Wait until no other process of this user does the same, e.g. a second ``up``.

    Raises NotAllowed if it cannot be told from the state directory.
    """
    path = state_dir() / f"{purpose}.lock"
    with writable(path):
        file = path.open("w")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _xdg(variable: str, below_home: str) -> Path:
    """Return our directory by the XDG rules, which ignore a relative setting."""
    named = Path(os.environ.get(variable, ""))
    return (named if named.is_absolute() else user_home() / below_home) / "scoord"


def _private_dir(path: Path, closed_to: int = _ALL) -> Path:
    """Make the directory if it is missing; refuse one that is not ours alone."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        link, directory = path.lstat(), path.stat()
    except OSError as failure:
        raise _unusable(path, failure) from failure
    # A link that root made leads where it is to: systemd's, of a user made for the service.
    if directory.st_uid != os.geteuid() or link.st_uid not in (os.geteuid(), 0):
        raise NotAllowed(
            f"{path} belongs to another user; set SCOORD_STATE_DIR to a place of yours"
        )
    if directory.st_mode & closed_to:
        # Refused, not corrected: the variable may name a directory with another purpose.
        raise NotAllowed(f"{path} is open to other users; run: chmod 700 {shlex.quote(str(path))}")
    return path


def _unusable(path: Path, failure: OSError) -> ScoordError:
    full = failure.errno in (errno.ENOSPC, errno.EDQUOT)
    mend = "make room there" if full else "make it writable"
    return NotAllowed(f"cannot use {path}: {failure.strerror}; {mend}, or set SCOORD_STATE_DIR")


def _read_or_make(path: Path, make: Callable[[], str]) -> str:
    """Return the file's one line; the first of several makers decides it."""
    kept = _read_text(path).strip()
    if kept:
        return kept
    _publish_once(path, make())
    kept = _read_text(path).strip()
    if not kept:
        raise InvalidConfig(f"{path} is empty; remove it, and it is made anew")
    return kept


def _publish_once(path: Path, line: str) -> None:
    """Create the file unless there is one; by a link, since open-then-write shows it empty."""
    with (
        writable(path),
        _temporary_beside(path) as file,
        contextlib.suppress(FileExistsError),
    ):
        _write_through(file, f"{line}\n".encode())
        path.hardlink_to(file.name)


def _read_text(path: Path) -> str:
    """Return the file's text; empty if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as failure:
        raise NotAllowed(f"cannot read {path}: {failure}") from failure


def _port(text: str, origin: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise InvalidConfig(f"{origin} is {text!r}, not a port (1 to 65535)")


def _ports(uid: int) -> list[int]:
    """Return the ports that a user's agent may have, first the one that is its own.

    Of two users whose agents are both down each finds all of them free.
    """
    own = (uid - _FIRST_UID) % _UIDS_APART
    return [FIRST_PORT + (own + step) % _PORTS_TRIED for step in range(_PORTS_TRIED)]


def _free_port() -> int:
    for port in _ports(os.geteuid()):
        with socket.socket() as probe, contextlib.suppress(OSError):
            # As the agent itself will bind: old connections do not count, a listener does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise InvalidConfig(
        f"ports {FIRST_PORT} to {FIRST_PORT + _PORTS_TRIED - 1} are all taken; "
        "set SCOORD_AGENT_PORT to a free one"
    )


@contextlib.contextmanager
def _temporary_beside(target: Path) -> Iterator[IO[bytes]]:
    """Open a private file in the target's directory; what is left of it is removed."""
    with tempfile.NamedTemporaryFile(
        dir=target.parent, prefix=f".{target.name}.", suffix=".tmp", delete=False
    ) as file:
        try:
            yield file
        finally:
            Path(file.name).unlink(missing_ok=True)


def _write_through(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _take_over_metadata(target: Path, descriptor: int, mode: int, most: int) -> None:
    """Give the new file the owner and mode of the one it will replace."""
    try:
        old = target.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, mode & most)
        return
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        # Only root may give files away; anyone else goes on with what he may.
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & most)


def _sync_directory(directory: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
