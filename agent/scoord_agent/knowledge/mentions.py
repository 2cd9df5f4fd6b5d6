"""Which files of a repository a text names. Pure."""

import re
from collections.abc import Iterable, Sequence

from scoord.names import path_key

_WORD = re.compile(r"[\w./-]{3,}")


class Mentions:
    """Finds the files that a text names by their path or their name."""

    def __init__(self, files: Iterable[str]) -> None:
        """``files`` are keys."""
        self._by_name: dict[str, list[str]] = {}
        for key in files:
            self._by_name.setdefault(key.rpartition("/")[2], []).append(key)

    def of(self, text: str) -> frozenset[str]:
        """The keys of the files that ``text`` names."""
        words = (path_key(word.strip("./")) for word in _WORD.findall(text))
        return frozenset(key for word in words for key in self.named(word))

    def named(self, path: str) -> Sequence[str]:
        """The keys of the files that ``path``, a key itself, is the end of."""
        same_name = self._by_name.get(path.rpartition("/")[2], ())
        return [key for key in same_name if key == path or key.endswith(f"/{path}")]
