"""Which words of a file's path say which file it is. Pure.

A word that is in most paths of the repository, as an ending, or in most of the folder, as
``test``, tells no file from the others.
"""

import re
from collections import Counter
from collections.abc import Iterable

_WORD = re.compile(r"[^\W_]+")
_LEAST_FILES = 3
"""Of fewer files nothing is usual."""
_LEAST = 4
"""Letters of a word that says something, where a letter is less than a word."""


class Telling:
    """Finds them for each file."""

    def __init__(self, files: Iterable[str]) -> None:
        """``files`` are keys."""
        everywhere, folders = _Usual(), dict[str, _Usual]()
        for key in files:
            words = _words(key)
            everywhere.add(words)
            folders.setdefault(key.rpartition("/")[0], _Usual()).add(words)
        self._everywhere = everywhere.words()
        self._folders = {folder: usual.words() for folder, usual in folders.items()}

    def of(self, key: str) -> str:
        """The words of a file that say something, in their order; none may be left."""
        usual = self._everywhere | self._folders.get(key.rpartition("/")[0], frozenset())
        return " ".join(word for word in _words(key) if word not in usual and _says_much(word))


class _Usual:
    """Counts in how many of some files each word is."""

    def __init__(self) -> None:
        self._files = 0
        self._counts = Counter[str]()

    def add(self, words: Iterable[str]) -> None:
        self._files += 1
        self._counts.update(words)

    def words(self) -> frozenset[str]:
        """Those that most of the files have."""
        if self._files < _LEAST_FILES:
            return frozenset()
        return frozenset(word for word, count in self._counts.items() if 2 * count > self._files)


def _words(key: str) -> list[str]:
    """Each once, in their order."""
    return list(dict.fromkeys(_WORD.findall(key)))


def _says_much(word: str) -> bool:
    return len(word) >= _LEAST or not word.isascii()
