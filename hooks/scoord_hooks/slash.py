"""What a typed slash command of the plugin runs: its words to ``scoord``'s. Pure.

The words come as one string of JSON and become a list of arguments. No shell reads
them, and nothing in them can become an option but those that are named here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from scoord.errors import InvalidRequest
from scoord.typed import words_of

MOST: Final = 9_500
"""Characters of an answer; Claude Code puts what is over 10,000 into a file."""

_UNLOCK: Final = "say a file, and --force --token N to break the lock that has this token"
_FORCED: Final = ("--typed", "/sc:session-unlock", "--reason", "/sc:session-unlock")

_ENDLESS: Final = frozenset({"--follow", "-f", "--watch", "-w"})


@dataclass(frozen=True, slots=True)
class Typed:
    """A slash command as it was typed."""

    name: str
    """``session-status``, without the plugin's name."""
    words: tuple[str, ...]
    cwd: str


def typed(event: Mapping[str, object]) -> Typed:
    """Read a UserPromptExpansion event. Raises InvalidRequest."""
    name, arguments = event.get("command_name"), event.get("command_args")
    cwd = event.get("cwd")
    if not (isinstance(name, str) and isinstance(arguments, str) and isinstance(cwd, str)):
        raise InvalidRequest("this is not the event of a slash command")
    words = words_of(arguments)
    if any("\0" in word for word in words):
        raise InvalidRequest("the arguments hold a NUL character")
    return Typed(name.removeprefix("sc:"), tuple(words), cwd)


def arguments_of(command: Typed) -> list[str]:
    """Return what ``scoord`` is called with. Raises InvalidRequest."""
    build = _BUILDERS.get(command.name)
    if build is None:
        known = ", ".join(f"/sc:{name}" for name in _BUILDERS)
        raise InvalidRequest(f"no command is called {command.name[:60]!r}; there are {known}")
    options = takewhile(lambda word: word != "--", command.words)
    endless = next((word for word in options if word.partition("=")[0] in _ENDLESS), "")
    if endless:
        raise InvalidRequest(f"{endless} goes on for ever; use it in a terminal")
    return build(command.words)


def framed(command: Typed, output: str) -> str:
    """Return an answer between two lines that say what it is, bounded."""
    name = f"/sc:{command.name}"
    kept: list[str] = []
    most = MOST - 200
    lines = output.strip("\n").split("\n")
    for line in lines:
        most -= len(line) + 1
        if most < 0:
            kept.append(f"… and {len(lines) - len(kept)} more lines; see them in a terminal")
            break
        kept.append(line)
    return "\n".join((f"scoord: the answer to {name}", *kept, f"scoord: end of {name}"))


def _unlock(words: Sequence[str]) -> list[str]:
    """Nobody can be asked in a hook: ``--force`` alone shows what to type, with the token."""
    paths, options, rest = list[str](), list[str](), iter(words)
    for word in rest:
        name, _, value = word.partition("=")
        if word == "--force":
            options.append(word)
        elif name == "--token":
            options.append(f"--token={_number(value or next(rest, ''))}")
        elif word == "--":
            paths.extend(rest)
        elif word.startswith("-"):
            raise InvalidRequest(f"{word[:60]!r} is not known here; {_UNLOCK}")
        else:
            paths.append(word)
    if options and "--force" not in options:
        raise InvalidRequest(f"--token goes with --force; {_UNLOCK}")
    if not paths:
        return ["locks"]
    forced = [*_FORCED, *options] if options else []
    return ["unlock", *forced, "--", *paths]


def _number(word: str) -> str:
    """Return a token as it is. Raises InvalidRequest."""
    if not (word.isascii() and word.isdigit()):
        raise InvalidRequest(f"{word[:60]!r} is no token; {_UNLOCK}")
    return word


_BUILDERS: Final[Mapping[str, Callable[[Sequence[str]], list[str]]]] = {
    "session-status": lambda words: ["status", *words],
    "session-refresh": lambda words: ["refresh", *words],
    "session-unlock": _unlock,
    "session-history": lambda words: ["history", *words],
}
