"""What the arguments of a command mean: files, and patterns of files."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path

from scoord.errors import InvalidConfig, InvalidPath, InvalidRequest
from scoord.names import check_characters, path_key
from scoord.paths import FileIdentity, Locator, Worktree
from scoord.patterns import check_reservable

_WILD = re.compile(r"[*?\[]")
_SPECIAL = re.compile(r"([*?\[\\])")


def identify(
    locator: Locator, arguments: Sequence[str], cwd: str
) -> tuple[list[FileIdentity], list[FileIdentity]]:
    """The files, and the patterns, that ``arguments`` mean to a command in ``cwd``.

    What is checked out where they are is read anew: a command often follows a switch. Raises
    InvalidPath and InvalidRequest, and what ``Locator.locate`` raises. It may start git.
    """
    patterns = [argument for argument in arguments if is_pattern(argument, cwd)]
    files = [argument for argument in arguments if argument not in patterns]
    folder = Path(cwd).resolve() if patterns else Path(cwd)
    named = (
        [_file(locator, file, cwd) for file in files],
        [_pattern(pattern, folder, locator.worktree_of(cwd)) for pattern in patterns],
    )
    for worktree in {one.worktree for one in chain(*named) if one.worktree}:
        locator.look_anew(worktree.root)
    return named


def together(
    files: Sequence[FileIdentity], confined_to: Callable[[FileIdentity], str]
) -> Iterator[tuple[FileIdentity, ...]]:
    """What is asked for at once: the files of one project and branch, each once."""
    on = {file.worktree: confined_to(file) for file in reversed(files)}
    once = {(file.project, on[file.worktree], file.key): file for file in reversed(files)}
    in_order = sorted(once.items(), key=lambda item: (item[0][:2], files.index(item[1])))
    for _, group in groupby(in_order, key=lambda item: item[0][:2]):
        yield tuple(file for _, file in group)


def _file(locator: Locator, argument: str, cwd: str) -> FileIdentity:
    if ".git" in argument.split("/"):
        # Before it is looked at: in a linked worktree .git is a file, and nothing is below it.
        raise InvalidRequest(f"{argument!r}: files inside .git cannot be locked")
    if not argument:
        raise InvalidPath("'' names no file")
    if "\0" not in argument and os.path.isdir(os.path.join(cwd, argument)):  # noqa: PTH112, PTH118
        is_below = not {".", "..", ""} & set(argument.split("/"))
        # A slash alone holds a folder by its name, which these do not have.
        below = repr(f"{argument}/" if is_below else f"{os.path.normpath(argument)}/**")
        raise InvalidPath(f"{argument!r} is a folder; to hold all that is in one, say {below}")
    return locator.locate(argument, cwd)


def is_pattern(argument: str, cwd: str) -> bool:
    """Whether it has a wildcard, or ends in a slash; a file that is called so is a file."""
    if argument.endswith("/"):
        return True
    wild = _WILD.search(argument) is not None
    return wild and "\0" not in argument and not os.path.lexists(os.path.join(cwd, argument))  # noqa: PTH118


def is_rooted(argument: str, root: Path) -> bool:
    """Whether it begins at the worktree's ``root``, as the lock of a folder there is shown.

    What is on this machine by that name, and not in the worktree, is meant as such.
    """
    if not argument.startswith("/") or argument.startswith(f"{root}/"):
        return False
    return is_pattern(argument, "/") and (
        os.path.lexists(f"{root}{argument}") or not os.path.lexists(argument)
    )


def anchored(pattern: str, folder: str) -> str:
    """``pattern`` as the worktree's root would say it, where ``folder`` said it; "" is the root.

    As in ``.gitignore``, a name alone matches at any depth below the folder. One that
    only ends in a slash is that very folder: nobody types ``docs/`` and means another.
    """
    rest, names = pattern, folder.split("/") if folder else []
    while rest.startswith(("./", "../")):
        step, _, rest = rest.partition("/")
        if step == ".." and not names:
            raise InvalidRequest(f"{pattern!r} leads out of the worktree")
        names = names[:-1] if step == ".." else names
    if not rest or {".", ".."} & set(rest.split("/")):
        raise InvalidRequest(f"{pattern!r} cannot be held; want for example 'src/api/**'")
    above = "".join(f"{_SPECIAL.sub(_ESCAPED, name)}/" for name in names)
    return _joined(above, rest, is_fixed=rest != pattern or not _WILD.search(rest))


_ESCAPED = r"\\\1"


def _joined(above: str, rest: str, *, is_fixed: bool) -> str:
    has_slash = "/" in rest.rstrip("/")
    if not has_slash and is_fixed and not above:
        return f"/{rest}"
    if above and not has_slash and not is_fixed:
        return f"{above}{rest}" if rest.startswith("**") else f"{above}**/{rest}"
    return f"{above}{rest}"


def _pattern(argument: str, folder: Path, worktree: Worktree | None) -> FileIdentity:
    if worktree is None:
        raise InvalidRequest(f"{argument!r}: patterns are held in a repository; here is none")
    check_characters(argument)
    shown = _from_root(argument, folder, worktree.root)
    try:
        check_reservable(shown)
    except InvalidConfig as error:
        raise InvalidRequest(error.message) from error
    return FileIdentity(worktree.project, shown, path_key(shown), worktree)


def _from_root(argument: str, folder: Path, root: Path) -> str:
    if argument.startswith(f"{root}/"):
        shown = anchored(f"./{argument.removeprefix(f'{root}/')}", "")
    elif argument.startswith("/"):
        # As a .gitignore at the root says it.
        shown = argument
    else:
        below = folder.relative_to(root).as_posix()
        shown = anchored(argument, "" if below == "." else below)
    return unicodedata.normalize("NFC", shown)
