"""What a program of ours writes down of what happens to it: JSON, one line an event.

    {"time": "2026-11-24T20:19:46.123Z", "level": "warning", "program": "agent",
     "part": "heart", "event": "%s is not live any more", "fields": ["Session_mbp_7_…"]}

``event`` is the same for every event of its kind; ``fields`` go into its places.
No prompt, content of a file or secret gets in: a field is a short line, of a failure
only those words are kept that are ours or the system's, and known secrets are cut out.
Nothing here raises or prints: a full disk must not stop what is logged.
"""

import contextlib
import logging
import logging.handlers
import os
import re
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from io import TextIOWrapper
from json import dumps
from pathlib import Path
from typing import Any, Final

from scoord.errors import ScoordError
from scoord.local import state_dir
from scoord.text import failure, one_line

AGENT: Final = "agent"
SERVER: Final = "server"
PROGRAMS: Final = (AGENT, SERVER)

FILE_BYTES: Final = 2 << 20
KEPT_FILES: Final = 3
"""Of each program, the one that is written included: with ``FILE_BYTES``, all there can be."""

_MOST_FIELD: Final = 300  # characters
_MOST_FRAMES: Final = 15
_OURS: Final = "scoord"
# Not "the password and the role", nor the place in our words that a number goes into.
_BEARER: Final = re.compile(r"(?i)\b(bearer|token|password)([ =:]+)(?!and\b|%)\S+")
_CUT: Final = "[secret]"


def log_file(program: str) -> Path:
    """Return where a program writes down what happens to it. Raises NotAllowed."""
    return state_dir() / "logs" / f"{program}.jsonl"


def start(program: str, *, verbose: bool, secrets: Iterable[str] = ()) -> Path:
    """Log this process to its program's file from now on; return the file.

    ``secrets`` never get in, wherever they stand. Raises NotAllowed if there can be
    no such file; one that fails later loses lines, and no more.
    """
    file = log_file(program)
    handler = _File(file)
    handler.setFormatter(_Json(program, secrets))
    handler.addFilter(_worth_writing)
    root = logging.getLogger()
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    root.addHandler(handler)
    return file


def _worth_writing(record: logging.LogRecord) -> bool:
    """Libraries are heard when something is wrong; what they say of their work is theirs."""
    return _is_ours(record) or record.levelno >= logging.WARNING


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.startswith(_OURS)


class _File(logging.handlers.RotatingFileHandler):
    """A file for its user alone, which several processes may write and put aside."""

    def __init__(self, path: Path) -> None:
        kept = KEPT_FILES - 1
        super().__init__(path, maxBytes=FILE_BYTES, backupCount=kept, encoding="utf-8", delay=True)

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        with contextlib.suppress(OSError):  # opening finds out
            Path(self.baseFilename).parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self.baseFilename, flags, 0o600)
        os.fchmod(descriptor, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, into the file that has the name now."""
        stream = self.stream
        if stream is not None and not _is_at(stream, Path(self.baseFilename)):
            stream.close()
            self.stream = None
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Lose the line."""


def _is_at(stream: TextIOWrapper, path: Path) -> bool:
    """Whether a file has its name still: another process may have begun a new one."""
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except OSError:
        return False


class Plain(logging.Formatter):
    """For a terminal: names that come from anywhere neither begin a line nor move a cursor."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """Return what happened as one line; the places of a failure come after it."""
        record.message = failure(record.message)
        return super().formatMessage(record)


class _Json(logging.Formatter):
    """One event as one line of JSON."""

    def __init__(self, program: str, secrets: Iterable[str]) -> None:
        super().__init__()
        self._program = program
        self._secrets = tuple(filter(None, secrets))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        now = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "program": self._program,
            "part": record.name.rpartition(".")[2] if _is_ours(record) else record.name,
            "event": self._field(str(record.msg)),
        }
        if _is_ours(record) and record.args:
            args = record.args if isinstance(record.args, tuple) else record.args.values()
            line["fields"] = [self._field(arg) for arg in args]
        if record.exc_info and record.exc_info[1]:
            line["failure"] = self._failure(record.exc_info[1])
        return dumps(line, ensure_ascii=False)

    def _field(self, value: object) -> str | int | float:
        if isinstance(value, int | float):
            return value
        text = words_of(value) if isinstance(value, BaseException) else str(value)
        # First of all: a secret that was cut in two would not be known any more.
        for secret in self._secrets:
            text = text.replace(secret, _CUT)
        return one_line(_BEARER.sub(rf"\1\2{_CUT}", text), _MOST_FIELD)

    def _failure(self, error: BaseException) -> dict[str, Any]:
        frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
        places = [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames]
        return {"what": self._field(error), "at": places}


def words_of(error: BaseException) -> str:
    """Return what may be written down of a failure.

    The words of a library may quote what it could not read, and that may be anything.
    """
    if isinstance(error, ScoordError):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{type(error).__name__}: {error.strerror}{where}"
    return type(error).__name__
