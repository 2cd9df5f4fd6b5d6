"""What people are told to type, so that it means just that; and what they typed, read back.

A command that is shown is copied: nothing of it may be cut or made over, and yet it may
hold nothing that acts or hides where it is shown.
"""

import re
import shlex
from collections.abc import Iterable
from typing import Final

from scoord.text import one_line

_HARMLESS: Final = re.compile(r"[!-&(-;=?-\[\]-~]| (?! )")
"""What stays as it is between ``$'`` and ``'``; of several spaces, the last."""
_QUOTED: Final = r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\."""
_ESCAPED_WORD: Final = r"(?<!\S)\$'((?:[^'\\]|\\.)*)'(?!\S)"
_QUOTED_OR_ESCAPED: Final = re.compile(f"(?s){_QUOTED}|{_ESCAPED_WORD}")
"""From left to right: within other quotes ``$'`` begins nothing."""
_ESCAPE: Final = re.compile(rb"\\(?:x([0-9a-f]{2})|([\\']))")


def as_typed(paths: Iterable[str]) -> str:
    """Return what to type for ``paths`` at the end of a command: a shell reads them from it.

    It is one line that ``one_line`` leaves as it is, however long. Where a path has what
    harms or vanishes there, its bytes are escaped as bash and zsh read them.
    """
    named = list(paths)
    no_more_options = ["--"] if any(path.startswith("-") for path in named) else []
    return " ".join([*no_more_options, *map(_word, named)])


def words_of(line: str) -> list[str]:
    """Return the words that ``line`` is for a shell; a line with a lone quote is cut at spaces.

    What ``as_typed`` made is read back as it was.
    """
    try:
        return shlex.split(_QUOTED_OR_ESCAPED.sub(_requoted, line))
    except ValueError:
        return line.split()


def _word(path: str) -> str:
    quoted = shlex.quote(path)
    return quoted if one_line(quoted, len(quoted) + 1) == quoted else f"$'{_escaped(path)}'"


def _escaped(path: str) -> str:
    parts = (each if _HARMLESS.match(path, at) else _bytes_of(each) for at, each in enumerate(path))
    return "".join(parts)


def _bytes_of(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))


def _requoted(found: "re.Match[str]") -> str:
    if found[1] is None:
        return found[0]
    raw = _ESCAPE.sub(_byte, found[1].encode(errors="surrogateescape"))
    return shlex.quote(raw.decode(errors="surrogateescape"))


def _byte(escape: "re.Match[bytes]") -> bytes:
    return bytes.fromhex(escape[1].decode()) if escape[1] else escape[2]
