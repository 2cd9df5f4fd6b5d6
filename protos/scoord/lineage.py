"""From which repository a clone comes, through origins on this machine.

All clones of a repository without a name are named by its history, not by their own:
a clone may have a part of it. What was read is taken down, so that callers see when
an answer may not hold any more. It does not know what a project is.
"""

import os
from collections.abc import Callable, Iterator

from scoord import git
from scoord.errors import InvalidPath
from scoord.filestamp import FileStamp, stamp
from scoord.git import Repository
from scoord.origins import local_path, normalise_origin

Stamps = dict[str, FileStamp | None]
"""Files that something was read from, as they were then."""

_MOST_ORIGINS = 8  # a clone of a clone of a clone, on one machine


def named_by_origin(
    repository: Repository, until: float, read: Stamps
) -> tuple[str | None, Repository]:
    """Return the name that ``origin`` gives, through origins on this machine to theirs.

    With it the repository where they end; this one where they go round. Raises as
    ``git.origin``.
    """
    url, source, seen = git.origin(repository.root, until), repository, {repository.place}
    while url and not normalise_origin(url):
        beyond = _beyond(source, url, until, read)
        if beyond is None:
            break
        if beyond.place in seen or len(seen) == _MOST_ORIGINS:
            return None, repository
        seen.add(beyond.place)
        url, source = _elsewhere(git.origin, beyond, until), beyond
    return normalise_origin(url) if url else None, source


def root_commits(
    repository: Repository, source: Repository, until: float, read: Stamps
) -> Iterator[str]:
    """Yield the root commit of ``source``, then its clone's own, as far as there is one.

    Raises as ``git.origin``.
    """
    for each in dict.fromkeys((source, repository)):
        history, ask = _history(each), git.root_commit
        own = each == repository
        commit = ask(each.root, until) if own else _elsewhere(ask, each, until)
        if commit:
            yield commit
        read |= history


def _beyond(source: Repository, url: str, until: float, read: Stamps) -> Repository | None:
    """Return the repository on this machine that ``source`` has as its origin."""
    local = local_path(url)
    if local is None:
        return None
    start = git.main_root(source, until) or source.root
    place = os.path.realpath(local if local.startswith("/") else f"{start}/{local}")
    for file in (f"{place}/config", f"{place}/.git/config"):
        read.setdefault(file, stamp(file))
    return git.at(place)


def _elsewhere(
    ask: Callable[[str, float], str | None], repository: Repository, until: float
) -> str | None:
    try:
        return ask(repository.root, until)
    except InvalidPath:  # gone, or another user's: it cannot help to name its clones
        return None


def _history(repository: Repository) -> Stamps:
    """Return what changes with a first commit, or when a shallow clone gets the rest."""
    names = ("shallow", "packed-refs", "refs/heads", "reftable/tables.list")
    return {path: stamp(path) for path in (f"{repository.common_dir}/{name}" for name in names)}
