"""How the C library keeps the memory of a program that runs for weeks.

glibc gives each thread an arena of its own, up to eight for each processor, and what one of
them has free serves no other. Ours work in one thread, with some beside it that
move a message now and then: each left megabytes in holes behind.
"""

import ctypes
import os
from typing import Final

ARENAS: Final = 2
"""One for the program's own thread, one for all others."""

_M_ARENA_MAX: Final = -8
_BY_HAND: Final = "MALLOC_ARENA_MAX"


def keep_few_arenas() -> None:
    """Have all threads share; before there are any. Nothing where it is not glibc's, or is set."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and _BY_HAND not in os.environ:
        mallopt(_M_ARENA_MAX, ARENAS)
