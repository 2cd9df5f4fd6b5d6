"""Which files of a repository a file imports, as far as its text says.

Python by its own parser, other languages by their relative imports. Only import
statements are parsed, not whole files: a parser holds the interpreter for as long
as it takes, and every hook of the machine would wait.
"""

import ast
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import normpath

from scoord.names import path_key
from scoord.regular import read_regular

MOST_FILES = 5000
MOST_BYTES = 128 * 1024
"""Of one file; a longer one is read up to there."""

_BREATH_S = 0.0005
"""Between two files, so that whoever else wants to run in this process does."""

_STATEMENT = re.compile(
    r"^[ \t]*(?:from[ \t]+[\w.]+[ \t]+import[ \t]*(?:\([^)]{0,4000}\)|[^\n(]{1,1000})"
    r"|import[ \t]+[^\n]{1,1000})",
    re.MULTILINE,
)
# No two parts side by side take the same: of a cloned repository's file, all ways to share
# its blanks among them would be tried, while every hook of the machine waits.
_RELATIVE = re.compile(
    r"""(?:\bfrom\s*|\bimport\s*(?:\(\s*)?|\brequire\s*\(\s*)["'](\.{1,2}/[^"'\n]{1,300})["']"""
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]{1,300})"', re.MULTILINE)
_SCRIPTS = (".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".vue", ".svelte")
_C = (".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".m", ".mm")
_ENDINGS = ("", *_SCRIPTS, ".json", ".css", *(f"/index{each}" for each in _SCRIPTS))
_ROOTS = frozenset({"src", "lib", "python"})
"""Folders that are on the path of imports more often than they are packages."""


@dataclass(frozen=True, slots=True)
class Imports:
    """Who imports whom, by key; values as shown."""

    imported: Mapping[str, tuple[str, ...]]
    importers: Mapping[str, tuple[str, ...]]

    def imports(self, key: str) -> tuple[str, ...]:
        """What a file imports."""
        return self.imported.get(key, ())

    def imported_by(self, key: str) -> tuple[str, ...]:
        """Who imports a file."""
        return self.importers.get(key, ())

    def neighbours(self, key: str) -> tuple[str, ...]:
        """Both."""
        return (*self.imports(key), *self.imported_by(key))


NOTHING = Imports({}, {})


def learn(root: Path, files: Mapping[str, str], until: float) -> Imports:
    """Read the imports of ``files`` (as shown, by key); those not read ``until`` then are left out.

    ``until`` is a time of the monotonic clock.
    """
    modules = Modules(files.values())
    imported: dict[str, tuple[str, ...]] = {}
    readable = [path for path in files.values() if _language(path)]
    for path in readable[:MOST_FILES]:
        if time.monotonic() > until:
            break
        found = _imports_of(path, _text(root / path), files, modules)
        if found:
            imported[path_key(path)] = found
        time.sleep(_BREATH_S)
    return turned(imported, files)


def turned(imported: Mapping[str, tuple[str, ...]], files: Mapping[str, str]) -> Imports:
    """The same in both directions."""
    importers: dict[str, list[str]] = {}
    for key, found in imported.items():
        for path in found:
            importers.setdefault(path_key(path), []).append(files[key])
    return Imports(dict(imported), {key: tuple(paths) for key, paths in importers.items()})


class Modules:
    """Python modules of a repository by every name that they can be imported under."""

    def __init__(self, files: Iterable[str]) -> None:
        self._files: dict[str, str] = {}
        paths = [path for path in files if path.endswith(".py")]
        packages = {path.rpartition("/")[0] for path in paths if path.endswith("/__init__.py")}
        for path in paths:
            for name in _module_names(path, packages):
                self._files.setdefault(name, path)

    def find(self, name: str) -> str | None:
        """The file of a module, or of the nearest package above what is not one."""
        while name:
            if found := self._files.get(name):
                return found
            name = name.rpartition(".")[0]
        return None


def python_imports(path: str, text: str, modules: Modules) -> Iterator[str]:
    """The repository's files that a Python file imports."""
    for statement in _STATEMENT.finditer(text):
        try:
            (node,) = ast.parse(statement[0].strip()).body
        except (SyntaxError, ValueError, MemoryError):
            continue  # prose, or a statement that goes on where we do not follow
        for name in _names(node, path):
            if found := modules.find(name):
                yield found


def relative_imports(path: str, text: str, files: Mapping[str, str]) -> Iterator[str]:
    """The repository's files that a file of another language imports by a relative path."""
    is_c = path.endswith(_C)
    folder = PurePosixPath(path).parent
    for match in (_INCLUDE if is_c else _RELATIVE).finditer(text):
        target = normpath(str(folder / match[1]))
        bare = target.removesuffix(".js").removesuffix(".jsx")  # of TypeScript: what it becomes
        tried = (target,) if is_c else (f"{t}{end}" for t in (target, bare) for end in _ENDINGS)
        found = next((files[key] for each in tried if (key := path_key(each)) in files), None)
        if found:
            yield found


def _imports_of(
    path: str, text: str, files: Mapping[str, str], modules: Modules
) -> tuple[str, ...]:
    if path.endswith((".py", ".pyi")):
        found = python_imports(path, text, modules)
    else:
        found = relative_imports(path, text, files)
    return tuple(dict.fromkeys(each for each in found if each != path))


def _language(path: str) -> bool:
    return path.endswith((".py", ".pyi", *_SCRIPTS, *_C))


def _module_names(path: str, packages: set[str]) -> Iterator[str]:
    """From the root of the repository, from a usual source root, from where its package begins."""
    folder, _, file = path.rpartition("/")
    stem = file.removesuffix(".py")
    parts = [*filter(None, folder.split("/")), *([] if stem == "__init__" else [stem])]
    yield ".".join(parts)
    if parts and parts[0] in _ROOTS:
        yield ".".join(parts[1:])
    above = folder
    while above and above in packages:
        above = above.rpartition("/")[0]
    if above and folder != above:
        yield ".".join(parts[above.count("/") + 1 :])


def _names(node: ast.stmt, path: str) -> Iterator[str]:
    """The modules that a statement may mean; of a name in a package, the name first."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        package = ".".join(PurePosixPath(path).parent.parts[: -(node.level - 1) or None])
        base = ".".join(filter(None, (package if node.level else "", node.module or "")))
        yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def _text(file: Path) -> str:
    """The text of a regular file, as far as it is read; empty where it cannot be."""
    try:
        return (read_regular(file, MOST_BYTES, follow=False) or b"").decode("utf-8", "replace")
    except OSError:
        return ""
