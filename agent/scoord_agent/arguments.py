"""What the arguments of a command mean: files, and patterns of files."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from scoord.errors import InvalidConfig, InvalidPath, InvalidRequest
from scoord.names import check_characters, path_key
from scoord.paths import FileIdentity, Locator, Worktree
from scoord.patterns import BRACES, NO_BRACES, check_reservable
from scoord_agent.pattern_text import EXAMPLE, anchored, escaped, is_pattern, split

Meant = tuple[list[FileIdentity], list[FileIdentity]]
"""Files, and patterns."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an argument may mean."""

    what: FileIdentity
    is_pattern: bool
    refusal: InvalidPath | None = field(default=None, compare=False)
    """Why nothing is meant where no lock of that name stands: a folder is there by now."""


def identify(locator: Locator, arguments: Sequence[str], cwd: str) -> Meant:
    """The files, and the patterns, that ``arguments`` mean to a command that takes them.

    Raises InvalidPath and InvalidRequest, and what ``Locator.locate`` raises. It may
    start git.
    """
    meant = sorted_out(_meaning(locator, argument, cwd) for argument in arguments)
    for argument in arguments:
        _check_meant(argument, _place(locator, argument, cwd))
    return meant


def meanings(locator: Locator, argument: str, cwd: str) -> list[Meaning]:
    """What is meant by it, and what may be where that is not there.

    A file may be called as a pattern is written: an edit takes the file. And a file that was
    locked may have become a folder.
    """
    if _is_folder(argument, cwd):
        _check_no_gits(argument)
        return [Meaning(locator.named(argument, cwd), is_pattern=False, refusal=_no_file(argument))]
    found = list[Meaning]()
    if is_pattern(argument) and not argument.endswith("/"):
        with suppress(InvalidPath):
            found = [Meaning(_file(locator, argument, cwd), is_pattern=False)]
    try:
        return [_meaning(locator, argument, cwd), *found]
    except (InvalidPath, InvalidRequest):
        if not found:
            raise
        return found


def sorted_out(meant: Iterable[Meaning]) -> Meant:
    """The files, and the patterns, of what is meant."""
    known = tuple(meant)
    files = [each.what for each in known if not each.is_pattern]
    return files, [each.what for each in known if each.is_pattern]


def together(
    files: Sequence[FileIdentity], confined_to: Callable[[FileIdentity], str]
) -> Iterator[tuple[FileIdentity, ...]]:
    """What is asked for at once: the files of one project and branch, each once."""
    on = {file.worktree: confined_to(file) for file in reversed(files)}
    once = {(file.project, on[file.worktree], file.key): file for file in reversed(files)}
    in_order = sorted(once.items(), key=lambda item: (item[0][:2], files.index(item[1])))
    for _, group in groupby(in_order, key=lambda item: item[0][:2]):
        yield tuple(file for _, file in group)


def is_rooted(argument: str, root: Path) -> bool:
    """Whether it begins at the worktree's ``root``, as the lock of a folder there is shown.

    What is on this machine by that name, and not in the worktree, is meant as such.
    """
    if not argument.startswith("/") or argument.startswith(f"{root}/"):
        return False
    return is_pattern(argument) and (
        os.path.lexists(f"{root}{argument}") or not os.path.lexists(argument)
    )


def _meaning(locator: Locator, argument: str, cwd: str) -> Meaning:
    """A command often follows a switch: what is checked out where it leads is read anew."""
    pattern = is_pattern(argument)
    what = (_pattern if pattern else _file)(locator, argument, cwd)
    if what.worktree:
        locator.look_anew(what.worktree.root)
    return Meaning(what, is_pattern=pattern)


def _file(locator: Locator, argument: str, cwd: str) -> FileIdentity:
    _check_no_gits(argument)
    if not argument:
        raise InvalidPath("'' names no file")
    if _is_folder(argument, cwd):
        raise _no_file(argument)
    return locator.locate(argument, cwd)


def _is_folder(argument: str, cwd: str) -> bool:
    """Whether it names a folder that is there, and no pattern of what is in one."""
    if not argument or "\0" in argument or is_pattern(argument):
        return False
    return os.path.isdir(os.path.join(cwd, argument))  # noqa: PTH112, PTH118


def _no_file(argument: str) -> InvalidPath:
    is_below = not {".", "..", ""} & set(argument.split("/"))
    # A slash alone holds a folder by its name, which these do not have.
    below = repr(f"{argument}/" if is_below else f"{os.path.normpath(argument)}/**")
    return InvalidPath(f"{argument!r} is a folder; to hold all that is in one, say {below}")


