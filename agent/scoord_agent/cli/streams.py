"""The standard streams as a command wants them: there, buffered, and able to take any text."""

import codecs
import io
import os
import re
import sys
from typing import Final, TextIO

_ESCAPED: Final = "scoord.escaped"
_SIZE: Final = re.compile("[1-9][0-9]{0,5}")
"""Of a terminal, as its variables say it."""


def prepare() -> None:
    """Make the streams of this process so; what one writes cannot fail but by its file.

    What the encoding of a stream does not have is written as JSON escapes it: so a script
    reads JSON all the same. It failed where the command was done already.
    """
    _open_closed()
    _forget_odd_sizes()
    codecs.register_error(_ESCAPED, _escape)
    sys.stdout = _buffered(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)


def _open_closed() -> None:
    """One after the other, so that each has its own descriptor and no socket of ours gets it."""
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def _forget_odd_sizes() -> None:
    """Let nobody read them: rich fails at a size such as "²", which is a digit and no number."""
    for name in ("COLUMNS", "LINES"):
        if not _SIZE.fullmatch(os.environ.get(name, "")):
            os.environ.pop(name, None)


def _buffered(stream: TextIO) -> TextIO:
    """Where Python was told to buffer nothing: what cannot be written is to be kept, and known."""
    raw = getattr(stream, "buffer", None)
    if not isinstance(raw, io.RawIOBase):
        return stream
    return open(raw.fileno(), "w", encoding=stream.encoding, closefd=False)


def _escape(failure: UnicodeError) -> tuple[str, int]:
    if not isinstance(failure, UnicodeEncodeError):
        raise failure
    wrong = failure.object[failure.start : failure.end]
    units = wrong.encode("utf-16-be", "surrogatepass").hex("/", 2).split("/")
    return "".join(f"\\u{unit}" for unit in units), failure.end
