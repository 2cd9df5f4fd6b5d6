"""The parts of a repository that people work on apart from each other. Pure.

They are what ``coordination.yaml`` names; else what the folders, the manifests and
the history say: a folder with a manifest is a part; the largest folders fall into
those below them; and where many files lie flat in one folder, those that change
together are a part.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from scoord.names import path_key
from scoord.patterns import matches
from scoord.sections import AreaSettings
from scoord_agent.knowledge.cochange import CoChange

TOP = "top level"
"""The files that lie in no folder."""

MANIFESTS = frozenset(
    (
        *("pyproject.toml", "setup.py", "package.json", "Cargo.toml", "go.mod", "pom.xml"),
        *(
            "build.gradle",
            "build.gradle.kts",
            "composer.json",
            "Gemfile",
            "mix.exs",
            "Package.swift",
        ),
        *("CMakeLists.txt", "BUILD.bazel", "deno.json", "pubspec.yaml"),
    )
)

_MOST = 60
_SPLIT_ABOVE = 0.3
"""A folder with more of all files than this falls into those below it."""
_SPLIT_FROM = 12
"""And only from so many files on."""
_FLAT_FROM = 30
_LEAST_CLUSTER = 3
_CLOSE = 0.5


@dataclass(frozen=True, slots=True)
class Area:
    """One part."""

    name: str
    description: str
    files: frozenset[str]
    """Keys of those that are there."""


Guess = Callable[[str], tuple[str, ...]]
"""The names of the areas that a file would be in, by its key."""


class Areas:
    """All parts, and which of them a file is in."""

    def __init__(self, areas: Sequence[Area], guess: Guess) -> None:
        """``guess`` tells where a file belongs that is not there yet."""
        self.all = tuple(areas)
        self._guess = guess
        self._of: dict[str, tuple[str, ...]] = {}
        for area in areas:
            for key in area.files:
                self._of[key] = (*self._of.get(key, ()), area.name)

    def named(self, name: str) -> Area | None:
        """The area of that name, in any case."""
        return next((a for a in self.all if a.name.casefold() == name.casefold()), None)

    def among(self, names: Iterable[str]) -> Area | None:
        """The area that the first of ``names`` which is an area's names."""
        return next(filter(None, map(self.named, names)), None)

    def of(self, key: str) -> tuple[str, ...]:
        """The names of the areas that a file is in."""
        known = self._of.get(key)
        return self._guess(key) if known is None else known

    def of_all(self, paths: Iterable[str]) -> list[str]:
        """The areas of ``paths``, those with most of them first."""
        counted = Counter(name for path in paths for name in self.of(path_key(path)))
        return [name for name, _ in sorted(counted.items(), key=lambda each: (-each[1], each[0]))]


NOTHING = Areas((), lambda _key: ())


def configured(settings: Mapping[str, AreaSettings], files: Iterable[str]) -> Areas:
    """The areas that the repository names; a file may be in several. ``files`` are keys."""

    def of(key: str) -> tuple[str, ...]:
        return tuple(
            name
            for name, area in settings.items()
            if any(matches(pattern, key) for pattern in area.patterns)
        )

    members: dict[str, set[str]] = {name: set() for name in settings}
    for key in files:
        for name in of(key):
            members[name].add(key)
    areas = [
        Area(name, area.description, frozenset(members[name])) for name, area in settings.items()
    ]
    return Areas(areas, of)


def found(files: Mapping[str, str], cochange: CoChange, descriptions: Mapping[str, str]) -> Areas:
    """The areas of a repository that names none.

    ``files`` are shown, by key; ``descriptions`` are what manifests say, by folder.
    """
    units = {
        PurePosixPath(shown).parent.as_posix()
        for shown in files.values()
        if PurePosixPath(shown).name in MANIFESTS
    }
    areas: list[Area] = []
    folders: dict[str, str] = {}
    for folder, keys in _folders(files, units):
        clusters = list(_clusters(keys, cochange)) if len(keys) >= _FLAT_FROM else []
        name = folder or TOP
        areas += (Area(_cluster_name(name, c, cochange, files), "", c) for c in clusters)
        rest = keys.difference(*clusters)
        areas.append(Area(name, descriptions.get(folder or ".", ""), frozenset(rest)))
        folders[path_key(folder)] = name

    def guess(key: str) -> tuple[str, ...]:
        above = (parent.as_posix() for parent in PurePosixPath(key).parents)
        name = next((folders[each] for each in above if each in folders), None)
        top = folders.get("") if "/" not in key else None
        return (name,) if name else (top,) if top else ()

    return Areas([area for area in areas if area.files], guess)


def _folders(files: Mapping[str, str], units: set[str]) -> Iterator[tuple[str, set[str]]]:
    """Folders that are a part each, with the files that are in no other."""
    whole = len(files)
    waiting: list[tuple[str, dict[str, str]]] = [("", dict(files))]
    done = 0
    while waiting:
        folder, inside = waiting.pop(0)
        below, flat = _split(folder, inside)
        large = len(inside) > max(_SPLIT_FROM, whole * _SPLIT_ABOVE) or not folder
        is_unit = folder in units and len(inside) < whole * 2 * _SPLIT_ABOVE
        if below and large and not is_unit and done + len(waiting) + len(below) <= _MOST:
            waiting += below.items()
            inside = flat
        if inside:
            done += 1
            yield folder, set(inside)


def _split(
    folder: str, inside: Mapping[str, str]
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """What is in the folders below, and what lies flat."""
    start = len(folder) + 1 if folder else 0
    below: dict[str, dict[str, str]] = {}
    flat: dict[str, str] = {}
    for key, shown in inside.items():
        name, slash, _ = shown[start:].partition("/")
        if slash:
            below.setdefault(f"{folder}/{name}" if folder else name, {})[key] = shown
        else:
            flat[key] = shown
    return below, flat


def _clusters(keys: set[str], cochange: CoChange) -> Iterator[frozenset[str]]:
    """Files that change together far more than with the rest."""
    left = set(keys)
    for key in sorted(keys, key=lambda k: (-cochange.changes.get(k, 0), k)):
        if key not in left:
            continue
        close = {path_key(p.path) for p in cochange.of(key) if p.closeness >= _CLOSE}
        cluster = (close & left) | {key}
        if _LEAST_CLUSTER <= len(cluster) <= len(keys) // 2:
            left -= cluster
            yield frozenset(cluster)


def _cluster_name(
    folder: str, cluster: frozenset[str], cochange: CoChange, files: Mapping[str, str]
) -> str:
    """After the file that changes most."""
    first = max(sorted(cluster), key=lambda key: cochange.changes.get(key, 0))
    return f"{folder}: {PurePosixPath(files[first]).stem}"
