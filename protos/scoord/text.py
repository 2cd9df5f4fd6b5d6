"""Text from another session, made safe to show to a person, a terminal or a model.

Whoever shows such a text passes it through here at that moment, wherever it has
been before. What comes out is one line of bounded length that cannot move a
cursor, hide or reorder characters, or pose as markup. It does not judge what the
words say: they are still data, and are framed as such by whoever shows them.
"""

import re
import unicodedata
from typing import Final

MOST_OF_FAILURE: Final = 2000
"""Characters of what a failure says; some name all keys there are."""

_HOURS_AS_DAYS: Final = 48
"""From so many on, a duration is told in days."""

_ELLIPSIS = "…"
_READ_AHEAD = 16  # characters looked at for each one shown: bounds the work on a huge text
_MOST_MARKS = 4  # on one character; a pile of them draws over the lines around it
_MOST_SORTED = 30  # marks in a row: Unicode puts them in order in the square of their number

# ECMA-48: control sequences, then strings (OSC, DCS, SOS, PM, APC) up to their
# terminator, then what else ESC begins. Each also in its 8-bit form. A string that
# does not end loses its introducer only: what follows is shown, not swallowed. It is
# matched all the same, or each introducer in it would look for the end once more.
_CONTROL = "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"
_TERMINAL_SEQUENCE = re.compile(
    f"{_CONTROL}"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])(?P<said>[^\x07\x1b\x9c]*)(?P<end>\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]"
)
_CONTROL_SEQUENCE = re.compile(_CONTROL)

# Unicode's Default_Ignorable_Code_Point, as far as its category is not Cf (which
# goes as a whole), and the blank that is not white space: they show nothing and
# can carry a message to a model.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\ufff0-\ufff8\U000e0000-\U000e0fff]"
)

_LOOKALIKES = str.maketrans({"<": "\u2039", ">": "\u203a"})
_DOUBLE_QUOTES = str.maketrans(dict.fromkeys('"\u201c\u201d\u201e\u201f\u301d\u301e\uff02', "'"))


def one_line(text: str, limit: int = 200) -> str:
    """Return ``text`` as one harmless line of at most ``limit`` characters (1 or more).

    Terminal sequences go whole; controls, bidirectional and zero-width characters
    and tags go; white space becomes single spaces; angle brackets become single
    guillemets, so that no text opens or closes a tag; what is too long ends in an ellipsis.
    A line that has been through here comes out as it is.
    """
    if not text:
        return ""
    visible = _with_few("M", _MOST_SORTED, _visible(text[: limit * _READ_AHEAD]))
    line = " ".join(unicodedata.normalize("NFC", visible).split())
    line = _with_few("Mn", _MOST_MARKS, line).translate(_LOOKALIKES)
    cut = len(line) > limit or len(text) > limit * _READ_AHEAD
    return line[: limit - 1].rstrip() + _ELLIPSIS if cut else line


def quote(text: str, limit: int = 200) -> str:
    """Return ``one_line(text)`` between double quotes, with no double quote inside."""
    return f'"{one_line(text, limit).translate(_DOUBLE_QUOTES)}"'


def failure(text: str) -> str:
    """Return what a failure says as one harmless line: it may quote what was asked."""
    return one_line(text, MOST_OF_FAILURE)


def escaped(written: str) -> str:
    """Return the same JSON, with escapes for what harms where it is shown.

    So a script reads the very texts, and yet nothing moves a cursor, is hidden or is a tag.
    """
    return "".join(map(_as_json_has_it, written))


def _as_json_has_it(character: str) -> str:
    is_seen = character.isprintable() and not _INVISIBLE.match(character)
    if character == "\n" or (is_seen and character not in "<>"):
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex("/", 2).split("/")
    return "".join(f"\\u{unit}" for unit in units)


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    plain = _INVISIBLE.sub("", _TERMINAL_SEQUENCE.sub(_shown_of, text))
    return "".join(map(_shown, plain))


def _shown_of(sequence: re.Match[str]) -> str:
    """Nothing, but of a string without an end what it says; introducers in it are controls."""
    said = sequence["said"]
    return _CONTROL_SEQUENCE.sub("", said) if said and not sequence["end"] else ""


def _shown(character: str) -> str:
    if character.isspace():
        return " "
    match unicodedata.category(character):
        case "Cc" | "Cf":
            return ""
        case "Cs":  # cannot be encoded, so neither sent nor printed
            return "\N{REPLACEMENT CHARACTER}"
    return character


def _with_few(kind: str, most: int, line: str) -> str:
    """``line`` with at most so many marks of a category, or of several, in a row."""
    if line.isascii():
        return line
    kept, marks = [], 0
    for character in line:
        marks = marks + 1 if unicodedata.category(character).startswith(kind) else 0
        if marks <= most:
            kept.append(character)
    return "".join(kept)


ALL_DONE = "it says that all is done"
"""What "any moment" rests on, of one that says so."""


def counted(number: int, one: str, more: str) -> str:
    """Return ``1 commit`` or ``2 commits``."""
    return f"{number} {one if number == 1 else more}"


def remaining(seconds: float) -> str:
    """Return how long an estimate says that it takes yet: ``about 6 min``, ``any moment``."""
    return f"about {age(seconds)}" if seconds >= 1 else "any moment"


def age(seconds: float) -> str:
    """Return a duration as people say it: ``45 s``, ``6 min``, ``2 h 5 min``, ``8 d 3 h``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    hours = minutes // 60
    if hours >= _HOURS_AS_DAYS:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
