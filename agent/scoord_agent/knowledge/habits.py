"""Which test belongs to which source, by the project's own habit of naming. Pure.

Where tests lie is not assumed: a test is matched with the source of the same bare
name, and where several have it, with the one whose folders it shares most.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

_TEST_FOLDERS = frozenset({"test", "tests", "__tests__", "spec", "specs", "testing"})
_ENDINGS = ("_test", ".test", ".spec", "_spec", "-test", ".stories")
_SUBJECTLESS = frozenset({"__init__", "index", "conftest", "main", "mod", "lib"})
"""Names that say nothing without their folder."""
_FAMILIES = (
    frozenset({".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".vue", ".svelte"}),
    frozenset({".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp"}),
    frozenset({".java", ".kt", ".scala", ".groovy"}),
)
_MOST = 4


@dataclass(frozen=True, slots=True)
class Habits:
    """Sources and tests by their bare name."""

    sources: Mapping[str, tuple[str, ...]]
    tests: Mapping[str, tuple[str, ...]]
    folders: Mapping[str, int] = field(default_factory=dict)
    """Those with tests in them, and how many; as shown."""

    def counterparts(self, shown: str) -> list[str]:
        """The tests of a source, or the sources of a test, nearest first."""
        others = self.sources if is_test(shown) else self.tests
        names = _names(shown)
        found = dict.fromkeys(path for name in names for path in others.get(name, ()))
        same = (path for path in found if path != shown and _same_kind(path, shown))
        return sorted(same, key=lambda path: (-_shared(path, shown), len(path), path))[:_MOST]

    def new_test(self, name: str) -> str:
        """Where a test that is not there yet will be, by its name; empty for what is no test.

        It is one if there is a source of that name: then it will be in the folder with tests
        that shares most with that.
        """
        sources = self.counterparts(name) if is_test(name) else ()
        if not sources or not self.folders:
            return ""
        places = {f"{folder}/{name}" if folder else name: n for folder, n in self.folders.items()}
        return max(places, key=lambda path: (_shared(path, sources[0]), places[path], path))


NOTHING = Habits({}, {})


def learn(files: Iterable[str]) -> Habits:
    """The habits of a project with these files."""
    sources: dict[str, list[str]] = {}
    tests: dict[str, list[str]] = {}
    folders = Counter[str]()
    for path in files:
        if is_test(path):
            folders[path.rpartition("/")[0]] += 1
        for name in _names(path):
            (tests if is_test(path) else sources).setdefault(name, []).append(path)
    return Habits(
        {name: tuple(paths) for name, paths in sources.items()},
        {name: tuple(paths) for name, paths in tests.items()},
        folders,
    )


def is_test(shown: str) -> bool:
    """Whether a file is a test, by its name or its folder."""
    path = PurePosixPath(shown)
    name = path.stem
    if name.startswith("test_") or name.endswith(_ENDINGS):
        return True
    if name.endswith(("Test", "Tests", "IT")) and path.suffix in _FAMILIES[2]:
        return True
    return not _TEST_FOLDERS.isdisjoint(part.lower() for part in path.parts[:-1])


def _names(shown: str) -> Iterator[str]:
    """What a file is about: its bare name, and that with its folder before it."""
    path = PurePosixPath(shown)
    bare = path.stem.removeprefix("test_")
    for ending in (*_ENDINGS, "Tests", "Test", "IT"):
        bare = bare.removesuffix(ending)
    bare, folder = bare.lower(), path.parent.name.lower()
    if bare and bare not in _SUBJECTLESS:
        yield bare
    if folder and folder not in _TEST_FOLDERS:
        yield folder if bare in _SUBJECTLESS else f"{folder}_{bare}"


def _same_kind(one: str, other: str) -> bool:
    mine, others = PurePosixPath(one).suffix, PurePosixPath(other).suffix
    return mine == others or any({mine, others} <= family for family in _FAMILIES)


def _shared(one: str, other: str) -> int:
    """How many folders of one are in the other, whatever is between them."""
    folders = set(PurePosixPath(other).parent.parts)
    return sum(part in folders for part in PurePosixPath(one).parent.parts)
