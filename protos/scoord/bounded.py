"""What forgets what was put in first, for what can be found out again.

Programs that run for weeks meet ever new folders; what they remember of each must
not grow with them.
"""

from contextlib import suppress
from threading import Lock
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

MOST_SAID: Final = 10_000
"""Of how many things that go wrong each time a program remembers that it has said so."""


class BoundedDict(dict[K, V]):
    """Keeps at most ``most`` entries set by ``[key] = value``. Safe to use from several threads.

    Setting a key again makes it the youngest.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._lock = Lock()

    def __setitem__(self, key: K, value: V) -> None:
        """Remember ``value``, and forget the oldest entry where it would be one too many."""
        with self._lock:
            self.pop(key, None)
            while len(self) >= self._most:
                self._forget_oldest()
            super().__setitem__(key, value)

    def _forget_oldest(self) -> None:
        """Without a copy of all keys: that is many kilobytes each time."""
        # Others may pop while this looks for it; it is looked for again then.
        with suppress(RuntimeError, StopIteration):
            self.pop(next(iter(self)), None)


class Once(Generic[K]):
    """Which of many were met before, as far back as ``most`` others."""

    def __init__(self, most: int) -> None:
        self._met = BoundedDict[K, None](most)

    def is_new(self, one: K) -> bool:
        """Whether it is met for the first time; from now on it is not."""
        if one in self._met:
            return False
        self._met[one] = None
        return True
