"""How many arenas a program of ours has, by what glibc says of itself."""

import ctypes
import os
import subprocess
import sys

import pytest

_COUNT = """
import ctypes, sys
from threading import Barrier, Thread
from scoord import heap
heap.keep_few_arenas()
together = Barrier(6)
def work():
    together.wait()
    kept.append([bytearray(5000) for _ in range(100)])
    together.wait()
kept = []
threads = [Thread(target=work) for _ in range(6)]
for each in threads: each.start()
for each in threads: each.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def arenas(**env: str) -> int:
    """How many a program has that began so and worked in six threads."""
    done = subprocess.run(
        [sys.executable, "-c", _COUNT], env={**os.environ, **env}, capture_output=True, check=True
    )
    return done.stdout.count(b"<heap nr=")


needs_glibc = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_info"), reason="another C library"
)


@needs_glibc
def test_all_threads_share_two_arenas() -> None:
    assert arenas() <= 2


@needs_glibc
def test_what_the_operator_says_holds() -> None:
    assert arenas(MALLOC_ARENA_MAX="4") > 2
