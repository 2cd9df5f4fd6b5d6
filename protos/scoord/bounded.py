"""A dict that forgets what was put in first, for what can be found out again.

Programs that run for weeks meet ever new folders; what they remember of each must
not grow with them.
"""

from threading import Lock
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


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
                # Others may pop meanwhile, but only here is anything put in.
                self.pop(next(iter(tuple(self))), None)
            super().__setitem__(key, value)