def _check_no_gits(argument: str) -> None:
    if ".git" in argument.split("/"):
        # Before it is looked at: in a linked worktree .git is a file, and nothing is below it.
        raise InvalidRequest(f"{argument!r}: files inside .git cannot be locked")


def _pattern(locator: Locator, argument: str, cwd: str) -> FileIdentity:
    """The names ahead are resolved as a file's are; what git takes for a pattern follows."""
    _check_no_gits(argument)
    place = _place(locator, argument, cwd)
    folder = os.path.realpath(f"{place.base}/{place.names}")
    worktree = locator.worktree_of(folder)
    if worktree is None:
        raise _nowhere(argument, locator.worktree_of(cwd))
    below = folder.removeprefix(str(worktree.root)).strip("/")
    shown = anchored(place.rest, below, is_fixed=bool(place.names))
    shown = unicodedata.normalize("NFC", shown)
    try:
        check_reservable(shown)
    except InvalidConfig as error:
        raise InvalidRequest(error.message) from error
    return FileIdentity(worktree.project, shown, path_key(shown), worktree)


def _nowhere(argument: str, here: Worktree | None) -> InvalidRequest:
    if here and not argument.startswith("/"):
        return InvalidRequest(f"{argument!r} leads out of the worktree")
    there = "there" if argument.startswith("/") else "here"
    return InvalidRequest(f"{argument!r}: patterns are held in a repository; {there} is none")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an argument begins, and what it says from there."""

    base: str
    said: str
    is_rooted: bool = False
    """Whether a slash stands for the worktree's root, and not for the machine's."""

    @property
    def names(self) -> str:
        return split(self.said)[0]

    @property
    def rest(self) -> str:
        return split(self.said)[1]


def _place(locator: Locator, argument: str, cwd: str) -> _Place:
    """A pattern that a slash begins is said from the root, as in a .gitignore there.

    So are they shown. Another is one that the machine has in a worktree, and this one has not.
    """
    said = re.sub("/{2,}", "/", check_characters(argument))
    if not said.startswith("/"):
        return _Place(cwd, said)
    here = locator.worktree_of(cwd) if is_pattern(said) else None
    if here is None:
        return _Place("/", said)
    root, names = str(here.root), split(said)[0]
    if said.startswith(f"{root}/"):
        return _Place(root, f".{said.removeprefix(root)}")
    is_elsewhere = not os.path.lexists(f"{root}{names}") and locator.worktree_of(
        os.path.realpath(names)
    )
    return _Place("/", said) if is_elsewhere else _Place(root, f".{said}", is_rooted=True)


def _check_meant(argument: str, place: _Place) -> None:
    """Refuse what begins with no name that is there, where that means something else."""
    names = place.names.removeprefix("./")
    first = names.partition("/")[0]
    is_here = bool(first) and os.path.lexists(f"{place.base}/{first}")
    if place.is_rooted and first and not is_here and os.path.lexists(f"/{first}"):
        raise _nowhere(argument, None)
    if argument.startswith("!") and not is_here:
        raise InvalidRequest(f"{argument!r} cannot be held; {EXAMPLE}")
    _check_missing(argument, place, *_missing(f"{place.base}/{names}"))


def _check_missing(argument: str, place: _Place, there: str, missing: str) -> None:
    """Refuse names below ``there`` that are not, and are no names to whoever says them."""
    is_folder = bool(missing) or place.names.endswith("/")
    if is_folder and os.path.isfile(there):  # noqa: PTH113  # strings, as all here
        raise InvalidPath(f"{argument!r}: {there!r} is a file, not a folder")
    if BRACES.search(missing):
        raise InvalidRequest(f"{argument!r} {NO_BRACES}")
    if "[" in missing and (found := next(Path(there).glob(missing), None)):
        new = f"{escaped(place.names)}{place.rest}"
        raise InvalidRequest(
            f"{argument!r}: nothing is called so, and {str(found.relative_to(there))!r} is"
            " there; brackets are part of a name that has no * or ?: name each, or say"
            f" {new!r} for a new one"
        )


def _missing(path: str) -> tuple[str, str]:
    """How far it is there, and the names after that."""
    there = path.rstrip("/")
    while there and not os.path.lexists(there):
        there = os.path.dirname(there)  # noqa: PTH120  # strings, as all here
    return there or "/", path[len(there) :].strip("/")
